"""conversations.*: what there is, who is in it, changes. Source: docs.slack.dev, "conversations methods"."""

import re

from tests.support.fake_slack.call import Call, method, scope_of
from tests.support.fake_slack.errors import SlackError
from tests.support.fake_slack.world import Channel, Json

_KINDS = {"public_channel": "channel", "private_channel": "group", "im": "im", "mpim": "mpim"}
_NAME = re.compile(r"[a-z0-9_\-À-￿]{1,80}")


@method("conversations.list", "2")
def list_all(call: Call) -> Json:
    return _listed(call, lambda channel: channel.kind == "channel" or call.user_id in channel.members)


@method("users.conversations", "3")
def list_own(call: Call) -> Json:
    user_id = call.maybe("user") or call.user_id
    return _listed(call, lambda channel: user_id in channel.members)


def _listed(call: Call, visible: object) -> Json:
    kinds = []
    for kind in (call.maybe("types") or "public_channel").split(","):
        if kind.strip() not in _KINDS:
            raise SlackError("invalid_types")
        kinds.append(_KINDS[kind.strip()])
        call.need(scope_of(kinds[-1], "read"))
    assert callable(visible)
    channels = [c for c in call.core.world.channels.values() if c.kind in kinds and visible(c)]
    if call.flag("exclude_archived"):
        channels = [channel for channel in channels if not channel.is_archived]
    page, metadata = call.page(channels)
    return {"channels": [channel.json(call.user_id) for channel in page], "response_metadata": metadata}


@method("conversations.info", "3")
def info(call: Call) -> Json:
    channel = call.channel("read")
    found = channel.json(call.user_id)
    if not call.flag("include_num_members"):
        found.pop("num_members", None)
    if call.user_id in channel.last_read:
        found["last_read"] = channel.last_read[call.user_id]
    return {"channel": found}


@method("conversations.members", "4")
def members(call: Call) -> Json:
    page, metadata = call.page(call.channel("read").members)
    return {"members": page, "response_metadata": metadata}


@method("conversations.open", "3")
def open_conversation(call: Call) -> Json:
    if call.maybe("channel"):
        channel, already = call.channel("write"), True
    else:
        users = [user for user in call.text("users", "users_list_not_supplied").split(",") if user]
        call.need("im:write" if len(users) == 1 else "mpim:write")
        for user in users:
            if call.core.world.user(user)["deleted"]:
                raise SlackError("user_disabled")
        if len(users) > 8:
            raise SlackError("too_many_users")
        channel, already = call.core.acts.open_direct(users, call.user_id)
    shown = channel.json(call.user_id) if call.flag("return_im") else {"id": channel.id}
    return {"channel": shown} | ({"already_open": True, "no_op": True} if already else {})


@method("conversations.create", "2")
def create(call: Call) -> Json:
    kind = "group" if call.flag("is_private") else "channel"
    call.need(scope_of(kind, "manage", call.token.kind))
    name = call.text("name", "invalid_name_required")
    _check_name(name)
    return {"channel": call.core.acts.create_channel(name, call.user_id, kind).json(call.user_id)}


@method("conversations.join", "3", "channels:join", "channels:write")
def join(call: Call) -> Json:
    channel = call.channel()
    if channel.kind != "channel":
        raise SlackError("method_not_supported_for_channel_type")
    joined = call.core.acts.join(channel, call.user_id)
    answer: Json = {"channel": channel.json(call.user_id)}
    return answer if joined else answer | {"warning": "already_in_channel"}


@method("conversations.leave", "3")
def leave(call: Call) -> Json:
    channel = call.channel("manage")
    if channel.name == "general":
        raise SlackError("cant_leave_general")
    if call.user_id not in channel.members:
        return {"not_in_channel": True}
    call.core.acts.leave(channel, call.user_id)
    return {}


@method("conversations.invite", "3")
def invite(call: Call) -> Json:
    channel = _own(call, "manage")
    users = call.text("users", "no_user").split(",")
    for user in users:
        call.core.world.user(user)
        if user == call.user_id:
            raise SlackError("cant_invite_self")
        if user in channel.members:
            raise SlackError("already_in_channel")
    for user in users:
        call.core.acts.join(channel, user, call.user_id)
    return {"channel": channel.json(call.user_id)}


@method("conversations.kick", "3")
def kick(call: Call) -> Json:
    channel, user = _own(call, "manage"), call.core.world.user(call.text("user", "user_not_found"))
    if user["id"] == call.user_id:
        raise SlackError("cant_kick_self")
    call.core.acts.leave(channel, user["id"])
    return {}


@method("conversations.setTopic", "2")
def set_topic(call: Call) -> Json:
    channel = _own(call, "manage")
    topic = str(call.args.get("topic") or "")
    if len(topic) > 250:
        raise SlackError("too_long")
    call.core.acts.set_topic(channel, topic, call.user_id)
    return {"channel": channel.json(call.user_id)}


@method("conversations.setPurpose", "2")
def set_purpose(call: Call) -> Json:
    channel = _own(call, "manage")
    purpose = str(call.args.get("purpose") or "")
    if len(purpose) > 250:
        raise SlackError("too_long")
    call.core.acts.set_purpose(channel, purpose, call.user_id)
    return {"purpose": purpose}


@method("conversations.rename", "2")
def rename(call: Call) -> Json:
    channel, name = _own(call, "manage"), call.text("name", "invalid_name_required")
    if channel.is_direct:
        raise SlackError("method_not_supported_for_channel_type")
    is_admin = call.token.kind != "xoxb" and call.core.world.user(call.user_id)["is_admin"]
    if channel.creator != call.user_id and not is_admin:
        raise SlackError("not_authorized")
    _check_name(name)
    if any(other.name == name and other is not channel for other in call.core.world.channels.values()):
        raise SlackError("name_taken")
    call.core.acts.rename(channel, name, call.user_id)
    return {"channel": channel.json(call.user_id)}


@method("conversations.archive", "2")
def archive(call: Call) -> Json:
    channel = _own(call, "manage")
    if channel.is_archived:
        raise SlackError("already_archived")
    call.core.acts.archive(channel, call.user_id)
    return {}


@method("conversations.mark", "3")
def mark(call: Call) -> Json:
    channel = call.channel("manage" if call.token.kind != "xoxb" else "write")
    if call.user_id not in channel.members:
        raise SlackError("not_in_channel")
    call.core.acts.mark(channel, call.user_id, call.text("ts", "invalid_timestamp"))
    return {}


def _own(call: Call, what: str) -> Channel:
    """A conversation that the caller is in, and that is not archived."""
    channel = call.channel(what)
    if call.user_id not in channel.members:
        raise SlackError("not_in_channel")
    if channel.is_archived:
        raise SlackError("is_archived")
    return channel


def _check_name(name: str) -> None:
    if len(name) > 80:
        raise SlackError("invalid_name_maxlength")
    if not _NAME.fullmatch(name):
        raise SlackError("invalid_name_specials")
