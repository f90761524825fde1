"""A server that takes in transactions and keeps them, with users in rooms of a homeserver; waiting without sleeping."""

import itertools
from collections.abc import Callable
from time import monotonic
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from federation.outbound.outbox import Outbox
from homeserver.services.rooms.intake import NewEvent
from matrix.events import Json
from matrix.ids import RoomId, UserId
from tests.support.fake_server import FakeServer
from tests.support.federation import Network, NetworkWire, Sent
from tests.support.homeserver import Client, Homeserver

WAIT_S = 60.0
_numbers = itertools.count()


async def until(condition: Callable[[], object]) -> None:
    """Lets the reactor turn until the condition holds."""
    deadline = monotonic() + WAIT_S
    while not condition():
        assert monotonic() < deadline, "it did not come to that"
        await deferLater(reactor, 0)


def network_of(hs: Homeserver) -> Network:
    """The network that the homeserver is in."""
    wire = hs.core.wire
    assert isinstance(wire, NetworkWire)
    return wire.network


class Listening(FakeServer):
    """Of a name of its own, unless it is given one. `answer_send` may be replaced: what it says to a transaction."""

    def __init__(self, hs: Homeserver, name: str | None = None) -> None:
        super().__init__(network_of(hs), name or f"listening{next(_numbers)}.test")
        self.transactions: list[Json] = []
        self.under_way = 0
        self.answer_send: Callable[[Sent], Any] = lambda sent: {"pdus": {}}
        self.answers("PUT", "/_matrix/federation/v1/send/", self._take)

    async def _take(self, sent: Sent) -> Any:
        assert self.under_way == 0, "two transactions at once"
        self.under_way += 1
        try:
            said = self.answer_send(sent)
            said = await said if hasattr(said, "__await__") else said
        finally:
            self.under_way -= 1
        if isinstance(said, dict):
            self.transactions.append(sent.json)
        return said

    @property
    def pdus(self) -> list[Json]:
        return [pdu for transaction in self.transactions for pdu in transaction["pdus"]]

    @property
    def edus(self) -> list[Json]:
        return [edu for transaction in self.transactions for edu in transaction.get("edus", ())]

    def contents(self, edu_type: str) -> list[Json]:
        return [edu["content"] for edu in self.edus if edu["edu_type"] == edu_type]

    @property
    def texts(self) -> list[str]:
        """The bodies of messages, as they came."""
        return [pdu["content"]["body"] for pdu in self.pdus if pdu["type"] == "m.room.message"]

    async def enter(self, hs: Homeserver, room: str, localpart: str = "bob", membership: str = "join") -> str:
        """A user of ours has this membership of the room, in the homeserver's eyes."""
        user_id = UserId(self.user(localpart))
        content = {"membership": membership}
        new = NewEvent(type="m.room.member", sender=user_id, state_key=user_id, content=content)
        await hs.server.rooms.intake.send(RoomId(room), [new])
        return user_id

    async def speak(self, to: str) -> None:
        """Any signed request."""
        await self.ask(to, "GET", "/_matrix/federation/v1/query/profile?user_id=%40nobody%3Aone.test")


def outbox_of(hs: Homeserver) -> Outbox:
    return hs.server.sending.outbox


async def told_all(hs: Homeserver) -> None:
    """The homeserver has put all that happened into queues, and none of them waits."""
    outbox, sender, stream = outbox_of(hs), hs.server.sending.sender, hs.core.storage.stream
    await until(lambda: outbox.seen == stream.position and not outbox.queues and not sender.is_taking_over)


async def shared_room(hs: Homeserver, alice: Client, *servers: Listening, **body: Any) -> str:
    """A room of alice's with a user of each of the servers, who have been told of her devices."""
    room = await alice.create_room(**body)
    for server in servers:
        await server.enter(hs, room)
    await until(lambda: all(server.contents("m.device_list_update") for server in servers))
    return room
