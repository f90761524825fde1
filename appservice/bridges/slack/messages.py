"""A message of Slack -> what core puts into the portal."""

import hashlib
from typing import Any

import orjson

from appservice.bridges.core.ids import JsonDict, MessageId, PartId, PersonId, ThreadId
from appservice.bridges.core.incoming import (
    Message,
    Part,
    Reacted,
    RemoteEmoji,
    RemoteFile,
    RemotePerson,
    RemoteReferences,
)
from appservice.bridges.core.network import Bridge
from appservice.bridges.slack.formatting import blocks, to_html
from appservice.bridges.slack.formatting.nodes import Document
from appservice.bridges.slack.formatting.rich_text import dicts, text_of
from appservice.bridges.slack.ids import local_part
from appservice.bridges.slack.team import Team

# What says in words what other events tell as well, or what is no message to people.
QUIET_SUBTYPES = frozenset(
    [
        *("channel_join", "channel_leave", "channel_topic", "channel_purpose", "channel_name", "channel_archive"),
        *("channel_unarchive", "group_join", "group_leave", "group_topic", "group_purpose", "group_name"),
        *("group_archive", "group_unarchive", "channel_convert_to_private", "channel_convert_to_public"),
        *("message_replied", "bot_add", "bot_remove", "pinned_item", "unpinned_item", "tombstone", "file_comment"),
        *("assistant_app_thread", "channel_posting_permissions", "mpim_topic", "mpim_join", "mpim_leave"),
    ]
)
METADATA = "hearth_message"
MAX_FILES = 50


def version_of(message: JsonDict) -> str:
    """Another one whenever the message shows something else; reactions and threads do not count."""
    files = [file.get("id") for file in dicts(message.get("files")) if file.get("mode") != "tombstone"]
    shown = [message.get("text"), message.get("blocks"), message.get("attachments"), files]
    return hashlib.sha256(orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


class Messages:
    """`references` come from core."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    async def read(self, team: Team, channel: str, message: JsonDict, *, is_whole: bool = False) -> Message | None:
        """None for what is no message to people. `is_whole`: from the history, with its reactions."""
        if message.get("subtype") in QUIET_SUBTYPES or not isinstance(message.get("ts"), str):
            return None
        sender, people = sender_of(team, message)
        if sender is None:
            return None
        ts, thread = message["ts"], message.get("thread_ts")
        rendered = blocks.read(message)
        parts = await self._parts(team, message, rendered)
        if not parts:
            return None
        metadata = message.get("metadata")
        return Message(
            channel=team.full_channel(channel),
            id=MessageId(ts),
            sender=sender,
            sent_ms=ms_of(ts),
            parts=parts,
            version=version_of(message),
            thread=ThreadId(thread) if isinstance(thread, str) and thread != ts else None,
            sent_key=_key_of(message, metadata),
            is_ours=is_ours(team, message),
            people=people,
            reactions=await reactions_of(team, message) if is_whole else None,
            memo={"bot_id": message["bot_id"]} if isinstance(message.get("bot_id"), str) else {},
        )

    async def _parts(self, team: Team, message: JsonDict, rendered: blocks.Rendered) -> tuple[Part, ...]:
        """The text is the first part; with files it stands with the first of them."""
        content = await self.content(team, rendered.document)
        if message.get("subtype") == "me_message" and content:
            content["msgtype"] = "m.emote"
        elif message.get("bot_id") and content:
            content["msgtype"] = "m.notice" if message.get("subtype") == "reminder_add" else "m.text"
        files = dicts(message.get("files"))[:MAX_FILES]
        parts = [part for file in files for part in _file_part(team, file)]
        if not parts:
            content = content or ({"body": "", "msgtype": "m.text"} if rendered.actions else {})
            return (Part(content=content, actions=rendered.actions),) if content else ()
        first = parts[0]
        if first.file is not None and content:
            shown = {"body": content["body"], "filename": first.file.name}
            shown |= {key: content[key] for key in ("format", "formatted_body", "m.mentions") if key in content}
            first = Part(file=first.file, content=shown, actions=rendered.actions)
        elif content:
            return (Part(content=content, actions=rendered.actions), *parts)
        else:
            first = Part(file=first.file, content=first.content, actions=rendered.actions)
        return (first, *parts[1:])

    async def content(self, team: Team, document: Document) -> JsonDict:
        """As a Matrix content; ids in it looked up."""
        wanted = to_html.needs(document)
        if not (wanted.people or wanted.rooms or wanted.emoji or wanted.messages):
            return to_html.content(document, to_html.Names())
        emoji = [each for name in wanted.emoji[:50] if (each := await team.remote_emoji(name)).image is not None]
        references = await self._bridge.references(
            people=[team.full_person(user) for user in wanted.people[:100] if user],
            channels=[team.full_channel(channel) for channel in wanted.rooms[:100] if channel],
            emoji=emoji,
            messages=[(team.full_channel(channel), MessageId(ts)) for channel, ts in wanted.messages[:20]],
        )
        return to_html.content(document, _names(references, emoji))


def _names(references: RemoteReferences, emoji: list[RemoteEmoji]) -> to_html.Names:
    return to_html.Names(
        people={local_part(id_): (person.user_id, person.name) for id_, person in references.people.items()},
        rooms={local_part(id_): (room.link, room.name) for id_, room in references.channels.items()},
        emoji={each.name: references.emoji[each.id] for each in emoji if each.id in references.emoji},
        messages={(local_part(channel), ts): link for (channel, ts), link in references.messages.items()},
    )


def sender_of(team: Team, message: JsonDict) -> tuple[PersonId | None, tuple[RemotePerson, ...]]:
    """Who wrote it. An app may write under any name: each of its names is a person of its own."""
    bot, user = message.get("bot_id"), message.get("user")
    name = text_of(message.get("username"))
    if isinstance(user, str) and user:
        return team.full_person(user), ()
    if not isinstance(bot, str) or not bot:
        return None, ()
    if not name:
        return team.full_person(bot), ()
    icons = message.get("icons") if isinstance(message.get("icons"), dict) else {}
    assert isinstance(icons, dict)
    url = next((icons[size] for size in ("image_72", "image_48", "image_36") if isinstance(icons.get(size), str)), None)
    person = RemotePerson(
        id=team.full_person(f"{bot}.{hashlib.sha256(name.encode()).hexdigest()[:10]}"),
        name=name[:200],
        avatar=RemoteFile(id=url, source={"url": url}) if url else None,
        is_bot=True,
        is_ours=bot == team.bot_id,
    )
    return person.id, (person,)


async def reactions_of(team: Team, message: JsonDict) -> tuple[Reacted, ...]:
    """As a message of the history has them; those of the bridge's bot left out."""
    result = []
    for reaction in dicts(message.get("reactions"))[:50]:
        emoji = await team.remote_emoji(text_of(reaction.get("name")))
        users = reaction.get("users")
        for user in users[:100] if isinstance(users, list) else []:
            if isinstance(user, str) and user != team.bot_user:
                result.append(Reacted(person=team.full_person(user), emoji=emoji))
    return tuple(result)


def _file_part(team: Team, file: dict[str, Any]) -> list[Part]:
    """A part of its own, named by the file's id: an edit keeps it."""
    file_id, name = text_of(file.get("id")), text_of(file.get("name")) or text_of(file.get("title")) or "file"
    mode = file.get("mode")
    if not file_id or mode == "tombstone":
        return []
    if mode == "hidden_by_limit":
        said = "A file that Slack shows no longer: the workspace is beyond its limit."
        return [Part(id=PartId(file_id), content={"msgtype": "m.notice", "body": said})]
    url = text_of(file.get("url_private_download")) or text_of(file.get("url_private"))
    if file.get("is_external") or not url:
        link = text_of(file.get("permalink")) or text_of(file.get("url_private"))
        return [Part(id=PartId(file_id), content={"msgtype": "m.text", "body": f"{name}: {link}"})] if link else []
    size = file.get("size")
    remote = RemoteFile(
        id=file_id,
        name=name,
        mimetype=text_of(file.get("mimetype")) or None,
        size_bytes=size if isinstance(size, int) else None,
        width=_whole(file.get("original_w")),
        height=_whole(file.get("original_h")),
        duration_ms=_whole(file.get("duration_ms")),
        source={"url": url, "team": team.id, "is_private": True},
    )
    return [Part(id=PartId(file_id), file=remote, content={"body": name, "filename": name})]


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _key_of(message: JsonDict, metadata: Any) -> str | None:
    """Whose echo it is. The further messages of a long text have no key of their own."""
    if isinstance(metadata, dict) and metadata.get("event_type") == METADATA:
        payload = metadata.get("event_payload")
        if isinstance(payload, dict) and payload.get("piece", 0) == 0:
            return text_of(payload.get("key")) or None
    return None


def is_ours(team: Team, message: JsonDict) -> bool:
    """Written by the bot, under whatever name."""
    return message.get("bot_id") == team.bot_id or message.get("user") == team.bot_user


def ms_of(ts: str) -> int:
    """The time that is in a message's id."""
    try:
        return int(float(ts) * 1000)
    except (ValueError, OverflowError):
        return 0
