"""PUT /send: another server's events and EDUs.

A server's transactions are worked on one after another. One that is sent again has the answer of the first time, also
from another process or after a restart. Events of different rooms do not wait for each other; those of one room come
in the order in which they stand. What is wrong with an event is said of that event alone.

Source: server-server API, "Transactions", "Server Access Control Lists (ACLs)".
"""

import logging
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol

import orjson
from attrs import evolve, field, frozen
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime

from federation.inbound.routes import V1, ServerApi, origin_of, server_route
from federation.outbound.errors import RemoteError
from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock
from homeserver.runtime.linearizer import Linearizer
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.together import together
from homeserver.runtime.turns import Turns
from homeserver.services.remote_news.edus import NOT_ITS_FAULT, Edus
from homeserver.services.rooms.for_servers.acls import ServerAcls
from homeserver.services.rooms.heads import Heads
from homeserver.web.body import ANY_DEPTH, LARGE_JSON_BYTES
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from matrix.errors import BadEvent, BadRequest, InvalidParam, MatrixError, NotCanonical
from matrix.events import Json
from matrix.hashing import event_id_of
from matrix.ids import BadIdentifier, EventId, RoomId, ServerName
from matrix.room_versions import ROOM_VERSIONS, RoomVersion
from storage import arriving
from storage import received_transactions as rows
from storage.arriving import Sent, is_plain
from storage.change import Change
from storage.loader import Loader
from storage.opened import Storage

logger = logging.getLogger(__name__)

MAX_PDUS, MAX_EDUS = 50, 100
MAX_ID_BYTES = 255
# A server that does not wait for the answer to its last transaction finds so many places in the line.
MAX_WAITING = 10
# Answers that this process gave last; older ones are in the database.
MAX_KEPT = 2_000
MAX_ERROR_CHARACTERS = 500
# EDUs that do no harm when they come again after a restart: receipts move forward only, messages to devices have ids
# of their own, and who types or is there is told again and again. No answer is written down for their sake.
_REPEATABLE = frozenset({"m.typing", "m.presence", "m.receipt", "m.direct_to_device"})

Answering = dict[str, Any]
NOTHING: Mapping[EventId, Json] = {}


class Door(Protocol):
    """As homeserver.services.rooms.remote_membership.door has it."""

    def receive(self, origin: ServerName, room_id: RoomId, pdu: Json) -> Awaitable[None]: ...

    def follow(
        self, origin: ServerName, room_id: RoomId, pdus: Sequence[tuple[EventId | None, Json]]
    ) -> Awaitable[int]: ...


@frozen
class Transaction:
    origin: ServerName
    transaction_id: str
    pdus: Sequence[Any] = field(repr=False)
    edus: Sequence[Any] = field(repr=False)


@frozen
class OfRoom:
    """The events of a transaction that are of one room, and their ids where these can be told."""

    room_id: RoomId
    events: Sequence[tuple[EventId | None, Json]] = field(repr=False)


class Pdus:
    """The events of a transaction."""

    def __init__(self, *, heads: Heads, acls: ServerAcls, door: Door, metrics: Metrics) -> None:
        self._heads = heads
        self._acls = acls
        self._door = door
        self._received = cache(metrics.counter("federation_received_pdus", "PDUs of other servers", ["outcome"]).labels)

    async def by_room(self, pdus: Sequence[Any]) -> list[OfRoom]:
        """Those of rooms that are known here."""
        rooms: dict[RoomId, list[Json]] = {}
        for pdu in pdus:
            room_id = _room_id(pdu)
            if room_id is not None:
                rooms.setdefault(room_id, []).append(pdu)
        found: dict[RoomId, OfRoom] = {}
        await together(self._identify(room_id, of_room, found) for room_id, of_room in rooms.items())
        return [found[room_id] for room_id in rooms if room_id in found]

    async def follow(self, origin: ServerName, rooms: Iterable[OfRoom]) -> tuple[dict[EventId, Json], list[OfRoom]]:
        """Takes in what simply follows what is here, without a look; gives the results, and what is left."""
        results: dict[EventId, Json] = {}
        left: list[OfRoom] = []
        await together(self._follow(origin, of_room, results, left) for of_room in rooms)
        return results, left

    async def _follow(
        self, origin: ServerName, of_room: OfRoom, results: dict[EventId, Json], left: list[OfRoom]
    ) -> None:
        done = 0
        try:
            if await self._acls.may_act(origin, of_room.room_id):
                done = await self._door.follow(origin, of_room.room_id, of_room.events)
        except (*NOT_ITS_FAULT, CancelledError):
            raise
        except Exception:
            # Whatever it is, it is said of the one event when that is taken in by itself.
            logger.exception("Events of %s in %s could not be taken in together", origin, of_room.room_id)
        results.update((event_id, {}) for event_id, _ in of_room.events[:done] if event_id is not None)
        self._received("taken").inc(done)
        if done < len(of_room.events):
            left.append(OfRoom(of_room.room_id, of_room.events[done:]))

    async def receive(self, origin: ServerName, rooms: Iterable[OfRoom]) -> dict[EventId, Json]:
        """`{}` or `{"error": ...}` of each event whose id can be told."""
        results: dict[EventId, Json] = {}
        await together(self._receive_of_room(origin, of_room, results) for of_room in rooms)
        return results

    async def _identify(self, room_id: RoomId, pdus: Sequence[Json], found: dict[RoomId, OfRoom]) -> None:
        room = await self._heads.find_room(room_id)
        if room is None:
            # Without its version not even the ids of its events can be told. Synapse is as silent.
            self._received("unknown_room").inc(len(pdus))
            return
        version = ROOM_VERSIONS[room.version]
        found[room_id] = OfRoom(room_id, [(_event_id(pdu, version), pdu) for pdu in pdus])

    async def _receive_of_room(self, origin: ServerName, of_room: OfRoom, results: dict[EventId, Json]) -> None:
        may_act = await self._acls.may_act(origin, of_room.room_id)
        for event_id, pdu in of_room.events:
            error = await self._error(origin, of_room.room_id, pdu) if may_act else "Server is banned from room"
            self._received("refused" if error else "taken").inc()
            if event_id is not None:
                results[event_id] = {"error": error} if error else {}

    async def _error(self, origin: ServerName, room_id: RoomId, pdu: Json) -> str | None:
        try:
            await self._door.receive(origin, room_id, pdu)
        except BadEvent as error:
            return str(error)[:MAX_ERROR_CHARACTERS]
        except RemoteError as error:
            # It is no fault of the event that we cannot place it yet: whatever follows it brings it up again.
            logger.info("An event of %s in %s is left out: %s", origin, room_id, error)
            return None
        except MatrixError as error:
            return error.message[:MAX_ERROR_CHARACTERS]
        except (*NOT_ITS_FAULT, CancelledError):
            raise
        except Exception:
            # Else the server would send it again and again, and nothing after it.
            logger.exception("An event of %s in %s could not be taken in", origin, room_id)
            return "Internal server error"
        return None


class Transactions:
    def __init__(self, *, storage: Storage, clock: Clock, reactor: IReactorTime, pdus: Pdus, edus: Edus) -> None:
        self._arriving = Loader(arriving.find, database=storage.database, reactor=reactor)
        self._expected = storage.events.expected
        self._committer = storage.committer
        self._clock = clock
        self._pdus = pdus
        self._edus = edus
        self._turns = Linearizer(max_waiting=MAX_WAITING)
        self._answers: Lru[tuple[ServerName, str], Answering] = Lru("federation_answers", MAX_KEPT)

    async def receive(self, transaction: Transaction) -> Answering:
        """The answer. Raises: LimitExceeded, if too many of the server's transactions wait."""
        key = (transaction.origin, transaction.transaction_id)
        async with self._turns.of(transaction.origin):
            answer = self._answers.get(key)
            if answer is None:
                answer = await self._first_answer(transaction)
                self._answers.set(key, answer)
            return answer

    async def _first_answer(self, transaction: Transaction) -> Answering:
        """What simply follows is taken in at once: that it is new the commit finds out."""
        rooms = await self._pdus.by_room(transaction.pdus)
        if any(map(_has_lasting_effect, transaction.edus)):
            return await self._answer(transaction, rooms)
        results: dict[EventId, Json] = {}
        left: Sequence[OfRoom] = ()

        async def follow() -> None:
            nonlocal results, left
            results, left = await self._pdus.follow(transaction.origin, rooms)

        edus = [self._edus.receive(transaction.origin, transaction.edus)] if transaction.edus else []
        await together((*edus, follow()))
        if not left:
            return _answer_of(results)
        return await self._answer(evolve(transaction, edus=()), left, results)

    async def _answer(
        self, transaction: Transaction, rooms: Sequence[OfRoom], done: Mapping[EventId, Json] = NOTHING
    ) -> Answering:
        """That of another process, or of the one that ran before; else the transaction is worked on.

        `done`: what has become of events that are no longer among those of the rooms.
        """
        ids = tuple(event_id for of_room in rooms for event_id, _ in of_room.events if event_id is not None)
        found = await self._arriving.load(Sent(transaction.origin, transaction.transaction_id, ids))
        assert found is not None
        if found.answer is not None:
            told: Answering = orjson.loads(found.answer)
            return told
        absent = {event_id for event_id in ids if is_plain(event_id) and event_id not in found.here}
        with self._expected.these(absent, found.referred):
            return await self._work(transaction, rooms, done)

    async def _work(self, transaction: Transaction, rooms: Sequence[OfRoom], done: Mapping[EventId, Json]) -> Answering:
        results: Mapping[EventId, Json] = {}

        async def take_pdus() -> None:
            nonlocal results
            results = {**done, **await self._pdus.receive(transaction.origin, rooms)}

        # Keys for messages must not wait until the messages' room is complete.
        await together((self._edus.receive(transaction.origin, transaction.edus), take_pdus()))
        answer = _answer_of(results)
        if any(results.values()) or any(map(_has_lasting_effect, transaction.edus)):
            # Events that were taken in are known by their ids: the answer would be the same again.
            text = orjson.dumps(answer).decode()
            row = (transaction.origin, transaction.transaction_id, text, self._clock.now_ms())
            await self._committer(Change().put(rows.ADD, row))
        return answer


class TransactionsApi(ServerApi):
    def __init__(self, *, turns: Turns, transactions: Transactions) -> None:
        super().__init__(turns=turns)
        self._transactions = transactions

    @server_route("PUT", f"{V1}/send/{{transaction_id}}", max_body_bytes=LARGE_JSON_BYTES)
    async def send(self, call: Call, transaction_id: str) -> Answer:
        if len(transaction_id.encode()) > MAX_ID_BYTES or "\x00" in transaction_id:
            raise InvalidParam(f"A transaction id has at most {MAX_ID_BYTES} bytes")
        # One event that nests too deeply is no fault of the others.
        body = call.json(max_depth=ANY_DEPTH)
        # Servers of old send no empty lists.
        pdus, edus = body.items("pdus", ()), body.items("edus", ())
        if len(pdus) > MAX_PDUS or len(edus) > MAX_EDUS:
            raise BadRequest(f"A transaction has at most {MAX_PDUS} PDUs and {MAX_EDUS} EDUs")
        return await self._transactions.receive(Transaction(origin_of(call), transaction_id, pdus, edus))


def _has_lasting_effect(edu: Any) -> bool:
    return isinstance(edu, dict) and edu.get("edu_type") not in _REPEATABLE


def _answer_of(results: Mapping[EventId, Json]) -> Answering:
    return {"pdus": {str(event_id): result for event_id, result in results.items()}}


def _room_id(pdu: Any) -> RoomId | None:
    text = pdu.get("room_id") if isinstance(pdu, dict) else None
    try:
        return RoomId.parse(text) if isinstance(text, str) else None
    except BadIdentifier:
        return None


def _event_id(pdu: Json, version: RoomVersion) -> EventId | None:
    """The id, however faulty the event is; None if it has none."""
    try:
        event_id = event_id_of(pdu, version)
    except (KeyError, TypeError, ValueError, AttributeError, NotCanonical):
        return None
    return event_id if isinstance(event_id, str) else None
