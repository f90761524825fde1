"""Ties the loose ends of a room together: where many forward extremities remain, an event that says nothing joins them.

An event names at most 10 of them, and its state is what those 10 make: with more, ours would differ from what other
servers find. So no event of ours is made on more, as long as a user of ours may speak in the room.

Source: as Synapse ("org.matrix.dummy_event"); server-server API, "PDUs", `prev_events`.
"""

import logging
from collections.abc import Iterable, Sequence

from attrs import frozen

from homeserver.runtime.clock import Clock
from homeserver.runtime.linearizer import Linearizer
from homeserver.runtime.tasks import Tasks
from homeserver.services.rooms.heads import MAX_PREV_EVENTS, Extremity, Heads
from homeserver.services.rooms.intake import Signer
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.remote.receiver import Receiver
from homeserver.services.rooms.remote.state_before import Settled, StateBefore
from homeserver.services.rooms.restricted_joins import IsLocal
from matrix import auth_rules
from matrix.auth_needs import auth_keys, state_keys
from matrix.building import Draft, Reference, build
from matrix.errors import AuthRuleFailed, MatrixError
from matrix.events import Event
from matrix.ids import EventId, RoomId, UserId
from storage.change import Entry, Kind
from storage.events import DUMMY, Events, StoredEvent
from storage.overlays import Changes

logger = logging.getLogger(__name__)

# So many events for one room at once, and so many users of ours who are tried for each.
MAX_EVENTS, MAX_USERS = 20, 10


@frozen(kw_only=True)
class LooseEndsParts:
    # So many may stay.
    most: int
    heads: Heads
    members: Members
    events: Events
    states: StateBefore
    receiver: Receiver
    signer: Signer
    is_local: IsLocal
    clock: Clock
    tasks: Tasks


class LooseEnds:
    def __init__(self, parts: LooseEndsParts) -> None:
        self._parts = parts
        self._heads = parts.heads
        # With more, our events would not name them all.
        self._most = min(max(parts.most, 1), MAX_PREV_EVENTS)
        self._turns = Linearizer(max_waiting=100)
        self._tying: set[RoomId] = set()

    def read_stream(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.kind is not Kind.EVENT or entry.body.flags:
                continue
            room_id = entry.body.event.room_id
            if self._heads.is_crowded(room_id, self._most) and room_id not in self._tying:
                self._tying.add(room_id)
                self._parts.tasks.background("rooms.loose_ends", self._tie_soon(room_id))

    async def _tie_soon(self, room_id: RoomId) -> None:
        try:
            await self.tie(room_id)
        finally:
            self._tying.discard(room_id)

    async def tie(self, room_id: RoomId) -> None:
        """Comes back when few enough are left, or when no user of ours can do anything about it."""
        async with self._turns.of(room_id):
            for _ in range(MAX_EVENTS):
                event = await self._next(room_id)
                if event is None:
                    return
                try:
                    await self._parts.receiver.accept(event)
                except MatrixError as error:
                    logger.info("The loose ends of %s stay: %s", room_id, error)
                    return

    async def _next(self, room_id: RoomId) -> Event | None:
        """An event on the 10 that are the furthest back."""
        async with self._heads.linearizer.of(room_id):
            settled = await self._parts.states.settled(room_id)
            ends = settled.head.extremities
            if len(ends) <= self._most:
                return None
            chosen = sorted(ends, key=lambda end: end[2])[:MAX_PREV_EVENTS]
            graph = await self._parts.states.graph(settled, [nid for nid, _, _ in chosen])
            states = [graph.after(nid) for nid, _, _ in chosen]
            before = await self._parts.states.resolve(settled.head, settled.head.state, states)
            users = await self._parts.members.joined(settled.head.room_nid)
            for user in [user for user in users if self._parts.is_local(user.domain)][:MAX_USERS]:
                if (event := await self._by(user, settled, before, chosen)) is not None:
                    return event
            return None

    async def _by(self, user: UserId, settled: Settled, before: Changes, chosen: Sequence[Extremity]) -> Event | None:
        """The event of this user, if it is allowed by the state before it, and by today's."""
        head, version = settled.head, settled.head.version
        keys = state_keys(version, DUMMY, user, None, {})
        judged_by = await self._parts.states.events_of(head.state, before, keys)
        today = await self._heads.state_events(head, keys)
        named = [judged_by[key] for key in auth_keys(version, DUMMY, user, None, {}) if key in judged_by]
        event_id = None if version.event_id_is_hash else EventId(f"$end{chosen[0][0]}:{self._parts.signer.server_name}")
        draft = Draft(
            type=DUMMY,
            sender=user,
            content={},
            room_id=head.room_id,
            origin_server_ts=self._parts.clock.now_ms(),
            depth=max(depth for _, _, depth in chosen) + 1,
            prev_events=await self._references(chosen, by_id=version.event_id_is_hash),
            auth_events=[stored.event for stored in named],
            event_id=event_id,
        )
        event = build(draft, version, self._parts.signer.server_name, self._parts.signer.key)
        try:
            for state in (judged_by, today):
                auth_rules.check(event, {key: stored.event for key, stored in state.items()})
        except AuthRuleFailed:
            return None
        return event

    async def _references(self, chosen: Sequence[Extremity], *, by_id: bool) -> Sequence[Reference]:
        if by_id:
            return [event_id for _, event_id, _ in chosen]
        found: dict[int, StoredEvent] = await self._parts.events.get([nid for nid, _, _ in chosen])
        return [found[nid].event for nid, _, _ in chosen]
