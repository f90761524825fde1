"""Loads what a transaction tells of events: they, and what is said beside them.

What is not in memory is read and not kept: a service far behind would drive out what is hot.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from attrs import field, frozen

from appservice.event_format import Around, event_bytes, plain_bytes
from appservice.interest import Interest
from homeserver.runtime.clock import Clock
from matrix.client_format import stripped_state
from matrix.event_references import references
from matrix.events import Json, StateKey
from storage import imported_events, out_of_band
from storage.appservice_events import PlainEvent, find_told
from storage.appservice_reading import Seen
from storage.change import Kind
from storage.database import Database
from storage.events import Events, StoredEvent, find_events
from storage.state import keys_before

EVENTS = (Kind.EVENT, Kind.ROOM)


@frozen
class Loaded:
    """Events by number, and what they speak of. Those that are `plain` speak of nothing."""

    around: Around
    events: Mapping[int, StoredEvent] = field(factory=dict)
    plain: Mapping[int, PlainEvent] = field(factory=dict)

    def piece(self, seen: Seen) -> bytes | None:
        """The bytes that tell the entry; None: its event is not there."""
        nid = _nid(seen)
        if (plain := self.plain.get(nid)) is not None:
            return plain_bytes(plain, self.around)
        stored = self.events.get(nid)
        return None if stored is None else event_bytes(stored, self.around)


class Loading:
    """`shown_state`: what of a room's state is shown to who is invited."""

    def __init__(self, *, database: Database, events: Events, clock: Clock, shown_state: Collection[StateKey]) -> None:
        self._database = database
        self._events = events
        self._clock = clock
        self._shown_state = tuple(shown_state)

    async def load(self, interest: Interest, told: Iterable[Seen]) -> Loaded:
        """All that is told of the entries that are events."""
        told = [one for one in told if one.kind in EVENTS]
        now_ms = self._clock.now_ms()
        if not told:
            return Loaded(Around(now_ms=now_ms))
        events, lacking = self._known(one.nid for one in told if one.kind is Kind.EVENT)
        plain: Mapping[int, PlainEvent] = {}
        if lacking:
            plain, others = await self._database.read(find_told, lacking)
            events |= others
        shown = await self._shown(events)
        elsewhere = [_nid(one) for one in told if one.kind is Kind.ROOM]
        if elsewhere:
            for nid, row in (await self._database.read(out_of_band.find, elsewhere)).items():
                events[nid] = row.event
                if row.event.event.membership in ("invite", "knock"):
                    shown[nid] = row.room_state
        around = await self._around(interest, events.values(), shown, now_ms)
        return Loaded(around, events, plain)

    async def _around(
        self, interest: Interest, events: Collection[StoredEvent], shown: Mapping[int, Sequence[Json]], now_ms: int
    ) -> Around:
        wanted = {one.replaces for one in events if one.replaces}
        wanted |= {one.redacted_by for one in events if one.redacted_by is not None}
        others = await self._get(wanted)
        ids = await self.ids(interest, _referred_to(events))
        return Around(now_ms=now_ms, others=others, shown=shown, ids=ids)

    async def ids(self, interest: Interest, event_ids: Sequence[str]) -> Mapping[str, str]:
        """By which other ids the service knows these events: those that it has chosen when it imported them."""
        if not event_ids:
            return {}
        return await self._database.read(imported_events.claimed_by, interest.registration.id, event_ids)

    def _known(self, nids: Iterable[int]) -> tuple[dict[int, StoredEvent], list[int]]:
        """Those in memory, and those that are not."""
        found: dict[int, StoredEvent] = {}
        lacking = []
        for nid in nids:
            if (stored := self._events.known(nid)) is not None:
                found[nid] = stored
            else:
                lacking.append(nid)
        return found, lacking

    async def _get(self, nids: Iterable[int]) -> dict[int, StoredEvent]:
        found, lacking = self._known(nids)
        if lacking:
            found |= await self._database.read(find_events, lacking)
        return found

    async def _shown(self, events: Mapping[int, StoredEvent]) -> dict[int, Sequence[Json]]:
        """What of their rooms these invites show: the state before each, and who invites."""
        invites = {
            nid: one
            for nid, one in events.items()
            if one.event.type == "m.room.member" and one.event.membership == "invite"
        }
        if not invites:
            return {}
        inviters = {("m.room.member", str(one.event.sender)) for one in invites.values()}
        keys = [*self._shown_state, *sorted(inviters)]
        states = await self._database.read(keys_before, list(invites), keys)
        found = await self._get({nid for state in states.values() for nid in state.values()})
        shown: dict[int, Sequence[Json]] = {}
        for nid, one in invites.items():
            own = {*self._shown_state, ("m.room.member", str(one.event.sender))}
            of_room = [found[other] for key, other in states.get(nid, {}).items() if key in own and other in found]
            shown[nid] = [stripped_state(other.event) for other in of_room]
        return shown


def _referred_to(events: Iterable[StoredEvent]) -> list[str]:
    found = [one for stored in events for one in references(stored.event.content)]
    return found + [str(stored.event.redacts) for stored in events if stored.event.redacts is not None]


def _nid(seen: Seen) -> int:
    return seen.nid if seen.kind is Kind.EVENT else int(seen.body["event_nid"])
