"""How many unread events of a room a user wants to hear of, in all and by thread.

Theory of operation. Nothing is written when an event comes: for each member of a room of thousands that would be
thousands of rows for one message. Instead a user's count of a room is a fold over the events that came after what he
has read, judged by his push rules, and it is kept in memory and goes on from where it was: a sync that brings one event
judges one event. After a restart, or for a room that has not been looked at for long, the fold begins at the user's
receipts again. It goes over the newest MAX_EVENTS at the most; nobody reads a badge of more.

Source: client-server API, "Receiving notifications", "Threaded read receipts"; GET /sync, `unread_notifications`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from homeserver.runtime.caches import Lru
from homeserver.runtime.linearizer import Linearizer
from homeserver.services.push.judging import Judging
from homeserver.services.rooms.members import Members, RoomsOfUser
from matrix.push_eval import Actions
from matrix.quiet import is_quiet
from matrix.relations import thread_root
from storage import receipts
from storage.change import Entry, Kind
from storage.database import Database
from storage.events import StoredEvent
from storage.receipts import ReadUpto
from storage.recent import RecentEvents
from storage.stream import Stream

# Clients show "99+".
MAX_EVENTS = 1_000
MAX_USERS = 20_000
MAIN = "main"


@frozen
class Notice:
    """An unread event that the user wants to hear of. `thread` is a root's event id or "main"."""

    nid: int
    position: int
    thread: str
    actions: Actions

    @property
    def highlight(self) -> bool:
        return self.actions.highlight


@define(eq=False)
class _Unread:
    """`read` is the position up to which a thread is read; that of None holds for all."""

    upto: int
    read: dict[str | None, int]
    notices: list[Notice] = field(factory=list)
    highlights: int = 0  # of the notices: every sync asks for it

    def has_read(self, thread: str, position: int) -> bool:
        return position <= max(self.read.get(None, 0), self.read.get(thread, 0))

    def add(self, notice: Notice) -> None:
        self.notices.append(notice)
        self.highlights += notice.highlight
        if len(self.notices) > MAX_EVENTS:
            self.highlights -= self.notices.pop(0).highlight

    def as_json(self, *, by_thread: bool) -> dict[str, Any]:
        if not by_thread:
            counts = {"notification_count": len(self.notices), "highlight_count": self.highlights}
            return {"unread_notifications": counts}
        threads: dict[str, list[Notice]] = {}
        for notice in self.notices:
            threads.setdefault(notice.thread, []).append(notice)
        main = threads.pop(MAIN, [])
        return {
            "unread_notifications": _count(main),
            "unread_thread_notifications": {root: _count(of_thread) for root, of_thread in threads.items()},
        }


class Unread:
    def __init__(
        self, *, stream: Stream, members: Members, judging: Judging, recent: RecentEvents, database: Database
    ) -> None:
        self._stream = stream
        self._members = members
        self._judging = judging
        self._recent = recent
        self._database = database
        self._known: Lru[str, dict[int, _Unread]] = Lru("unread", MAX_USERS)
        self._turns = Linearizer()

    async def counts(self, user_id: str, room_nids: Sequence[int], *, by_thread: bool) -> Mapping[int, dict[str, Any]]:
        """`unread_notifications`, and with `by_thread` also `unread_thread_notifications`, by room."""
        states = await self._states(user_id, room_nids)
        return {room_nid: state.as_json(by_thread=by_thread) for room_nid, state in states.items()}

    async def notices(self, user_id: str, room_nids: Sequence[int]) -> Mapping[int, Sequence[Notice]]:
        """The unread events themselves, by room, in their order. Not to be changed, nor kept over an await."""
        return {room_nid: state.notices for room_nid, state in (await self._states(user_id, room_nids)).items()}

    async def _states(self, user_id: str, room_nids: Sequence[int]) -> dict[int, _Unread]:
        """One after another for a user: who comes second must not be given a fold that the first is still making."""
        async with self._turns.of(user_id):
            return await self._fold(user_id, room_nids)

    async def _fold(self, user_id: str, room_nids: Sequence[int]) -> dict[int, _Unread]:
        upto = self._stream.position
        by_room = self._known.get(user_id)
        if by_room is None:
            by_room = {}
            self._known.set(user_id, by_room)
        floor = self._stream.floor
        states = {nid: by_room[nid] for nid in room_nids if nid in by_room and by_room[nid].upto >= floor}
        if fresh := [nid for nid in room_nids if nid not in states]:
            begun = await self._begin(user_id, fresh)
            states |= begun
            # A receipt that came meanwhile has taken the user's counts out: then these are of before it, and not kept.
            by_room.update(begun)
        for room_nid, state in states.items():
            await self._go_on(user_id, room_nid, state, upto)
        return states

    def read_stream(self, entries: list[Entry]) -> None:
        """A receipt moves what is read, other rules change what is told: the user's counts begin anew."""
        for entry in entries:
            if entry.user_id is None:
                continue
            if entry.kind is Kind.PUSH_RULES:
                self._known.invalidate(entry.user_id)
            elif entry.kind is Kind.RECEIPT and (by_room := self._known.get(entry.user_id)) is not None:
                kept = {nid: state for nid, state in by_room.items() if nid != entry.room_nid}
                self._known.set(entry.user_id, kept)

    async def _begin(self, user_id: str, room_nids: list[int]) -> dict[int, _Unread]:
        """The fold over what came after the receipts, for several rooms with two look-ups."""
        upto = self._stream.position
        rooms = await self._members.rooms_of(user_id)
        known = await self._database.read(receipts.read_upto, user_id, room_nids)
        states = {nid: _Unread(upto, _read(known.get(nid, ()), rooms, nid)) for nid in room_nids}
        begin = {nid: state.read.get(None, 0) for nid, state in states.items()}
        found = await self._recent.of_others(user_id, begin, upto, MAX_EVENTS)
        for room_nid, state in states.items():
            await self._judge(user_id, room_nid, state, found.get(room_nid, ()))
        return states

    async def _go_on(self, user_id: str, room_nid: int, known: _Unread, upto: int) -> None:
        if known.upto >= upto:
            return
        since, known.upto = known.upto, upto
        entries = self._stream.room_entries(room_nid, since, upto)
        events = [entry.body for entry in entries if entry.kind is Kind.EVENT]
        if events:
            await self._judge(user_id, room_nid, known, events)

    async def _judge(self, user_id: str, room_nid: int, state: _Unread, events: Iterable[StoredEvent]) -> None:
        counted = [
            stored
            for stored in events
            if stored.visible
            and stored.event.sender != user_id
            and stored.redacted_by is None
            and not is_quiet(stored.event.content)
        ]
        if not counted:
            return
        for stored, actions in zip(counted, await self._judging.judge(user_id, room_nid, counted), strict=True):
            thread = thread_root(stored.event.content) or MAIN
            if actions.notify and not state.has_read(thread, stored.position):
                state.add(Notice(stored.nid, stored.position, thread, actions))


def _read(known: Iterable[ReadUpto], rooms: RoomsOfUser, room_nid: int) -> dict[str | None, int]:
    """Up to which position the user has read, by thread. What came before he did, he need not read."""
    row = rooms.get(room_nid)
    read: dict[str | None, int] = {None: 0 if row is None else row.position}
    for receipt in known:
        if receipt.receipt_type in ("m.read", "m.read.private"):
            read[receipt.thread_id] = max(read.get(receipt.thread_id, 0), receipt.event_position)
    return read


def _count(notices: Sequence[Notice]) -> dict[str, int]:
    return {"notification_count": len(notices), "highlight_count": sum(notice.highlight for notice in notices)}
