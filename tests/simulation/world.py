"""Several Hearths in one process, one room, and events that go between them as a history says.

Nothing is sent by itself: each new event waits for every other server, until a step delivers, doubles or drops it.
What a server asks another for (missing events, state, auth chains, joins) goes over the network in memory, if it is not
cut. At the end everything is delivered, each server says a last word, and all have to agree.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from attrs import define, field, frozen
from twisted.internet.defer import Deferred, gatherResults

from federation.outbound.errors import RemoteError
from federation.outbound.wire import WireAnswer
from homeserver.services.rooms.heads import Head
from matrix.errors import BadEvent, MatrixError
from matrix.events import StateKey
from matrix.ids import EventId, RoomId, ServerName, UserId
from storage.change import Entry, Kind
from storage.events import StoredEvent
from tests.simulation import histories as steps
from tests.simulation.histories import ACTIONS, STATE_TYPES, History, Step
from tests.support.consistency import faults
from tests.support.federation import Deliver, Network, Sent
from tests.support.homeserver import Client, Homeserver, q

MAX_ROUNDS = 6
# So many events of a history are compared by the state before them.
PAST = 25


class Disagreement(AssertionError):
    """Servers that have the same events have not the same state, or a database is torn."""


@frozen
class Delivery:
    origin: str
    destination: str
    event_id: str
    pdu: Mapping[str, Any] = field(repr=False)


@define(eq=False)
class World:
    """`start` once; `play` histories in rooms of their own."""

    network: Network
    servers: list[Homeserver] = field(factory=list)
    users: list[Client] = field(factory=list)
    room: RoomId = field(default=RoomId(""))
    pending: list[Delivery] = field(factory=list)
    _seen: set[str] = field(factory=set)
    _torn: set[tuple[str, str]] = field(factory=set)
    _new: list[tuple[str, StoredEvent]] = field(factory=list)

    async def start(self, count: int = steps.SERVERS) -> "World":
        self.network.on_request = _without_transactions
        for number in range(count):
            server = await self.network.start(f"s{number}.test")
            server.core.storage.read_by(self._listener(str(server.core.server_name)))
            self.servers.append(server)
            self.users += [await server.register(f"u{number}{letter}") for letter in "ab"[: steps.USERS_EACH]]
        return self

    async def play(self, history: History) -> None:
        """Raises: Disagreement."""
        self.pending, self._seen, self._new = [], set(), []
        await self._make_room(history.version)
        for step in history.steps:
            await self._do(step)
            self._gather()
        for one in self.servers:
            for other in self.servers:
                self.network.mend(_name(one), _name(other))
        await self._settle()
        await self._compare()

    def _listener(self, name: str) -> Any:
        def read(entries: Sequence[Entry]) -> None:
            self._new += [(name, entry.body) for entry in entries if entry.kind is Kind.EVENT]

        return read

    async def _make_room(self, version: str) -> None:
        creator = self.users[0]
        levels = {"users": {self.users[2].user_id: 100, self.users[3].user_id: 50}}
        if version != "12":
            levels["users"][creator.user_id] = 100
        self.room = RoomId(
            await creator.create_room(room_version=version, power_level_content_override=levels, preset="public_chat")
        )
        for user in self.users[1:]:
            await self._join(user)
            self._gather()
            await self._deliver_all()

    async def _join(self, user: Client) -> None:
        via = next((_name(server) for server in self.servers if server is not user.hs), "")
        await user.ask("POST", f"/join/{q(self.room)}", {}, server_name=via)

    def _gather(self) -> None:
        """What is new anywhere waits for everybody else."""
        new, self._new = self._new, []
        for name, stored in new:
            if stored.event.room_id != self.room or stored.event_id in self._seen:
                continue
            self._seen.add(stored.event_id)
            others = [_name(server) for server in self.servers if _name(server) != name]
            pdu = orjson.loads(stored.event.canonical)
            self.pending += [Delivery(name, other, stored.event_id, pdu) for other in others]

    async def _do(self, step: Step) -> None:
        user = self.users[step.a % len(self.users)]
        if step.kind == steps.MESSAGE:
            await self._ask(user, "PUT", f"/send/m.room.message/{step.b}-{len(self._seen)}", {"body": f"{step.b}"})
        elif step.kind == steps.STATE:
            await self._set_state(user, STATE_TYPES[step.b % len(STATE_TYPES)], step.c)
        elif step.kind == steps.LEVEL:
            await self._set_level(user, self.users[step.b % len(self.users)], (0, 50, 100)[step.c % 3])
        elif step.kind == steps.MEMBER:
            await self._member(user, self.users[step.b % len(self.users)], ACTIONS[step.c % len(ACTIONS)])
        elif step.kind in (steps.CUT, steps.MEND):
            one, other = (_name(self.servers[n % len(self.servers)]) for n in (step.a, step.b))
            (self.network.cut if step.kind == steps.CUT and one != other else self.network.mend)(one, other)
        elif self.pending:
            await self._carry(step)

    async def _carry(self, step: Step) -> None:
        index = step.a % len(self.pending)
        if step.kind == steps.DROP:
            del self.pending[index]
        elif step.kind == steps.DOUBLE:
            await self._deliver(self.pending[index])
        elif step.kind == steps.DELIVER:
            await self._deliver(self.pending.pop(index))
        else:
            together = [self.pending.pop(n % len(self.pending)) for n in (step.a, step.b, step.c) if self.pending]
            await gatherResults([Deferred.fromCoroutine(self._deliver(one)) for one in together])

    async def _ask(self, user: Client, method: str, path: str, body: Any) -> None:
        response = await user.ask(method, f"/rooms/{q(self.room)}{path}", body)
        if response.status >= 500 and response.status not in (502, 503, 504):
            raise Disagreement(f"{path} of {user.user_id} was answered with {response.status}")

    async def _set_state(self, user: Client, event_type: str, value: int) -> None:
        content: dict[str, Any] = {"value": value}
        if event_type == "m.room.join_rules":
            content = {"join_rule": ("public", "public", "invite")[value % 3]}
        elif event_type == "m.room.history_visibility":
            content = {"history_visibility": ("shared", "joined")[value % 2]}
        await self._ask(user, "PUT", f"/state/{event_type}/", content)

    async def _set_level(self, user: Client, target: Client, level: int) -> None:
        head = await self._head(user.hs)
        stored = await user.hs.server.rooms.heads.state_event(head, "m.room.power_levels")
        if stored is None:
            return
        users = {**stored.event.content.get("users", {}), target.user_id: level}
        await self._ask(user, "PUT", "/state/m.room.power_levels/", {**stored.event.content, "users": users})

    async def _member(self, user: Client, target: Client, action: str) -> None:
        if action == "join":
            await self._join(user)
        elif action == "leave":
            await self._ask(user, "POST", "/leave", {})
        else:
            await self._ask(user, "POST", f"/{action}", {"user_id": target.user_id})

    async def _deliver(self, delivery: Delivery) -> None:
        if self.network.is_cut(delivery.origin, delivery.destination):
            self.pending.append(delivery)
            return
        server = self.network.homeservers[delivery.destination]
        if not await self._is_in(server):
            return
        receiver = server.server.rooms.remote.receiver
        try:
            await receiver.receive(ServerName(delivery.origin), self.room, dict(delivery.pdu))
        except (RemoteError, BadEvent, MatrixError):
            # What it needs is not to be had now: it comes again, or is asked for.
            return

    async def _deliver_all(self) -> None:
        while self.pending:
            await self._deliver(self.pending.pop(0))
            self._gather()

    async def _is_in(self, server: Homeserver) -> bool:
        room = await server.server.rooms.heads.find_room(self.room)
        if room is None:
            return False
        joined = await server.server.rooms.members.joined(room.room_nid)
        return any(user.domain == server.core.server_name for user in joined)

    async def _settle(self) -> None:
        """Everything is delivered, and everybody who can says a word on top of all, until all stand on one."""
        await self._deliver_all()
        for _ in range(MAX_ROUNDS):
            for server in self.servers:
                for user in await self._speakers(server):
                    await self._ask(user, "PUT", f"/send/m.room.message/last-{len(self._seen)}", {"body": "last"})
                    self._gather()
                    if self.pending:
                        break
                await self._deliver_all()
            tips = {tuple(sorted(e for _, e, _ in (await self._head(s)).extremities)) for s in await self._undisputed()}
            if len(tips) <= 1:
                return

    async def _speakers(self, server: Homeserver) -> list[Client]:
        """The server's users, first those who are in the room wherever one asks.

        Whom the others think gone is soft-failed by them each time: what these users say brings nobody together.
        """
        said = [await self._joined(resident) for resident in await self._residents()]
        own = [user for user in self.users if user.hs is server]
        return sorted(own, key=lambda user: not all(user.user_id in names for names in said))

    async def _joined(self, server: Homeserver) -> set[str]:
        room = await server.server.rooms.heads.room(self.room)
        return {str(user) for user in await server.server.rooms.members.joined(room.room_nid)}

    async def _residents(self) -> list[Homeserver]:
        return [server for server in self.servers if await self._is_in(server)]

    async def _head(self, server: Homeserver) -> Head:
        return await server.server.rooms.heads.get(self.room)

    async def _undisputed(self) -> list[Homeserver]:
        """The servers that all who are in the room think are in it.

        Who was kicked out, and never told since that message was lost, cannot ask any more.
        """
        residents = await self._residents()
        said = [{str(UserId(name).domain) for name in await self._joined(server)} for server in residents]
        return [server for server in residents if all(_name(server) in names for names in said)]

    async def _compare(self) -> None:
        residents = await self._undisputed()
        tips, states = {}, {}
        for server in residents:
            head = await self._head(server)
            tips[_name(server)] = sorted(event_id for _, event_id, _ in head.extremities)
            states[_name(server)] = await self._named(server, head.state)
        for server in self.servers:
            # What another history has torn stays so: a smaller one is looked for.
            torn = [fault for fault in faults(server.dsn) if (_name(server), fault) not in self._torn]
            if torn:
                self._torn.update((_name(server), fault) for fault in torn)
                raise Disagreement(f"{_name(server)} is torn: {torn[:5]}")
        first = next(iter(states), None)
        for name, state in states.items():
            if first is not None and tips[name] == tips[first] and state != states[first]:
                differing = {key for key in state | states[first] if state.get(key) != states[first].get(key)}
                raise Disagreement(f"{name} and {first} differ in {sorted(differing)}")
        if len(set(map(tuple, tips.values()))) > 1:
            raise Disagreement(f"the servers do not come together: {tips}")
        await self._compare_past(residents)

    async def _compare_past(self, residents: Sequence[Homeserver]) -> None:
        """The state before an event is the same wherever its place is known."""
        for event_id in random.Random(len(self._seen)).sample(sorted(self._seen), min(PAST, len(self._seen))):
            before: dict[str, dict[StateKey, str]] = {}
            for server in residents:
                stored = await server.core.storage.events.find(EventId(event_id))
                if stored is not None and stored.visible:
                    state = await server.server.rooms.remote.states.of_event(stored)
                    before[_name(server)] = await self._named(server, state)
            first = next(iter(before.values()), {})
            for name, state in before.items():
                if state != first:
                    keys = sorted(key for key in state | first if state.get(key) != first.get(key))
                    raise Disagreement(f"before {event_id} {name} has another state than {next(iter(before))}: {keys}")

    @staticmethod
    async def _named(server: Homeserver, state: Mapping[StateKey, int]) -> dict[StateKey, str]:
        found = await server.core.storage.events.get(state.values())
        return {key: found[nid].event_id for key, nid in state.items()}


async def _without_transactions(sent: Sent, deliver: Deliver) -> WireAnswer:
    """Servers believe that they have told each other; it is the history that does."""
    if "/_matrix/federation/v1/send/" in sent.path:
        return WireAnswer(200, {"content-type": "application/json"}, b'{"pdus":{}}')
    return await deliver()


def _name(server: Homeserver) -> str:
    return str(server.core.server_name)


def seeds(count: int, first: int = 0) -> list[int]:
    return list(range(first, first + count)) if first else random.Random(2024).sample(range(1_000_000), count)
