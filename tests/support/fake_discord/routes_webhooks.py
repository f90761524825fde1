"""REST: webhooks, and interactions, whose answers go the same way."""

import secrets
from typing import Any

from tests.support.fake_discord import errors
from tests.support.fake_discord.call import Call, route
from tests.support.fake_discord.errors import Refused, invalid_form
from tests.support.fake_discord.permissions import P
from tests.support.fake_discord.routes_messages import check_size
from tests.support.fake_discord.world import FORUM, THREADS

Json = dict[str, Any]
MAX_WEBHOOKS = 15
FORBIDDEN_NAMES = ("discord", "clyde")
HOOK = "/webhooks/{webhook}/{token}"


@route("POST", "/channels/{channel}/webhooks")
def create(call: Call) -> Json:
    world, channel_id = call.world, call.path["channel"]
    channel = world.channel(channel_id)
    world.demand(call.me, channel_id, P.MANAGE_WEBHOOKS)
    if channel["type"] in THREADS:
        raise invalid_form("channel", "Webhooks cannot be made in threads.")
    name = str(call.body.get("name", ""))
    _check_name(name, "name")
    if sum(each["channel_id"] == channel_id for each in world.webhooks.values()) >= MAX_WEBHOOKS:
        raise Refused(*errors.TOO_MANY_WEBHOOKS)
    hook = {
        "id": world.ids.next(),
        "type": 1,
        "name": name,
        "avatar": None,
        "channel_id": channel_id,
        "guild_id": channel["guild_id"],
        "application_id": call.bot.application_id if call.bot else None,
        "token": secrets.token_urlsafe(51)[:68],
        "user": world.users[call.me],
    }
    world.webhooks[hook["id"]] = hook
    _changed(call, hook)
    return hook


def _check_name(name: str, field: str) -> None:
    if not 1 <= len(name) <= 80:
        raise invalid_form(field, "Must be between 1 and 80 in length.")
    if any(each in name.lower() for each in FORBIDDEN_NAMES):
        raise invalid_form(field, f"{field} cannot contain '{name}'")


def _changed(call: Call, hook: Json) -> None:
    data = {"guild_id": hook["guild_id"], "channel_id": hook["channel_id"]}
    call.world.tell("WEBHOOKS_UPDATE", data, guild_id=hook["guild_id"])


@route("GET", "/channels/{channel}/webhooks")
def of_channel(call: Call) -> list[Json]:
    call.world.channel(call.path["channel"])
    call.world.demand(call.me, call.path["channel"], P.MANAGE_WEBHOOKS)
    return [_shown(call, each) for each in call.world.webhooks.values() if each["channel_id"] == call.path["channel"]]


def _shown(call: Call, hook: Json) -> Json:
    """The token is shown to the application that made it."""
    mine = call.bot is not None and hook["application_id"] == call.bot.application_id
    return hook if mine else {key: value for key, value in hook.items() if key != "token"}


@route("DELETE", "/webhooks/{webhook}")
def delete(call: Call) -> None:
    hook = _hook(call)
    call.world.demand(call.me, hook["channel_id"], P.MANAGE_WEBHOOKS)
    del call.world.webhooks[hook["id"]]
    _changed(call, hook)


def _hook(call: Call) -> Json:
    if call.path["webhook"] not in call.world.webhooks:
        raise Refused(*errors.UNKNOWN_WEBHOOK)
    return call.world.webhooks[call.path["webhook"]]


def _with_token(call: Call) -> Json:
    interaction = call.world.interactions.get(call.path["token"])
    if interaction is not None:
        return {**interaction["hook"], "id": interaction["application_id"]}
    hook = _hook(call)
    if hook["token"] != call.path["token"]:
        raise Refused(*errors.INVALID_WEBHOOK_TOKEN)
    return hook


@route("GET", HOOK)
def get(call: Call) -> Json:
    return _with_token(call)


@route("POST", HOOK)
def execute(call: Call) -> Json | None:
    hook = _with_token(call)
    author = _author(call, hook)
    channel_id = _place(call, hook, author)
    check_size(call, call.world.channel(hook["channel_id"]))
    is_first = channel_id != hook["channel_id"] and not call.world.messages[channel_id]
    # The first message of a forum's post has the thread's id.
    body = {**call.body, "_id": channel_id} if is_first and "thread_id" not in call.query else call.body
    message = call.posts.create(channel_id, author, body, call.files, webhook=hook)
    waits = call.query.get("wait", "0").lower() in ("1", "true")
    return call.posts.show(message, hook["id"]) if waits else None


def _author(call: Call, hook: Json) -> Json:
    name = call.body.get("username")
    if name is not None:
        _check_name(str(name), "username")
    return {
        "id": hook["id"],
        "username": name or hook["name"],
        "avatar": call.body.get("avatar_url"),
        "discriminator": "0000",
        "bot": True,
        "global_name": None,
        "public_flags": 0,
    }


def _place(call: Call, hook: Json, author: Json) -> str:
    """The channel, or the thread in it that was named; in a forum a new one may be."""
    channel_id = str(hook["channel_id"])
    channel = call.world.channel(channel_id)
    thread_id = call.query.get("thread_id")
    if thread_id is not None:
        thread = call.world.channel(thread_id)
        if thread.get("parent_id") != channel_id:
            raise Refused(*errors.UNKNOWN_CHANNEL)
        return thread_id
    if channel["type"] == FORUM:
        if not call.body.get("thread_name"):
            raise Refused(400, 220001, "Webhooks posted to forum channels must have a thread_name or thread_id")
        return str(call.posts.start_thread(channel_id, call.body["thread_name"], author)["id"])
    return channel_id


def _message(call: Call, hook: Json) -> Json:
    place = call.query.get("thread_id") or hook["channel_id"]
    message = call.world.message(place, call.path["message"])
    if message.get("webhook_id") != hook["id"]:
        raise Refused(*errors.UNKNOWN_MESSAGE)
    return message


@route("GET", HOOK + "/messages/{message}")
def get_message(call: Call) -> Json:
    hook = _with_token(call)
    return call.posts.show(_message(call, hook), hook["id"])


@route("PATCH", HOOK + "/messages/{message}")
def edit_message(call: Call) -> Json:
    hook = _with_token(call)
    check_size(call, call.world.channel(hook["channel_id"]))
    return call.posts.show(call.posts.edit(_message(call, hook), call.body, call.files), hook["id"])


@route("DELETE", HOOK + "/messages/{message}")
def delete_message(call: Call) -> None:
    call.posts.delete(_message(call, _with_token(call)))


# Interactions: buttons and menus.

DEFER, UPDATE, REPLY = 6, 7, 4


@route("POST", "/interactions/{interaction}/{token}/callback")
def answer(call: Call) -> Json | None:
    interaction = call.world.interactions.get(call.path["token"])
    if interaction is None or interaction["id"] != call.path["interaction"]:
        raise Refused(*errors.UNKNOWN_INTERACTION)
    if interaction["answer"] is not None:
        raise Refused(*errors.ALREADY_ACKNOWLEDGED)
    interaction["answer"] = call.body
    kind, data = call.body["type"], call.body.get("data") or {}
    if kind == UPDATE:
        call.posts.edit(interaction["message"], data, call.files)
    elif kind == REPLY and not int(data.get("flags", 0)) & 64:
        call.posts.create(interaction["message"]["channel_id"], call.world.users[interaction["application_id"]], data)
    if call.query.get("with_response") in ("1", "true"):
        return {"interaction": {"id": interaction["id"], "type": 3, "response_message_loading": False}}
    return None
