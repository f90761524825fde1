"""User-interactive authentication, at DELETE /devices and at flows of more than one stage."""

import orjson
import pytest

from homeserver.services.users.ui_auth import DUMMY, PASSWORD, AuthIncomplete
from homeserver.web.call import Call, Headers, Peer
from matrix.errors import MatrixError
from tests.integration.client_api.accounts_server import Server, User, server

__all__ = ["server"]

PATH = "/devices/ANY"
TWO_STAGES = [[PASSWORD, DUMMY], ["m.login.recaptcha", DUMMY]]


async def test_the_session_is_what_the_client_gets_back(server: Server) -> None:
    alice = await server.register()
    first = await alice.ask("DELETE", PATH)
    session = first.json["session"]
    again = await alice.ask("DELETE", PATH, {"auth": {"session": session}})
    assert (again.status, again.json["session"]) == (401, session)


async def test_a_failed_stage_may_be_tried_again(server: Server) -> None:
    alice = await server.register()
    wrong = await alice.ask("DELETE", PATH, {"auth": {**alice.auth, "password": "wrong"}})
    assert (wrong.status, wrong.errcode) == (401, "M_FORBIDDEN")
    assert wrong.json["flows"] == [{"stages": [PASSWORD]}]
    assert "completed" not in wrong.json
    right = await alice.ask("DELETE", PATH, {"auth": {**alice.auth, "session": wrong.json["session"]}})
    assert right.status == 200


async def test_the_proof_of_another_user_is_refused_for_good(server: Server) -> None:
    alice, bob = await server.register("alice"), await server.register("bob")
    response = await alice.ask("DELETE", PATH, {"auth": bob.auth})
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")
    assert "flows" not in response.json


async def test_old_clients_leave_out_who_they_are(server: Server) -> None:
    alice = await server.register()
    auth = {"type": PASSWORD, "password": alice.password}
    assert (await alice.ask("DELETE", PATH, {"auth": auth})).status == 200


async def test_an_unknown_session_is_a_bad_request(server: Server) -> None:
    alice = await server.register()
    response = await alice.ask("DELETE", PATH, {"auth": {**alice.auth, "session": "nonsense"}})
    assert (response.status, response.errcode) == (400, "M_UNKNOWN")


async def test_a_session_is_used_up(server: Server) -> None:
    alice = await server.register()
    session = (await alice.ask("DELETE", PATH)).json["session"]
    auth = {**alice.auth, "session": session}
    assert (await alice.ask("DELETE", PATH, {"auth": auth})).status == 200
    assert (await alice.ask("DELETE", PATH, {"auth": auth})).status == 400


async def test_a_session_grows_old(server: Server) -> None:
    alice = await server.register()
    session = (await alice.ask("DELETE", PATH)).json["session"]
    server.clock.advance(49 * 3600)
    assert (await alice.ask("DELETE", PATH, {"auth": {**alice.auth, "session": session}})).status == 400
    await server.ui_auth.trim()
    assert server.rows("SELECT count(*) FROM ui_auth_sessions") == [(0,)]


async def test_a_stage_that_is_in_no_flow_is_refused(server: Server) -> None:
    alice = await server.register()
    response = await alice.ask("DELETE", PATH, {"auth": {"type": DUMMY}})
    assert (response.status, response.errcode) == (401, "M_FORBIDDEN")
    assert "session" in response.json


# Flows of more than one stage, which no endpoint has yet: the service by itself.


async def require(server: Server, alice: User, auth: dict[str, object]) -> dict[str, object]:
    """The 401's body, or the completed stages."""
    call = Call("POST", b"/two", Headers({}), Peer("127.0.0.1"), 0)
    call.take_body(orjson.dumps({"auth": auth}))
    try:
        return dict(await server.ui_auth.require(call, TWO_STAGES))
    except AuthIncomplete as error:
        return error.body()


async def test_stages_are_completed_one_after_another(server: Server) -> None:
    alice = await server.register()
    first = await require(server, alice, dict(alice.auth))
    assert first["completed"] == [PASSWORD]
    again = await require(server, alice, {**alice.auth, "session": first["session"]})
    assert again["completed"] == [PASSWORD]
    done = await require(server, alice, {"type": DUMMY, "session": first["session"]})
    assert done == {PASSWORD: alice.user_id, DUMMY: True}


async def test_the_order_of_a_flow_counts(server: Server) -> None:
    alice = await server.register()
    response = await require(server, alice, {"type": DUMMY})
    assert response["errcode"] == "M_FORBIDDEN"
    assert "completed" not in response


async def test_a_stage_may_be_completed_in_a_browser(server: Server) -> None:
    alice = await server.register()
    session = (await require(server, alice, {}))["session"]
    assert await server.ui_auth.complete(str(session), "m.login.recaptcha", True)
    response = await require(server, alice, {"session": session})
    assert response["completed"] == ["m.login.recaptcha"]
    assert DUMMY in await require(server, alice, {"session": session, "type": DUMMY})
    assert not await server.ui_auth.complete("nonsense", DUMMY, True)


async def test_a_rate_limit_is_told_as_one(server: Server) -> None:
    alice = await server.register()
    with pytest.raises(MatrixError) as caught:
        for _ in range(1001):
            server.check._failed_attempts.take(alice.user_id)
    assert caught.value.status == 429
    response = await alice.ask("DELETE", PATH, {"auth": alice.auth})
    assert (response.status, response.errcode) == (429, "M_LIMIT_EXCEEDED")
