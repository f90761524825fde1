"""The body of a transaction, from the entries of the stream that it tells.

Source: application service API, PUT /_matrix/app/v1/transactions/{txnId}; MSC2409, MSC3202, MSC4203.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import orjson
from attrs import define, field, frozen

from appservice.encryption import EncryptionNews
from appservice.ephemeral import edus
from appservice.event_format import Around, event_bytes
from appservice.interest import Interest
from appservice.room_ids import RoomIds
from homeserver.runtime.clock import Clock
from matrix.client_format import stripped_state
from matrix.event_references import references
from matrix.events import Json, StateKey
from storage import imported_events, out_of_band
from storage.appservice_reading import Seen, messages
from storage.change import Kind
from storage.database import Database
from storage.events import Events, StoredEvent, find_events
from storage.state import keys_before

# Proxies and libraries in front of services refuse bodies of some megabytes; one event at least is always sent.
MAX_BYTES = 800_000
_EVENTS = (Kind.EVENT, Kind.ROOM)
_EPHEMERAL_NAMES = (b"ephemeral", b"de.sorunome.msc2409.ephemeral")
_TO_DEVICE_NAMES = (b"to_device", b"de.sorunome.msc2409.to_device")


@frozen
class Composed:
    """`count`: so many of the entries are told. `body` None: there is nothing in them to tell any more."""

    count: int
    events: int
    body: bytes | None = field(repr=False)


@frozen
class _Loaded:
    """Events by number, those that they speak of, and the rooms that invites show."""

    events: Mapping[int, StoredEvent]
    around: Around


@define
class _Pieces:
    """Of the first `count` entries the events and the messages, as bytes."""

    count: int
    events: list[bytes] = field(factory=list)
    messages: list[bytes] = field(factory=list)


class Composer:
    """`shown_state`: what of a room's state is shown to who is invited."""

    def __init__(
        self,
        *,
        database: Database,
        events: Events,
        room_ids: RoomIds,
        encryption: EncryptionNews,
        clock: Clock,
        shown_state: Collection[StateKey],
    ) -> None:
        self._database = database
        self._events = events
        self._room_ids = room_ids
        self._encryption = encryption
        self._clock = clock
        self._shown_state = tuple(shown_state)

    async def compose(self, interest: Interest, told: Sequence[Seen], *, is_newest: bool) -> Composed:
        """A transaction of the first of these entries, of all if they are not too large.

        `is_newest`: the stream has told nothing more.
        """
        pieces = await self._pieces(interest, told)
        is_newest = is_newest and pieces.count == len(told)
        told = told[: pieces.count]
        parts = [b'{"events":' + _array(pieces.events)]
        has_more = bool(pieces.messages)
        if interest.registration.wants_ephemeral:
            passing = await self._passing(interest, told, with_typing=is_newest)
            has_more = has_more or bool(passing)
            parts += _named(_EPHEMERAL_NAMES, _array([orjson.dumps(edu) for edu in passing]))
            parts += _named(_TO_DEVICE_NAMES, _array(pieces.messages))
        if interest.registration.wants_encryption:
            has_more = has_more or any(one.kind in (Kind.DEVICE_LIST, Kind.KEY_COUNTS) for one in told)
            if pieces.events or has_more:
                news = await self._encryption.of(interest, told)
                parts += [b',"%b":%b' % (name.encode(), orjson.dumps(value)) for name, value in news]
        body = b"".join([*parts, b"}"]) if pieces.events or has_more else None
        return Composed(pieces.count, len(pieces.events), body)

    async def _pieces(self, interest: Interest, told: Sequence[Seen]) -> _Pieces:
        """What of these entries has a size that matters, as far as it fits in."""
        loaded = await self._load(interest, [one for one in told if one.kind in _EVENTS])
        addressed = await self._messages(told)
        pieces = _Pieces(len(told))
        size = 0
        for count, one in enumerate(told):
            if one.kind in _EVENTS:
                stored = loaded.events.get(_nid(one))
                piece = None if stored is None else event_bytes(stored, loaded.around)
            else:
                piece = addressed.get(one.position)
            if piece is None:
                continue
            size += len(piece)
            if size > MAX_BYTES and (pieces.events or pieces.messages):
                pieces.count = count
                break
            (pieces.messages if one.kind is Kind.TO_DEVICE else pieces.events).append(piece)
        return pieces

    async def _load(self, interest: Interest, told: Sequence[Seen]) -> _Loaded:
        if not told:
            return _Loaded({}, Around(now_ms=0))
        events = await self._get([one.nid for one in told if one.kind is Kind.EVENT])
        shown = await self._shown(events)
        elsewhere = [_nid(one) for one in told if one.kind is Kind.ROOM]
        if elsewhere:
            for nid, row in (await self._database.read(out_of_band.find, elsewhere)).items():
                events[nid] = row.event
                if row.event.event.membership in ("invite", "knock"):
                    shown[nid] = row.room_state
        wanted = {one.replaces for one in events.values() if one.replaces}
        wanted |= {one.redacted_by for one in events.values() if one.redacted_by is not None}
        others = await self._get(wanted)
        ids = await self._ids(interest, _referred_to(events.values()))
        return _Loaded(events, Around(now_ms=self._clock.now_ms(), others=others, shown=shown, ids=ids))

    async def _ids(self, interest: Interest, event_ids: Sequence[str]) -> Mapping[str, str]:
        """By which other ids the service knows these events: those that it has chosen when it imported them."""
        if not event_ids:
            return {}
        return await self._database.read(imported_events.claimed_by, interest.registration.id, event_ids)

    async def _get(self, nids: Iterable[int]) -> dict[int, StoredEvent]:
        """From memory, else from the database, and then not kept: a service far behind would drive out what is hot."""
        found: dict[int, StoredEvent] = {}
        lacking = []
        for nid in nids:
            if (stored := self._events.known(nid)) is not None:
                found[nid] = stored
            else:
                lacking.append(nid)
        if lacking:
            found |= await self._database.read(find_events, lacking)
        return found

    async def _shown(self, events: Mapping[int, StoredEvent]) -> dict[int, list[Json]]:
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
        shown: dict[int, list[Json]] = {}
        for nid, one in invites.items():
            own = {*self._shown_state, ("m.room.member", str(one.event.sender))}
            of_room = [found[other] for key, other in states.get(nid, {}).items() if key in own and other in found]
            shown[nid] = [stripped_state(other.event) for other in of_room]
        return shown

    async def _passing(self, interest: Interest, told: Sequence[Seen], *, with_typing: bool) -> list[Json]:
        passing = [one for one in told if one.kind in (Kind.TYPING, Kind.RECEIPT, Kind.PRESENCE)]
        await self._room_ids.load(one.room_nid for one in passing if one.room_nid is not None)
        ids = await self._ids(interest, [str(one.body["event_id"]) for one in passing if one.kind is Kind.RECEIPT])
        made = edus(passing, self._room_ids.known, self._clock.now_ms(), with_typing=with_typing)
        return [_named_by(ids, edu) if ids and edu["type"] == "m.receipt" else edu for edu in made]

    async def _messages(self, told: Sequence[Seen]) -> dict[int, bytes]:
        """To-device messages by position. They stay for the device's own sync, which deletes them, as in Synapse."""
        keys = [
            (one.user_id or "", str(one.body["device_id"]), one.position) for one in told if one.kind is Kind.TO_DEVICE
        ]
        if not keys:
            return {}
        found = await self._database.read(messages, keys)
        return {position: _addressed(user, device, json) for (user, device, position), json in found.items()}


def _addressed(user_id: str, device_id: str, json: str) -> bytes:
    return orjson.dumps({"to_user_id": user_id, "to_device_id": device_id, **orjson.loads(json)})


def _referred_to(events: Collection[StoredEvent]) -> list[str]:
    found = [one for stored in events for one in references(stored.event.content)]
    return found + [str(stored.event.redacts) for stored in events if stored.event.redacts is not None]


def _named_by(ids: Mapping[str, str], receipt: Json) -> Json:
    content = {ids.get(event_id, event_id): value for event_id, value in receipt["content"].items()}
    return {**receipt, "content": content}


def _nid(seen: Seen) -> int:
    return seen.nid if seen.kind is Kind.EVENT else int(seen.body["event_nid"])


def _array(items: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"


def _named(names: Sequence[bytes], value: bytes) -> list[bytes]:
    return [b',"%b":%b' % (name, value) for name in names]
