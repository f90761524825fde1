"""Each rate of the configuration, set to one at once: the second time is 429, and says when to come again.

Source: client-server API, "Rate limiting".
"""

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.homeserver import PASSWORD, Client, Homeserver, Response, q

NUMBERS = itertools.count()
ONE = "{per_second: 0.001, burst_count: 1}"


def log_in_body(name: str, password: str = PASSWORD) -> dict[str, Any]:
    return {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": name}, "password": password}


async def message(hs: Homeserver, alice: Client, bob: Client, room: str) -> Response:
    return await alice.ask("POST", f"/rooms/{q(room)}/send/m.room.message", {"msgtype": "m.text", "body": "hello"})


async def state(hs: Homeserver, alice: Client, bob: Client, room: str) -> Response:
    return await alice.ask("PUT", f"/rooms/{q(room)}/state/m.some.type/{next(NUMBERS)}", {"a": 1})


async def redaction(hs: Homeserver, alice: Client, bob: Client, room: str) -> Response:
    return await alice.ask("POST", f"/rooms/{q(room)}/redact/{q(await bob.send(room))}", {})


async def registration(hs: Homeserver, alice: Client, bob: Client, room: str) -> Response:
    body = {"username": f"new{next(NUMBERS)}", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    return await hs.ask("POST", "/register", body)


async def availability(hs: Homeserver, alice: Client, bob: Client, room: str) -> Response:
    return await hs.ask("GET", "/register/available", username=f"new{next(NUMBERS)}")


async def token_validity(hs: Homeserver, alice: Client, bob: Client, room: str) -> Response:
    return await hs.ask("GET", "/_matrix/client/v1/register/m.login.registration_token/validity?token=abc")


async def login(hs: Homeserver, alice: Client, bob: Client, room: str) -> Response:
    return await hs.ask("POST", "/login", log_in_body("alice"))


async def wrong_login(hs: Homeserver, alice: Client, bob: Client, room: str) -> Response:
    return await hs.ask("POST", "/login", log_in_body("alice", "wrong"))


async def join(hs: Homeserver, alice: Client, bob: Client, room: str) -> Response:
    return await bob.ask("POST", f"/join/{q(await alice.create_room())}", {})


async def join_one_room(hs: Homeserver, alice: Client, bob: Client, room: str) -> Response:
    other = await hs.register(f"new{next(NUMBERS)}")
    return await other.ask("POST", f"/join/{q(room)}", {})


async def invite(hs: Homeserver, alice: Client, bob: Client, room: str) -> Response:
    other = await hs.register(f"new{next(NUMBERS)}")
    return await alice.ask("POST", f"/rooms/{q(room)}/invite", {"user_id": other.user_id})


async def invite_to_another_room(hs: Homeserver, alice: Client, bob: Client, room: str) -> Response:
    other = await alice.create_room()
    return await alice.ask("POST", f"/rooms/{q(other)}/invite", {"user_id": bob.user_id})


async def media(hs: Homeserver, alice: Client, bob: Client, room: str) -> Response:
    return await alice.ask("POST", "/_matrix/media/v1/create")


async def profile(hs: Homeserver, alice: Client, bob: Client, room: str) -> Response:
    return await alice.ask("GET", f"/profile/{q(bob.user_id)}")


async def profile_field_without_a_token(hs: Homeserver, alice: Client, bob: Client, room: str) -> Response:
    return await hs.ask("GET", f"/profile/{q(bob.user_id)}/displayname")


async def creation(hs: Homeserver, alice: Client, bob: Client, room: str) -> Response:
    return await bob.ask("POST", "/createRoom", {})


Act = Callable[[Homeserver, Client, Client, str], Awaitable[Response]]


@pytest.mark.parametrize(
    ("limit", "act"),
    [
        ("rc_message: ONE", message),
        ("rc_message: ONE", state),
        ("rc_admin_redaction: ONE", redaction),
        ("rc_registration: ONE", registration),
        ("rc_registration_token_validity: ONE", token_validity),
        ("rc_registration_token_validity: ONE", availability),
        ("rc_login: {address: ONE}", login),
        ("rc_login: {account: ONE}", login),
        ("rc_login: {failed_attempts: ONE}", wrong_login),
        ("rc_joins: {local: ONE}", join),
        ("rc_joins_per_room: ONE", join_one_room),
        ("rc_invites: {per_room: ONE}", invite),
        ("rc_invites: {per_issuer: ONE}", invite),
        ("rc_invites: {per_user: ONE}", invite_to_another_room),
        ("rc_media_create: ONE", media),
        ("rc_room_creation: ONE", creation),
        ("rc_profile: ONE", profile),
        ("rc_profile: ONE", profile_field_without_a_token),
    ],
)
async def test_the_second_time_is_too_soon(hs: Homeserver, start_homeserver: Any, limit: str, act: Act) -> None:
    free_alice, free_bob = await hs.register("alice"), await hs.register("bob")
    room = await free_alice.create_room(invite=[free_bob])
    await free_bob.join(room)
    limited = await start_homeserver(limit.replace("ONE", ONE))
    alice, bob = free_alice.at(limited), free_bob.at(limited)
    first = await act(limited, alice, bob, room)
    assert first.errcode != "M_LIMIT_EXCEEDED", first
    second = await act(limited, alice, bob, room)
    assert (second.status, second.errcode) == (429, "M_LIMIT_EXCEEDED"), (first, second)
    assert 0 < second.json["retry_after_ms"] <= 1_000_000
    assert 0 <= int(second.headers["retry-after"]) - second.json["retry_after_ms"] / 1000 < 1
    assert second.headers["access-control-allow-origin"] == "*"
