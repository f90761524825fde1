"""Logging in and out."""

from typing import Any

import bcrypt
import pytest

from homeserver.services.users import passwords
from homeserver.services.users.settings import LoginTokenSettings
from tests.integration.client_api.accounts_server import SERVER, Server, Settings, make_server, server
from tests.support.homeserver import REAL_HASHER

__all__ = ["make_server", "server"]

GET_TOKEN = "/_matrix/client/v1/login/get_token"


@pytest.mark.parametrize("name", ["alice", f"@alice:{SERVER}", "ALICE"])
async def test_a_user_is_named_by_id_or_localpart(server: Server, name: str) -> None:
    await server.register()
    response = await server.login_as(name)
    assert response.status == 200
    assert response.json["user_id"] == f"@alice:{SERVER}"


async def test_old_clients_name_the_user_without_an_identifier(server: Server) -> None:
    await server.register()
    body = {"type": "m.login.password", "user": "alice", "password": "correct horse"}
    assert (await server.ask("POST", "/_matrix/client/r0/login", body)).status == 200


async def test_a_wrong_password_and_a_wrong_name_are_told_alike(server: Server) -> None:
    await server.register()
    wrong = await server.login_as("alice", "wrong")
    nobody = await server.login_as("nobody")
    elsewhere = await server.login_as("@alice:elsewhere.test")
    assert [response.status for response in (wrong, nobody, elsewhere)] == [403] * 3
    assert wrong.json == nobody.json == elsewhere.json
    assert wrong.errcode == "M_FORBIDDEN"


async def test_a_third_party_identifier_that_nobody_has_is_forbidden(server: Server) -> None:
    identifier = {"type": "m.id.thirdparty", "medium": "email", "address": "a@b"}
    body = {"type": "m.login.password", "identifier": identifier, "password": "p"}
    assert (await server.ask("POST", "/login", body)).status == 403


async def test_bad_logins_are_no_fault_of_the_server(server: Server) -> None:
    for body in (
        {"type": "m.login.mind_reading"},
        {},
        {"type": "m.login.password"},
        {"type": "m.login.password", "identifier": {"type": "m.id.user"}},
        {"type": "m.login.password", "identifier": {"type": "m.id.dream"}, "password": "p"},
        {"type": "m.login.password", "user": "alice", "password": {}},
        {"type": "m.login.password", "user": "alice", "password": "p", "device_id": "\x00"},
    ):
        assert (await server.ask("POST", "/login", body)).status == 400, body


async def test_a_very_long_password_costs_no_hashing_and_is_wrong(server: Server) -> None:
    await server.register()
    assert (await server.login_as("alice", "x" * 100_000)).status == 403


async def test_a_login_on_a_known_device_ends_its_older_session(server: Server) -> None:
    alice = await server.register(device_id="PHONE", initial_device_display_name="My phone")
    again = await alice.log_in_again(device_id="PHONE", initial_device_display_name="Another name")
    assert not await alice.is_logged_in()
    assert (await again.get("/devices/PHONE")).json["display_name"] == "My phone"


async def test_two_devices_have_sessions_of_their_own(server: Server) -> None:
    alice = await server.register()
    other = await alice.log_in_again()
    assert other.device_id != alice.device_id
    assert (await other.ask("POST", "/logout")).status == 200
    assert await alice.is_logged_in()
    assert not await other.is_logged_in()


async def test_logout_ends_the_session_and_its_device(server: Server) -> None:
    alice = await server.register()
    other = await alice.log_in_again()
    assert await other.is_logged_in()
    await other.ask("POST", "/logout")
    response = await other.get("/account/whoami")
    assert (response.status, response.errcode) == (401, "M_UNKNOWN_TOKEN")
    assert response.json["soft_logout"] is False
    devices = (await alice.get("/devices")).json["devices"]
    assert [device["device_id"] for device in devices] == [alice.device_id]


async def test_logout_all_ends_every_session(server: Server) -> None:
    alice = await server.register()
    other = await alice.log_in_again()
    await server.sessions.open_for_admin(alice.user_id, "@admin:x", None)
    assert (await other.ask("POST", "/logout/all")).status == 200
    assert not await alice.is_logged_in()
    assert not await other.is_logged_in()
    assert server.rows("SELECT count(*) FROM access_tokens") == [(0,)]


async def test_without_a_token_there_is_no_requester(server: Server) -> None:
    response = await server.ask("GET", "/account/whoami")
    assert (response.status, response.errcode) == (401, "M_MISSING_TOKEN")


async def test_tokens_are_not_stored(server: Server) -> None:
    alice = await server.register()
    tables = server.rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
    for (table,) in tables:
        assert alice.token not in str(server.rows(f"SELECT * FROM {table}"))


async def test_a_hash_of_synapse_is_accepted_and_replaced(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "HASHER", REAL_HASHER)
    await server.register()
    synapses = bcrypt.hashpw(b"correct horse" + b"pepper", bcrypt.gensalt(4)).decode()
    server.rows(f"UPDATE users SET password_hash = '{synapses}'")
    assert (await server.login_as("alice", "wrong")).status == 403
    server.accounts.forget(f"@alice:{SERVER}")
    assert (await server.login_as("alice")).status == 200
    ((stored,),) = server.rows("SELECT password_hash FROM users")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (await server.login_as("alice")).status == 200


async def test_too_many_wrong_passwords_stop_the_right_one_too(make_server: Any) -> None:
    server = make_server(Settings(burst=3))
    await server.register()
    server.clock.advance(1000)
    for _ in range(3):
        server.clock.advance(0.1)
        await server.login_as("alice", "wrong")
    response = await server.login_as("alice")
    assert (response.status, response.errcode) == (429, "M_LIMIT_EXCEEDED")
    assert response.json["retry_after_ms"] > 0
    server.clock.advance(60)
    assert (await server.login_as("alice")).status == 200


async def test_a_device_may_not_be_called_as_a_cross_signing_key(server: Server) -> None:
    await server.register()
    server.rows(f"INSERT INTO cross_signing_keys VALUES ('@alice:{SERVER}', 'master', 'ed25519:KEY', '{{}}')")
    response = await server.login_as("alice", device_id="KEY")
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_the_flows_are_listed(server: Server) -> None:
    assert (await server.ask("GET", "/login")).json == {"flows": [{"type": "m.login.password"}]}


async def test_a_bridge_logs_in_as_its_own_users(server: Server) -> None:
    register = {"type": "m.login.application_service", "username": "_bridge_bob", "inhibit_login": True}
    await server.ask("POST", "/register", register, token="as_token")
    await server.register()

    async def login(user: str, token: str | None) -> Any:
        body = {"type": "m.login.application_service", "identifier": {"type": "m.id.user", "user": user}}
        return await server.ask("POST", "/login", body, token=token)

    assert (await login("_bridge_bob", "as_token")).status == 200
    refused = [await login(*who) for who in (("_bridge_x", "as_token"), ("alice", "as_token"), ("_bridge_bob", "x"))]
    assert [response.errcode for response in refused] == ["M_FORBIDDEN", "M_EXCLUSIVE", "M_UNKNOWN_TOKEN"]
    assert (await login("_bridge_bob", None)).errcode == "M_MISSING_TOKEN"


async def test_a_bridge_acts_as_its_users(server: Server) -> None:
    register = {"type": "m.login.application_service", "username": "_bridge_bob", "device_id": "D"}
    await server.ask("POST", "/register", register, token="as_token")
    user_id = f"@_bridge_bob:{SERVER}"

    async def whoami(query: str) -> Any:
        return await server.ask("GET", f"/account/whoami?{query}", token="as_token")

    assert (await whoami("")).json["user_id"] == f"@bridge:{SERVER}"
    assert (await whoami(f"user_id={user_id}&device_id=D")).json["device_id"] == "D"
    unregistered = await whoami(f"user_id=@_bridge_eve:{SERVER}")
    assert (unregistered.status, unregistered.errcode) == (403, "M_FORBIDDEN")
    foreign = await whoami("user_id=@alice:elsewhere.test")
    assert foreign.errcode == "M_FORBIDDEN"
    unknown = await whoami(f"user_id={user_id}&device_id=NONE")
    assert (unknown.status, unknown.errcode) == (400, "M_UNKNOWN_DEVICE")


# Login tokens


async def test_a_login_token_logs_in_once(server: Server) -> None:
    alice = await server.register()
    assert (await alice.ask("POST", GET_TOKEN, {})).status == 401
    made = (await alice.ask("POST", GET_TOKEN, {"auth": alice.auth})).json
    assert made["expires_in_ms"] == 300_000
    body = {"type": "m.login.token", "token": made["login_token"]}
    assert (await server.ask("POST", "/login", body)).json["user_id"] == alice.user_id
    again = await server.ask("POST", "/login", body)
    assert (again.status, again.errcode) == (403, "M_FORBIDDEN")


async def test_a_login_token_grows_old(server: Server) -> None:
    alice = await server.register()
    token = (await alice.ask("POST", GET_TOKEN, {"auth": alice.auth})).json["login_token"]
    server.clock.advance(301)
    assert (await server.ask("POST", "/login", {"type": "m.login.token", "token": token})).status == 403
    await server.login_tokens.trim()
    assert server.rows("SELECT count(*) FROM login_tokens") == [(0,)]


async def test_login_tokens_may_be_switched_off(make_server: Any) -> None:
    server = make_server(Settings(login_tokens=LoginTokenSettings()))
    alice = await server.register()
    assert (await alice.ask("POST", GET_TOKEN, {})).errcode == "M_UNRECOGNIZED"
