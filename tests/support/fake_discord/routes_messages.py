"""REST: messages, their history, reactions, pins, polls."""

from typing import Any

from tests.support.fake_discord import errors
from tests.support.fake_discord.call import Call, route
from tests.support.fake_discord.errors import Refused
from tests.support.fake_discord.permissions import P
from tests.support.fake_discord.posts import DEFAULT, REPLY, emoji_key, emoji_of_key
from tests.support.fake_discord.world import DIRECT, THREADS

Json = dict[str, Any]
MESSAGES = "/channels/{channel}/messages"
MESSAGE = MESSAGES + "/{message}"
READS = P.VIEW_CHANNEL | P.READ_MESSAGE_HISTORY


@route("GET", MESSAGES)
def history(call: Call) -> list[Json]:
    """Newest first, whatever was asked for."""
    channel_id = call.path["channel"]
    call.world.channel(channel_id)
    call.world.demand(call.me, channel_id)
    if not call.world.permissions(call.me, channel_id) & P.READ_MESSAGE_HISTORY:
        return []
    limit = call.limit(50, 100)
    ids = sorted(call.world.messages[channel_id], key=int)
    if "before" in call.query:
        ids = [each for each in ids if int(each) < int(call.query["before"])][-limit:]
    elif "after" in call.query:
        ids = [each for each in ids if int(each) > int(call.query["after"])][:limit]
    elif "around" in call.query:
        middle = int(call.query["around"])
        older, newer = [each for each in ids if int(each) <= middle], [each for each in ids if int(each) > middle]
        ids = older[-(limit - limit // 2) :] + newer[: limit // 2]
    else:
        ids = ids[-limit:]
    return [call.posts.show(call.world.messages[channel_id][each], call.me) for each in reversed(ids)]


@route("GET", MESSAGE)
def get_message(call: Call) -> Json:
    call.world.channel(call.path["channel"])
    call.world.demand(call.me, call.path["channel"], READS)
    return call.posts.show(call.world.message(call.path["channel"], call.path["message"]), call.me)


@route("POST", MESSAGES)
def create(call: Call) -> Json:
    world, channel_id = call.world, call.path["channel"]
    channel = world.channel(channel_id)
    if channel["type"] == DIRECT:
        other = world.show_channel(channel, call.me)["recipients"][0]
        if other["id"] in world.closed_to_messages:
            raise Refused(*errors.CANNOT_MESSAGE_USER)
    needed = P.SEND_MESSAGES_IN_THREADS if channel["type"] in THREADS else P.SEND_MESSAGES
    if call.files:
        needed |= P.ATTACH_FILES
    if call.body.get("poll"):
        needed |= P.SEND_POLLS
    world.demand(call.me, channel_id, needed)
    check_size(call, channel)
    message = call.posts.create(channel_id, world.users[call.me], call.body, call.files)
    return call.posts.show(message, call.me)


def check_size(call: Call, channel: Json) -> None:
    guild_id = channel.get("guild_id")
    limit = call.world.guilds[guild_id].file_limit if guild_id else 10 * 1024 * 1024
    if any(len(upload.data) > limit for upload in call.files):
        raise Refused(*errors.TOO_LARGE)


@route("PATCH", MESSAGE)
def edit(call: Call) -> Json:
    call.world.demand(call.me, call.path["channel"])
    message = call.world.message(call.path["channel"], call.path["message"])
    if message["author"]["id"] != call.me:
        raise Refused(*errors.NOT_THE_AUTHOR)
    return call.posts.show(call.posts.edit(message, call.body, call.files), call.me)


@route("DELETE", MESSAGE)
def delete(call: Call) -> None:
    channel_id = call.path["channel"]
    call.world.demand(call.me, channel_id)
    message = call.world.message(channel_id, call.path["message"])
    if message["author"]["id"] != call.me:
        if "guild_id" not in call.world.channel(channel_id):
            raise Refused(*errors.NOT_THE_AUTHOR)
        call.world.demand(call.me, channel_id, P.MANAGE_MESSAGES)
    if message["type"] not in (DEFAULT, REPLY, 6, 7, 18):
        raise Refused(*errors.SYSTEM_MESSAGE)
    call.posts.delete(message)


@route("POST", MESSAGES + "/bulk-delete")
def delete_bulk(call: Call) -> None:
    call.world.demand(call.me, call.path["channel"], P.MANAGE_MESSAGES)
    call.posts.delete_bulk(call.path["channel"], call.body["messages"])


# Reactions.


def _emoji(call: Call) -> Json:
    text = call.path["emoji"]
    emoji = emoji_of_key(text)
    if emoji["id"] is None:
        # A name is no emoji; Discord has a list, and the fake takes what is not plain letters.
        if text.isascii() and not any(each in text for each in "#*0123456789"):
            raise Refused(*errors.UNKNOWN_EMOJI)
        return emoji
    known: Json = {each: emoji for guild in call.world.guilds.values() for each, emoji in guild.emojis.items()}
    if emoji["id"] not in known:
        raise Refused(*errors.UNKNOWN_EMOJI)
    found = known[emoji["id"]]
    return {"id": found["id"], "name": found["name"], "animated": found["animated"]}


@route("PUT", MESSAGE + "/reactions/{emoji}/@me")
def react(call: Call) -> None:
    world = call.world
    message = world.message(call.path["channel"], call.path["message"])
    emoji = _emoji(call)
    world.demand(call.me, call.path["channel"], READS)
    if (message["id"], emoji_key(emoji)) not in world.reactions:
        world.demand(call.me, call.path["channel"], P.ADD_REACTIONS)
    call.posts.react(message, call.me, emoji, is_added=True)


@route("DELETE", MESSAGE + "/reactions/{emoji}/{user}")
def unreact(call: Call) -> None:
    message = call.world.message(call.path["channel"], call.path["message"])
    user = call.me if call.path["user"] == "@me" else call.path["user"]
    call.world.demand(call.me, call.path["channel"], P.MANAGE_MESSAGES if user != call.me else P.VIEW_CHANNEL)
    call.posts.react(message, user, _emoji(call), is_added=False)


@route("GET", MESSAGE + "/reactions/{emoji}")
def reactors(call: Call) -> list[Json]:
    call.world.demand(call.me, call.path["channel"], READS)
    message = call.world.message(call.path["channel"], call.path["message"])
    users = sorted(call.world.reactions.get((message["id"], emoji_key(_emoji(call))), []), key=int)
    after = int(call.query.get("after", 0))
    return [call.world.users[each] for each in users if int(each) > after][: call.limit(25, 100)]


@route("DELETE", MESSAGE + "/reactions")
def clear_reactions(call: Call) -> None:
    call.world.demand(call.me, call.path["channel"], P.MANAGE_MESSAGES)
    call.posts.clear_reactions(call.world.message(call.path["channel"], call.path["message"]))


# Pins.


@route("GET", MESSAGES + "/pins")
def pins(call: Call) -> Json:
    call.world.demand(call.me, call.path["channel"])
    pinned = [each for each in call.world.messages[call.path["channel"]].values() if each["pinned"]]
    pinned.sort(key=lambda each: str(each["_pinned_at"]), reverse=True)
    if "before" in call.query:
        pinned = [each for each in pinned if each["_pinned_at"] < call.query["before"]]
    page = pinned[: call.limit(50, 50)]
    items = [{"pinned_at": each["_pinned_at"], "message": call.posts.show(each, call.me)} for each in page]
    return {"items": items, "has_more": len(pinned) > len(page)}


@route("PUT", MESSAGES + "/pins/{message}")
def pin(call: Call) -> None:
    _pin(call, is_pinned=True)


@route("DELETE", MESSAGES + "/pins/{message}")
def unpin(call: Call) -> None:
    _pin(call, is_pinned=False)


def _pin(call: Call, *, is_pinned: bool) -> None:
    channel_id = call.path["channel"]
    # A permission of its own since 2026, no more part of MANAGE_MESSAGES.
    if "guild_id" in call.world.channel(channel_id):
        call.world.demand(call.me, channel_id, P.PIN_MESSAGES)
    message = call.world.message(channel_id, call.path["message"])
    call.posts.pin(message, call.world.users[call.me], is_pinned=is_pinned)


# Polls.


@route("GET", "/channels/{channel}/polls/{message}/answers/{answer}")
def voters(call: Call) -> Json:
    call.world.demand(call.me, call.path["channel"], READS)
    users = sorted(call.world.votes.get((call.path["message"], int(call.path["answer"])), []), key=int)
    after = int(call.query.get("after", 0))
    return {"users": [call.world.users[each] for each in users if int(each) > after][: call.limit(25, 100)]}


@route("POST", "/channels/{channel}/polls/{message}/expire")
def expire(call: Call) -> Json:
    message = call.world.message(call.path["channel"], call.path["message"])
    if message["author"]["id"] != call.me:
        raise Refused(*errors.NOT_THE_AUTHOR)
    call.posts.end_poll(message)
    return call.posts.show(message, call.me)


@route("POST", "/channels/{channel}/typing")
def typing(call: Call) -> None:
    call.world.demand(call.me, call.path["channel"], P.SEND_MESSAGES)
    call.world.typed.append((call.path["channel"], call.me))


@route("POST", "/attachments/refresh-urls")
def refresh(call: Call) -> Json:
    call.world.expired.clear()
    return {"refreshed_urls": [{"original": each, "refreshed": each} for each in call.body["attachment_urls"]]}
