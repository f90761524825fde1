"""GET /rooms/{roomId}/context/{eventId}, by the chapter "Event Context"."""

from typing import Any

from tests.support.homeserver import Client, Homeserver, q


async def numbered(client: Client, room: str, count: int) -> list[str]:
    return [await client.send(room, str(number)) for number in range(count)]


def texts(events: list[dict[str, Any]]) -> list[str]:
    return [event["content"].get("body", event["type"]) for event in events]


async def context(client: Client, room: str, event_id: str, **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = await client.get(f"/rooms/{q(room)}/context/{q(event_id)}", **query)
    return found


async def test_events_before_and_after_share_the_limit(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    sent = await numbered(alice, room, 7)
    found = await context(alice, room, sent[3], limit=5)
    assert texts(found["events_before"]) == ["2", "1"]
    assert found["event"]["event_id"] == sent[3]
    assert texts(found["events_after"]) == ["4", "5", "6"]


async def test_with_a_limit_of_nothing_the_event_itself_is_there(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    sent = await numbered(alice, room, 3)
    found = await context(alice, room, sent[1], limit=0)
    assert (found["events_before"], found["event"]["event_id"], found["events_after"]) == ([], sent[1], [])


async def test_start_and_end_go_on_where_the_context_ends(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    sent = await numbered(alice, room, 9)
    for limit in (0, 1, 2, 4):
        found = await context(alice, room, sent[4], limit=limit)
        path = f"/rooms/{q(room)}/messages"
        before = await alice.get(path, dir="b", limit=1, **{"from": found["start"]})
        after = await alice.get(path, dir="f", limit=1, **{"from": found["end"]})
        first = [*found["events_before"], found["event"]]
        last = [found["event"], *found["events_after"]]
        told = [event["event_id"] for event in (before["chunk"][0], after["chunk"][0])]
        assert told == [sent[4 - len(first)], sent[4 + len(last)]]


async def test_the_state_is_that_at_the_last_event(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room(name="first")
    event_id = await alice.send(room, "here")
    named = await alice.set_state(room, "m.room.name", {"name": "second"})
    await alice.set_state(room, "m.room.name", {"name": "third"})

    async def name(of: str, limit: int) -> str:
        state = (await context(alice, room, of, limit=limit))["state"]
        return str(next(event["content"]["name"] for event in state if event["type"] == "m.room.name"))

    assert [await name(event_id, 0), await name(event_id, 1), await name(named, 0)] == ["first", "second", "second"]


async def test_lazy_members_are_those_who_sent_what_is_shown(hs: Homeserver) -> None:
    alice, bob, carol = [await hs.register(name) for name in ("alice", "bob", "carol")]
    room = await alice.create_room()
    await bob.join(room)
    await carol.join(room)
    event_id = await bob.send(room, "one")
    await alice.send(room, "two")
    found = await context(alice, room, event_id, limit=1, filter='{"lazy_load_members":true}')
    members = {event["state_key"] for event in found["state"] if event["type"] == "m.room.member"}
    assert members == {alice.user_id, bob.user_id}


async def test_the_filter_holds_for_all_but_the_event_itself(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    event_id = await alice.send(room, "one")
    await alice.send_event(room, "org.example.a", {"body": "a"})
    await alice.send_event(room, "org.example.b", {"body": "b"})
    found = await context(alice, room, event_id, limit=2, filter='{"types":["org.example.b"]}')
    assert texts(found["events_after"]) == ["b"]
    assert (found["event"]["event_id"], found["state"], found["events_before"]) == (event_id, [], [])


async def test_who_has_left_is_not_told_what_came_after(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    event_id = await alice.send(room, "before")
    await bob.leave(room)
    later = await alice.send(room, "after")
    found = await context(bob, room, event_id, limit=10)
    assert texts(found["events_after"]) == ["m.room.member"]
    assert (await bob.ask("GET", f"/rooms/{q(room)}/context/{q(later)}")).status == 403


async def test_strangers_are_refused(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    event_id = await alice.send(room, "one")
    response = await bob.ask("GET", f"/rooms/{q(room)}/context/{q(event_id)}")
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_an_event_of_another_room_is_not_found(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room, other = await alice.create_room(), await alice.create_room()
    event_id = await alice.send(other, "one")
    for wanted in (event_id, "$unknown"):
        response = await alice.ask("GET", f"/rooms/{q(room)}/context/{q(wanted)}")
        assert (response.status, response.errcode) == (404, "M_NOT_FOUND")
