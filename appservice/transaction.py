"""The body of a transaction, from the entries of the stream that it tells.

Source: application service API, PUT /_matrix/app/v1/transactions/{txnId}; MSC2409, MSC3202, MSC4203.
"""

from collections.abc import Mapping, Sequence

import orjson
from attrs import define, field, frozen

from appservice.encryption import EncryptionNews
from appservice.ephemeral import edus
from appservice.interest import Interest
from appservice.loading import EVENTS, Loading
from appservice.room_ids import RoomIds
from homeserver.runtime.clock import Clock
from matrix.events import Json
from storage.appservice_reading import Seen, messages
from storage.change import Kind
from storage.database import Database

# Proxies and libraries in front of services refuse bodies of some megabytes; one event at least is always sent.
MAX_BYTES = 800_000
_EPHEMERAL_NAMES = (b"ephemeral", b"de.sorunome.msc2409.ephemeral")
_TO_DEVICE_NAMES = (b"to_device", b"de.sorunome.msc2409.to_device")


@frozen
class Composed:
    """`count`: so many of the entries are told. `body` None: there is nothing in them to tell any more."""

    count: int
    events: int
    body: bytes | None = field(repr=False)


@define
class _Pieces:
    """Of the first `count` entries the events and the messages, as bytes."""

    count: int
    events: list[bytes] = field(factory=list)
    messages: list[bytes] = field(factory=list)


class Composer:
    def __init__(
        self,
        *,
        database: Database,
        loading: Loading,
        room_ids: RoomIds,
        encryption: EncryptionNews,
        clock: Clock,
    ) -> None:
        self._database = database
        self._loading = loading
        self._room_ids = room_ids
        self._encryption = encryption
        self._clock = clock

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
            of_keys = [one.kind for one in told if one.kind in (Kind.DEVICE_LIST, Kind.KEY_COUNTS)]
            if pieces.events or has_more or of_keys:
                news = await self._encryption.of(interest, told)
                parts += [b',"%b":%b' % (name.encode(), orjson.dumps(value)) for name, value in news]
                has_more = has_more or Kind.KEY_COUNTS in of_keys or any(name == "device_lists" for name, _ in news)
        body = b"".join([*parts, b"}"]) if pieces.events or has_more else None
        return Composed(pieces.count, len(pieces.events), body)

    async def _pieces(self, interest: Interest, told: Sequence[Seen]) -> _Pieces:
        """What of these entries has a size that matters, as far as it fits in."""
        loaded = await self._loading.load(interest, told)
        addressed = await self._messages(told)
        pieces = _Pieces(len(told))
        size = 0
        for count, one in enumerate(told):
            piece = loaded.piece(one) if one.kind in EVENTS else addressed.get(one.position)
            if piece is None:
                continue
            size += len(piece)
            if size > MAX_BYTES and (pieces.events or pieces.messages):
                pieces.count = count
                break
            (pieces.messages if one.kind is Kind.TO_DEVICE else pieces.events).append(piece)
        return pieces

    async def _passing(self, interest: Interest, told: Sequence[Seen], *, with_typing: bool) -> list[Json]:
        passing = [one for one in told if one.kind in (Kind.TYPING, Kind.RECEIPT, Kind.PRESENCE)]
        await self._room_ids.load(one.room_nid for one in passing if one.room_nid is not None)
        ids = await self._loading.ids(
            interest, [str(one.body["event_id"]) for one in passing if one.kind is Kind.RECEIPT]
        )
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


def _named_by(ids: Mapping[str, str], receipt: Json) -> Json:
    content = {ids.get(event_id, event_id): value for event_id, value in receipt["content"].items()}
    return {**receipt, "content": content}


def _array(items: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"


def _named(names: Sequence[bytes], value: bytes) -> list[bytes]:
    return [b',"%b":%b' % (name, value) for name in names]
