"""A server that ends in the middle of a handshake or of fetching history: asked again, it does all of it."""

import re

import pytest
from twisted.internet.defer import Deferred

from federation.outbound.errors import Unreachable
from federation.outbound.wire import WireAnswer
from tests.integration.federation.remote_pair import join
from tests.support.consistency import faults
from tests.support.federation import Deliver, Network, Sent
from tests.support.homeserver import Client, Homeserver

TEXTS = [f"before {number}" for number in range(30)]


class Held:
    """The first answer to a path does not arrive: `arrived` fires when it was given."""

    def __init__(self, network: Network, path: str) -> None:
        self.arrived: Deferred[None] = Deferred()
        self._path = re.compile(path)
        network.on_request = self._carry

    async def _carry(self, sent: Sent, deliver: Deliver) -> WireAnswer:
        answer = await deliver()
        if self._path.search(sent.path) and not self.arrived.called:
            self.arrived.callback(None)
            await Deferred()
        return answer


def begin(client: Client, method: str, path: str) -> None:
    """Asks, and does not care what becomes of it."""
    running = Deferred.fromCoroutine(client.ask(method, path, {} if method == "POST" else None))
    running.addErrback(lambda failure: None)


async def start(network: Network) -> tuple[Client, Client, str]:
    """alice of one.test and bob of two.test; a room of alice in which she has spoken."""
    one, two = await network.start("one.test"), await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    room = await alice.create_room(preset="public_chat")
    for text in TEXTS:
        await alice.send(room, text)
    return alice, bob, room


async def restarted(network: Network, name: str, client: Client) -> Client:
    await network.stop(name)
    return client.at(await network.start(name))


async def texts(client: Client, room: str) -> list[str]:
    """All that was said, oldest first."""
    found: list[str] = []
    page = {"end": None}
    while "end" in page:
        query = {"from": page["end"]} if page["end"] else {}
        page = await client.get(f"/rooms/{room}/messages", dir="b", limit=10, **query)
        found += [event["content"]["body"] for event in page["chunk"] if event["type"] == "m.room.message"]
    return found[::-1]


async def agree(network: Network, one: Client, other: Client, room: str) -> None:
    states = [await client.get(f"/rooms/{room}/state") for client in (one, other)]
    first, second = ({event["event_id"] for event in state} for state in states)
    assert first == second
    for homeserver in network.homeservers.values():
        assert faults(homeserver.dsn) == []


@pytest.mark.parametrize("step", ["make_join", "send_join"])
async def test_a_join_that_our_end_cut_off_is_made_again(network: Network, step: str) -> None:
    alice, bob, room = await start(network)
    held = Held(network, f"/{step}/")
    begin(bob, "POST", f"/join/{room}?via=one.test")
    await held.arrived
    bob = await restarted(network, "two.test", bob)
    await join(bob, room, "one.test")
    assert await texts(bob, room) == TEXTS
    await agree(network, alice, bob, room)


async def test_a_join_that_the_end_of_the_resident_server_cut_off_is_made_again(network: Network) -> None:
    alice, bob, room = await start(network)
    homeserver: list[Homeserver] = []

    async def ends(sent: Sent, deliver: Deliver) -> WireAnswer:
        answer = await deliver()
        if "/send_join/" in sent.path and not homeserver:
            await network.stop("one.test")
            homeserver.append(await network.start("one.test"))
            raise Unreachable(sent.destination, "it ended")
        return answer

    network.on_request = ends
    await bob.ask("POST", f"/join/{room}?via=one.test", {})
    assert homeserver
    await join(bob, room, "one.test")
    await agree(network, alice.at(homeserver[0]), bob, room)


async def test_history_whose_fetching_was_cut_off_is_fetched_again(network: Network) -> None:
    alice, bob, room = await start(network)
    await join(bob, room, "one.test")
    held = Held(network, "/backfill/")
    begin(bob, "GET", f"/rooms/{room}/messages?dir=b&limit=100")
    await held.arrived
    bob = await restarted(network, "two.test", bob)
    assert await texts(bob, room) == TEXTS
    await agree(network, alice, bob, room)
