"""Registration: names, stages, guests, bridges, tokens and the shared secret."""

from typing import Any

import pytest

from homeserver.services.users.settings import PasswordSettings, RegistrationSettings
from homeserver.services.users.shared_secret import mac
from tests.integration.client_api.accounts_server import SECRET, SERVER, Server, Settings, make_server, server

__all__ = ["make_server", "server"]

DUMMY = {"type": "m.login.dummy"}
NONCE = "/_synapse/admin/v1/register"


async def test_the_first_request_is_told_the_flows(server: Server) -> None:
    response = await server.ask("POST", "/register", {})
    assert response.status == 401
    assert response.json["flows"] == [{"stages": ["m.login.dummy"]}]
    assert response.json["params"] == {}
    assert "errcode" not in response.json
    assert "completed" not in response.json


async def test_a_completed_stage_makes_the_account_and_logs_in(server: Server) -> None:
    session = (await server.ask("POST", "/register", {})).json["session"]
    body = {"username": "alice", "password": "correct horse", "auth": {**DUMMY, "session": session}}
    response = await server.ask("POST", "/register", body)
    assert response.status == 200
    assert response.json["user_id"] == f"@alice:{SERVER}"
    assert response.json["home_server"] == SERVER
    whoami = await server.ask("GET", "/account/whoami", token=response.json["access_token"])
    assert whoami.json == {
        "user_id": f"@alice:{SERVER}", "device_id": response.json["device_id"], "is_guest": False
    }  # fmt: skip


async def test_a_session_is_good_for_one_account(server: Server) -> None:
    session = (await server.ask("POST", "/register", {})).json["session"]
    auth = {**DUMMY, "session": session}
    assert (await server.ask("POST", "/register", {"username": "a", "password": "p", "auth": auth})).status == 200
    again = await server.ask("POST", "/register", {"username": "b", "password": "p", "auth": auth})
    assert (again.status, again.errcode) == (400, "M_UNKNOWN")


async def test_login_may_be_inhibited(server: Server) -> None:
    alice = await server.register(inhibit_login=True)
    assert alice.session == {"user_id": f"@alice:{SERVER}", "home_server": SERVER}


async def test_the_device_is_called_as_the_client_wishes(server: Server) -> None:
    alice = await server.register(device_id="PHONE", initial_device_display_name="My phone")
    assert (await alice.get("/devices/PHONE")).json["display_name"] == "My phone"


async def test_a_user_is_first_shown_by_the_localpart(server: Server) -> None:
    alice = await server.register()
    assert (await alice.get(f"/profile/{alice.user_id}")).json == {"displayname": "alice"}


async def test_other_parts_hear_of_a_new_user(server: Server) -> None:
    alice = await server.register()
    assert server.registered == [alice.user_id]


async def test_a_name_is_given_once(server: Server) -> None:
    await server.register()
    response = await server.ask("POST", "/register", {"username": "Alice", "password": "p", "auth": DUMMY})
    assert (response.status, response.errcode) == (400, "M_USER_IN_USE")


@pytest.mark.parametrize("name", ["", "al ice", "älice", "_alice", "a\x00", "1234", "a" * 250, "a:b", "@a:b"])
async def test_a_name_outside_the_grammar_is_refused(server: Server, name: str) -> None:
    response = await server.ask("POST", "/register", {"username": name, "password": "p", "auth": DUMMY})
    assert response.status == 400
    assert response.errcode in ("M_INVALID_USERNAME", "M_INVALID_PARAM")


async def test_whoever_names_none_gets_a_number(server: Server) -> None:
    first = await server.ask("POST", "/register", {"password": "p", "auth": DUMMY})
    second = await server.ask("POST", "/register", {"password": "p", "auth": DUMMY})
    assert [first.json["user_id"], second.json["user_id"]] == [f"@1:{SERVER}", f"@2:{SERVER}"]


async def test_a_password_is_needed(server: Server) -> None:
    response = await server.ask("POST", "/register", {"username": "alice", "auth": DUMMY})
    assert (response.status, response.errcode) == (400, "M_MISSING_PARAM")


async def test_a_weak_password_is_refused_if_there_is_a_policy(make_server: Any) -> None:
    server = make_server(Settings(passwords=PasswordSettings(minimum_length=10, require_digit=True)))
    short = await server.ask("POST", "/register", {"username": "a", "password": "short", "auth": DUMMY})
    digit = await server.ask("POST", "/register", {"username": "a", "password": "long enough", "auth": DUMMY})
    assert [short.errcode, digit.errcode] == ["M_PASSWORD_TOO_SHORT", "M_PASSWORD_NO_DIGIT"]


async def test_registration_may_be_closed(make_server: Any) -> None:
    server = make_server(Settings(registration=RegistrationSettings()))
    response = await server.ask("POST", "/register", {"username": "a", "password": "p"})
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")
    guest = await server.ask("POST", "/register?kind=guest", {})
    assert (guest.status, guest.errcode) == (403, "M_GUEST_ACCESS_FORBIDDEN")


async def test_too_many_accounts_from_one_address_are_refused(make_server: Any) -> None:
    server = make_server(Settings(burst=1))
    await server.register()
    response = await server.ask("POST", "/register", {"username": "bob", "password": "p", "auth": DUMMY})
    assert (response.status, response.errcode) == (429, "M_LIMIT_EXCEEDED")


async def test_a_bad_body_is_no_fault_of_the_server(server: Server) -> None:
    for body in ([], {"username": 1}, {"auth": []}, {"auth": {"session": 1}}, {"username": "a", "password": 5}):
        response = await server.ask("POST", "/register", body)
        assert response.status == 400, body


async def test_a_bad_request_makes_no_account(server: Server) -> None:
    for bad in ({"inhibit_login": "yes"}, {"device_id": ""}, {"refresh_token": 1}):
        body = {"username": "alice", "password": "p", "auth": DUMMY, **bad}
        assert (await server.ask("POST", "/register", body)).status == 400
    assert server.rows("SELECT count(*) FROM users") == [(0,)]


async def test_a_name_that_can_be_had_is_available(server: Server) -> None:
    await server.register()
    free = await server.ask("GET", "/register/available?username=bob")
    taken = await server.ask("GET", "/register/available?username=alice")
    reserved = await server.ask("GET", "/register/available?username=bridge")
    assert free.json == {"available": True}
    assert [taken.errcode, reserved.errcode] == ["M_USER_IN_USE", "M_EXCLUSIVE"]


async def test_a_guest_is_a_guest(server: Server) -> None:
    response = await server.ask("POST", "/register?kind=guest", {"device_id": "MINE", "username": "alice"})
    assert response.status == 200
    assert response.json["device_id"] != "MINE"
    token = response.json["access_token"]
    assert (await server.ask("GET", "/account/whoami", token=token)).json["is_guest"] is True
    forbidden = await server.ask("GET", f"/user/{response.json['user_id']}/account_data/a", token=token)
    assert (forbidden.status, forbidden.errcode) == (403, "M_GUEST_ACCESS_FORBIDDEN")


async def test_a_guest_becomes_a_user_and_keeps_the_id(server: Server) -> None:
    guest = (await server.ask("POST", "/register?kind=guest", {})).json
    localpart = guest["user_id"][1:].partition(":")[0]
    user = await server.register(localpart, guest_access_token=guest["access_token"])
    assert user.user_id == guest["user_id"]
    assert (await user.get("/account/whoami")).json["is_guest"] is False


async def test_a_bridge_registers_in_its_namespace_alone(server: Server) -> None:
    body = {"type": "m.login.application_service", "username": "_bridge_Bob"}
    mine = await server.ask("POST", "/register", {**body, "inhibit_login": True}, token="as_token")
    others = await server.ask("POST", "/register", {**body, "username": "bob"}, token="as_token")
    again = await server.ask("POST", "/register", body, token="as_token")
    nobody = await server.ask("POST", "/register", body, token="wrong")
    assert mine.json["user_id"] == f"@_bridge_Bob:{SERVER}"
    assert [others.errcode, again.errcode, nobody.errcode] == ["M_EXCLUSIVE", "M_USER_IN_USE", "M_UNKNOWN_TOKEN"]


# Registration tokens


@pytest.fixture
def closed(make_server: Any) -> Server:
    """Registration is for those who have a token."""
    closed: Server = make_server(Settings(registration=RegistrationSettings(enabled=True, requires_token=True)))
    return closed


def with_token(name: str, token: str) -> dict[str, Any]:
    return {"username": name, "password": "p", "auth": {"type": "m.login.registration_token", "token": token}}


async def test_a_token_admits_as_often_as_it_says(closed: Server) -> None:
    await closed.registration_tokens.add("once", uses_allowed=1)
    validity = "/_matrix/client/v1/register/m.login.registration_token/validity?token=once"
    assert (await closed.ask("GET", validity)).json == {"valid": True}
    assert (await closed.ask("POST", "/register", with_token("alice", "once"))).status == 200
    refused = await closed.ask("POST", "/register", with_token("bob", "once"))
    assert (refused.status, refused.errcode) == (401, "M_FORBIDDEN")
    assert refused.json["flows"] == [{"stages": ["m.login.registration_token"]}]
    assert (await closed.ask("GET", validity)).json == {"valid": False}
    token = await closed.registration_tokens.get("once")
    assert (token.pending, token.completed) == (0, 1)


async def test_an_abandoned_registration_gives_the_token_back(closed: Server) -> None:
    await closed.registration_tokens.add("once", uses_allowed=1)
    closed.rows("UPDATE registration_tokens SET pending = 1")
    completed = '{"m.login.registration_token": "once"}'
    closed.rows(f"INSERT INTO ui_auth_sessions VALUES ('session', 0, 'POST /register', '{completed}')")
    await closed.ui_auth.trim()
    assert (await closed.registration_tokens.get("once")).pending == 0
    assert closed.rows("SELECT count(*) FROM ui_auth_sessions") == [(0,)]


# The shared secret


async def by_secret(server: Server, name: str, **more: Any) -> dict[str, Any]:
    nonce = (await server.ask("GET", NONCE)).json["nonce"]
    proof = mac(SECRET.encode(), nonce, name, "p", admin=bool(more.get("admin")))
    return {"nonce": nonce, "username": name, "password": "p", "mac": proof, **more}


async def test_who_knows_the_secret_makes_an_admin(server: Server) -> None:
    response = await server.ask("POST", NONCE, await by_secret(server, "root", admin=True))
    assert response.status == 200
    user = await server.accounts.get(response.json["user_id"])
    assert user.is_admin


async def test_the_proof_covers_the_admin_flag(server: Server) -> None:
    body = await by_secret(server, "root")
    response = await server.ask("POST", NONCE, {**body, "admin": True})
    assert (response.status, response.json["error"]) == (403, "HMAC incorrect")


async def test_a_nonce_is_good_once_and_for_a_minute(server: Server) -> None:
    body = await by_secret(server, "root")
    assert (await server.ask("POST", NONCE, body)).status == 200
    assert (await server.ask("POST", NONCE, body)).json["error"] == "unrecognised nonce"
    late = await by_secret(server, "late")
    server.clock.advance(61)
    assert (await server.ask("POST", NONCE, late)).json["error"] == "unrecognised nonce"
    assert (await server.ask("POST", NONCE, {**late, "nonce": "x.y"})).json["error"] == "unrecognised nonce"


async def test_without_a_secret_nobody_registers_by_it(make_server: Any) -> None:
    server = make_server(Settings(registration=RegistrationSettings(enabled=True)))
    assert (await server.ask("GET", NONCE)).status == 400


# The first account


async def test_the_first_account_is_an_admin_and_the_link_then_dead(server: Server) -> None:
    token = await server.first_user.setup_token_if_empty()
    assert token is not None
    assert await server.first_user.setup_token_if_empty() == token
    with pytest.raises(Exception, match="used or is too old"):
        await server.first_user.create("wrong", "eve", "a password")
    assert await server.first_user.is_open(token)
    assert not await server.first_user.is_open("wrong")
    user_id = await server.first_user.create(token, "anna", "a password")
    assert (await server.accounts.get(user_id)).is_admin
    assert await server.first_user.setup_token_if_empty() is None
    assert not await server.first_user.is_open(token)
    with pytest.raises(Exception, match="used or is too old"):
        await server.first_user.create(token, "eve", "a password")
    assert (await server.login_as("anna", "a password")).status == 200
