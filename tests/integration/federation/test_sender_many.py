"""More than a thousand servers that do not answer cost nothing; two homeservers that lost each other meet again."""

from typing import Any

from homeserver.services.rooms.intake import NewEvent
from matrix.ids import RoomId, UserId
from tests.integration.federation.listening import Listening, outbox_of, told_all, until
from tests.integration.federation.remote_pair import has_text, join
from tests.support.consistency import faults
from tests.support.federation import Network
from tests.support.homeserver import q

DEAD = 1_200


async def test_a_thousand_dead_servers_cost_one_row_each_and_delay_nobody(network: Network) -> None:
    one = await network.start("one.test")
    alice, two = await one.register("alice"), Listening(one, "two.test")
    room = await alice.create_room()
    users = [UserId(f"@u:dead{number}.test") for number in range(DEAD)]
    content = {"membership": "join"}
    joins = [NewEvent(type="m.room.member", sender=user, state_key=user, content=content) for user in users]
    await one.server.rooms.intake.send(RoomId(room), joins)
    await two.enter(one, room)
    await told_all(one)
    await alice.send(room, "0")
    outbox = outbox_of(one)
    await until(lambda: two.texts == ["0"] and len(outbox.behind) == DEAD)
    asked = len(network.sent("/send/"))
    timers = len(one.core.reactor.getDelayedCalls())
    for number in range(1, 20):
        await alice.send(room, str(number))
    await until(lambda: len(two.texts) == 20)
    await told_all(one)
    assert two.texts == [str(number) for number in range(20)]
    sent = [each for each in network.sent("/send/")[asked:] if each.destination != "two.test"]
    assert sent == [] and not outbox.queues and len(outbox.behind) == DEAD
    assert len(one.core.reactor.getDelayedCalls()) <= timers + 5
    await one.server.sending.sender.save()
    assert one.rows("SELECT count(*), sum(position) FROM federation_behind")[0][0] == DEAD
    assert one.rows("SELECT count(*) FROM federation_edus WHERE destination LIKE 'dead%%'") == [(0,)]
    behind = dict(outbox.behind)
    await network.stop("one.test")
    one = await network.start("one.test")
    await one.server.sending.sender.look()
    await until(lambda: len(outbox_of(one).behind) == DEAD)
    assert {name: at.position for name, at in outbox_of(one).behind.items()} == {
        name: at.position for name, at in behind.items()
    }


async def test_two_servers_that_lost_each_other_hear_what_the_other_said(network: Network) -> None:
    one, two = await network.start("one.test"), await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    room = await alice.create_room()
    await join(bob, room, "one.test")
    await bob.send(room, "together")
    await has_text(alice, room, "together")
    network.cut("one.test", "two.test")
    for number in range(5):
        await alice.send(room, f"alice {number}")
        await bob.send(room, f"bob {number}")
    await alice.set_state(room, "m.room.topic", {"topic": "apart"})
    await until(lambda: all(outbox_of(each).behind and not outbox_of(each)._busy for each in (one, two)))
    network.mend("one.test", "two.test")
    # A new message alone would be refused its way: each leaves the other alone for a while.
    outbox_of(one)._destinations.heard_from(two.core.server_name)
    await has_text(alice, room, "bob 4")
    await has_text(bob, room, "alice 4")
    await until(lambda: not outbox_of(one).behind and not outbox_of(two).behind)

    async def all_texts(client: Any) -> set[str]:
        page = await client.get(f"/rooms/{q(room)}/messages", dir="b", limit=100)
        return {event["content"].get("body") for event in page["chunk"] if event["type"] == "m.room.message"}

    expected = {"together", *(f"{name} {number}" for name in ("alice", "bob") for number in range(5))}
    assert await all_texts(alice) == await all_texts(bob) == expected
    path = f"/rooms/{q(room)}/state/m.room.topic"
    assert await alice.get(path) == await bob.get(path) == {"topic": "apart"}
    assert faults(one.dsn) == faults(two.dsn) == []


async def test_a_server_that_was_down_hears_what_happened_when_it_is_up_again(network: Network) -> None:
    one, two = await network.start("one.test"), await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    room = await alice.create_room()
    await join(bob, room, "one.test")
    await alice.send(room, "before")
    await has_text(bob, room, "before")
    await told_all(one)
    await network.stop("two.test")
    for number in range(3):
        await alice.send(room, f"meanwhile {number}")
    await until(lambda: "two.test" in outbox_of(one).behind)
    two = await network.start("two.test")
    bob = bob.at(two)
    await bob.send(room, "I am back")
    await has_text(alice, room, "I am back")
    await has_text(bob, room, *(f"meanwhile {number}" for number in range(3)))


async def test_what_is_doubled_on_the_way_is_told_once(network: Network) -> None:
    one, two = await network.start("one.test"), await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    room = await alice.create_room()
    await join(bob, room, "one.test")

    async def double(sent: Any, deliver: Any) -> Any:
        if "/send/" in sent.path:
            await deliver()
        return await deliver()

    network.on_request = double
    since = (await bob.sync())["next_batch"]
    for number in range(5):
        await alice.send(room, str(number))
    await told_all(one)
    events = (await bob.sync(since=since))["rooms"]["join"][room]["timeline"]["events"]
    assert [event["content"]["body"] for event in events] == [str(number) for number in range(5)]
    network.on_request = None


async def test_who_is_let_in_by_one_server_is_known_to_the_others(network: Network) -> None:
    one, two, three = [await network.start(name) for name in ("one.test", "two.test", "three.test")]
    alice, bob, carol = await one.register("alice"), await two.register("bob"), await three.register("carol")
    room = await alice.create_room()
    await join(bob, room, "one.test")
    before = len(network.requests)
    await join(carol, room, "one.test")
    await until(lambda: [each for each in network.sent("/send/", origin="one.test", destination="two.test")
                         if carol.user_id in str(each.json["pdus"])])  # fmt: skip
    await carol.send(room, "hello all")
    await has_text(bob, room, "hello all")
    await has_text(alice, room, "hello all")
    told = [each for each in network.requests[before:] if "/send/" in each.path and each.origin == "three.test"]
    joins = [pdu for each in told for pdu in each.json["pdus"] if pdu["type"] == "m.room.member"]
    assert joins == [], "the server that helped her in tells it"
