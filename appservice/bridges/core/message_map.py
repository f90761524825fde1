"""The message map: which message is which event. What a network gave along is kept beside what core notes."""

import hashlib
from collections.abc import Sequence
from typing import Any

import orjson
from attrs import evolve

from appservice.bridges.core.context import Context
from appservice.bridges.core.ids import ChannelId, LoginId, MessageId, PartId, PersonId, ThreadId
from appservice.bridges.core.outgoing import MessageRef
from storage import bridges_messages as rows
from storage.bridges_inbox import Waiting
from storage.bridges_messages import MessageRow

JsonDict = dict[str, Any]


class MessageMap:
    """Reads and writes it."""

    def __init__(self, *, context: Context) -> None:
        self._store = context.store

    async def of_message(self, channel: str, message: str) -> list[MessageRow]:
        """Its parts that are there, the first one first."""
        found = await self._store.read(rows.message, channel, message)
        return [row for row in found if not row.is_deleted]

    async def is_known(self, channel: str, message: str) -> bool:
        """Also one that was deleted."""
        return bool(await self._store.read(rows.message, channel, message))

    async def all_parts(self, channel: str, message: str) -> list[MessageRow]:
        """Also those that were deleted."""
        return await self._store.read(rows.message, channel, message)

    async def of_event(self, event_id: str) -> list[MessageRow]:
        found = await self._store.read(rows.event, event_id)
        return [row for row in found if not row.is_deleted]

    async def ref_of_event(self, event_id: str) -> MessageRef | None:
        found = await self.of_event(event_id)
        return ref_of(found) if found else None

    async def ref_of_message(self, channel: str, message: str) -> MessageRef | None:
        found = await self.of_message(channel, message)
        return ref_of(found[:1]) if found else None

    async def put(self, *messages: MessageRow, done: Waiting | None = None) -> None:
        """`done`: of what they are all that there was to be done."""
        # One statement: a message has few parts.
        one_statement = len(messages) <= rows.AT_ONCE
        door = self._store.read if one_statement else self._store.run
        await door(rows.put_messages, messages, None if done is None else done.seq)
        if done is not None:
            done.is_gone = True


def ref_of(found: Sequence[MessageRow]) -> MessageRef:
    """Of the rows of one event."""
    first = found[0]
    return MessageRef(
        channel=ChannelId(first.channel_id),
        id=MessageId(first.message_id),
        part=PartId(first.part_id),
        more=tuple(MessageId(row.message_id) for row in found[1:] if row.message_id != first.message_id),
        thread=None if first.thread_id is None else ThreadId(first.thread_id),
        person=None if first.person_id is None else PersonId(first.person_id),
        is_ours=first.is_ours,
        written_by=None if first.login_id is None else LoginId(first.login_id),
        memo=memo_of(first),
    )


def memo_of(row: MessageRow) -> JsonDict:
    """What the network gave."""
    memo = row.memo.get("n")
    return memo if isinstance(memo, dict) else {}


def with_memo(memo: JsonDict, **core: Any) -> JsonDict:
    """What the row keeps: the network's, and core's own notes."""
    return {key: value for key, value in {"n": memo or None, **core}.items() if value is not None}


def fingerprint(value: object) -> str:
    """Of a content, to see whether an edit changes anything."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def deleted(row: MessageRow) -> MessageRow:
    return evolve(row, is_deleted=True, actions=None)
