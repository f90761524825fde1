"""The one way in for events: decide on a room's head, put it into the stream, say what became of it.

Theory of operation. One decision at a time for each room (linearizer). A decision reads the head in memory, loads the
few state events that the auth rules look at, builds each event after the one before, checks it, and hands one change
to the committer. The head is advanced at once, before the commit, so that the next sender decides on it without
waiting for the disk: the lock is held for microseconds, not for a commit. If another process was faster, the change
is refused; the head is read anew and everything is decided again, on what is now there.

Source: server-server API, "Checks performed on receipt of a PDU"; client-server API, "Sending events to a room".
"""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from attrs import evolve, field, frozen
from twisted.internet.defer import Deferred

from homeserver.runtime.clock import Clock
from homeserver.services.rooms.event_changes import EventChanges
from homeserver.services.rooms.heads import MAX_PREV_EVENTS, Extremity, Head, Heads
from matrix import auth_rules
from matrix.auth_needs import CREATE, auth_keys
from matrix.building import Draft, build, to_unsigned_pdu
from matrix.errors import AuthRuleFailed, BadEvent, BadRequest, EventTooLarge, Forbidden, MatrixError, TooLarge
from matrix.events import Event, Json, StateKey
from matrix.ids import EventId, RoomId, ServerName, UserId
from matrix.room_versions import RoomVersion
from matrix.signing import SigningKey
from storage import event_transactions
from storage.change import AlreadyThere, Change, Entry, HeadMoved, Kind
from storage.commit import Committer
from storage.database import Database
from storage.event_transactions import NO_TRANSACTION, TransactionKey
from storage.events import EventRow, Events, StoredEvent
from storage.interning import EVENT_BLOCK, ROOM_BLOCK, Nids, StateKeys
from storage.rooms import ADD_ROOM

# Another process may be faster this often before the client is told to come back.
ATTEMPTS = 20
MAX_DEPTH = 2**53 - 1
# Of a change with very many events so many are made before others have their turn: some 5 ms.
SLICE = 25


@frozen(kw_only=True)
class NewEvent:
    """What a user of ours wants to say in a room; its place is found when it is decided."""

    type: str
    sender: UserId
    content: Json = field(repr=False)
    state_key: str | None = None
    redacts: EventId | None = None
    origin_server_ts: int | None = None  # ms; now, if None


Decision = Callable[[Head], Awaitable[Sequence[NewEvent]]]
# Raises, if the events shall not be sent although the room allows them: a rate limit that others share, say.
Admit = Callable[[], Awaitable[None]]


@frozen(kw_only=True)
class Signer:
    """In whose name events are made."""

    server_name: ServerName
    key: SigningKey


class Policing(Protocol):
    """Rooms with a policy server: see policing.py."""

    async def applies(self, room_id: RoomId) -> bool: ...

    async def send(
        self,
        room_id: RoomId,
        new: Sequence[NewEvent] | Decision,
        transaction: TransactionKey | None,
        admit: Admit | None,
    ) -> list[StoredEvent]: ...

    async def sign(self, event: Event) -> Event: ...


@frozen(eq=False)
class _Decided:
    head: Head
    change: Change
    events: list[StoredEvent]


def _nothing(change: Change, room_nid: int) -> None:
    pass


class Intake:
    """Events of our own users into rooms that we are in."""

    def __init__(
        self,
        *,
        heads: Heads,
        events: Events,
        database: Database,
        committer: Committer,
        state_keys: StateKeys,
        signer: Signer,
        clock: Clock,
    ) -> None:
        self._heads = heads
        self._events = events
        self._database = database
        self._committer = committer
        self._state_keys = state_keys
        self._signer = signer
        self._clock = clock
        self._changes = EventChanges(events=events)
        # Also of the events that others send: numbers grow with time, whoever takes them.
        self.event_nids = Nids("event_nids", EVENT_BLOCK, database=database)
        self.room_nids = Nids("room_nids", ROOM_BLOCK, database=database)
        # Makes few of a room's many extremities: see remote/loose_ends.py.
        self.tie_loose_ends: Callable[[RoomId], Awaitable[None]] | None = None
        self.policing: Policing | None = None

    def now_ms(self) -> int:
        """What an event that is made now says of when it was."""
        return self._clock.now_ms()

    async def send(
        self,
        room_id: RoomId,
        new: Sequence[NewEvent] | Decision,
        *,
        transaction: TransactionKey | None = None,
        admit: Admit | None = None,
    ) -> list[StoredEvent]:
        """Sends events one after another, all or none; returns when they are durable.

        `new` may be a function of the head, called again if the head moved. With a `transaction` that was used before,
        the event sent then is given and nothing is sent. `admit` is asked last, when the room has allowed the events.

        Raises: NotFound, Forbidden, BadRequest, TooLarge.
        """
        if (sent := await self._send_beside(room_id, new, transaction, admit)) is not None:
            return sent
        for _ in range(ATTEMPTS):
            async with self._heads.linearizer.of(room_id):
                decided, committed = await self._decide_and_commit(room_id, new, transaction, admit)
            if committed is None:
                return []
            try:
                await committed
            except HeadMoved:
                self._undo(decided)
                continue
            except AlreadyThere:
                self._undo(decided)
                if transaction is None or (before := await self.sent_before(transaction)) is None:
                    raise
                return [before]
            except BaseException:
                self._undo(decided)
                raise
            return [] if decided is None else _settled(decided)
        raise MatrixError(503, "M_UNKNOWN", "The room is too busy, try again")

    async def _send_beside(
        self,
        room_id: RoomId,
        new: Sequence[NewEvent] | Decision,
        transaction: TransactionKey | None,
        admit: Admit | None,
    ) -> list[StoredEvent] | None:
        """What comes into the room as events of other servers do; None where our events simply follow all there is."""
        if self._heads.is_crowded(room_id) and self.tie_loose_ends is not None:
            await self.tie_loose_ends(room_id)
        if self.policing is None:
            return None
        is_policed = await self.policing.applies(room_id)
        if not is_policed and not self._heads.is_crowded(room_id):
            return None
        # Its state is what those ends make that it names, as all other servers find it.
        try:
            return await self.policing.send(room_id, new, transaction, admit)
        except Forbidden:
            if is_policed:
                raise
            # The ends may not know that the user is in the room. To us it is, and may leave.
            return None

    async def draft(self, room_id: RoomId, new: NewEvent, *, signed: bool = True) -> Event:
        """The event as `send` would make it now, signed, but not sent: for others to sign too.

        `signed`: by the room's policy server, if it has one.
        Raises: NotFound, Forbidden, BadRequest, TooLarge.
        """
        head = await self._heads.get(room_id)
        try:
            judged_by, auth, prev = await self._place(head, new)
            event = await self._build(head, new, auth, prev)
            auth_rules.check(event, {key: stored.event for key, stored in judged_by.items()})
        except _REFUSALS as error:
            raise for_client(error) from error
        return event if self.policing is None or not signed else await self.policing.sign(event)

    async def template(self, room_id: RoomId, new: NewEvent) -> Json:
        """An event for another server to sign and send: what make_join and its like answer with.

        Without hashes and signatures; in room versions 1 and 2 the other server chooses the `event_id`.
        Raises: NotFound, Forbidden, BadRequest, TooLarge.
        """
        head = await self._heads.get(room_id)
        try:
            judged_by, auth, prev = await self._place(head, new)
            draft = await self._draft(head, new, auth, prev)
            # The rules want an event: signed by us it goes nowhere.
            event = build(draft, head.version, self._signer.server_name, self._signer.key)
            auth_rules.check(event, {key: stored.event for key, stored in judged_by.items()})
        except _REFUSALS as error:
            raise for_client(error) from error
        pdu = to_unsigned_pdu(draft, head.version)
        pdu.pop("event_id", None)
        return pdu

    def new_room_id(self) -> RoomId:
        """An id for a room of a version in which it is chosen."""
        return _random_room_id(self._signer.server_name)

    async def create(
        self,
        version: RoomVersion,
        new: Sequence[NewEvent],
        *,
        room_id: RoomId | None = None,
        beside: Callable[[Change, int], object] = _nothing,
    ) -> tuple[RoomId, list[StoredEvent]]:
        """Makes a room out of its first events, all or none. The first is m.room.create.

        `room_id` is for versions in which it is chosen. `beside(change, room_nid)` puts further rows into the change.
        Raises: Forbidden, BadRequest, TooLarge; AlreadyThere for a room id or a row of `beside` that is taken.
        """
        head, change, events = await self._first(version, new, room_id)
        try:
            beside(change, head.room_nid)
            await self._committer(change)
        except BaseException:
            self._undo(_Decided(head, change, events))
            raise
        head.after = change.position_in(head.room_nid)
        self._heads.put(head)
        return head.room_id, events

    async def rehearse(self, version: RoomVersion, new: Sequence[NewEvent]) -> None:
        """Raises what `create` would for these events; makes nothing."""
        self._undo(_Decided(*await self._first(version, new, None)))

    async def _first(
        self, version: RoomVersion, new: Sequence[NewEvent], room_id: RoomId | None
    ) -> tuple[Head, Change, list[StoredEvent]]:
        (room_nid,) = await self.room_nids.take(1)
        room_type = new[0].content.get("type")
        room_type = room_type if isinstance(room_type, str) and "\x00" not in room_type else None
        room_id = None if version.room_id_is_create_hash else room_id or self.new_room_id()
        head = Head(room_nid, room_id or RoomId(""), version, 0, [], {})
        change = Change()
        try:
            events = await self._decide(head, change, new)
        except _REFUSALS as error:
            raise for_client(error) from error
        change.put(ADD_ROOM, (room_nid, head.room_id, version.id, new[0].sender, room_type))
        return head, change, events

    async def _decide_and_commit(
        self,
        room_id: RoomId,
        new: Sequence[NewEvent] | Decision,
        transaction: TransactionKey | None,
        admit: Admit | None,
    ) -> "tuple[_Decided | None, Deferred[object] | None]":
        head = await self._heads.get(room_id)
        wanted = await new(head) if callable(new) else new
        if not wanted:
            # It is so already: perhaps by what is not durable yet, and told to nobody.
            is_ahead = isinstance(head.after, Change)
            return None, self._committer(Change().on_head(head.room_nid, head.after)) if is_ahead else None
        change = Change()
        try:
            events = await self._decide(head, change, wanted)
        except _REFUSALS as error:
            raise for_client(error) from error
        decided = _Decided(head, change, events)
        try:
            if admit is not None:
                await admit()
        except BaseException:
            self._undo(decided)
            raise
        if transaction is not None:
            key = (transaction.user_id, transaction.device, transaction.scope, transaction.transaction_id)
            change.put(event_transactions.ADD, (*key, events[0].nid, self._clock.now_ms()))
            events[0].sent_by = transaction
        return decided, self._committer(change)

    async def _decide(self, head: Head, change: Change, wanted: Sequence[NewEvent]) -> list[StoredEvent]:
        """Builds and checks the events, each on the state after the one before, and advances the head."""
        nids = await self.event_nids.take(len(wanted))
        after = head.after
        made: list[StoredEvent] = []
        rows: list[EventRow] = []
        try:
            for nid, new in zip(nids, wanted, strict=True):
                row = await self._make(head, change, nid, new)
                # From here on the head is ahead of what is committed, and says so.
                head.after = change
                head.advance(row.stored)
                made.append(row.stored)
                rows.append(row)
                if len(made) % SLICE == 0:
                    await self._clock.sleep(0)
            # Not before the room has allowed them: whoever is refused leaves nothing behind, not even a number.
            pairs = {stored.event.key for stored in made if stored.event.is_state}
            key_nids = await self._state_keys.nids(pairs) if pairs else {}
        except BaseException:
            self._undo(_Decided(head, change, made))
            raise
        for row in rows:
            event = row.stored.event
            self._changes.put(change, evolve(row, state_key_nid=key_nids[event.key]) if event.is_state else row)
        change.on_head(head.room_nid, after, [extremity[0] for extremity in head.extremities])
        return made

    async def _make(self, head: Head, change: Change, nid: int, new: NewEvent) -> EventRow:
        judged_by, auth, prev = await self._place(head, new)
        if any(one.nid >= nid for one in auth):
            # Another process's numbers may be ahead of ours: an event's is above those of its auth events.
            [nid] = await self.event_nids.take(1, above=max(one.nid for one in auth))
        event = await self._build(head, new, auth, prev)
        auth_rules.check(event, {key: stored.event for key, stored in judged_by.items()})
        entry = Entry(Kind.EVENT, head.room_nid, event.state_key if event.type == "m.room.member" else None, position=0)
        replaces = head.state.get(event.key) if event.is_state else None
        stored = StoredEvent(nid, head.room_nid, event, entry, replaces=replaces, has_children=False)
        stored.sent_by = NO_TRANSACTION  # unless it turns out otherwise
        if event.redacts is not None:
            await self._changes.apply_redaction(change, stored, event.redacts, judged_by)
        entry.body = self._events.remember(stored)
        return EventRow(stored, None, [one[0] for one in prev], [one.nid for one in auth])

    async def _place(
        self, head: Head, new: NewEvent
    ) -> tuple[dict[StateKey, StoredEvent], list[StoredEvent], list[Extremity]]:
        """What the event is judged by, its auth events, and the extremities that it follows."""
        named_by = auth_keys(head.version, new.type, new.sender, new.state_key, new.content)
        # The rules look at the create event also where it is not among the auth events; its own state has none yet.
        judged_by = await self._heads.state_events(head, named_by if CREATE in named_by else [CREATE, *named_by])
        prev = head.extremities
        if len(prev) > 1:
            prev = sorted(prev, key=lambda extremity: -extremity[2])[:MAX_PREV_EVENTS]
        return judged_by, [judged_by[key] for key in named_by if key in judged_by], prev

    async def _build(self, head: Head, new: NewEvent, auth: list[StoredEvent], prev: list[Extremity]) -> Event:
        draft = await self._draft(head, new, auth, prev)
        event = build(draft, head.version, self._signer.server_name, self._signer.key)
        if not head.room_id:
            head.room_id = event.room_id
        return event

    async def _draft(self, head: Head, new: NewEvent, auth: list[StoredEvent], prev: list[Extremity]) -> Draft:
        version = head.version
        return Draft(
            type=new.type,
            sender=new.sender,
            content=new.content,
            room_id=head.room_id or None,
            origin_server_ts=self._clock.now_ms() if new.origin_server_ts is None else new.origin_server_ts,
            depth=min(MAX_DEPTH, head.depth + 1),
            prev_events=await self._references(version, prev),
            auth_events=[stored.event for stored in auth],
            state_key=new.state_key,
            redacts=new.redacts,
            event_id=None if version.event_id_is_hash else _random_event_id(self._signer.server_name),
            origin=self._signer.server_name if self._is_shown(new) else None,
        )

    def _is_shown(self, new: NewEvent) -> bool:
        """An invite of another server's user is shown to that server, and says whose it is: PUT /invite."""
        if new.type != "m.room.member" or new.content.get("membership") != "invite":
            return False
        return not (new.state_key or "").endswith(f":{self._signer.server_name}")

    async def _references(self, version: RoomVersion, extremities: list[Extremity]) -> Sequence[Event | EventId]:
        """The oldest room versions name an event by its hash too."""
        if version.event_id_is_hash:
            return [event_id for _, event_id, _ in extremities]
        found = await self._events.get([nid for nid, _, _ in extremities])
        return [found[nid].event for nid, _, _ in extremities]

    def _undo(self, decided: _Decided | None) -> None:
        """What was decided will not be: no look-up may find it, and no decision may stand on it.

        What was handed over before is committed by now or refused too, so that the head can be read anew.
        """
        if decided is None:
            return
        for stored in decided.events:
            self._events.forget(stored)
        if decided.events:
            self._heads.drop(decided.head)

    async def sent_before(self, transaction: TransactionKey) -> StoredEvent | None:
        """The event that was sent under this transaction id."""
        event_id = await self._database.read(event_transactions.find_sent, transaction)
        return None if event_id is None else await self._events.find(event_id)


_REFUSALS = (AuthRuleFailed, BadEvent)


def _settled(decided: _Decided) -> list[StoredEvent]:
    """The events, committed. Unless others were decided on it since, the head is ahead of nothing any more."""
    if decided.head.after is decided.change:
        decided.head.after = decided.change.position_in(decided.head.room_nid)
    return decided.events


def for_client(error: AuthRuleFailed | BadEvent) -> MatrixError:
    """What a client hears of an event that was not to be made."""
    if isinstance(error, AuthRuleFailed):
        return Forbidden(error.reason)
    if isinstance(error, EventTooLarge):
        return TooLarge(str(error))
    return BadRequest(str(error))


def _random_room_id(server_name: ServerName) -> RoomId:
    # 18 letters as Synapse's, without those that a colon or a shell would mind.
    return RoomId(f"!{secrets.token_urlsafe(14)}:{server_name}")


def _random_event_id(server_name: ServerName) -> EventId:
    return EventId(f"${secrets.token_urlsafe(18)}:{server_name}")
