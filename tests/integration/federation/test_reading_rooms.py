"""GET /event, /backfill, /timestamp_to_event and POST /get_missing_events: a room's events for its servers.

Source: server-server API, "Backfilling and retrieving missing events", "Retrieving events".
"""

from typing import Any

import pytest

from matrix.events import Json
from tests.integration.federation.visiting import Visitor
from tests.support.fake_server import FakeServer, event_id_of
from tests.support.homeserver import Client, q
from tests.support.http import Response


async def send_many(alice: Client, room: str, count: int) -> list[str]:
    return [await alice.send(room, f"message {number}") for number in range(count)]


def ids(pdus: list[Any], version: str = "12") -> list[str]:
    return [event_id_of(pdu, version) for pdu in pdus]


async def backfill(visitor: Visitor, *event_ids: str, limit: int = 100) -> list[Any]:
    answer = await visitor.ok(f"/backfill/{q(visitor.room)}", v=list(event_ids), limit=limit)
    pdus: list[Any] = answer["pdus"]
    return pdus


async def missing(visitor: Visitor, latest: list[str], earliest: list[str], **more: Any) -> list[str]:
    body = {"latest_events": latest, "earliest_events": earliest, **more}
    response = await visitor.post(f"/get_missing_events/{q(visitor.room)}", body)
    assert response.status == 200, response
    return ids(response.json["events"])


async def test_one_event_comes_as_a_transaction(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    event_id = await alice.send(visitor.room, "hello")
    answer = await visitor.ok(f"/event/{q(event_id)}")
    assert answer["origin"] == "one.test"
    assert isinstance(answer["origin_server_ts"], int)
    assert ids(answer["pdus"]) == [event_id]
    assert "unsigned" not in answer["pdus"][0]


async def test_an_event_that_nobody_knows_is_not_found(visitor: Visitor) -> None:
    await visitor.join()
    response = await visitor.get("/event/" + q("$" + "A" * 43))
    assert (response.status, response.errcode) == (404, "M_NOT_FOUND")


async def test_backfill_gives_the_event_and_those_before_it_newest_first(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    sent = await send_many(alice, visitor.room, 5)
    assert ids(await backfill(visitor, sent[3], limit=3)) == [sent[3], sent[2], sent[1]]


async def test_backfill_ends_with_the_create_event(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    pdus = await backfill(visitor, await alice.send(visitor.room))
    assert pdus[-1]["type"] == "m.room.create"


async def test_backfill_gives_a_hundred_events_at_most(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    sent = await send_many(alice, visitor.room, 110)
    assert len(await backfill(visitor, sent[-1], limit=100_000)) == 100


async def test_backfill_from_what_is_not_known_gives_nothing(visitor: Visitor) -> None:
    await visitor.join()
    assert await backfill(visitor, "$" + "A" * 43) == []


async def test_backfill_from_another_rooms_event_gives_nothing(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    other = await alice.create_room(preset="private_chat")
    assert await backfill(visitor, await alice.send(other, "secret")) == []


@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ({"v": "$a"}, "M_MISSING_PARAM"),
        ({"limit": 1}, "M_MISSING_PARAM"),
        ({"v": "$a", "limit": 0}, "M_INVALID_PARAM"),
        ({"v": "$a", "limit": "many"}, "M_INVALID_PARAM"),
        ({"v": "event", "limit": 1}, "M_INVALID_PARAM"),
    ],
)
async def test_backfill_must_say_from_where_and_how_much(visitor: Visitor, query: dict[str, Any], errcode: str) -> None:
    await visitor.join()
    response = await visitor.get(f"/backfill/{q(visitor.room)}", **query)
    assert (response.status, response.errcode) == (400, errcode)


async def test_what_is_missing_lies_between(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    sent = await send_many(alice, visitor.room, 6)
    assert await missing(visitor, [sent[5]], [sent[1]]) == [sent[2], sent[3], sent[4]]


async def test_of_what_is_missing_the_nearest_come_first(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    sent = await send_many(alice, visitor.room, 6)
    assert await missing(visitor, [sent[5]], [], limit=2) == [sent[3], sent[4]]


async def test_twenty_missing_events_are_given_at_most(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    sent = await send_many(alice, visitor.room, 30)
    assert len(await missing(visitor, [sent[-1]], [sent[0]], limit=1000)) == 20


async def test_ten_missing_events_are_given_if_nothing_is_said(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    sent = await send_many(alice, visitor.room, 15)
    assert len(await missing(visitor, [sent[-1]], [])) == 10


async def test_what_is_above_the_least_depth_is_given(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    sent = await send_many(alice, visitor.room, 5)
    depth = (await visitor.ok(f"/event/{q(sent[2])}"))["pdus"][0]["depth"]
    assert await missing(visitor, [sent[4]], [], min_depth=depth) == [sent[2], sent[3]]


async def power_levels_and(visitor: Visitor, join: Json) -> list[str]:
    """What authorises a message of who has joined."""
    join_id = event_id_of(join, "12")
    whole = await visitor.ok(f"/state/{q(visitor.room)}", event_id=join_id)
    levels = [event_id_of(pdu, "12") for pdu in whole["pdus"] if pdu["type"] == "m.room.power_levels"]
    return [*levels, join_id]


async def fork(alice: Client, visitor: Visitor) -> tuple[str, list[str], str]:
    """A join, two messages that each follow it alone, and one that follows both."""
    join = (await visitor.join())["event"]
    auth = await power_levels_and(visitor, join)
    branches = [await visitor.say(body, after=join, auth=auth) for body in ("left", "right")]
    last = await alice.send(visitor.room, "both")
    (pdu,) = (await visitor.ok(f"/event/{q(last)}"))["pdus"]
    assert set(pdu["prev_events"]) == set(branches)
    return event_id_of(join, "12"), branches, last


async def test_both_branches_of_a_fork_are_missing(alice: Client, visitor: Visitor) -> None:
    join, branches, last = await fork(alice, visitor)
    assert set(await missing(visitor, [last], [join])) == set(branches)
    assert await missing(visitor, [last], [join, branches[0]]) == [branches[1]]


async def test_backfill_gives_both_branches_of_a_fork_and_what_they_follow_once(
    alice: Client, visitor: Visitor
) -> None:
    join, branches, last = await fork(alice, visitor)
    found = ids(await backfill(visitor, last))
    assert found[0] == last
    assert set(found[1:3]) == set(branches)
    assert found[3] == join
    assert len(found) == len(set(found))


async def test_nothing_is_missing_before_what_is_not_known(visitor: Visitor) -> None:
    await visitor.join()
    assert await missing(visitor, ["$" + "A" * 43], []) == []


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({"latest_events": []}, "M_MISSING_PARAM"),
        ({"earliest_events": []}, "M_MISSING_PARAM"),
        ({"latest_events": "$a", "earliest_events": []}, "M_BAD_JSON"),
        ({"latest_events": [1], "earliest_events": []}, "M_BAD_JSON"),
        ({"latest_events": ["a"], "earliest_events": []}, "M_INVALID_PARAM"),
        ({"latest_events": [], "earliest_events": [], "limit": "a"}, "M_BAD_JSON"),
        ({"latest_events": ["$a"] * 1001, "earliest_events": []}, "M_INVALID_PARAM"),
    ],
)
async def test_a_broken_question_for_missing_events_is_refused(
    visitor: Visitor, body: dict[str, Any], errcode: str
) -> None:
    await visitor.join()
    response = await visitor.post(f"/get_missing_events/{q(visitor.room)}", body)
    assert (response.status, response.errcode) == (400, errcode)


async def test_the_event_nearest_to_a_time_is_found(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    event_id = await alice.send(visitor.room)
    pdu = (await visitor.ok(f"/event/{q(event_id)}"))["pdus"][0]
    path, ts = f"/timestamp_to_event/{q(visitor.room)}", pdu["origin_server_ts"]
    found = await visitor.ok(path, ts=ts + 100_000, dir="b")
    assert found == {"event_id": event_id, "origin_server_ts": ts}
    response = await visitor.get(path, ts=ts + 100_000, dir="f")
    assert (response.status, response.errcode) == (404, "M_NOT_FOUND")


async def everything(visitor: Visitor, event_id: str) -> list[tuple[str, Response]]:
    """Each question about the room."""
    room, event = q(visitor.room), q(event_id)
    paths = [
        f"/event/{event}",
        f"/backfill/{room}?v={event}&limit=1",
        f"/state/{room}?event_id={event}",
        f"/state_ids/{room}?event_id={event}",
        f"/event_auth/{room}/{event}",
        f"/timestamp_to_event/{room}?ts=1&dir=f",
    ]
    answers = [(path, await visitor.get(path)) for path in paths]
    body = {"latest_events": [event_id], "earliest_events": []}
    return [*answers, ("get_missing_events", await visitor.post(f"/get_missing_events/{room}", body))]


async def test_a_server_that_never_was_in_the_room_reads_nothing(alice: Client, visitor: Visitor) -> None:
    event_id = await alice.send(visitor.room)
    for path, response in await everything(visitor, event_id):
        assert (response.status, response.errcode) == (403, "M_FORBIDDEN"), path


async def test_a_server_that_has_left_the_room_reads_nothing(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    await visitor.leave()
    event_id = await alice.send(visitor.room)
    for path, response in await everything(visitor, event_id):
        assert (response.status, response.errcode) == (403, "M_FORBIDDEN"), path


async def test_a_room_that_nobody_knows_is_not_found(alice: Client, visitor: Visitor) -> None:
    visitor.room = "!nowhere:one.test"
    for path, response in await everything(visitor, "$" + "A" * 43):
        assert (response.status, response.errcode) == (404, "M_NOT_FOUND"), path


async def bodies(visitor: Visitor, latest: str) -> dict[str, Any]:
    """The content of each message by event id, as the visitor's server gets it."""
    pdus = await backfill(visitor, latest)
    return {event_id_of(pdu, "12"): pdu["content"].get("body") for pdu in pdus if pdu["type"] == "m.room.message"}


async def set_visibility(alice: Client, room: str, visibility: str) -> None:
    await alice.set_state(room, "m.room.history_visibility", {"history_visibility": visibility})


@pytest.mark.parametrize(
    ("visibility", "is_seen"), [("world_readable", True), ("shared", True), ("invited", False), ("joined", False)]
)
async def test_what_was_said_before_the_join_is_seen_as_the_visibility_says(
    alice: Client, visitor: Visitor, visibility: str, is_seen: bool
) -> None:
    await set_visibility(alice, visitor.room, visibility)
    before = await alice.send(visitor.room, "before")
    await visitor.join()
    after = await alice.send(visitor.room, "after")
    assert await bodies(visitor, after) == {before: "before" if is_seen else None, after: "after"}
    (pdu,) = (await visitor.ok(f"/event/{q(before)}"))["pdus"]
    assert pdu["content"].get("body") == ("before" if is_seen else None)


async def test_what_was_said_while_away_is_not_seen(alice: Client, visitor: Visitor) -> None:
    await set_visibility(alice, visitor.room, "joined")
    await visitor.join()
    seen = await alice.send(visitor.room, "seen")
    await visitor.leave()
    unseen = await alice.send(visitor.room, "unseen")
    await visitor.join()
    last = await alice.send(visitor.room, "last")
    assert await bodies(visitor, last) == {seen: "seen", unseen: None, last: "last"}


async def test_the_visibility_of_then_counts_not_that_of_now(alice: Client, visitor: Visitor) -> None:
    await set_visibility(alice, visitor.room, "joined")
    closed = await alice.send(visitor.room, "closed")
    await set_visibility(alice, visitor.room, "shared")
    opened = await alice.send(visitor.room, "open")
    await visitor.join()
    assert await bodies(visitor, opened) == {closed: None, opened: "open"}


async def test_another_user_of_the_server_makes_it_see(alice: Client, visitor: Visitor) -> None:
    await set_visibility(alice, visitor.room, "joined")
    await visitor.join()
    seen = await alice.send(visitor.room, "seen")
    await Visitor(visitor.server, "one.test", visitor.room, "second").join()
    await visitor.leave()
    also = await alice.send(visitor.room, "also")
    assert await bodies(visitor, also) == {seen: "seen", also: "also"}


async def test_on_a_branch_without_the_server_it_was_not_there(alice: Client, visitor: Visitor) -> None:
    """What counts is the state before the event, wherever it came into the stream."""
    await set_visibility(alice, visitor.room, "joined")
    third = Visitor(FakeServer(visitor.server.network, "three.test"), "one.test", visitor.room)
    join = (await third.join())["event"]
    auth = await power_levels_and(third, join)
    own_join = (await visitor.join())["event"]
    unseen = await third.say("unseen", after=join, auth=auth)
    seen = await third.say("seen", after=own_join, auth=auth)
    last = await alice.send(visitor.room, "last")
    assert await bodies(visitor, last) == {unseen: None, seen: "seen", last: "last"}
    assert await bodies(third, last) == {unseen: "unseen", seen: "seen", last: "last"}


async def test_the_nearest_event_is_one_that_is_seen(alice: Client, visitor: Visitor) -> None:
    await set_visibility(alice, visitor.room, "joined")
    await alice.send(visitor.room, "unseen")
    await visitor.join()
    found = await visitor.ok(f"/timestamp_to_event/{q(visitor.room)}", ts=4_000_000_000_000, dir="b")
    (pdu,) = (await visitor.ok(f"/event/{q(found['event_id'])}"))["pdus"]
    assert pdu["content"].get("membership") == "join"
    assert pdu["sender"] == visitor.user_id


async def test_redacted_events_are_given_redacted(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    event_id = await alice.send(visitor.room, "a mistake")
    await alice.ok("PUT", f"/rooms/{q(visitor.room)}/redact/{q(event_id)}/r1", {})
    (pdu,) = (await visitor.ok(f"/event/{q(event_id)}"))["pdus"]
    assert pdu["content"] == {}
    assert event_id_of(pdu, "12") == event_id
