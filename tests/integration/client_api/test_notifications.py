"""The list of notifications."""

from typing import Any

import pytest

from homeserver.services.push import notifications
from tests.support.homeserver import Client, Homeserver, q


async def listed(client: Client, **query: Any) -> list[str]:
    answer = await client.get("/notifications", **query)
    return [one["event"]["content"].get("body") for one in answer["notifications"]]


async def pair(hs: Homeserver) -> tuple[Client, Client, str]:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    return alice, bob, room


async def test_a_notification_says_what_was_to_be_done_and_whether_it_is_read(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    first, second = await alice.send(room, "one"), await alice.send(room, "two")
    await bob.ok("POST", f"/rooms/{q(room)}/receipt/m.read/{q(first)}", {})
    answer = await bob.get("/notifications")
    assert "next_token" not in answer
    newest, oldest = answer["notifications"]
    assert (newest["event"]["event_id"], newest["read"], newest["room_id"]) == (second, False, room)
    assert (oldest["event"]["event_id"], oldest["read"]) == (first, True)
    assert newest["actions"][0] == "notify"
    assert newest["ts"] == newest["event"]["origin_server_ts"]
    assert "room_id" not in newest["event"]


async def test_pages_follow_one_another(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    for number in range(5):
        await alice.send(room, str(number))
    answer = await bob.get("/notifications", limit=2)
    assert [one["event"]["content"]["body"] for one in answer["notifications"]] == ["4", "3"]
    answer = await bob.get("/notifications", limit=2, **{"from": answer["next_token"]})
    assert [one["event"]["content"]["body"] for one in answer["notifications"]] == ["2", "1"]
    assert await listed(bob, **{"from": answer["next_token"]}) == ["0"]


async def test_one_may_ask_for_highlights_only(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    await alice.send(room, "plain")
    await alice.send(room, "you", **{"m.mentions": {"user_ids": [bob.user_id]}})
    assert await listed(bob, only="highlight") == ["you"]
    assert await listed(bob) == ["you", "plain"]


async def test_only_what_the_rules_tell_of_is_listed(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    quiet = await alice.create_room()
    await bob.join(quiet)
    await bob.ok("PUT", f"/pushrules/global/room/{q(quiet)}", {"actions": []})
    await alice.send(quiet, "quiet")
    await alice.send(room, "loud")
    await bob.send(room, "mine")
    gone = await alice.send(room, "gone")
    await alice.ok("PUT", f"/rooms/{q(room)}/redact/{q(gone)}/1", {})
    assert await listed(bob) == ["loud"]


async def test_what_one_may_not_see_is_not_listed(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room(
        initial_state=[{"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}]
    )
    await alice.send(room, "before")
    await bob.join(room)
    await alice.send(room, "after")
    assert await listed(bob) == ["after"]


async def test_a_page_looks_at_a_bounded_number_of_events(hs: Homeserver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "BATCH", 2)
    monkeypatch.setattr(notifications, "BATCHES", 1)
    alice, bob, room = await pair(hs)
    await alice.send(room, "loud")
    for number in range(3):
        await alice.set_state(room, "org.example.quiet", {}, str(number))
    bodies, token = [], None
    for _ in range(20):
        answer = await bob.get("/notifications", **{"from": token})
        bodies += [one["event"]["content"].get("body") for one in answer["notifications"]]
        token = answer.get("next_token")
        if token is None:
            break
    assert bodies == ["loud"]


@pytest.mark.parametrize("query", [{"from": "x"}, {"limit": "x"}, {"limit": 0}])
async def test_a_broken_question_is_refused(hs: Homeserver, query: Any) -> None:
    alice = await hs.register("alice")
    response = await alice.ask("GET", "/notifications", **query)
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")
