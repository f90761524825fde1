"""Other servers' users leave and knock with our help.

Source: server-server API, "Leaving Rooms (Rejecting Invites)", "Knocking upon a room".
"""

import pytest

from tests.integration.federation.visiting import V1, Visitor, keys_of
from tests.support.homeserver import Client


async def knockable(alice: Client, version: str = "12", rule: str = "knock") -> str:
    state = [{"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": rule}}]
    return await alice.create_room(room_version=version, initial_state=state, name="A room to knock at")


async def membership(alice: Client, visitor: Visitor) -> str:
    content = await alice.get(f"/rooms/{visitor.room}/state/m.room.member/{visitor.user_id}")
    return str(content["membership"])


async def test_who_is_in_the_room_leaves(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    await visitor.leave()
    assert await membership(alice, visitor) == "leave"


async def test_the_first_version_of_leaving_answers_with_a_pair(visitor: Visitor) -> None:
    await visitor.join()
    response = await visitor.send("leave", visitor.signed(await visitor.template("leave")), v=V1)
    assert (response.status, response.json) == (200, [200, {}])


async def test_who_is_not_in_the_room_cannot_leave(visitor: Visitor) -> None:
    response = await visitor.make("leave")
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_a_leave_for_another_servers_user_is_refused(visitor: Visitor) -> None:
    response = await visitor.make("leave", user_id="@alice:one.test")
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_a_room_that_nobody_knows_cannot_be_left(visitor: Visitor) -> None:
    visitor.room = "!nowhere:one.test"
    response = await visitor.make("leave")
    assert (response.status, response.errcode) == (404, "M_NOT_FOUND")


async def test_a_kick_of_another_is_no_leave(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    template = await visitor.template("leave")
    response = await visitor.send("leave", visitor.signed(template, state_key=alice.user_id))
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_a_join_is_no_leave(visitor: Visitor) -> None:
    pdu = visitor.signed(await visitor.template("join"))
    response = await visitor.send("leave", pdu)
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize(
    ("version", "rule"), [("7", "knock"), ("10", "knock"), ("10", "knock_restricted"), ("12", "knock")]
)
async def test_a_knock_is_in_the_room(alice: Client, visitor: Visitor, version: str, rule: str) -> None:
    visitor.room = await knockable(alice, version, rule)
    await visitor.knock()
    assert await membership(alice, visitor) == "knock"


async def test_who_knocks_is_told_which_room_it_is(alice: Client, visitor: Visitor) -> None:
    visitor.room = await knockable(alice)
    shown = (await visitor.knock())["knock_room_state"]
    assert {("m.room.create", ""), ("m.room.name", ""), ("m.room.join_rules", "")} <= keys_of(shown)
    assert not any(pdu["type"] in ("m.room.member", "m.room.power_levels") for pdu in shown)
    # PDUs, of which the other server can check that they are true.
    assert all({"auth_events", "hashes", "signatures"} <= pdu.keys() for pdu in shown)


async def test_a_knock_is_taken_back_by_leaving(alice: Client, visitor: Visitor) -> None:
    visitor.room = await knockable(alice)
    await visitor.knock()
    await visitor.leave()
    assert await membership(alice, visitor) == "leave"


async def test_where_nobody_may_knock_it_is_forbidden(visitor: Visitor) -> None:
    response = await visitor.make("knock")
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_a_version_without_knocks_is_forbidden(alice: Client, visitor: Visitor) -> None:
    visitor.room = await alice.create_room(room_version="6")
    response = await visitor.make("knock")
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_who_knocks_must_know_the_rooms_version(alice: Client, visitor: Visitor) -> None:
    visitor.room = await knockable(alice)
    response = await visitor.make("knock", ver=["7"])
    assert (response.status, response.errcode) == (400, "M_INCOMPATIBLE_ROOM_VERSION")
    assert response.json["room_version"] == "12"


async def test_who_knocks_must_say_what_versions_are_known(visitor: Visitor) -> None:
    response = await visitor.make("knock", ver=None)
    assert (response.status, response.errcode) == (400, "M_MISSING_PARAM")


async def test_who_is_in_the_room_cannot_knock(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    await alice.set_state(visitor.room, "m.room.join_rules", {"join_rule": "knock"})
    response = await visitor.make("knock")
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_a_join_is_no_knock(alice: Client, visitor: Visitor) -> None:
    visitor.room = await knockable(alice)
    template = await visitor.template("knock")
    response = await visitor.send("knock", visitor.signed(template, content={"membership": "join"}), v=V1)
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")
