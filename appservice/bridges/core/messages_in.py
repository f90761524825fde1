"""Messages of the network into portals: new ones, edits, deletions.

Each event's transaction id is made of the message's id, so that what is handled twice is sent once; and what stands in
the map is not sent at all.
"""

import logging
from typing import Any

from attrs import evolve, frozen

from appservice.bridges.core import actions, polls
from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import Refused
from appservice.bridges.core.ids import MAIN_PART, ChannelId, MessageId, ThreadId
from appservice.bridges.core.incoming import Deleted, Message, Part, ThreadStarted
from appservice.bridges.core.logins import Logins
from appservice.bridges.core.matrix_client import Actor, MatrixRefused
from appservice.bridges.core.media import Media
from appservice.bridges.core.message_map import MessageMap, deleted, fingerprint, with_memo
from appservice.bridges.core.names import txn_id
from appservice.bridges.core.people import People
from appservice.bridges.core.portals import Portals
from homeserver.runtime.caches import Lru
from matrix.ids import UserId
from storage import bridges_messages as rows
from storage.bridges import PortalRow
from storage.bridges_inbox import Waiting
from storage.bridges_messages import MessageRow, ThreadRow

JsonDict = dict[str, Any]
_THREADS_REMEMBERED = 5_000
# So much of a text names a thread that begins at it.
_NAME_CHARACTERS = 80

logger = logging.getLogger(__name__)


@frozen
class _Shown:
    """A part as an event's content."""

    part: Part
    event_type: str
    content: JsonDict
    note: str


@frozen
class Composed:
    """A part as an event that is still to be sent; its row lacks the event's id."""

    row: MessageRow
    event_type: str
    content: JsonDict


class MessagesIn:
    """Raises: NetworkError, MatrixRefused, HomeserverDown."""

    def __init__(
        self,
        *,
        context: Context,
        portals: Portals,
        people: People,
        logins: Logins,
        media: Media,
        message_map: MessageMap,
    ) -> None:
        self._context, self._portals, self._people, self._logins = context, portals, people, logins
        self._media, self._map = media, message_map
        self._last_in_thread: Lru[tuple[str, str], str] = Lru("bridge_threads", _THREADS_REMEMBERED)
        self._bridged = context.metrics.counter("bridge_messages", "Messages bridged", ["direction", "kind"])

    async def add(self, portal: PortalRow, message: Message, item: Waiting | None = None) -> bool:
        """Shows a new message; was it new? A known one of another version is an edit. `item`: of what it is all."""
        known = await self._map.all_parts(message.channel, message.id)
        if known:
            await self._again(portal, message, known)
            return False
        if message.is_ours or message.sent_key is not None:
            # An echo of what is not in the map: its sending was cut off, and is taken up again behind this.
            return False
        actor = await self._people.actor(message.sender, message.people)
        answered = await self._answered(message)
        relation = await self._relation(message, answered)
        found: list[MessageRow] = []
        for part in message.parts:
            shown = await self._content(message, part, actor)
            if answered is not None and not found:
                shown = _mentioning(shown, answered.user_id, actor.user_id)
            event_id = await self._send(portal, message, shown, actor, relation)
            found.append(self._row(message, shown, actor.user_id, event_id))
        if not found:
            return False
        await self._map.put(*found, done=item)
        await self._note_thread(message, found)
        self._bridged.labels("in", "message").inc()
        return True

    async def compose(self, message: Message, actor: Actor) -> list[Composed]:
        """The parts of a message as events, without relations."""
        composed = []
        for part in message.parts:
            shown = await self._content(message, part, actor)
            row = self._row(message, shown, actor.user_id, "")
            composed.append(Composed(row, _type_of(shown), shown.content))
        return composed

    async def _again(self, portal: PortalRow, message: Message, known: list[MessageRow]) -> None:
        if message.is_ours or all(row.is_deleted for row in known) or message.version == known[0].version:
            return
        await self._edit(portal, message, known)

    async def edit(self, portal: PortalRow, message: Message) -> None:
        """Shows the message as it is now; one that is not known is left alone, since nobody saw what was before."""
        known = await self._map.all_parts(message.channel, message.id)
        if not known:
            await self.add(portal, message)
        elif not message.is_ours and not all(row.is_deleted for row in known):
            await self._edit(portal, message, known)

    async def _edit(self, portal: PortalRow, message: Message, known: list[MessageRow]) -> None:
        if any(row.is_ours and row.login_id is None for row in known):
            # Relayed: whoever wrote it edits it in Matrix.
            return
        by_part = {row.part_id: row for row in known if not row.is_deleted}
        actor = await self._people.actor(message.sender, message.people)
        for part in message.parts:
            row = by_part.pop(part.id, None)
            if row is None:
                await self._add_part(portal, message, part, actor)
            elif part.file is None or row.memo.get("f") != part.file.id or "body" in part.content:
                await self._edit_part(portal, message, part, row)
        for row in by_part.values():
            await self._redact(portal, row)
        self._bridged.labels("in", "edit").inc()

    async def _add_part(self, portal: PortalRow, message: Message, part: Part, actor: Actor) -> None:
        shown = await self._content(message, part, actor)
        event_id = await self._send(portal, message, shown, actor, await self._relation(message, None))
        await self._map.put(self._row(message, shown, actor.user_id, event_id))

    async def _edit_part(self, portal: PortalRow, message: Message, part: Part, row: MessageRow) -> None:
        actor = self._writer_of(row)
        if actor is None or part.poll is not None or part.event_type != "m.room.message":
            await self._map.put(evolve(row, version=message.version))
            return
        shown = await self._content(message, part, actor)
        if shown.note != row.memo.get("h"):
            content = {
                **shown.content,
                "body": f"* {shown.content.get('body', '')}",
                "m.new_content": shown.content,
                "m.relates_to": {"rel_type": "m.replace", "event_id": row.event_id},
                "m.mentions": {},
            }
            txn = txn_id("edit", message.channel, message.id, part.id, message.version, shown.note)
            await self._portals.send_as(portal, actor, "m.room.message", content, txn, None)
        memo = {**row.memo, "h": shown.note, "f": None if part.file is None else part.file.id}
        now = evolve(row, version=message.version, memo=memo, actions=actions.kept(part.actions) or None)
        await self._map.put(now)

    def _writer_of(self, row: MessageRow) -> Actor | None:
        """As whom the event can be edited: its sender, if that is a ghost or a user we may be."""
        if self._context.users.matches(row.user_id):
            return Actor(UserId(row.user_id), self._context.bot.token)
        puppet = None if row.person_id is None else self._logins.puppet(row.person_id)
        return puppet if puppet is not None and puppet.user_id == row.user_id else None

    async def delete(self, portal: PortalRow, event: Deleted) -> None:
        """Takes away the events of a message, or of one part of it."""
        known = await self._map.of_message(event.channel, event.id)
        for row in known:
            if event.part is None or row.part_id == event.part:
                await self._redact(portal, row)
        if known:
            self._bridged.labels("in", "deletion").inc()

    async def _redact(self, portal: PortalRow, row: MessageRow) -> None:
        actor = self._writer_of(row) or self._context.bot
        txn = txn_id("redact", row.channel_id, row.message_id, row.part_id)
        try:
            await self._context.matrix.redact(actor, portal.room_id, row.event_id, txn)
        except MatrixRefused as error:
            # In a room that somebody bridged, the bot may not.
            logger.warning("%s is not redacted: %s", row.event_id, error)
        await self._map.put(deleted(row))

    # --- what an event says

    async def _content(self, message: Message, part: Part, actor: Actor) -> _Shown:
        if part.poll is not None:
            content = polls.start_content(part.poll)
            return _Shown(part, polls.START, content, fingerprint(content))
        note = fingerprint([part.content, [each.label for each in part.actions], part.file and part.file.id])
        content = {"m.mentions": {}, **part.content}
        if part.file is not None:
            content = await self._with_file(part, content, actor)
        elif part.event_type == "m.room.message":
            content = {"msgtype": "m.text", "body": "", **content}
        return _Shown(part, part.event_type, actions.shown(content, part.actions), note)

    async def _with_file(self, part: Part, content: JsonDict, actor: Actor) -> JsonDict:
        assert part.file is not None
        is_sticker = part.event_type == "m.sticker"
        try:
            copied = await (self._media.copy_once(part.file) if is_sticker else self._media.copy(part.file, actor))
        except Refused as error:
            name = part.file.name or "a file"
            text = f"[{name}: {error}]"
            told = content.get("body")
            return {"msgtype": "m.notice", "body": f"{told}\n{text}" if told else text, "m.mentions": {}}
        told_info = content.get("info")
        info = {**copied.info, **(told_info if isinstance(told_info, dict) else {})}
        found: JsonDict = {"body": copied.name, **content, "url": copied.mxc, "info": info}
        if not is_sticker:
            found = {"msgtype": copied.msgtype, "filename": copied.name, **found}
        return found

    async def _send(self, portal: PortalRow, message: Message, shown: _Shown, actor: Actor, relation: JsonDict) -> str:
        content = {**shown.content, **relation}
        txn = txn_id("message", message.channel, message.id, shown.part.id)
        return await self._portals.send_as(portal, actor, _type_of(shown), content, txn, message.sent_ms)

    def _row(self, message: Message, shown: _Shown, user_id: str, event_id: str) -> MessageRow:
        part = shown.part
        return MessageRow(
            channel_id=message.channel,
            message_id=message.id,
            part_id=part.id,
            event_id=event_id,
            user_id=user_id,
            person_id=message.sender,
            thread_id=message.thread,
            version=message.version,
            sent_ms=message.sent_ms,
            memo=with_memo(
                message.memo,
                h=shown.note,
                f=None if part.file is None else part.file.id,
                t=str(shown.content.get("body", ""))[:_NAME_CHARACTERS] or None,
            ),
            actions=actions.kept(part.actions) or None,
        )

    # --- threads and replies

    async def _answered(self, message: Message) -> MessageRow | None:
        if message.reply_to is None:
            return None
        return next(iter(await self._map.of_message(message.channel, message.reply_to)), None)

    async def _relation(self, message: Message, answered: MessageRow | None) -> JsonDict:
        """m.relates_to, if there is any."""
        root = None if message.thread is None else await self.root_of(message.channel, message.thread)
        if root is not None:
            assert message.thread is not None
            last = self._last_in_thread.get((message.channel, message.thread), root)
            relates: JsonDict = {
                "rel_type": "m.thread",
                "event_id": root,
                "is_falling_back": answered is None,
                "m.in_reply_to": {"event_id": last if answered is None else answered.event_id},
            }
            return {"m.relates_to": relates}
        return {} if answered is None else {"m.relates_to": {"m.in_reply_to": {"event_id": answered.event_id}}}

    async def root_of(self, channel: ChannelId, thread: ThreadId) -> str | None:
        """The event under which the thread hangs: the one it was noted with, else the message of the same id."""
        known = await self._context.store.read(rows.thread, channel, thread)
        if known is not None:
            return known.root_event_id
        same = next(iter(await self._map.of_message(channel, MessageId(thread))), None)
        if same is None:
            return None
        row = ThreadRow(
            channel_id=channel, thread_id=thread, root_message_id=same.message_id, root_event_id=same.event_id
        )
        await self._context.store.run(rows.put_thread, row)
        return same.event_id

    async def _note_thread(self, message: Message, found: list[MessageRow]) -> None:
        if message.thread is None:
            return
        self._last_in_thread.set((message.channel, message.thread), found[-1].event_id)
        if await self._context.store.read(rows.thread, message.channel, message.thread) is None:
            # Its root was never seen: it hangs under the first of its messages that was.
            row = ThreadRow(
                channel_id=message.channel,
                thread_id=message.thread,
                root_message_id=None,
                root_event_id=found[0].event_id,
            )
            await self._context.store.run(rows.put_thread, row)

    async def start_thread(self, portal: PortalRow, event: ThreadStarted) -> None:
        """A thread that no message tells: its name becomes the message under which it hangs."""
        if await self._context.store.read(rows.thread, event.channel, event.thread) is not None:
            return
        if event.root is not None:
            found = next(iter(await self._map.of_message(event.channel, event.root)), None)
            if found is not None:
                root = ThreadRow(
                    channel_id=event.channel,
                    thread_id=event.thread,
                    root_message_id=event.root,
                    root_event_id=found.event_id,
                )
                await self._context.store.run(rows.put_thread, root)
                return
        actor = self._context.bot if event.by is None else await self._people.actor(event.by)
        content = {"msgtype": "m.notice", "body": f"Thread: {event.name}", "m.mentions": {}}
        txn = txn_id("thread", event.channel, event.thread)
        event_id = await self._portals.send_as(portal, actor, "m.room.message", content, txn, None)
        made = ThreadRow(channel_id=event.channel, thread_id=event.thread, root_message_id=None, root_event_id=event_id)
        await self._context.store.run(rows.put_thread, made)

    def saw_in_thread(self, channel: str, thread: str, event_id: str) -> None:
        """A message of Matrix is the newest of the thread."""
        self._last_in_thread.set((channel, thread), event_id)


def _mentioning(shown: _Shown, user_id: str, writer: str) -> _Shown:
    """Who is answered is told of it. Source: client-server API, "Rich replies"."""
    mentions = shown.content.get("m.mentions")
    named = mentions.get("user_ids", []) if isinstance(mentions, dict) else []
    if user_id == writer or user_id in named or shown.event_type != "m.room.message":
        return shown
    return evolve(shown, content={**shown.content, "m.mentions": {**(mentions or {}), "user_ids": [*named, user_id]}})


def _type_of(shown: _Shown) -> str:
    # A sticker that could not be copied is told of in words.
    is_told = shown.content.get("msgtype") == "m.notice" and shown.event_type == "m.sticker"
    return "m.room.message" if is_told else shown.event_type


def main_part(found: list[MessageRow]) -> MessageRow | None:
    """The row of the event that reactions and pins are of."""
    return next((row for row in found if row.part_id == MAIN_PART), next(iter(found), None))
