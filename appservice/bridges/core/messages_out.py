"""Messages of Matrix to the network: new ones, edits, redactions.

What stands in the map was sent. Before anything is sent the queue notes that it begins; who finds that note asks the
network first.
"""

import logging
from contextlib import AsyncExitStack
from typing import Any, Literal, cast

from attrs import evolve

from appservice.bridges.core import polls, texts
from appservice.bridges.core.authors import Authors
from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import Refused
from appservice.bridges.core.ids import MAIN_PART, ChannelId, MessageId, ThreadId
from appservice.bridges.core.media import Media
from appservice.bridges.core.message_map import MessageMap, deleted, ref_of, with_memo
from appservice.bridges.core.messages_in import MessagesIn
from appservice.bridges.core.names import send_key
from appservice.bridges.core.outgoing import Author, MessageRef, OutgoingFile, OutgoingMessage, Sent, Text, ThreadRef
from appservice.bridges.core.references import References
from homeserver.runtime.caches import Lru
from storage import bridges_inbox, bridges_messages
from storage.bridges import PortalRow
from storage.bridges_inbox import Waiting
from storage.bridges_messages import MessageRow, ThreadRow

JsonDict = dict[str, Any]
Kind = Literal["text", "emote", "notice", "file", "sticker", "poll", "location"]

# One for each channel in which something is under way.
_BEGUN_REMEMBERED = 10_000

logger = logging.getLogger(__name__)


class MessagesOut:
    """Raises: NetworkError, HomeserverDown."""

    def __init__(
        self, *, context: Context, message_map: MessageMap, authors: Authors, references: References, media: Media,
        messages_in: MessagesIn,
    ) -> None:  # fmt: skip
        self._context, self._map, self._authors = context, message_map, authors
        self._references, self._media, self._messages_in = references, media, messages_in
        # What stands in the queue's row too, by then; a worker tries the row as it had read it.
        self._begun_ms: Lru[int, int] = Lru("bridge_begun", _BEGUN_REMEMBERED)
        self._bridged = context.metrics.counter("bridge_messages", "Messages bridged", ["direction", "kind"])

    async def send(self, portal: PortalRow, event: JsonDict, item: Waiting) -> None:
        """A message, sticker or poll."""
        now_ms = self._context.clock.now_ms()
        if await self._context.store.read(bridges_inbox.begin, item.seq, event["event_id"], now_ms):
            return
        author = await self._authors.of(event["sender"], portal.room_id)
        async with AsyncExitStack() as stack:
            message = await self._outgoing(portal, event, event["content"], author, stack)
            sent = None
            # An answer may also have been lost on the way, with this process still there.
            begun_ms = item.begun_ms or self._begun_ms.get(item.seq)
            if begun_ms is not None:
                sent = await self._context.network.find_sent(message, begun_ms)
            if sent is None:
                self._begun_ms.set(item.seq, begun_ms or now_ms)
                sent = await self._context.network.send(message)
        await self._note(portal, event, message, sent, item)
        self._bridged.labels("out", "message").inc()

    async def _note(
        self, portal: PortalRow, event: JsonDict, message: OutgoingMessage, sent: Sent, item: Waiting
    ) -> None:
        known_thread = None if message.thread is None else message.thread.id
        thread = sent.thread or known_thread
        await self._map.put(*self._rows(event, message, sent, thread), done=item)
        if thread is None or message.thread is None:
            return
        self._messages_in.saw_in_thread(portal.channel_id, thread, event["event_id"])
        root = texts.related(event["content"], "m.thread")
        if message.thread.id is None and root is not None:
            row = ThreadRow(
                channel_id=portal.channel_id,
                thread_id=thread,
                root_message_id=None if message.thread.root is None else message.thread.root.id,
                root_event_id=root,
            )
            await self._context.store.run(bridges_messages.put_thread, row)

    def _rows(self, event: JsonDict, message: OutgoingMessage, sent: Sent, thread: ThreadId | None) -> list[MessageRow]:
        login = message.author.login
        return [
            MessageRow(
                channel_id=message.channel,
                message_id=message_id,
                part_id=MAIN_PART,
                event_id=event["event_id"],
                user_id=event["sender"],
                person_id=None if login is None else login.person,
                is_ours=True,
                login_id=None if login is None else login.id,
                thread_id=thread,
                version=sent.version,
                sent_ms=message.sent_ms,
                memo=with_memo(sent.memo, t=message.text.body[:80] or None),
            )
            for message_id in sent.ids
        ]

    # --- edits

    async def edit(self, portal: PortalRow, event: JsonDict, target: str) -> None:
        """What the event says is what the target says now."""
        known = await self._map.of_event(target)
        content = event["content"].get("m.new_content")
        if not known or not isinstance(content, dict):
            return
        author = await self._authors.of(event["sender"], portal.room_id)
        if known[0].login_id is None and author.login is not None:
            # It was relayed, before its writer signed in: only the bridge can change it.
            author = evolve(author, login=None)
        ref = ref_of(known)
        async with AsyncExitStack() as stack:
            # What it answers and where it stands cannot be edited.
            whole = {**event, "content": content}
            message = await self._outgoing(portal, whole, content, author, stack, fetch_file=False)
            sent = await self._context.network.edit(ref, message)
        await self._renote(known, sent)
        self._bridged.labels("out", "edit").inc()

    async def _renote(self, known: list[MessageRow], sent: Sent) -> None:
        memo = {**known[0].memo, "n": sent.memo} if sent.memo else known[0].memo
        by_id = {row.message_id: row for row in known}
        kept = [
            evolve(by_id.get(each, known[0]), message_id=each, version=sent.version, memo=memo) for each in sent.ids
        ]
        gone = [deleted(row) for row in known if row.message_id not in sent.ids]
        await self._map.put(*kept, *gone)

    # --- redactions

    async def delete(self, portal: PortalRow, event: JsonDict, known: list[MessageRow]) -> None:
        """The event is gone, and so is what it was on the network."""
        author = await self._authors.of(event["sender"], portal.room_id)
        if known[0].login_id is None and known[0].is_ours:
            author = evolve(author, login=None)
        await self._context.network.delete(author, ref_of(known))
        await self._map.put(*map(deleted, known))
        self._bridged.labels("out", "deletion").inc()

    # --- what is sent

    async def _outgoing(
        self,
        portal: PortalRow,
        event: JsonDict,
        content: JsonDict,
        author: Author,
        stack: AsyncExitStack,
        *,
        fetch_file: bool = True,
    ) -> OutgoingMessage:
        kind = _kind(event, content)
        poll = polls.read_start(content) if kind == "poll" else None
        if kind == "poll" and poll is None:
            raise Refused("the poll cannot be read")
        return OutgoingMessage(
            key=send_key(event["event_id"]),
            channel=ChannelId(portal.channel_id),
            author=author,
            kind=kind,
            text=await self._text(content, kind),
            file=await self._file(content, stack) if fetch_file and kind in ("file", "sticker") else None,
            poll=poll,
            thread=await self._thread(content),
            reply_to=await self._answered(content),
            sent_ms=int(event.get("origin_server_ts") or 0),
            content=content,
        )

    async def _text(self, content: JsonDict, kind: Kind) -> Text:
        references = await self._references.on_network(content)
        body, formatted = texts.body_of(content), texts.formatted_of(content)
        if kind == "file" and not (body := texts.caption_of(content)):
            formatted = None
        if kind == "location" and isinstance(uri := content.get("geo_uri"), str):
            body, formatted = f"{body} {_map_link(uri)}".strip(), None
        return Text(body=body, formatted_body=formatted, references=references)

    async def _file(self, content: JsonDict, stack: AsyncExitStack) -> OutgoingFile:
        return await stack.enter_async_context(self._media.outgoing(content, self._context.network.limits.file_bytes))

    async def _thread(self, content: JsonDict) -> ThreadRef | None:
        root = texts.related(content, "m.thread")
        if root is None:
            return None
        known = await self._context.store.read(bridges_messages.thread_of_event, root)
        ref = await self._map.ref_of_event(root)
        if known is not None:
            return ThreadRef(id=ThreadId(known.thread_id), root=ref)
        if ref is None:
            return None
        if ref.thread is not None:
            # Its root is in a thread itself: on the network there is only one.
            return ThreadRef(id=ref.thread, root=None)
        return ThreadRef(id=None, root=ref, name=await self._name_of(root))

    async def _name_of(self, event_id: str) -> str:
        rows = await self._map.of_event(event_id)
        return str(rows[0].memo.get("t", "")) if rows else ""

    async def _answered(self, content: JsonDict) -> MessageRef | None:
        target = texts.reply_of(content)
        return None if target is None else await self._map.ref_of_event(target)


def _kind(event: JsonDict, content: JsonDict) -> Kind:
    if event["type"] == "m.sticker":
        return "sticker"
    if event["type"] in polls.STARTS:
        return "poll"
    return "file" if texts.is_file(content) else cast(Kind, texts.kind_of(content))


def _map_link(geo_uri: str) -> str:
    place = geo_uri.removeprefix("geo:").partition(";")[0].split(",")
    try:
        latitude, longitude = float(place[0]), float(place[1])
    except (ValueError, IndexError):
        return geo_uri
    return f"https://www.openstreetmap.org/?mlat={latitude}&mlon={longitude}"


def message_id(row: MessageRow) -> MessageId:
    return MessageId(row.message_id)
