"""Servers that do not answer, ours and theirs: nothing is lost, all is in order, and nobody else waits."""

from typing import Any

from twisted.internet.defer import Deferred

from federation.outbound import catch_up
from homeserver.services.rooms.intake import NewEvent
from matrix.ids import RoomId, UserId
from storage.change import Change
from storage.federation_queue import broadcast_edu, queue_edu
from tests.integration.federation.listening import Listening, outbox_of, shared_room, told_all, until
from tests.support.federation import Network, Sent
from tests.support.homeserver import Client, Homeserver, q

REFUSED = (500, {"errcode": "M_UNKNOWN", "error": "not today"})


def is_behind(hs: Homeserver, server: Listening) -> bool:
    """And has been given up: what is under way may fail after the server is back."""
    outbox = outbox_of(hs)
    has_seen_all = outbox.seen == hs.core.storage.stream.position
    return has_seen_all and server.name in outbox.behind and server.name not in outbox._busy


async def start(network: Network, *names: str) -> tuple[Any, ...]:
    """one.test, a user of it, and the others."""
    hs = await network.start("one.test")
    alice = await hs.register("alice")
    return (hs, alice, *(Listening(hs, name) for name in names))


async def back(network: Network, server: Listening) -> None:
    """The server is there again, and says so."""
    network.mend("one.test", server.name)
    await server.speak("one.test")


async def test_what_was_missed_is_sent_in_order_when_the_server_speaks_to_us(network: Network) -> None:
    one, alice, two, three = await start(network, "two.test", "three.test")
    rooms = [await shared_room(one, alice, two, three) for _ in range(2)]
    await told_all(one)
    network.cut("one.test", "two.test")
    for number in range(7):
        await alice.send(rooms[number % 2], str(number))
    await until(lambda: is_behind(one, two) and len(three.texts) == 7)
    tried = len(network.sent("/send/", destination="two.test"))
    await alice.send(rooms[0], "7")
    await until(lambda: len(three.texts) == 8)
    assert len(network.sent("/send/", destination="two.test")) == tried, "it is left alone"
    await back(network, two)
    await until(lambda: len(two.texts) == 8)
    assert two.texts == [str(number) for number in range(8)]
    await told_all(one)
    await alice.send(rooms[0], "8")
    await until(lambda: two.texts[-1] == "8" and not outbox_of(one).behind)
    assert len(two.texts) == len(set(two.texts)) == 9


async def test_after_a_long_absence_the_newest_of_each_room_comes(network: Network, monkeypatch: Any) -> None:
    monkeypatch.setattr(catch_up, "MAX_IN_FULL", 10)
    one, alice, two = await start(network, "two.test")
    rooms = [await shared_room(one, alice, two) for _ in range(3)]
    await told_all(one)
    network.cut("one.test", "two.test")
    for number in range(12):
        await alice.send(rooms[number % 2], str(number))
    await until(lambda: is_behind(one, two))
    await back(network, two)
    await until(lambda: not outbox_of(one).behind)
    assert two.texts == ["10", "11"]


async def test_the_newest_of_ours_is_found_below_what_others_said(network: Network, monkeypatch: Any) -> None:
    monkeypatch.setattr(catch_up, "MAX_IN_FULL", 0)
    one, alice, two, three = await start(network, "two.test", "three.test")
    room = await shared_room(one, alice, two)
    await told_all(one)
    network.cut("one.test", "two.test")
    await alice.send(room, "ours")
    await three.enter(one, room)
    await until(lambda: is_behind(one, two))
    await back(network, two)
    await until(lambda: two.texts == ["ours"])


async def test_what_was_missed_is_told_as_of_who_was_there(network: Network) -> None:
    one, alice, two = await start(network, "two.test")
    stays, leaves, comes = [await shared_room(one, alice, two) for _ in range(3)]
    await two.enter(one, comes, "bob", "leave")
    await told_all(one)
    two.transactions.clear()
    network.cut("one.test", "two.test")
    await alice.send(stays, "for all")
    await alice.send(leaves, "while bob was there")
    await alice.send(comes, "before bob was there")
    await alice.ok("POST", f"/rooms/{q(leaves)}/kick", {"user_id": two.user("bob")})
    await two.enter(one, comes, "bob")
    await alice.send(leaves, "when bob was gone")
    await alice.send(comes, "when bob had come")
    await until(lambda: is_behind(one, two))
    await back(network, two)
    await until(lambda: not outbox_of(one).behind)
    said = [pdu["content"].get("body", pdu["content"].get("membership")) for pdu in two.pdus]
    assert said == ["for all", "while bob was there", "leave", "when bob had come"]


async def test_an_invite_that_is_withdrawn_meanwhile_is_told_too(network: Network) -> None:
    one, alice, two = await start(network, "two.test")
    other = await shared_room(one, alice, two)
    room = await alice.create_room()
    await two_invited(one, alice, room, two)
    await told_all(one)
    network.cut("one.test", "two.test")
    await alice.send(other, "are you there?")
    await until(lambda: is_behind(one, two))
    await alice.ok("POST", f"/rooms/{q(room)}/kick", {"user_id": two.user("carol")})
    await until(lambda: is_behind(one, two))
    await back(network, two)
    await until(lambda: not outbox_of(one).behind)
    assert [pdu["content"].get("membership") for pdu in two.pdus] == [None, "leave"]


async def two_invited(one: Homeserver, alice: Client, room: str, two: Listening) -> None:
    user_id = two.user("carol")
    new = NewEvent(
        type="m.room.member", sender=UserId(alice.user_id), state_key=user_id, content={"membership": "invite"}
    )
    await one.server.rooms.intake.send(RoomId(room), [new])


async def test_edus_that_must_arrive_wait_and_of_one_key_the_last(network: Network) -> None:
    one, alice, two = await start(network, "two.test")
    await shared_room(one, alice, two)
    await told_all(one)
    network.cut("one.test", "two.test")
    for number in range(120):
        change = Change()
        queue_edu(change, two.name, "m.direct_to_device", {"n": number})
        queue_edu(change, two.name, "org.example.state", {"n": number}, "state")
        broadcast_edu(change, alice.user_id, "org.example.news", {"n": number}, "news")
        await one.core.storage.committer(change)
    await until(lambda: is_behind(one, two))
    await back(network, two)
    await until(lambda: not outbox_of(one).behind)
    assert [content["n"] for content in two.contents("m.direct_to_device")] == list(range(120))
    assert two.contents("org.example.state") == [{"n": 119}] and two.contents("org.example.news") == [{"n": 119}]
    assert max(len(one["edus"]) for one in two.transactions) <= 100
    assert one.rows("SELECT * FROM federation_edus") == []


async def test_a_server_that_refuses_a_transaction_is_left_alone_for_a_while(network: Network) -> None:
    one, alice, two = await start(network, "two.test")
    room = await shared_room(one, alice, two)
    await told_all(one)
    two.answer_send = lambda sent: REFUSED
    await alice.send(room, "one")
    await until(lambda: is_behind(one, two))
    asked = len(two.requests)
    await alice.send(room, "two")
    await one.server.sending.sender.look()
    await until(lambda: is_behind(one, two))
    assert (
        len(two.requests) == asked and 0 < outbox_of(one).behind[two.name].not_before_s - one.core.clock.seconds() <= 60
    )
    two.answer_send = lambda sent: {"pdus": {}}
    outbox_of(one).wake(two.name)
    await until(lambda: two.texts == ["one", "two"])


async def test_a_failure_in_the_middle_of_catching_up_goes_on_from_there(network: Network) -> None:
    one, alice, two = await start(network, "two.test")
    room = await shared_room(one, alice, two)
    await told_all(one)
    network.cut("one.test", "two.test")
    for number in range(120):
        await alice.send(room, str(number))
    await until(lambda: is_behind(one, two))
    network.mend("one.test", "two.test")
    answers: list[Any] = [{"pdus": {}}, REFUSED]
    two.answer_send = lambda sent: answers.pop(0) if answers else {"pdus": {}}
    await two.speak("one.test")
    await until(lambda: not answers and is_behind(one, two))
    assert len(two.texts) == 50
    outbox_of(one).wake(two.name)
    await until(lambda: not outbox_of(one).behind)
    assert two.texts == [str(number) for number in range(120)]


async def test_a_restart_while_a_server_is_away_loses_nothing(network: Network) -> None:
    one, alice, two = await start(network, "two.test")
    room = await shared_room(one, alice, two)
    await told_all(one)
    network.cut("one.test", "two.test")
    await alice.send(room, "before")
    await until(lambda: is_behind(one, two))
    await one.server.sending.sender.save()
    await network.stop("one.test")
    one = await network.start("one.test")
    alice = alice.at(one)
    await alice.send(room, "after")
    await one.server.sending.sender.look()
    await until(lambda: is_behind(one, two))
    await back(network, two)
    await until(lambda: two.texts == ["before", "after"])


async def test_a_restart_in_the_middle_of_a_transaction_sends_it_again(network: Network) -> None:
    one, alice, two = await start(network, "two.test")
    room = await shared_room(one, alice, two)
    await told_all(one)
    await one.server.sending.sender.save()
    two.answer_send = lambda sent: Deferred()
    await alice.send(room, "under way")
    await alice.send(room, "waiting")
    await until(lambda: two.under_way)
    await one.server.sending.sender.save()
    await network.stop("one.test")
    two.under_way = 0
    two.answer_send = lambda sent: {"pdus": {}}
    one = await network.start("one.test")
    await one.server.sending.sender.look()
    await until(lambda: two.texts == ["under way", "waiting"])


async def test_what_was_acknowledged_is_not_sent_again_after_a_restart(network: Network) -> None:
    one, alice, two = await start(network, "two.test")
    room = await shared_room(one, alice, two)
    await alice.send(room, "once")
    await until(lambda: two.texts)
    await told_all(one)
    await one.server.sending.sender.tick()
    await network.stop("one.test")
    one = await network.start("one.test")
    await one.server.sending.sender.look()
    await alice.at(one).send(room, "twice")
    await until(lambda: two.texts[-1] == "twice")
    assert two.texts == ["once", "twice"]


async def test_a_slow_server_falls_behind_and_holds_up_no_position(network: Network) -> None:
    one, alice, two, three = await start(network, "two.test", "three.test")
    room = await shared_room(one, alice, two, three)
    await told_all(one)
    held: Deferred[Any] = Deferred()
    two.answer_send = lambda sent: held
    await alice.send(room, "one")
    await until(lambda: len(three.texts) == 1)
    await alice.send(room, "two")
    await until(lambda: len(three.texts) == 2)
    for _ in range(32):
        await one.server.sending.sender.tick()
    assert two.name in outbox_of(one).behind and outbox_of(one).lowest() == one.core.storage.stream.position
    two.answer_send = lambda sent: {"pdus": {}}
    held.callback({"pdus": {}})
    await until(lambda: not outbox_of(one).behind)
    assert two.texts[-1] == "two" and set(two.texts) == {"one", "two"}


async def test_two_processes_share_the_servers_and_one_inherits_those_of_the_other(
    network: Network, monkeypatch: Any
) -> None:
    first, alice, *servers = await start(network, *(f"s{number}.test" for number in range(8)))
    second = await Homeserver.start(first.dsn, first.core.config, wire=first.core.wire, key=first.core.signer.key)
    try:
        for _ in range(2):
            await first.server.sending.sender.look()
            await second.server.sending.sender.look()
        await until(lambda: len(first.server.sending.sender._held) == len(second.server.sending.sender._held) == 16)
        room = await shared_room(first, alice, *servers)
        for number in range(10):
            await alice.at((first, second)[number % 2]).send(room, str(number))
        expected = [str(number) for number in range(10)]
        await until(lambda: all(server.texts == expected for server in servers))
        network.on_request = _never
        await alice.send(room, "10")
        await second.has_heard(first)
        await until(lambda: outbox_of(first).queues and outbox_of(second).queues)
        network.on_request = None
        await second.stop()
        await first.server.sending.sender.look()
        await until(lambda: len(first.server.sending.sender._held) == 32)
        ours = set(outbox_of(first).queues)
        await until(lambda: all("10" in server.texts for server in servers if server.name not in ours))
    finally:
        await network.stop("one.test") if "one.test" in network.peers else None


async def _never(sent: Sent, deliver: Any) -> Any:
    return await Deferred()
