"""What a service hears, and in which form."""

from typing import Any

import psycopg2
import pytest

from appservice.sender import SHARDS
from storage.shard_locks import APPSERVICES
from tests.integration.appservice.bridge import Bridge
from tests.integration.appservice.listening import Town, bridge_of, bridged_room, is_taken_up, queue_of, told_all
from tests.support.fake_service import ListeningService, until
from tests.support.homeserver import Client, Homeserver, q

GHOST = "@_irc_ann:hearth.test"
# Namespaces that others may use too.
OPEN = {
    "users": [{"exclusive": True, "regex": "@_irc_.*"}],
    "aliases": [{"exclusive": False, "regex": "#_irc_.*"}],
    "rooms": [],
}


async def start(town: Town, service: ListeningService) -> tuple[Homeserver, Client, Bridge]:
    hs = await town.start()
    await is_taken_up(hs, service)
    return hs, await hs.register("alice"), bridge_of(hs, service)


async def join(bridge: Bridge, room: str, ghost: str = GHOST) -> None:
    await bridge.ok("POST", f"/join/{q(room)}", {}, user_id=ghost)


async def leave(bridge: Bridge, room: str, ghost: str = GHOST) -> None:
    await bridge.ok("POST", f"/rooms/{q(room)}/leave", {}, user_id=ghost)


async def test_a_service_hears_its_rooms_in_order_and_its_own_events_too(town: Town) -> None:
    service = town.service()
    hs, alice, bridge = await start(town, service)
    room = await bridged_room(hs, bridge)
    await alice.join(room)
    for number in range(5):
        await alice.send(room, str(number))
    await join(bridge, room, await bridge.ghost("_irc_ann"))
    await bridge.send(room, GHOST, "from the other side")
    await told_all(hs, service)
    assert service.texts == ["0", "1", "2", "3", "4", "from the other side"]
    assert service.events[0]["type"] == "m.room.create"
    service.check()


async def test_a_new_service_hears_what_happened_before_a_process_had_taken_up_its_queue(town: Town, dsn: str) -> None:
    service = town.service()
    other = psycopg2.connect(dsn)
    # Another process has all shards, and tells nobody anything.
    other.cursor().execute("SELECT pg_advisory_lock(%s, s) FROM generate_series(0, %s) AS s", (APPSERVICES, SHARDS - 1))
    hs = await town.start()
    alice = await hs.register("alice")
    room = await alice.create_room()
    await alice.ok("POST", f"/rooms/{q(room)}/invite", {"user_id": GHOST})
    await hs.server.appservices.senders.look()
    assert queue_of(hs, service) is None
    other.close()
    await hs.server.appservices.senders.look()
    await told_all(hs, service)
    assert [event["state_key"] for event in service.events] == [GHOST]


async def test_rooms_that_are_no_concern_are_not_told(town: Town) -> None:
    service = town.service()
    hs, alice, _ = await start(town, service)
    bob = await hs.register("bob")
    room = await alice.create_room(invite=[bob])
    await bob.join(room)
    await alice.send(room, "private")
    await told_all(hs, service)
    assert service.attempts == []


async def test_a_service_hears_an_invite_of_its_ghost_and_what_comes_after_the_join(town: Town) -> None:
    service = town.service()
    hs, alice, bridge = await start(town, service)
    await bridge.ghost("_irc_ann")
    room = await alice.create_room(preset="private_chat", name="Secret")
    await alice.send(room, "before the invite")
    await alice.ok("POST", f"/rooms/{q(room)}/invite", {"user_id": GHOST})
    await alice.send(room, "before the join")
    await join(bridge, room)
    await alice.send(room, "after the join")
    await leave(bridge, room)
    await alice.send(room, "after the leave")
    await told_all(hs, service)
    assert [event["content"].get("membership") for event in service.of_type("m.room.member")] == [
        "invite",
        "join",
        "leave",
    ]
    assert service.texts == ["after the join"]


async def test_the_last_of_several_ghosts_ends_the_interest(town: Town) -> None:
    service = town.service()
    hs, alice, bridge = await start(town, service)
    room = await alice.create_room()
    for name in ("_irc_ann", "_irc_ben"):
        await join(bridge, room, await bridge.ghost(name))
    await leave(bridge, room)
    await alice.send(room, "one is left")
    await leave(bridge, room, "@_irc_ben:hearth.test")
    await alice.send(room, "nobody is left")
    await told_all(hs, service)
    assert service.texts == ["one is left"]


async def test_a_room_is_of_interest_by_its_alias_as_long_as_it_has_it(town: Town) -> None:
    service = town.service(namespaces=OPEN)
    hs, alice, _ = await start(town, service)
    born = await alice.create_room(room_alias_name="_irc_born")
    named = await alice.create_room()
    await alice.send(named, "not yet")
    await alice.ok("PUT", f"/directory/room/{q('#_irc_named:hearth.test')}", {"room_id": named})
    await alice.send(named, "now")
    await alice.ok("DELETE", f"/directory/room/{q('#_irc_named:hearth.test')}")
    await alice.send(named, "no more")
    await told_all(hs, service)
    assert service.texts == ["now"]
    assert service.events[0]["type"] == "m.room.create" and service.events[0]["room_id"] == born


async def test_an_alias_of_before_counts_too(town: Town) -> None:
    hs = await town.start()
    alice = await hs.register("alice")
    room = await alice.create_room(room_alias_name="_irc_old")
    await town.stop(hs)
    service = town.service(namespaces=OPEN)
    again = await town.start()
    await is_taken_up(again, service)
    await alice.at(again).send(room, "hello")
    await told_all(again, service)
    assert service.texts == ["hello"]


async def test_an_alias_that_is_gone_counts_for_what_was_said_while_it_was_there(town: Town) -> None:
    service = town.service(namespaces=OPEN)
    hs, alice, _ = await start(town, service)
    room = await alice.create_room()
    alias = f"/directory/room/{q('#_irc_gone:hearth.test')}"
    await alice.ok("PUT", alias, {"room_id": room})
    await told_all(hs, service)
    await town.stop(hs)
    # While this one runs the service is told nothing.
    alice = alice.at(await town.start_homeserver(""))
    await alice.send(room, "now")
    await alice.ok("DELETE", alias)
    await alice.send(room, "no more")
    again = await town.start()
    await is_taken_up(again, service)
    await told_all(again, service)
    assert service.texts == ["now"]


async def test_an_upgrade_takes_the_interest_along(town: Town) -> None:
    service = town.service(namespaces=OPEN)
    hs, alice, _ = await start(town, service)
    room = await alice.create_room(room_alias_name="_irc_moves", room_version="10")
    new = (await alice.ok("POST", f"/rooms/{q(room)}/upgrade", {"new_version": "11"}))["replacement_room"]
    await alice.send(new, "in the new room")
    await told_all(hs, service)
    assert service.texts == ["in the new room"]


async def test_a_room_is_of_interest_by_its_id(town: Town) -> None:
    service = town.service()
    hs, alice, _ = await start(town, service)
    rooms = [await alice.create_room() for _ in range(2)]
    await told_all(hs, service)
    space = [{"exclusive": False, "regex": rooms[0].replace("$", r"\$").replace("+", r"\+")}]
    town.register(service, namespaces={**OPEN, "rooms": space}, receive_ephemeral=True)
    hs.server.reload()
    await until(lambda: (queue := queue_of(hs, service)) is not None and bool(queue.registration.rooms))
    await told_all(hs, service)
    for room in rooms:
        await alice.send(room, f"in {room}")
        await alice.ok("PUT", f"/rooms/{q(room)}/typing/{q(alice.user_id)}", {"typing": True})
        # Of what passes only the newest is told: before anything else happens.
        await told_all(hs, service)
    assert service.texts == [f"in {rooms[0]}"]
    assert [edu["room_id"] for edu in service.of_type("m.typing")] == [rooms[0]]


async def test_a_service_without_a_url_is_told_nothing_and_has_no_queue(town: Town) -> None:
    service = town.service(url=None)
    hs = await town.start()
    bridge, alice = bridge_of(hs, service), await hs.register("alice")
    await alice.join(await bridged_room(hs, bridge))
    await hs.server.appservices.senders.look()
    assert queue_of(hs, service) is None
    assert hs.rows("SELECT id FROM appservice_queues") == []
    assert service.fake.asked == []


async def test_users_of_two_services_are_told_to_both(town: Town) -> None:
    irc, xmpp = town.service("irc"), town.service("xmpp")
    hs, alice, bridge = await start(town, irc)
    room = await alice.create_room()
    await join(bridge, room, await bridge.ghost("_irc_ann"))
    other = bridge_of(hs, xmpp)
    await join(other, room, await other.ghost("_xmpp_ann"))
    await bridge.send(room, GHOST, "from irc")
    await told_all(hs, irc, xmpp)
    assert irc.texts == xmpp.texts == ["from irc"]


# The format of events.


async def one(town: Town, event_type: str, act: Any, service: ListeningService | None = None) -> dict[str, Any]:
    """The last event of the type that `act(alice, bridge, room)` made, as the service got it."""
    service = service or town.service()
    hs, alice, bridge = await start(town, service)
    await bridge.ghost("_irc_ann")
    room = await bridged_room(hs, bridge, name="Tea", topic="Oolong")
    await alice.join(room)
    await act(alice, bridge, room)
    await told_all(hs, service)
    found: dict[str, Any] = service.of_type(event_type)[-1]
    return found


async def test_a_message_has_the_oldest_client_format(town: Town) -> None:
    async def act(alice: Client, bridge: Bridge, room: str) -> None:
        await alice.send(room, "hello")

    event = await one(town, "m.room.message", act)
    age = event["age"]
    assert 0 <= age < 60_000
    assert event.pop("origin_server_ts") > 0 and event.pop("event_id").startswith("$")
    assert event.pop("room_id").startswith("!")
    assert event == {
        "type": "m.room.message",
        "sender": "@alice:hearth.test",
        "user_id": "@alice:hearth.test",
        "content": {"msgtype": "m.text", "body": "hello"},
        "age": age,
        "unsigned": {"age": age},
    }


async def test_a_state_event_says_what_it_replaced(town: Town) -> None:
    async def act(alice: Client, bridge: Bridge, room: str) -> None:
        await bridge.ok("PUT", f"/rooms/{q(room)}/state/m.room.name/", {"name": "Coffee"})

    event = await one(town, "m.room.name", act)
    unsigned = event["unsigned"]
    assert unsigned["prev_content"] == event["prev_content"] == {"name": "Tea"}
    assert unsigned["replaces_state"] == event["replaces_state"]
    assert unsigned["prev_sender"] == "@_irc_bot:hearth.test"
    assert event["state_key"] == ""


async def test_an_invite_shows_the_room(town: Town) -> None:
    async def act(alice: Client, bridge: Bridge, room: str) -> None:
        await bridge.ok("POST", f"/rooms/{q(room)}/invite", {"user_id": GHOST})

    event = await one(town, "m.room.member", act)
    assert event["content"]["membership"] == "invite" and event["state_key"] == GHOST
    shown = event["unsigned"]["invite_room_state"]
    assert shown == event["invite_room_state"]
    found = {one["type"]: one for one in shown}
    assert found["m.room.name"]["content"] == {"name": "Tea"}
    assert found["m.room.member"]["state_key"] == "@_irc_bot:hearth.test"
    assert set(found["m.room.topic"]) == {"type", "state_key", "content", "sender"}
    assert GHOST not in [one["state_key"] for one in shown]


@pytest.mark.parametrize("version", ["10", "11"])
async def test_a_redaction_says_what_it_redacts_in_both_places(town: Town, version: str) -> None:
    service = town.service()
    hs, alice, bridge = await start(town, service)
    room = await bridged_room(hs, bridge, room_version=version)
    await alice.join(room)
    sent = await alice.send(room, "oops")
    await alice.ok("PUT", f"/rooms/{q(room)}/redact/{q(sent)}/1", {"reason": "a slip"})
    await told_all(hs, service)
    (redaction,) = service.of_type("m.room.redaction")
    assert redaction["redacts"] == redaction["content"]["redacts"] == sent
    assert redaction["content"]["reason"] == "a slip"


async def test_what_was_redacted_while_the_service_was_down_is_told_without_its_content(town: Town) -> None:
    hs = await town.start()
    alice = await hs.register("alice")
    await town.stop(hs)
    service = town.service()
    again = await town.start()
    await is_taken_up(again, service)
    bridge = bridge_of(again, service)
    room = await bridged_room(again, bridge)
    await alice.at(again).join(room)
    await told_all(again, service)
    await again.server.appservices.senders.stop()
    sent = await alice.at(again).send(room, "oops")
    await alice.at(again).ok("PUT", f"/rooms/{q(room)}/redact/{q(sent)}/1", {"reason": "a slip"})
    await town.stop(again)
    last = await town.start()
    await told_all(last, service)
    event = service.of_type("m.room.message")[-1]
    assert event["event_id"] == sent and event["content"] == {}
    assert event["redacted_because"]["content"]["reason"] == "a slip"
    assert event["unsigned"]["redacted_because"]["redacts"] == sent
    assert event["unsigned"]["redacted_by"] == event["redacted_because"]["event_id"]


async def test_the_token_is_in_the_header_and_the_id_in_the_path(town: Town) -> None:
    service = town.service()
    hs, _, bridge = await start(town, service)
    await bridged_room(hs, bridge)
    await told_all(hs, service)
    asked = service.fake.asked[0]
    assert asked.method == "PUT" and asked.authorization == "Bearer hs-irc"
    assert asked.segments[:-1] == ["_matrix", "app", "v1", "transactions"]
