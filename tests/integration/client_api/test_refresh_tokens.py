"""Access tokens that expire, and refreshing them."""

from typing import Any

from homeserver.services.users.settings import SessionSettings
from tests.integration.client_api.accounts_server import Server, Settings, make_server, server

__all__ = ["make_server", "server"]

MINUTE_MS = 60_000


async def refresh(server: Server, token: str) -> Any:
    return await server.ask("POST", "/refresh", {"refresh_token": token})


async def test_a_client_that_can_refresh_gets_a_token_that_expires(server: Server) -> None:
    alice = await server.register(refresh_token=True)
    assert alice.session["expires_in_ms"] == 5 * MINUTE_MS
    server.clock.advance(299)
    assert await alice.is_logged_in()
    server.clock.advance(1)
    response = await alice.get("/account/whoami")
    assert (response.status, response.errcode, response.json["soft_logout"]) == (401, "M_UNKNOWN_TOKEN", True)


async def test_others_get_one_that_does_not(server: Server) -> None:
    alice = await server.register()
    assert "refresh_token" not in alice.session
    assert "expires_in_ms" not in alice.session
    server.clock.advance(10_000_000)
    assert await alice.is_logged_in()


async def test_refreshed_tokens_belong_to_the_same_device(server: Server) -> None:
    alice = await server.register(refresh_token=True)
    tokens = (await refresh(server, alice.session["refresh_token"])).json
    assert tokens["expires_in_ms"] == 5 * MINUTE_MS
    whoami = await server.ask("GET", "/account/whoami", token=tokens["access_token"])
    assert whoami.json["device_id"] == alice.device_id


async def test_a_refresh_may_be_repeated_until_its_access_token_is_used(server: Server) -> None:
    alice = await server.register(refresh_token=True)
    first = alice.session["refresh_token"]
    lost = (await refresh(server, first)).json
    tokens = (await refresh(server, first)).json
    assert (await refresh(server, lost["refresh_token"])).status == 401
    assert (await server.ask("GET", "/account/whoami", token=lost["access_token"])).status == 401
    assert (await server.ask("GET", "/account/whoami", token=tokens["access_token"])).status == 200
    spent = await refresh(server, first)
    assert (spent.status, spent.errcode, spent.json["soft_logout"]) == (401, "M_UNKNOWN_TOKEN", False)


async def test_a_refresh_may_be_repeated_until_its_refresh_token_is_used(server: Server) -> None:
    alice = await server.register(refresh_token=True)
    first = alice.session["refresh_token"]
    second = (await refresh(server, first)).json["refresh_token"]
    assert (await refresh(server, second)).status == 200
    assert (await refresh(server, first)).status == 401


async def test_no_more_than_two_generations_are_kept(server: Server) -> None:
    alice = await server.register(refresh_token=True)
    token = alice.session["refresh_token"]
    for _ in range(5):
        tokens = (await refresh(server, token)).json
        await server.ask("GET", "/account/whoami", token=tokens["access_token"])
        token = tokens["refresh_token"]
    assert server.rows("SELECT count(*) FROM refresh_tokens") == [(2,)]
    assert server.rows("SELECT count(*) FROM access_tokens") == [(2,)]


async def test_logout_ends_the_refresh_token_too(server: Server) -> None:
    alice = await server.register(refresh_token=True)
    await alice.ask("POST", "/logout")
    assert (await refresh(server, alice.session["refresh_token"])).status == 401
    assert server.rows("SELECT count(*) FROM refresh_tokens") == [(0,)]


async def test_what_is_no_refresh_token_refreshes_nothing(server: Server) -> None:
    alice = await server.register(refresh_token=True)
    assert (await refresh(server, alice.token)).status == 401
    assert (await server.ask("POST", "/refresh", {})).errcode == "M_MISSING_PARAM"


async def test_a_session_ends_however_often_it_is_refreshed(make_server: Any) -> None:
    server = make_server(Settings(sessions=SessionSettings(session_ms=12 * MINUTE_MS)))
    alice = await server.register(refresh_token=True)
    server.clock.advance(10 * 60)
    tokens = (await refresh(server, alice.session["refresh_token"])).json
    assert tokens["expires_in_ms"] == 2 * MINUTE_MS
    server.clock.advance(2 * 60)
    late = await refresh(server, tokens["refresh_token"])
    assert (late.status, late.json["soft_logout"]) == (401, True)


async def test_a_refresh_token_may_have_a_lifetime(make_server: Any) -> None:
    server = make_server(Settings(sessions=SessionSettings(refresh_ms=10 * MINUTE_MS)))
    alice = await server.register(refresh_token=True)
    server.clock.advance(601)
    late = await refresh(server, alice.session["refresh_token"])
    assert (late.status, late.json["soft_logout"]) == (401, True)


async def test_tokens_may_expire_for_clients_that_cannot_refresh(make_server: Any) -> None:
    server = make_server(Settings(sessions=SessionSettings(access_ms=MINUTE_MS)))
    alice = await server.register()
    assert alice.session["expires_in_ms"] == MINUTE_MS
    server.clock.advance(61)
    assert (await alice.get("/account/whoami")).json["soft_logout"] is True
    again = await alice.log_in_again(device_id=alice.device_id)
    assert await again.is_logged_in()
