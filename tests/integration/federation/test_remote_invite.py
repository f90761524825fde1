"""Invites from server to server."""

from typing import Any

import pytest

from tests.integration.federation.remote_pair import (
    INVITE_ONLY,
    Pair,
    asked,
    has_text,
    join,
    member,
    pair,
    refused,
    refused_join,
    room_part,
    sync_until,
    until_member,
)
from tests.support.fake_server import FakeServer
from tests.support.federation import Sent
from tests.support.homeserver import q

__all__ = ["pair"]


def types_of(part: dict, kind: str = "invite") -> dict[str, dict]:  # type: ignore[type-arg]
    """The stripped events by type; member events by their state key."""
    events = part[f"{kind}_state"]["events"]
    return {event["state_key"] or event["type"]: event for event in events}


async def test_an_invite_is_shown_with_the_room_and_accepted(pair: Pair) -> None:
    room = await pair.alice.create_room(**INVITE_ONLY, name="den")
    await pair.bob.sync()
    await pair.alice.invite(room, pair.bob)
    assert (await member(pair.alice, room, pair.bob.user_id))["membership"] == "invite"
    shown = types_of(await room_part(pair.bob, "invite", room))
    assert shown["m.room.name"]["content"] == {"name": "den"}
    assert shown[pair.alice.user_id]["content"]["membership"] == "join"
    own = shown[pair.bob.user_id]
    assert (own["sender"], own["content"]["membership"]) == (pair.alice.user_id, "invite")
    assert all(set(event) == {"type", "state_key", "sender", "content"} for event in shown.values())
    # A client that begins now sees it too.
    assert room in (await pair.bob.get("/sync"))["rooms"]["invite"]
    # The inviter's server is asked without being named.
    await join(pair.bob, room)
    await room_part(pair.bob, "join", room)
    assert room not in (await pair.bob.get("/sync"))["rooms"].get("invite", {})
    await pair.alice.send(room, "hello bob")
    await has_text(pair.bob, room, "hello bob")


async def test_invites_of_old_room_versions_arrive(pair: Pair) -> None:
    for version in ("1", "3", "10"):
        room = await pair.alice.create_room(**INVITE_ONLY, room_version=version)
        await pair.alice.ok("POST", f"/rooms/{q(room)}/invite", {"user_id": pair.bob.user_id, "reason": "do come"})
        shown = types_of(await room_part(pair.bob, "invite", room))
        assert shown[pair.bob.user_id]["content"]["reason"] == "do come"
        await join(pair.bob, room)


async def test_the_invites_of_a_new_room_go_out_with_it(pair: Pair) -> None:
    room = await pair.alice.create_room(invite=[pair.bob, pair.anna], preset="trusted_private_chat", is_direct=True)
    shown = types_of(await room_part(pair.bob, "invite", room))
    assert shown[pair.bob.user_id]["content"]["is_direct"] is True
    await join(pair.bob, room)


async def test_an_invite_to_a_room_that_we_are_in_comes_with_the_room(pair: Pair) -> None:
    room = await pair.alice.create_room(**INVITE_ONLY)
    await pair.alice.invite(room, pair.bob)
    await join(pair.bob, room)
    await pair.alice.invite(room, pair.carol)
    await room_part(pair.carol, "invite", room)
    before = asked(pair, "/make_join/")
    await join(pair.carol, room)
    assert asked(pair, "/make_join/") == before


async def test_an_invite_is_set_as_state_too(pair: Pair) -> None:
    room = await pair.alice.create_room(**INVITE_ONLY)
    await pair.alice.set_state(room, "m.room.member", {"membership": "invite", "org.test": 1}, pair.bob.user_id)
    assert types_of(await room_part(pair.bob, "invite", room))[pair.bob.user_id]["content"]["org.test"] == 1


async def test_who_takes_no_invites_is_not_invited(pair: Pair) -> None:
    room = await pair.alice.create_room()
    path = f"/user/{q(pair.carol.user_id)}/account_data/m.invite_permission_config"
    await pair.carol.ok("PUT", path, {"default_action": "block"})
    body = {"user_id": pair.carol.user_id}
    assert await refused(pair.alice, "POST", f"/rooms/{q(room)}/invite", body) == (403, "M_INVITE_BLOCKED")
    await pair.carol.ok("PUT", path, {})
    response = await pair.alice.ask("GET", f"/rooms/{q(room)}/state/m.room.member/{q(pair.carol.user_id)}")
    assert response.status == 404


async def test_nobody_can_be_invited_whom_the_other_server_does_not_know_or_who_is_not_reached(pair: Pair) -> None:
    room = await pair.alice.create_room()
    path = f"/rooms/{q(room)}/invite"
    assert await refused(pair.alice, "POST", path, {"user_id": "@nobody:two.test"}) == (403, "M_FORBIDDEN")
    assert await refused(pair.alice, "POST", path, {"user_id": "@x:gone.test"}) == (502, "M_UNKNOWN")
    assert await refused(pair.anna, "POST", path, {"user_id": pair.bob.user_id}) == (403, "M_FORBIDDEN")


async def test_the_invite_of_somebody_ignored_is_not_shown(pair: Pair) -> None:
    path = f"/user/{q(pair.bob.user_id)}/account_data/m.ignored_user_list"
    await pair.bob.ok("PUT", path, {"ignored_users": {pair.anna.user_id: {}}})
    room, other = await pair.anna.create_room(**INVITE_ONLY), await pair.alice.create_room(**INVITE_ONLY)
    await pair.anna.invite(room, pair.bob)
    await pair.alice.invite(other, pair.bob)
    answer = await sync_until(pair.bob, lambda answer: other in answer.get("rooms", {}).get("invite", {}))
    assert room not in answer["rooms"]["invite"]
    await pair.bob.ok("PUT", path, {"ignored_users": {}})


async def test_a_rejected_invite_is_rejected_everywhere(pair: Pair) -> None:
    room = await pair.alice.create_room(**INVITE_ONLY)
    await pair.alice.invite(room, pair.bob)
    await room_part(pair.bob, "invite", room)
    await pair.bob.ok("POST", f"/rooms/{q(room)}/leave", {"reason": "no time"})
    part = await room_part(pair.bob, "leave", room)
    assert part["timeline"]["events"][-1]["content"] == {"membership": "leave", "reason": "no time"}
    assert room not in (await pair.bob.get("/sync")).get("rooms", {}).get("invite", {})
    assert (await member(pair.alice, room, pair.bob.user_id)) == {"membership": "leave", "reason": "no time"}
    assert await refused_join(pair.bob, room, "one.test") == (403, "M_FORBIDDEN")
    # And may be sent again.
    await pair.alice.invite(room, pair.bob)
    await room_part(pair.bob, "invite", room)
    await join(pair.bob, room)


async def test_an_invite_is_rejected_though_the_other_server_is_gone(pair: Pair) -> None:
    room = await pair.alice.create_room(**INVITE_ONLY)
    await pair.alice.invite(room, pair.carol)
    await room_part(pair.carol, "invite", room)
    pair.network.cut("one.test", "two.test")
    try:
        await pair.carol.leave(room)
    finally:
        pair.network.mend("one.test", "two.test")
    await room_part(pair.carol, "leave", room)
    assert room not in (await pair.carol.get("/sync")).get("rooms", {}).get("invite", {})
    assert await refused(pair.carol, "GET", f"/rooms/{q(room)}/state") == (403, "M_FORBIDDEN")
    await pair.carol.ok("POST", f"/rooms/{q(room)}/forget", {})


async def test_who_was_in_the_room_before_is_invited_again(pair: Pair) -> None:
    room = await pair.alice.create_room(**INVITE_ONLY)
    await pair.alice.invite(room, pair.bob)
    await join(pair.bob, room)
    await pair.bob.leave(room)
    await until_member(pair.alice, room, pair.bob.user_id, "leave")
    await pair.bob.sync()
    await pair.alice.set_state(room, "m.room.name", {"name": "renamed"})
    await pair.alice.invite(room, pair.bob)
    shown = types_of(await room_part(pair.bob, "invite", room))
    assert shown["m.room.name"]["content"] == {"name": "renamed"}
    await join(pair.bob, room)
    assert (await pair.bob.get(f"/rooms/{q(room)}/state/m.room.name/"))["name"] == "renamed"


async def test_an_invite_that_is_taken_back_is_gone(pair: Pair) -> None:
    room = await pair.alice.create_room(**INVITE_ONLY)
    await pair.alice.invite(room, pair.bob)
    await room_part(pair.bob, "invite", room)
    await pair.alice.ok("POST", f"/rooms/{q(room)}/kick", {"user_id": pair.bob.user_id, "reason": "a mistake"})
    part = await room_part(pair.bob, "leave", room)
    assert part["timeline"]["events"][-1]["content"]["reason"] == "a mistake"
    assert room not in (await pair.bob.get("/sync")).get("rooms", {}).get("invite", {})


async def test_an_invite_is_not_taken_for_signed_when_another_event_comes_back(pair: Pair) -> None:
    evil = FakeServer(pair.network, "evil.test")
    room = await pair.alice.create_room()
    path, body = f"/rooms/{q(room)}/invite", {"user_id": "@eve:evil.test"}
    answers = [
        {},
        {"event": {}},
        {"event": {"signatures": {"evil.test": {"ed25519:fake": "AAAA"}}}},
        {"event": {"signatures": {"evil.test": "x"}}},
        {"event": []},
        [],
    ]
    for said in answers:
        evil.answers("PUT", "/_matrix/federation/v2/invite/", lambda _, said=said: said)
        assert await refused(pair.alice, "POST", path, body) == (502, "M_UNKNOWN"), said
    evil.answers("PUT", "/_matrix/federation/v2/invite/", lambda _: (403, {"errcode": "M_FORBIDDEN", "error": "no"}))
    assert await refused(pair.alice, "POST", path, body) == (403, "M_FORBIDDEN")
    evil.answers("PUT", "/_matrix/federation/v2/invite/", lambda _: (401, {"errcode": "M_UNKNOWN_TOKEN"}))
    assert await refused(pair.alice, "POST", path, body) == (502, "M_UNKNOWN")
    evil.answers(
        "PUT", "/_matrix/federation/v2/invite/", lambda sent: {"event": evil.sign_event(sent.json["event"], "12")}
    )
    await pair.alice.ok("POST", path, body)
    assert (await member(pair.alice, room, "@eve:evil.test"))["membership"] == "invite"


async def test_the_other_server_is_shown_pdus_with_the_create_event(pair: Pair) -> None:
    room = await pair.alice.create_room(**INVITE_ONLY, name="den")
    await pair.alice.invite(room, pair.bob)
    (sent,) = [one for one in pair.network.sent("/v2/invite/") if q(room) in one.path]
    shown = {event["type"]: event for event in sent.json["invite_room_state"]}
    assert {"m.room.create", "m.room.name", "m.room.join_rules", "m.room.member"} <= set(shown)
    assert all("signatures" in event and "auth_events" in event for event in shown.values())
    assert sent.json["event"]["origin"] == "one.test"


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    "said",
    [
        (404, {"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request"}),
        (404, {}),
        (405, {"errcode": "M_UNRECOGNIZED", "error": "Method not allowed"}),
        (400, {"errcode": "M_UNKNOWN", "error": "what is that?"}),
        (404, {"errcode": "M_NOT_FOUND", "error": "no such thing"}),
    ],
)
async def test_to_an_old_room_a_server_of_old_is_invited_the_old_way(pair: Pair, version: str, said: Any) -> None:
    old = FakeServer(pair.network, "old.test")
    room = await pair.alice.create_room(**INVITE_ONLY, room_version=version, name="den")
    old.answers("PUT", "/_matrix/federation/v2/invite/", lambda _: said)

    def answer(sent: Sent) -> Any:
        event = sent.json
        shown = event["unsigned"].pop("invite_room_state")
        assert {"m.room.create", "m.room.name"} <= {one["type"] for one in shown}
        return [200, {"event": old.sign_event(event, version)}]

    old.answers("PUT", "/_matrix/federation/v1/invite/", answer)
    await pair.alice.ok("POST", f"/rooms/{q(room)}/invite", {"user_id": "@olaf:old.test"})
    assert (await member(pair.alice, room, "@olaf:old.test"))["membership"] == "invite"


async def test_what_a_server_says_that_knows_only_the_new_way_is_passed_on(pair: Pair) -> None:
    new = FakeServer(pair.network, "new.test")
    room = await pair.alice.create_room(**INVITE_ONLY, room_version="1")
    path, body = f"/rooms/{q(room)}/invite", {"user_id": "@nora:new.test"}
    new.answers("PUT", "/_matrix/federation/v2/invite/", lambda _: (400, {"errcode": "ORG.EXAMPLE_FULL"}))
    assert await refused(pair.alice, "POST", path, body) == (400, "ORG.EXAMPLE_FULL")
    new.answers("PUT", "/_matrix/federation/v1/invite/", lambda _: (403, {"errcode": "M_FORBIDDEN"}))
    assert await refused(pair.alice, "POST", path, body) == (403, "M_FORBIDDEN")


async def test_to_a_room_of_today_nobody_is_invited_the_old_way(pair: Pair) -> None:
    old = FakeServer(pair.network, "older.test")
    room = await pair.alice.create_room(**INVITE_ONLY)
    assert await refused(pair.alice, "POST", f"/rooms/{q(room)}/invite", {"user_id": "@olaf:older.test"}) == (
        502,
        "M_UNKNOWN",
    )
    assert ["/v2/invite/" in one.path for one in old.requests if "/invite/" in one.path] == [True]
