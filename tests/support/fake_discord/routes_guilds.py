"""REST: the bot itself, guilds, channels, threads, members, roles, emoji, stickers, direct channels."""

import base64
from typing import Any

from tests.support.fake_discord import errors
from tests.support.fake_discord.call import Call, route
from tests.support.fake_discord.errors import Refused, invalid_form
from tests.support.fake_discord.permissions import P
from tests.support.fake_discord.world import FORUM, THREADS

Json = dict[str, Any]


@route("GET", "/users/@me")
def me(call: Call) -> Json:
    return call.world.users[call.me]


@route("GET", "/users/@me/guilds")
def my_guilds(call: Call) -> list[Json]:
    mine = [guild for guild in call.world.guilds.values() if call.me in guild.members]
    after = int(call.query.get("after", 0))
    page = [guild for guild in mine if int(guild.id) > after][: call.limit(200, 200)]
    return [{**guild.json, "owner": guild.json["owner_id"] == call.me, "permissions": "0"} for guild in page]


@route("GET", "/users/{user}")
def user(call: Call) -> Json:
    _ = call.me
    return call.world.user(call.path["user"])


@route("POST", "/users/@me/channels")
def open_direct(call: Call) -> Json:
    other = str(call.body["recipient_id"])
    if call.world.user(other)["bot"]:
        raise Refused(*errors.CANNOT_MESSAGE_USER)
    return call.world.show_channel(call.world.direct_channel(call.me, other), call.me)


def _application(call: Call) -> Json:
    me = call.me
    assert call.bot is not None
    return {
        "id": call.bot.application_id,
        "name": call.world.users[me]["username"],
        "icon": None,
        "description": "",
        "bot_public": False,
        "bot_require_code_grant": False,
        "verify_key": "0" * 64,
        "flags": call.bot.flags,
        "owner": call.world.users[me],
        "team": None,
        "redirect_uris": [],
        "interactions_endpoint_url": None,
    }


@route("GET", "/oauth2/applications/@me")
def application(call: Call) -> Json:
    return _application(call)


@route("GET", "/applications/@me")
def application_too(call: Call) -> Json:
    return _application(call)


@route("GET", "/gateway/bot")
def gateway(call: Call) -> Json:
    _ = call.me
    limit = {"total": 1000, "remaining": call.gateway.starts_left, "reset_after": 86_400_000, "max_concurrency": 1}
    return {"url": call.gateway.url, "shards": 1, "session_start_limit": limit}


@route("GET", "/guilds/{guild}")
def guild(call: Call) -> Json:
    call.world.demand_in_guild(call.me, call.path["guild"])
    found = call.world.guild(call.path["guild"])
    counts = {"approximate_member_count": len(found.members)} if call.query.get("with_counts") else {}
    return {**call.world.show_guild(found), **counts}


@route("GET", "/guilds/{guild}/channels")
def channels(call: Call) -> list[Json]:
    call.world.demand_in_guild(call.me, call.path["guild"])
    # All of them: unlike the gateway, this shows also what the bot may not look into.
    return [each for each in call.world.channels_of(call.path["guild"]) if each["type"] not in THREADS]


@route("GET", "/guilds/{guild}/threads/active")
def active_threads(call: Call) -> Json:
    call.world.demand_in_guild(call.me, call.path["guild"])
    threads = [each for each in call.world.channels_of(call.path["guild"]) if each["type"] in THREADS]
    seen = [each for each in threads if call.world.sees(call.me, each["id"])]
    return {"threads": [each for each in seen if not each["thread_metadata"]["archived"]], "members": []}


@route("GET", "/channels/{channel}/threads/archived/public")
def archived_threads(call: Call) -> Json:
    call.world.demand(call.me, call.path["channel"], P.VIEW_CHANNEL | P.READ_MESSAGE_HISTORY)
    channel = call.world.channel(call.path["channel"])
    threads = [each for each in call.world.channels_of(channel["guild_id"]) if each.get("parent_id") == channel["id"]]
    archived = [each for each in threads if each["type"] in THREADS and each["thread_metadata"]["archived"]]
    archived.sort(key=lambda each: str(each["thread_metadata"]["archive_timestamp"]), reverse=True)
    before, limit = call.query.get("before"), int(call.query.get("limit", 50))
    found = [each for each in archived if before is None or each["thread_metadata"]["archive_timestamp"] < before]
    return {"threads": found[:limit], "members": [], "has_more": len(found) > limit}


@route("GET", "/channels/{channel}")
def channel(call: Call) -> Json:
    found = call.world.channel(call.path["channel"])
    call.world.demand(call.me, found["id"])
    return call.world.show_channel(found, call.me)


@route("PATCH", "/channels/{channel}")
def edit_channel(call: Call) -> Json:
    found = call.world.channel(call.path["channel"])
    is_thread = found["type"] in THREADS
    call.world.demand(call.me, found["id"], P.MANAGE_THREADS if is_thread else P.MANAGE_CHANNELS)
    if "name" in call.body and not 1 <= len(call.body["name"]) <= 100:
        raise invalid_form("name", "Must be between 1 and 100 in length.")
    if len(call.body.get("topic") or "") > (4096 if found["type"] == FORUM else 1024):
        raise invalid_form("topic", "Must be 1024 or fewer in length.")
    found.update({key: value for key, value in call.body.items() if key in ("name", "topic", "archived")})
    event = "THREAD_UPDATE" if is_thread else "CHANNEL_UPDATE"
    call.world.tell(event, found, guild_id=found["guild_id"], channel_id=found["id"])
    return found


@route("POST", "/channels/{channel}/threads")
def start_thread(call: Call) -> Json:
    call.world.demand(call.me, call.path["channel"], P.CREATE_PUBLIC_THREADS)
    return call.posts.start_thread(call.path["channel"], _thread_name(call), call.world.users[call.me])


@route("POST", "/channels/{channel}/messages/{message}/threads")
def start_thread_at(call: Call) -> Json:
    call.world.demand(call.me, call.path["channel"], P.CREATE_PUBLIC_THREADS | P.READ_MESSAGE_HISTORY)
    root = call.world.message(call.path["channel"], call.path["message"])
    return call.posts.start_thread(call.path["channel"], _thread_name(call), call.world.users[call.me], root)


def _thread_name(call: Call) -> str:
    name = str(call.body.get("name", ""))
    if not 1 <= len(name) <= 100:
        raise invalid_form("name", "Must be between 1 and 100 in length.")
    return name


@route("PUT", "/channels/{channel}/thread-members/@me")
def join_thread(call: Call) -> None:
    call.world.demand(call.me, call.path["channel"])


# Members and roles.


@route("GET", "/guilds/{guild}/members")
def members(call: Call) -> list[Json]:
    call.world.demand_in_guild(call.me, call.path["guild"])
    # Only with the intent; 15 is its limited flag.
    if call.bot is None or not call.bot.flags & (1 << 14 | 1 << 15):
        raise Refused(*errors.MISSING_ACCESS)
    found = sorted(call.world.guild(call.path["guild"]).members.items(), key=lambda item: int(item[0]))
    after = int(call.query.get("after", 0))
    return [member for user_id, member in found if int(user_id) > after][: call.limit(1, 1000)]


@route("GET", "/guilds/{guild}/members/search")
def search_members(call: Call) -> list[Json]:
    call.world.demand_in_guild(call.me, call.path["guild"])
    term = call.query.get("query", "").lower()
    found = call.world.guild(call.path["guild"]).members.values()
    return [each for each in found if _named(each, term)][: call.limit(1, 1000)]


def _named(member: Json, term: str) -> bool:
    names = (member["nick"], member["user"]["global_name"], member["user"]["username"])
    return any(name and name.lower().startswith(term) for name in names)


@route("GET", "/guilds/{guild}/members/{user}")
def member(call: Call) -> Json:
    call.world.demand_in_guild(call.me, call.path["guild"])
    found = call.world.guild(call.path["guild"]).members
    if call.path["user"] not in found:
        raise Refused(*errors.UNKNOWN_MEMBER)
    return found[call.path["user"]]


@route("DELETE", "/guilds/{guild}/members/{user}")
def kick(call: Call) -> None:
    call.world.demand_in_guild(call.me, call.path["guild"], P.KICK_MEMBERS)
    _put_out(call, bans=False)


@route("GET", "/guilds/{guild}/bans/{user}")
def find_ban(call: Call) -> Json:
    call.world.demand_in_guild(call.me, call.path["guild"], P.BAN_MEMBERS)
    key = (call.path["guild"], call.path["user"])
    if key not in call.world.banned:
        raise Refused(*errors.UNKNOWN_BAN)
    return {"user": call.world.user(call.path["user"]), "reason": call.world.banned[key]}


@route("PUT", "/guilds/{guild}/bans/{user}")
def ban(call: Call) -> None:
    call.world.demand_in_guild(call.me, call.path["guild"], P.BAN_MEMBERS)
    _put_out(call, bans=True)


@route("DELETE", "/guilds/{guild}/bans/{user}")
def unban(call: Call) -> None:
    call.world.demand_in_guild(call.me, call.path["guild"], P.BAN_MEMBERS)
    if (call.path["guild"], call.path["user"]) not in call.world.banned:
        raise Refused(*errors.UNKNOWN_BAN)
    call.world.unban(call.path["guild"], call.path["user"], call.me, call.reason)


def _put_out(call: Call, *, bans: bool) -> None:
    found, user_id = call.world.guild(call.path["guild"]), call.path["user"]
    if user_id not in found.members and not bans:
        raise Refused(*errors.UNKNOWN_MEMBER)
    if user_id == found.json["owner_id"]:
        raise Refused(*errors.MISSING_PERMISSIONS)
    call.world.put_out(found.id, user_id, call.me, call.reason, bans=bans)


@route("GET", "/guilds/{guild}/audit-logs")
def audit_log(call: Call) -> Json:
    call.world.demand_in_guild(call.me, call.path["guild"], P.VIEW_AUDIT_LOG)
    entries = call.world.guild(call.path["guild"]).audit_log
    return {"audit_log_entries": entries[::-1][: call.limit(50, 100)], "users": [], "webhooks": []}


@route("GET", "/guilds/{guild}/roles")
def roles(call: Call) -> list[Json]:
    call.world.demand_in_guild(call.me, call.path["guild"])
    return list(call.world.guild(call.path["guild"]).roles.values())


@route("PUT", "/guilds/{guild}/members/{user}/roles/{role}")
def add_role(call: Call) -> None:
    _set_role(call, is_member=True)


@route("DELETE", "/guilds/{guild}/members/{user}/roles/{role}")
def remove_role(call: Call) -> None:
    _set_role(call, is_member=False)


def _set_role(call: Call, *, is_member: bool) -> None:
    guild_id, role_id = call.path["guild"], call.path["role"]
    call.world.demand_in_guild(call.me, guild_id, P.MANAGE_ROLES)
    found = call.world.guild(guild_id)
    if role_id not in found.roles:
        raise Refused(*errors.UNKNOWN_ROLE)
    # Nobody gives what stands above the highest role of his own.
    mine = max((found.roles[each]["position"] for each in found.members[call.me]["roles"]), default=0)
    if found.roles[role_id]["position"] >= mine and found.json["owner_id"] != call.me:
        raise Refused(*errors.MISSING_PERMISSIONS)
    target = found.members[call.path["user"]]
    target["roles"] = [each for each in target["roles"] if each != role_id] + ([role_id] if is_member else [])
    call.world.tell("GUILD_MEMBER_UPDATE", {"guild_id": guild_id, **target}, guild_id=guild_id)


# Emoji and stickers.


@route("GET", "/guilds/{guild}/emojis")
def emojis(call: Call) -> list[Json]:
    call.world.demand_in_guild(call.me, call.path["guild"])
    return list(call.world.guild(call.path["guild"]).emojis.values())


@route("POST", "/guilds/{guild}/emojis")
def add_emoji(call: Call) -> Json:
    guild_id = call.path["guild"]
    call.world.demand_in_guild(call.me, guild_id, P.CREATE_EXPRESSIONS)
    head, _, encoded = str(call.body["image"]).partition(",")
    data = base64.b64decode(encoded)
    if len(data) > 256 * 1024:
        raise invalid_form("image", "File cannot be larger than 256.0 kb.")
    emoji = call.world.put_emoji(guild_id, str(call.body["name"]), data, animated="image/gif" in head)
    return emoji


@route("GET", "/guilds/{guild}/stickers")
def stickers(call: Call) -> list[Json]:
    call.world.demand_in_guild(call.me, call.path["guild"])
    return list(call.world.guild(call.path["guild"]).stickers.values())


@route("GET", "/stickers/{sticker}")
def sticker(call: Call) -> Json:
    for found in call.world.guilds.values():
        if call.path["sticker"] in found.stickers:
            return found.stickers[call.path["sticker"]]
    raise Refused(*errors.UNKNOWN_STICKER)
