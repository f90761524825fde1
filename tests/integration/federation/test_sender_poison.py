"""What a server refuses each time holds up nothing else that it has to hear."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from matrix.ids import ServerName
from storage.change import Change
from storage.federation_queue import queue_edu
from tests.integration.federation.listening import Listening, outbox_of, shared_room, told_all, until
from tests.support.federation import Network, Sent
from tests.support.homeserver import Client, Homeserver

REFUSED = (400, {"errcode": "M_UNKNOWN", "error": "what is that?"})


async def start(network: Network) -> tuple[Homeserver, Client, Listening, str]:
    hs = await network.start("one.test")
    alice = await hs.register("alice")
    two = Listening(hs, "two.test")
    room = await shared_room(hs, alice, two)
    await told_all(hs)
    return hs, alice, two, room


def refusing(*words: str) -> Callable[[Sent], Any]:
    """A server that refuses a transaction in which one of the words is."""
    return lambda sent: REFUSED if any(word in str(sent.json) for word in words) else {"pdus": {}}


async def tried_again(hs: Homeserver, server: Listening, times: int) -> None:
    """So many pauses go by, after a first failure."""
    outbox, name = outbox_of(hs), ServerName(server.name)

    def has_failed(times: int) -> bool:
        return not outbox._busy and name in outbox.behind and outbox.behind[name].failures >= times

    for failures in range(1, times + 1):
        await until(partial(has_failed, failures))
        outbox.wake(name)


async def mended(hs: Homeserver, server: Listening) -> None:
    """From now on the server takes everything, and it has heard all."""
    outbox = outbox_of(hs)
    await until(lambda: not outbox._busy)
    server.answer_send = lambda sent: {"pdus": {}}
    outbox.wake(ServerName(server.name))
    await until(lambda: not outbox.behind)


async def test_an_event_that_a_server_refuses_each_time_holds_up_no_other(network: Network) -> None:
    one, alice, two, room = await start(network)
    two.answer_send = refusing("poison")
    sent = ["a", "poison 1", "b", "c", "poison 2", "d"]
    for text in sent:
        await alice.send(room, text)
    await tried_again(one, two, 2)
    await until(lambda: not outbox_of(one).behind)
    assert two.texts == ["a", "b", "c", "d"]
    await alice.send(room, "e")
    await until(lambda: two.texts[-1] == "e")


async def test_a_message_to_a_device_that_a_server_refuses_holds_up_no_other(network: Network) -> None:
    one, alice, two, room = await start(network)
    two.answer_send = refusing("poison")
    change = Change()
    for number, text in enumerate(["a", "poison", "b"]):
        queue_edu(change, ServerName(two.name), "m.direct_to_device", {"message_id": f"m{number}", "text": text})
    await one.core.storage.committer(change)
    await tried_again(one, two, 2)
    await until(lambda: not outbox_of(one).behind)
    assert [content["text"] for content in two.contents("m.direct_to_device")] == ["a", "b"]
    await alice.send(room, "after")
    await until(lambda: two.texts == ["after"])


@pytest.mark.parametrize("status", [400, 403, 500])
async def test_a_server_that_refuses_everything_loses_nothing(network: Network, status: int) -> None:
    one, alice, two, room = await start(network)
    two.answer_send = lambda sent: (status, REFUSED[1])
    for number in range(5):
        await alice.send(room, str(number))
    await tried_again(one, two, 4)
    await mended(one, two)
    assert two.texts == [str(number) for number in range(5)]


async def test_a_server_that_takes_nothing_but_an_empty_transaction_loses_nothing_for_hours(network: Network) -> None:
    one, alice, two, room = await start(network)
    two.answer_send = lambda sent: REFUSED if sent.json["pdus"] else {"pdus": {}}
    for number in range(3):
        await alice.send(room, str(number))
    await tried_again(one, two, 4)
    await mended(one, two)
    assert two.texts == ["0", "1", "2"]
