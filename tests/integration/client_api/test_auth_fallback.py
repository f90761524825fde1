"""Authentication in a browser, for clients that do not know a stage."""

import re
from typing import Any

import pytest

from tests.support.homeserver import PASSWORD, Homeserver, q

TOKEN = "registration_requires_token: true"
BODY = {"username": "alice", "password": PASSWORD}


def path(session: str, stage: str = "m.login.registration_token") -> str:
    return f"/auth/{stage}/fallback/web?session={q(session)}"


async def begin(hs: Homeserver) -> str:
    response = await hs.ask("POST", "/register", BODY)
    assert response.status == 401
    return str(response.json["session"])


async def submit(hs: Homeserver, session: str, form: bytes) -> Any:
    return await hs.http.request("POST", "/_matrix/client/v3" + path(session), body=form)


async def test_a_token_that_is_typed_into_the_page_completes_the_stage(start_homeserver: Any) -> None:
    hs = await start_homeserver(TOKEN)
    await hs.server.users.registration_tokens.add("let-me-in", uses_allowed=1)
    session = await begin(hs)
    shown = await hs.ask("GET", path(session))
    assert shown.status == 200
    assert b'name="token"' in shown.body
    done = await submit(hs, session, b"token=let-me-in")
    assert done.status == 200
    assert b"window.onAuthDone" in done.body
    assert re.search(r"script-src 'sha256-[^']+'", done.headers["content-security-policy"])
    response = await hs.ask("POST", "/register", {**BODY, "auth": {"session": session}})
    assert response.status == 200, response


@pytest.mark.parametrize("form", [b"token=wrong", b"", b"token=", b"\xff", b"token=%00", b"{}"])
async def test_a_wrong_token_may_be_mended(start_homeserver: Any, form: bytes) -> None:
    hs = await start_homeserver(TOKEN)
    session = await begin(hs)
    response = await submit(hs, session, form)
    assert response.status == 403
    assert b'name="token"' in response.body
    assert (await hs.ask("POST", "/register", {**BODY, "auth": {"session": session}})).status == 401


async def test_one_token_is_used_up_once_however_often_the_form_is_sent(start_homeserver: Any) -> None:
    hs = await start_homeserver(TOKEN)
    await hs.server.users.registration_tokens.add("let-me-in", uses_allowed=2)
    session = await begin(hs)
    assert (await submit(hs, session, b"token=let-me-in")).status == 200
    assert (await submit(hs, session, b"token=let-me-in")).status == 404
    token = await hs.server.users.registration_tokens.get("let-me-in")
    assert token.pending == 1


async def test_a_password_is_not_asked_for_in_a_browser(hs: Homeserver) -> None:
    session = await begin(hs)
    assert (await hs.ask("GET", path(session, "m.login.password"))).status == 404
    assert (await hs.ask("GET", path(session, "m.login.dummy"))).status == 200
    assert (await hs.ask("GET", path("nonsense", "m.login.dummy"))).status == 404
    assert (await hs.ask("GET", "/auth/m.login.dummy/fallback/web")).status == 400
