"""What clients asked before /sync: /initialSync, /events; and looking into rooms that anyone may read."""

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred

from tests.support.homeserver import Client, Homeserver, q

WORLD_READABLE = [{"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}]


def bodies(events: list[dict[str, Any]]) -> list[str]:
    return [event["content"]["body"] for event in events if event["type"] == "m.room.message"]


async def start_of_events(client: Client) -> str:
    return str((await client.get("/events", timeout=0))["end"])


async def test_the_snapshot_has_the_rooms_with_their_state_and_newest_messages(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room(name="Hearth", visibility="public")
    for number in range(4):
        await alice.send(room, str(number))
    await alice.ok("PUT", f"/user/{q(alice.user_id)}/rooms/{q(room)}/account_data/m.mine", {"a": 1})
    snapshot = await alice.get("/initialSync", limit=2)
    [told] = snapshot["rooms"]
    assert (told["room_id"], told["membership"], told["visibility"]) == (room, "join", "public")
    assert bodies(told["messages"]["chunk"]) == ["2", "3"]
    assert {event["room_id"] for event in told["messages"]["chunk"] + told["state"]} == {room}
    assert {"m.room.create", "m.room.name", "m.room.member"} <= {event["type"] for event in told["state"]}
    assert {"type": "m.mine", "content": {"a": 1}} in told["account_data"]
    assert "m.push_rules" in [event["type"] for event in snapshot["account_data"]]
    older = await alice.get(f"/rooms/{q(room)}/messages", **{"dir": "b", "from": told["messages"]["start"]})
    assert bodies(older["chunk"]) == ["1", "0"]


async def test_the_snapshot_names_invites_with_who_invites(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room(invite=[bob])
    [told] = (await bob.get("/initialSync"))["rooms"]
    assert (told["room_id"], told["membership"], told["inviter"]) == (room, "invite", alice.user_id)
    assert told["invite"]["content"]["membership"] == "invite"


async def test_rooms_that_were_left_are_in_the_archive(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    await bob.leave(room)
    assert (await bob.get("/initialSync"))["rooms"] == []
    [told] = (await bob.get("/initialSync", archived="true"))["rooms"]
    assert (told["room_id"], told["membership"]) == (room, "leave")


async def test_events_goes_on_where_the_snapshot_ended(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    end = (await bob.get("/initialSync"))["end"]
    event_id = await alice.send(room, "new")
    await alice.ok("PUT", f"/rooms/{q(room)}/typing/{q(alice.user_id)}", {"typing": True, "timeout": 10_000})
    told = await bob.get("/events", **{"from": end, "timeout": 0})
    assert told["start"] == end
    [message] = [event for event in told["chunk"] if event["type"] == "m.room.message"]
    assert (message["event_id"], message["room_id"]) == (event_id, room)
    [typing] = [event for event in told["chunk"] if event["type"] == "m.typing"]
    assert (typing["room_id"], typing["content"]) == (room, {"user_ids": [alice.user_id]})
    assert (await bob.get("/events", **{"from": told["end"], "timeout": 0}))["chunk"] == []


async def test_events_waits_for_something_to_tell(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    start = await start_of_events(bob)
    waiting = ensureDeferred(bob.get("/events", **{"from": start, "timeout": 20_000}))
    await alice.invite(room, bob)
    chunk = (await waiting)["chunk"]
    assert [(event["room_id"], event["content"]["membership"]) for event in chunk if event["type"] == "m.room.member"]


async def test_messages_to_devices_are_left_to_sync(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    start = await start_of_events(alice)
    messages = {alice.user_id: {alice.device_id: {"hello": 1}}}
    await alice.ok("PUT", "/sendToDevice/m.x/t1", {"messages": messages})
    start = (await alice.get("/events", **{"from": start, "timeout": 0}))["end"]
    await alice.get("/events", **{"from": start, "timeout": 0})
    assert len((await alice.sync())["to_device"]["events"]) == 1


async def test_a_room_that_anyone_may_read_can_be_looked_into(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room(initial_state=WORLD_READABLE)
    await alice.send(room, "one")
    await alice.send(room, "two")
    told = await bob.get(f"/rooms/{q(room)}/initialSync", limit=2)
    assert "membership" not in told
    assert bodies(told["messages"]["chunk"]) == ["one", "two"]
    assert "m.room.create" in [event["type"] for event in told["state"]]
    assert (told["presence"], told["receipts"]) == ([], [])
    older = await bob.get(f"/rooms/{q(room)}/messages", **{"dir": "b", "from": told["messages"]["start"]})
    assert "m.room.history_visibility" in [event["type"] for event in older["chunk"]]


async def test_who_looks_in_is_told_what_comes(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room, other = await alice.create_room(initial_state=WORLD_READABLE), await alice.create_room()
    end = (await bob.get(f"/rooms/{q(room)}/initialSync"))["messages"]["end"]
    waiting: Deferred[Any] = ensureDeferred(bob.get("/events", **{"from": end, "timeout": 20_000, "room_id": room}))
    await alice.send(other, "elsewhere")
    assert not waiting.called
    await alice.send(room, "here")
    told = await waiting
    assert bodies(told["chunk"]) == ["here"]
    assert (await bob.get("/events", **{"from": told["end"], "timeout": 0, "room_id": room}))["chunk"] == []


async def test_a_snapshot_of_a_room_of_ones_own_has_receipts_and_presence(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    event_id = await alice.send(room, "seen")
    await alice.ok("POST", f"/rooms/{q(room)}/receipt/m.read/{q(event_id)}", {})
    await alice.sync()
    told = await alice.get(f"/rooms/{q(room)}/initialSync")
    assert told["membership"] == "join"
    assert list(told["receipts"][0]["content"]) == [event_id]
    assert [event["sender"] for event in told["presence"]] == [alice.user_id]


async def test_nobody_looks_into_other_rooms(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    event_id = await alice.send(room, "private")
    assert (await bob.ask("GET", f"/rooms/{q(room)}/initialSync")).status == 403
    assert (await bob.ask("GET", "/events", room_id=room, timeout=0)).status == 403
    assert (await bob.ask("GET", f"/events/{q(event_id)}")).status == 404
    assert (await bob.ask("GET", "/events/$nothing")).status == 404


async def test_an_event_is_found_by_its_id_alone(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    event_id = await alice.send(room, "found")
    assert bodies([await alice.get(f"/events/{q(event_id)}")]) == ["found"]


async def test_a_bad_token_is_refused(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    for token in ("nonsense", "t1_1"):
        response = await alice.ask("GET", "/events", **{"from": token})
        assert (response.status, response.json["errcode"]) == (400, "M_INVALID_PARAM")
