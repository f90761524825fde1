"""chat.*: posting, changing and deleting messages. Source: docs.slack.dev, "chat methods"."""

import re
from typing import Any

from tests.support.fake_slack.call import Call, method
from tests.support.fake_slack.errors import SlackError
from tests.support.fake_slack.world import Channel, Json

MAX_POST, MAX_UPDATE, MAX_BLOCKS, MAX_SECTION = 40_000, 4_000, 50, 3_000
_BLOCKS = frozenset(
    ["section", "context", "divider", "image", "header", "actions", "rich_text", "video", "input", "file", "markdown"]
)


@method("chat.postMessage", "special", "chat:write")
def post_message(call: Call) -> Json:
    channel = _destination(call)
    wait = call.core.limits.hold_post(call.token.app.id, channel.id)
    if wait is not None:
        raise SlackError("ratelimited", status=429, retry_after=wait)
    message = _content(call, channel)
    if call.maybe("thread_ts"):
        message["thread_ts"] = call.text("thread_ts")
        if call.flag("reply_broadcast"):
            message["subtype"] = "thread_broadcast"
    posted = call.core.acts.post(channel, {**message, **_author(call)})
    return {"channel": channel.id, "ts": posted["ts"], "message": shown(posted)}


@method("chat.update", "3", "chat:write")
def update(call: Call) -> Json:
    channel = call.channel()
    ts = call.text("ts", "message_not_found")
    old = call.core.world.message(channel, ts)
    if not _is_own(call, old):
        raise SlackError("cant_update_message")
    if len(str(call.args.get("text") or "")) > MAX_UPDATE:
        raise SlackError("msg_too_long")
    changes = _content(call, channel)
    # What is not given stays, but for blocks: a text without them takes them away.
    if "blocks" not in changes:
        changes["blocks"] = []
    new = call.core.acts.edit(channel, ts, changes, call.user_id)
    return {"channel": channel.id, "ts": ts, "text": new.get("text", ""), "message": shown(new)}


@method("chat.delete", "3", "chat:write")
def delete(call: Call) -> Json:
    channel = call.channel()
    ts = call.text("ts", "message_not_found")
    message = call.core.world.message(channel, ts)
    is_admin = call.token.kind != "xoxb" and call.core.world.user(call.user_id)["is_admin"]
    if not is_admin and not _is_own(call, message):
        raise SlackError("cant_delete_message")
    call.core.acts.delete(channel, ts)
    return {"channel": channel.id, "ts": ts}


@method("chat.postEphemeral", "4", "chat:write")
def post_ephemeral(call: Call) -> Json:
    channel, user = call.channel(), call.core.world.user(call.text("user", "user_not_found"))
    if user["id"] not in channel.members:
        raise SlackError("user_not_in_channel")
    call.core.ephemeral.append({"channel": channel.id, "user": user["id"], **_content(call, channel)})
    return {"message_ts": call.core.world.new_ts()}


@method("chat.getPermalink", "special")
def permalink(call: Call) -> Json:
    channel = call.channel()
    message = call.core.world.message(channel, call.text("message_ts", "message_not_found"))
    return {"channel": channel.id, "permalink": call.core.permalink(channel, message)}


def shown(message: Json) -> Json:
    """A message without what is only told to those who ask for it."""
    return {key: value for key, value in message.items() if key != "metadata"}


def _destination(call: Call) -> Channel:
    """By its id, its name, or a person's id."""
    core, wanted = call.core, call.text("channel", "channel_not_found")
    if wanted in core.world.users:
        call.need("im:write")
        return core.acts.open_direct([wanted], call.user_id)[0]
    named = [c for c in core.world.channels.values() if c.name == wanted.removeprefix("#") and not c.is_direct]
    channel = named[0] if named else core.world.channel(wanted, call.user_id)
    is_public = channel.kind == "channel" and call.token.kind == "xoxb" and "chat:write.public" in call.token.scopes
    if call.user_id not in channel.members and not is_public:
        raise SlackError("not_in_channel")
    if channel.is_archived:
        raise SlackError("is_archived")
    return channel


def _content(call: Call, channel: Channel) -> Json:
    text = str(call.args.get("text") or "")
    content: Json = {"text": text[:MAX_POST]}
    for name in ("blocks", "attachments"):
        given = call.json(name, f"invalid_{name}")
        if given:
            content[name] = given
    if content.get("blocks"):
        check_blocks(content["blocks"])
    if not text and not content.get("blocks") and not content.get("attachments"):
        raise SlackError("no_text")
    if call.args.get("metadata"):
        metadata = call.json("metadata")
        if not isinstance(metadata, dict) or set(metadata) < {"event_type", "event_payload"}:
            raise SlackError("metadata_must_be_sent_from_app")
        content["metadata"] = metadata
    _share_linked_files(call, channel, text, content)
    return content


def _share_linked_files(call: Call, channel: Channel, text: str, content: Json) -> None:
    """The link to one's own file in a message shares the file there: the message shows it."""
    shared = [
        file
        for file in call.core.world.files.values()
        if file["user"] == call.user_id and re.search(re.escape(file["permalink"]) + r"(?![^|>\s])", text)
    ]
    if shared:
        content["files"] = shared
        for file in shared:
            file["channels"].append(channel.id)


def check_blocks(blocks: Any) -> None:
    """Raises: SlackError, as Slack refuses blocks that break their limits."""
    if not isinstance(blocks, list) or len(blocks) > MAX_BLOCKS:
        raise SlackError("invalid_blocks")
    for block in blocks:
        if not isinstance(block, dict) or block.get("type") not in _BLOCKS:
            raise SlackError("invalid_blocks")
        if block["type"] == "section" and not _is_section(block):
            raise SlackError("invalid_blocks")
        if block["type"] == "header" and len(block.get("text", {}).get("text", "")) not in range(1, 151):
            raise SlackError("invalid_blocks")
        if block["type"] in ("actions", "context") and len(block.get("elements", [])) not in range(1, 26):
            raise SlackError("invalid_blocks")
        for element in block.get("elements", []) if block["type"] == "actions" else []:
            if element.get("type") == "button" and len(element.get("text", {}).get("text", "")) not in range(1, 76):
                raise SlackError("invalid_blocks")


def _is_section(block: Json) -> bool:
    texts = [*([block["text"]] if block.get("text") else []), *block.get("fields", [])]
    return bool(texts) and all(len(text.get("text", "")) in range(1, MAX_SECTION + 1) for text in texts)


def _author(call: Call) -> Json:
    token = call.token
    if token.kind != "xoxb":
        # Not documented: clients name their messages, so that one that is sent again is known.
        own = {"client_msg_id": call.args["client_msg_id"]} if call.maybe("client_msg_id") else {}
        return {"user": token.user_id, **own} | ({"app_id": token.app.id} if token.kind == "xoxp" else {})
    author: Json = {"bot_id": token.bot_id, "app_id": token.app.id}
    custom = {name: call.maybe(name) for name in ("username", "icon_url", "icon_emoji")}
    if not any(custom.values()):
        bot = {"id": token.bot_id, "app_id": token.app.id, "name": token.app.name, "team_id": call.core.team_id}
        return {**author, "user": token.user_id, "bot_profile": bot}
    call.need("chat:write.customize")
    icons: Json = {}
    if custom["icon_url"]:
        icons = {f"image_{size}": custom["icon_url"] for size in (36, 48, 72)}
    elif custom["icon_emoji"]:
        icons = {"emoji": custom["icon_emoji"]}
    username = custom["username"] or token.app.name
    return {**author, "subtype": "bot_message", "username": username[:80], "icons": icons}


def _is_own(call: Call, message: Json) -> bool:
    if call.token.kind == "xoxb":
        return bool(message.get("bot_id") == call.token.bot_id)
    return bool(message.get("user") == call.user_id)
