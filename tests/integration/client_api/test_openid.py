"""OpenID tokens."""

from homeserver.services.users.openid import LIFETIME_S
from storage import openid_tokens
from tests.support.homeserver import SERVER, Homeserver, q


async def test_a_token_says_whose_it_is_until_it_expires(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    answer = await alice.ok("POST", f"/user/{q(alice.user_id)}/openid/request_token", {})
    token = answer.pop("access_token")
    assert answer == {"token_type": "Bearer", "matrix_server_name": SERVER, "expires_in": LIFETIME_S}
    read, now_ms = hs.core.storage.database.read, hs.core.clock.now_ms()
    assert await read(openid_tokens.find_user, token, now_ms) == alice.user_id
    assert await read(openid_tokens.find_user, token, now_ms + LIFETIME_S * 1000 + 60_000) is None
    assert await read(openid_tokens.find_user, "nonsense", now_ms) is None


async def test_a_token_opens_nothing_else(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    answer = await alice.ok("POST", f"/user/{q(alice.user_id)}/openid/request_token", {})
    response = await hs.ask("GET", "/account/whoami", token=answer["access_token"])
    assert (response.status, response.errcode) == (401, "M_UNKNOWN_TOKEN")


async def test_nobody_asks_for_anothers_token(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    response = await bob.ask("POST", f"/user/{q(alice.user_id)}/openid/request_token", {})
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")
    assert (await hs.ask("POST", f"/user/{q(alice.user_id)}/openid/request_token", {})).errcode == "M_MISSING_TOKEN"


async def test_tokens_that_have_expired_are_trimmed(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    await alice.ok("POST", f"/user/{q(alice.user_id)}/openid/request_token", {})
    run, now_ms = hs.core.storage.database.run, hs.core.clock.now_ms()
    assert await run(openid_tokens.trim, now_ms) == 0
    assert await run(openid_tokens.trim, now_ms + 2 * LIFETIME_S * 1000) == 1
