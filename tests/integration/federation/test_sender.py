"""Events go to the servers that were in the room before them, in order."""

from twisted.internet.defer import Deferred

from homeserver.services.rooms.intake import NewEvent
from matrix import canonical_json
from matrix.ids import UserId
from tests.integration.federation.listening import Listening, network_of, outbox_of, shared_room, told_all, until
from tests.support.homeserver import Client, Homeserver, q


async def test_a_message_goes_to_every_other_server_of_the_room(host: Homeserver, alice: Client) -> None:
    two, three, four = (Listening(host) for _ in range(3))
    room = await shared_room(host, alice, two, three)
    event_id = await alice.send(room, "hello")
    await until(lambda: two.texts and three.texts)
    await told_all(host)
    assert two.texts == three.texts == ["hello"] and four.pdus == []
    [transaction] = [one for one in two.transactions if one["pdus"]]
    assert transaction["origin"] == "one.test" and transaction["origin_server_ts"] > 10**12
    assert "unsigned" not in transaction["pdus"][0] and event_id


async def test_a_transaction_is_canonical_json_so_that_others_can_check_its_signature(
    host: Homeserver, alice: Client
) -> None:
    two = Listening(host)
    room = await shared_room(host, alice, two)
    await alice.send(room, 'a "quoted" \\ text')
    await alice.ok("PUT", f"/rooms/{q(room)}/typing/{q(alice.user_id)}", {"typing": True, "timeout": 1_000})
    await told_all(host)
    bodies = [sent.request.body for sent in network_of(host).sent("/send/", destination=two.name)]
    assert two.texts and two.contents("m.typing")
    assert all(body == canonical_json.encode(canonical_json.decode(body)) for body in bodies)


async def test_what_gathers_while_a_transaction_is_under_way_goes_together_and_in_order(
    host: Homeserver, alice: Client
) -> None:
    two = Listening(host)
    rooms = [await shared_room(host, alice, two) for _ in range(2)]
    await told_all(host)
    held: Deferred[dict] = Deferred()
    two.answer_send = lambda sent: held
    for number in range(130):
        await alice.send(rooms[number % 2], str(number))
    two.answer_send = lambda sent: {"pdus": {}}
    held.callback({"pdus": {}})
    await until(lambda: len(two.texts) == 130)
    assert two.texts == [str(number) for number in range(130)]
    sizes = [len(one["pdus"]) for one in two.transactions if one["pdus"]]
    assert max(sizes) == 50 and len(sizes) == 4
    ids = [sent.path for sent in network_of(host).sent("/send/", destination=two.name)]
    assert len(set(ids)) == len(ids)


async def test_large_events_are_spread_over_transactions(host: Homeserver, alice: Client) -> None:
    two = Listening(host)
    room = await shared_room(host, alice, two)
    await told_all(host)
    held: Deferred[dict] = Deferred()
    two.answer_send = lambda sent: held
    for number in range(21):
        await alice.send(room, f"{number}" + "x" * 60_000)
    two.answer_send = lambda sent: {"pdus": {}}
    held.callback({"pdus": {}})
    await until(lambda: len(two.texts) == 21)
    bodies = [len(sent.request.body) for sent in network_of(host).sent("/send/", destination=two.name)]
    assert max(bodies) < 1_000_000


async def test_who_is_put_out_hears_of_it_and_of_nothing_after(host: Homeserver, alice: Client) -> None:
    two = Listening(host)
    room = await shared_room(host, alice, two)
    await alice.ok("POST", f"/rooms/{q(room)}/kick", {"user_id": two.user("bob"), "reason": "out"})
    await alice.send(room, "we are among us")
    await told_all(host)
    assert [pdu["content"].get("membership") for pdu in two.pdus] == ["leave"]


async def test_who_comes_hears_only_what_comes_after(host: Homeserver, alice: Client) -> None:
    two, three = Listening(host), Listening(host)
    room = await shared_room(host, alice, two)
    await alice.send(room, "before")
    await three.enter(host, room)
    await alice.send(room, "after")
    await until(lambda: len(two.texts) == 2)
    await told_all(host)
    assert three.texts == ["after"]


async def test_the_second_user_of_a_server_keeps_it_in_the_room(host: Homeserver, alice: Client) -> None:
    two = Listening(host)
    room = await shared_room(host, alice, two)
    await two.enter(host, room, "carol")
    await two.enter(host, room, "bob", "leave")
    await alice.send(room, "still there?")
    await told_all(host)
    assert two.texts == ["still there?"]
    await two.enter(host, room, "carol", "leave")
    await alice.send(room, "not any more")
    await told_all(host)
    assert two.texts == ["still there?"]


async def test_an_invite_that_is_withdrawn_is_told_to_the_server_of_who_was_invited(
    host: Homeserver, alice: Client
) -> None:
    two = Listening(host)
    room = await alice.create_room()
    await host.server.rooms.intake.send(room, [_member(alice, two.user("bob"), "invite")])
    await told_all(host)
    assert two.pdus == []
    await host.server.rooms.intake.send(room, [_member(alice, two.user("bob"), "leave")])
    await told_all(host)
    assert [pdu["content"]["membership"] for pdu in two.pdus] == ["leave"]
    await host.server.rooms.intake.send(room, [_member(alice, two.user("carol"), "ban")])
    await told_all(host)
    assert len(two.pdus) == 1, "who never had to do with the room need not know"


async def test_events_of_other_servers_are_theirs_to_send(host: Homeserver, alice: Client) -> None:
    two, three = Listening(host), Listening(host)
    await shared_room(host, alice, two, three)
    await told_all(host)
    assert two.pdus == three.pdus == []


async def test_a_room_that_is_not_federated_works_as_before(host: Homeserver, alice: Client) -> None:
    room = await alice.create_room(creation_content={"m.federate": False})
    await alice.send(room, "among us")
    await told_all(host)
    told = [pdu for sent in network_of(host).sent("/send/") for pdu in sent.json["pdus"]]
    assert room not in {pdu.get("room_id") for pdu in told}


async def test_what_a_server_says_against_one_event_holds_up_nothing(host: Homeserver, alice: Client) -> None:
    two = Listening(host)
    room = await shared_room(host, alice, two)
    two.answer_send = lambda sent: {"pdus": {"$any": {"error": "I do not like it"}, "$odd": 7}}
    await alice.send(room, "one")
    await alice.send(room, "two")
    await told_all(host)
    assert two.texts == ["one", "two"] and outbox_of(host).behind == {}


async def test_a_slow_server_delays_nobody(host: Homeserver, alice: Client) -> None:
    slow, quick = Listening(host), Listening(host)
    room = await shared_room(host, alice, slow, quick)
    held: Deferred[dict] = Deferred()
    slow.answer_send = lambda sent: held
    for number in range(3):
        await alice.send(room, str(number))
    await until(lambda: len(quick.texts) == 3)
    assert slow.pdus == []
    held.callback({"pdus": {}})
    slow.answer_send = lambda sent: {"pdus": {}}
    await until(lambda: len(slow.texts) == 3)


def _member(alice: Client, user_id: str, membership: str) -> NewEvent:
    return NewEvent(
        type="m.room.member", sender=UserId(alice.user_id), state_key=user_id, content={"membership": membership}
    )
