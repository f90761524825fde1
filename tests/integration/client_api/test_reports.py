"""Reports of events, rooms and users, by the chapter "Reporting Content"."""

from typing import Any

import pytest

from tests.support.homeserver import Homeserver, q

NOT_FOUND = (404, "M_NOT_FOUND")


async def test_an_event_is_reported(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    event_id = await alice.send(room, "bad")
    await bob.ok("POST", f"/rooms/{q(room)}/report/{q(event_id)}", {"reason": "rude", "score": -100})
    await bob.ok("POST", f"/rooms/{q(room)}/report/{q(event_id)}", {})
    rows = hs.rows("SELECT reporter, room_id, event_id, reason, score FROM reports ORDER BY report_id")
    common = (bob.user_id, room, event_id)
    assert rows == [(*common, "rude", -100), (*common, None, None)]


async def test_an_event_can_be_reported_only_from_within_the_room(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    event_id = await alice.send(room, "bad")
    gone = await alice.send(room, "worse")
    await alice.ok("PUT", f"/rooms/{q(room)}/redact/{q(gone)}/1", {})
    for client, wanted in ((bob, event_id), (alice, "$unknown"), (alice, gone)):
        response = await client.ask("POST", f"/rooms/{q(room)}/report/{q(wanted)}", {"reason": "x"})
        assert (response.status, response.errcode) == NOT_FOUND
    assert hs.rows("SELECT * FROM reports") == []


async def test_a_room_is_reported_from_outside_too(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.ok("POST", f"/rooms/{q(room)}/report", {"reason": ""})
    assert hs.rows("SELECT reporter, room_id, event_id, reason FROM reports") == [(bob.user_id, room, None, "")]
    response = await bob.ask("POST", "/rooms/!nowhere:hearth.test/report", {"reason": "x"})
    assert (response.status, response.errcode) == NOT_FOUND


async def test_a_user_is_reported_and_whether_there_is_one_is_not_told(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    for user_id in (alice.user_id, "@nobody:hearth.test", "@far:elsewhere.test"):
        await bob.ok("POST", f"/users/{q(user_id)}/report", {"reason": "spam"})
    rows = hs.rows("SELECT user_id FROM reports ORDER BY report_id")
    assert rows == [(alice.user_id,), ("@far:elsewhere.test",)]


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"reason": 1}, "M_BAD_JSON"),
        ({"reason": "x" * 10_001}, "M_INVALID_PARAM"),
        ({"reason": "\x00"}, "M_INVALID_PARAM"),
    ],
)
async def test_a_bad_reason_is_refused(hs: Homeserver, body: dict[str, Any], errcode: str) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    for path in (f"/rooms/{q(room)}/report", f"/users/{q(alice.user_id)}/report"):
        response = await alice.ask("POST", path, body)
        assert (response.status, response.errcode) == (400, errcode)


async def test_reports_are_limited(hs: Homeserver, start_homeserver: Any) -> None:
    alice = await hs.register("alice")
    strict = alice.at(await start_homeserver("rc_reports: {per_second: 0.001, burst_count: 1}"))
    path = f"/users/{q(alice.user_id)}/report"
    await strict.ok("POST", path, {"reason": "x"})
    response = await strict.ask("POST", path, {"reason": "x"})
    assert (response.status, response.errcode) == (429, "M_LIMIT_EXCEEDED")
