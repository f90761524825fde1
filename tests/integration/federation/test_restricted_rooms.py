"""Joins to restricted rooms, where this server says who may.

Source: server-server API, "Restricted rooms".
"""

import pytest

from tests.integration.federation.visiting import Visitor
from tests.support.homeserver import Client

AUTHORISED_VIA = "join_authorised_via_users_server"


async def restricted_to(alice: Client, *rooms: str, version: str = "12", **body: object) -> str:
    rules = {
        "join_rule": "restricted",
        "allow": [{"type": "m.room_membership", "room_id": room} for room in rooms],
    }
    state = [{"type": "m.room.join_rules", "state_key": "", "content": rules}]
    return await alice.create_room(room_version=version, initial_state=state, **body)


@pytest.mark.parametrize("version", ["8", "9", "10", "11", "12"])
async def test_who_is_in_the_allowed_room_joins_by_our_users_word(
    alice: Client, visitor: Visitor, version: str
) -> None:
    await visitor.join()
    visitor.room = await restricted_to(alice, visitor.room, version=version)
    template = await visitor.template("join")
    assert template["content"][AUTHORISED_VIA] == alice.user_id
    answer = (await visitor.send("join", visitor.signed(template))).json
    assert set(answer["event"]["signatures"]) == {"one.test", "two.test"}
    assert visitor.user_id in (await alice.get(f"/rooms/{visitor.room}/joined_members"))["joined"]


async def test_the_signature_that_we_add_is_good(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    visitor.room = await restricted_to(alice, visitor.room)
    pdu = (await visitor.join())["event"]
    # The room is joined again with the event that we have signed: it would be refused by its signatures else.
    assert (await visitor.send("join", pdu)).status == 200


async def test_who_is_in_no_allowed_room_is_forbidden(alice: Client, visitor: Visitor) -> None:
    visitor.room = await restricted_to(alice, visitor.room)
    response = await visitor.make("join")
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_without_conditions_nobody_may(alice: Client, visitor: Visitor) -> None:
    visitor.room = await restricted_to(alice)
    response = await visitor.make("join")
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_of_rooms_that_we_do_not_know_we_cannot_say(alice: Client, visitor: Visitor) -> None:
    visitor.room = await restricted_to(alice, "!elsewhere:three.test")
    response = await visitor.make("join")
    assert (response.status, response.errcode) == (400, "M_UNABLE_TO_AUTHORISE_JOIN")


async def test_where_none_of_ours_may_invite_another_server_must(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    allowed = visitor.room
    visitor.room = await restricted_to(
        alice, allowed, version="11", power_level_content_override={"invite": 100, "users": {alice.user_id: 100}}
    )
    bob = await alice.hs.register("bob")
    await bob.join(allowed)
    await bob.join(visitor.room)
    levels = {"invite": 100, "users": {alice.user_id: 100, "@boss:two.test": 100}}
    await alice.set_state(visitor.room, "m.room.power_levels", levels)
    await alice.leave(visitor.room)
    response = await visitor.make("join")
    assert (response.status, response.errcode) == (400, "M_UNABLE_TO_GRANT_JOIN")


async def test_who_is_in_the_room_already_needs_nobodys_word(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    visitor.room = await restricted_to(alice, visitor.room)
    await visitor.join()
    template = await visitor.template("join")
    assert AUTHORISED_VIA not in template["content"]


async def test_the_word_of_another_servers_user_is_not_ours_to_sign(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    visitor.room = await restricted_to(alice, visitor.room)
    template = await visitor.template("join")
    content = {"membership": "join", AUTHORISED_VIA: "@boss:three.test"}
    response = await visitor.send("join", visitor.signed(template, content=content))
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_the_conditions_are_asked_again_when_the_join_is_sent(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    allowed, visitor.room = visitor.room, await restricted_to(alice, visitor.room)
    pdu = visitor.signed(await visitor.template("join"))
    await alice.ok("POST", f"/rooms/{allowed}/kick", {"user_id": visitor.user_id})
    response = await visitor.send("join", pdu)
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_a_word_that_is_no_user_id_is_invalid(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    visitor.room = await restricted_to(alice, visitor.room)
    template = await visitor.template("join")
    content = {"membership": "join", AUTHORISED_VIA: "nobody"}
    response = await visitor.send("join", visitor.signed(template, content=content))
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")
