"""GET /rooms/{roomId}/messages and /event, by the chapter "Getting events for a room"."""

import random
from typing import Any

import orjson
import pytest

from tests.support.homeserver import Client, Homeserver, q


def bodies(page: dict[str, Any]) -> list[str]:
    return [event["content"].get("body") for event in page["chunk"] if event["type"] == "m.room.message"]


def ids(page: dict[str, Any]) -> list[str]:
    return [event["event_id"] for event in page["chunk"]]


async def messages(client: Client, room: str, **query: Any) -> dict[str, Any]:
    start = {"from": query.pop("start")} if "start" in query else {}
    query.setdefault("dir", "b")
    if isinstance(query.get("filter"), dict):
        query["filter"] = orjson.dumps(query["filter"]).decode()
    page: dict[str, Any] = await client.get(f"/rooms/{q(room)}/messages", **start, **query)
    return page


async def all_pages(client: Client, room: str, limit: int, **query: Any) -> list[str]:
    """The ids of all events, page by page."""
    page = await messages(client, room, limit=limit, **query)
    found = ids(page)
    while "end" in page:
        page = await messages(client, room, limit=limit, **{**query, "start": page["end"]})
        found += ids(page)
    return found


async def room_with(client: Client, count: int, **body: Any) -> str:
    room = await client.create_room(**body)
    for number in range(count):
        await client.send(room, str(number))
    return room


async def test_without_a_token_the_newest_come_first(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await room_with(alice, 3)
    page = await messages(alice, room, limit=2)
    assert bodies(page) == ["2", "1"]
    assert {event["room_id"] for event in page["chunk"]} == {room}


async def test_forwards_without_a_token_the_oldest_come_first(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await room_with(alice, 1)
    page = await messages(alice, room, dir="f", limit=1)
    assert [event["type"] for event in page["chunk"]] == ["m.room.create"]


async def test_at_the_start_of_the_room_there_is_no_end(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await room_with(alice, 1)
    page = await messages(alice, room, limit=100)
    assert page["chunk"][-1]["type"] == "m.room.create"
    assert "end" not in page and page["start"]


async def test_the_first_event_alone_on_the_last_page_ends_it(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await room_with(alice, 0)
    count = len((await messages(alice, room, limit=100))["chunk"])
    page = await messages(alice, room, limit=count - 1)
    last = await messages(alice, room, limit=1, start=page["end"])
    assert [event["type"] for event in last["chunk"]] == ["m.room.create"]
    assert "end" not in last


async def test_pages_from_a_sync_token_do_not_tell_what_came_after_it(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await room_with(alice, 2)
    await alice.sync()
    await alice.send(room, "later")
    assert bodies(await messages(alice, room, start=alice.since, limit=2)) == ["1", "0"]
    page = await messages(alice, room, start=alice.since, dir="f")
    assert bodies(page) == ["later"]
    assert page["start"] == alice.since


async def test_a_page_stops_at_to(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await room_with(alice, 2)
    await alice.sync()
    await alice.send(room, "a")
    await alice.send(room, "b")
    assert bodies(await messages(alice, room, to=alice.since)) == ["b", "a"]
    first = await messages(alice, room, dir="f", limit=3)
    forward = await messages(alice, room, dir="f", start=first["end"], to=alice.since, limit=50)
    assert bodies(forward) == ["0", "1"]


async def test_a_page_back_can_be_read_forward_again_from_its_start(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await room_with(alice, 6)
    newest = await messages(alice, room, limit=2)
    middle = await messages(alice, room, limit=2, start=newest["end"])
    again = await messages(alice, room, dir="f", limit=2, start=middle["end"])
    assert ids(again) == ids(middle)[::-1]


@pytest.mark.parametrize("token", ["nonsense", "t1", "s", "t1_2_3", "s99999999999999999999"])
async def test_a_bad_token_is_refused(hs: Homeserver, token: str) -> None:
    alice = await hs.register("alice")
    room = await room_with(alice, 0)
    response = await alice.ask("GET", f"/rooms/{q(room)}/messages", dir="b", **{"from": token})
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize("query", [{"dir": "x"}, {"dir": "b", "limit": "-1"}, {"dir": "b", "limit": "ten"}])
async def test_a_bad_parameter_is_refused(hs: Homeserver, query: dict[str, str]) -> None:
    alice = await hs.register("alice")
    room = await room_with(alice, 0)
    response = await alice.ask("GET", f"/rooms/{q(room)}/messages", **query)
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize(
    ("text", "errcode"), [("{", "M_NOT_JSON"), ("[]", "M_BAD_JSON"), ('{"types":1}', "M_BAD_JSON")]
)
async def test_a_bad_filter_is_refused(hs: Homeserver, text: str, errcode: str) -> None:
    alice = await hs.register("alice")
    room = await room_with(alice, 0)
    response = await alice.ask("GET", f"/rooms/{q(room)}/messages", dir="b", filter=text)
    assert (response.status, response.errcode) == (400, errcode)


async def test_a_limit_of_nothing_gives_nothing(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await room_with(alice, 2)
    page = await messages(alice, room, limit=0)
    assert page["chunk"] == [] and page["end"] == page["start"]


async def test_strangers_and_unknown_rooms_are_refused_alike(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await room_with(alice, 1)
    for path in (f"/rooms/{q(room)}/messages", "/rooms/!nowhere:hearth.test/messages"):
        response = await bob.ask("GET", path, dir="b")
        assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_filters_choose_by_type_sender_and_url(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await room_with(alice, 2)
    await bob.join(room)
    await bob.send(room, "from bob", url="mxc://hearth.test/x")
    await alice.send_event(room, "org.example.kind", {"body": "special"})

    async def found(**wanted: Any) -> list[str]:
        page = await messages(alice, room, limit=50, filter=wanted)
        return [event["content"].get("body", event["type"]) for event in page["chunk"]]

    assert await found(types=["m.room.message"]) == ["from bob", "1", "0"]
    assert await found(types=["org.*"]) == ["special"]
    assert await found(types=["m.room.message"], not_senders=[bob.user_id]) == ["1", "0"]
    assert await found(senders=[bob.user_id], not_types=["m.room.member"]) == ["from bob"]
    assert await found(contains_url=True) == ["from bob"]
    assert await found(types=["m.room.message"], contains_url=False) == ["1", "0"]
    assert await found(types=[]) == []
    assert await found(not_rooms=[room]) == []
    assert await found(types=["with a \x00"]) == []


async def test_a_filter_that_lets_little_through_still_fills_the_page(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    await alice.send_event(room, "org.example.rare", {"body": "found"})
    for number in range(12):
        await alice.send(room, str(number))
    page = await messages(alice, room, limit=3, filter={"types": ["org.*"]})
    assert [event["content"]["body"] for event in page["chunk"]] == ["found"]


async def test_events_can_be_chosen_by_what_relates_to_them(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await room_with(alice, 3)
    await bob.join(room)
    target = ids(await messages(alice, room, limit=2, filter={"types": ["m.room.message"]}))[1]
    await bob.send(room, "in thread", **{"m.relates_to": {"rel_type": "m.thread", "event_id": target}})
    for wanted in ({"related_by_rel_types": ["m.thread"]}, {"related_by_senders": [bob.user_id]}):
        assert ids(await messages(alice, room, filter=wanted)) == [target]
    assert ids(await messages(alice, room, filter={"related_by_senders": [alice.user_id]})) == []


async def test_lazy_members_are_those_who_sent_the_page(hs: Homeserver) -> None:
    alice, bob, carol = [await hs.register(name) for name in ("alice", "bob", "carol")]
    room = await alice.create_room()
    await bob.join(room)
    await carol.join(room)
    await bob.send(room, "one")
    page = await messages(alice, room, limit=1, filter={"lazy_load_members": True})
    assert [(event["type"], event["state_key"]) for event in page["state"]] == [("m.room.member", bob.user_id)]
    assert "state" not in await messages(alice, room, limit=1)


async def test_lazy_members_are_as_they_were_at_the_page(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    await bob.send(room, "here")
    await bob.sync()
    await bob.leave(room)
    page = await messages(alice, room, limit=1, start=bob.since, filter={"lazy_load_members": True})
    assert bodies(page) == ["here"]
    assert [event["content"]["membership"] for event in page["state"]] == ["join"]


async def test_who_has_left_reads_up_to_then(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    await alice.send(room, "before")
    await bob.leave(room)
    await alice.send(room, "after")
    page = await messages(bob, room, limit=2)
    assert page["chunk"][0]["content"]["membership"] == "leave"
    assert bodies(page) == ["before"]
    forward = await messages(bob, room, dir="f", limit=100)
    assert bodies(forward) == ["before"] and "end" not in forward


async def test_a_forgotten_room_is_closed(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    await bob.leave(room)
    await bob.ok("POST", f"/rooms/{q(room)}/forget", {})
    assert (await bob.ask("GET", f"/rooms/{q(room)}/messages", dir="b")).status == 403


async def test_the_device_that_sent_sees_its_transaction_id(hs: Homeserver, start_homeserver: Any) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    await alice.ok("PUT", f"/rooms/{q(room)}/send/m.room.message/mine", {"body": "x", "msgtype": "m.text"})
    other_device = await hs.log_in("alice")
    restarted = alice.at(await start_homeserver())

    async def seen_by(client: Client) -> Any:
        return (await messages(client, room, limit=1))["chunk"][0]["unsigned"].get("transaction_id")

    assert [await seen_by(one) for one in (alice, restarted, other_device)] == ["mine", "mine", None]


async def test_events_say_what_the_reader_was_at_the_time(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await room_with(alice, 1)
    await bob.join(room)
    await alice.send(room, "now")
    page = await messages(bob, room, limit=3)
    assert [event["unsigned"]["membership"] for event in page["chunk"]] == ["join", "join", "leave"]


async def test_ignored_users_are_not_heard(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await room_with(alice, 1)
    await bob.join(room)
    await bob.send(room, "noise")
    path = f"/user/{q(alice.user_id)}/account_data/m.ignored_user_list"
    await alice.ok("PUT", path, {"ignored_users": {bob.user_id: {}}})
    page = await messages(alice, room, limit=3)
    assert bodies(page) == ["0"]
    assert bob.user_id in [event["sender"] for event in page["chunk"]]


async def test_a_redacted_event_is_shown_bare_with_its_redaction(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    event_id = await alice.send(room, "secret")
    await alice.ok("PUT", f"/rooms/{q(room)}/redact/{q(event_id)}/1", {"reason": "mistake"})
    page = await messages(alice, room, limit=2)
    assert page["chunk"][1]["content"] == {}
    assert page["chunk"][1]["unsigned"]["redacted_because"]["content"]["reason"] == "mistake"


async def test_a_single_event_is_given(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    event_id = await alice.send(room, "one")
    event = await alice.get(f"/rooms/{q(room)}/event/{q(event_id)}")
    assert (event["content"]["body"], event["room_id"], event["event_id"]) == ("one", room, event_id)


async def test_an_event_that_is_not_for_the_reader_is_not_found(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room, other = await room_with(alice, 0), await room_with(bob, 0)
    event_id = await alice.send(room, "one")
    for client, of_room, wanted in (
        (bob, room, event_id),
        (bob, other, event_id),
        (alice, room, "$unknown"),
        (alice, "!nowhere:hearth.test", event_id),
    ):
        response = await client.ask("GET", f"/rooms/{q(of_room)}/event/{q(wanted)}")
        assert (response.status, response.errcode) == (404, "M_NOT_FOUND")


async def test_an_event_is_found_by_its_time(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await room_with(alice, 2)
    newest, older = (await messages(alice, room, limit=2))["chunk"]
    path = f"/_matrix/client/v1/rooms/{q(room)}/timestamp_to_event"
    found = await alice.get(path, ts=newest["origin_server_ts"], dir="b")
    assert found == {"event_id": newest["event_id"], "origin_server_ts": newest["origin_server_ts"]}
    assert (await alice.get(path, ts=0, dir="f"))["event_id"] != older["event_id"]
    response = await alice.ask("GET", path, ts=newest["origin_server_ts"] + 1, dir="f")
    assert (response.status, response.errcode) == (404, "M_NOT_FOUND")
    assert (await alice.ask("GET", path, dir="f")).errcode == "M_MISSING_PARAM"


async def test_pages_of_any_sizes_give_each_event_once_in_order(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room(initial_state=[_visibility("joined")])
    for number in range(7):
        await alice.send(room, str(number))
    await bob.join(room)
    for number in range(8):
        await bob.send(room, f"with bob {number}")
    await bob.leave(room)
    await alice.send(room, "without bob")
    for client in (alice, bob):
        forward = ids(await messages(client, room, dir="f", limit=1000))
        assert len(set(forward)) == len(forward)
        for limit in (1, 2, 3, 5, 7, 11, 100):
            assert await all_pages(client, room, limit, dir="f") == forward
            assert await all_pages(client, room, limit, dir="b") == forward[::-1]
    assert len(ids(await messages(alice, room, limit=1000))) > len(forward)


@pytest.mark.parametrize("seed", range(5))
async def test_walking_to_and_fro_meets_each_event_once_on_every_way(hs: Homeserver, seed: int) -> None:
    """By pages of any size, turning around anywhere: what is met is always what lies between two places."""
    chance = random.Random(seed)
    alice = await hs.register("alice")
    room = await room_with(alice, 12)
    history = ids(await messages(alice, room, dir="f", limit=1000))
    at, token = len(history), (await alice.sync())["next_batch"]
    for _ in range(25):
        direction, limit = chance.choice("bf"), chance.randint(1, 8)
        page = await messages(alice, room, start=token, dir=direction, limit=limit)
        wanted = history[max(0, at - limit) : at][::-1] if direction == "b" else history[at : at + limit]
        assert ids(page) == wanted
        at += len(wanted) if direction == "f" else -len(wanted)
        assert ("end" in page) == (0 < at < len(history))
        if "end" not in page:
            at, token = len(history), alice.since
            continue
        token = page["end"]


def _visibility(value: str) -> dict[str, Any]:
    return {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": value}}
