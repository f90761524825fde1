"""Rooms that new users come into by themselves, and invites that are taken for them."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from federation.outbound.wire import WireAnswer
from tests.integration.federation.remote_pair import room_part
from tests.support.federation import Deliver, Network, Sent
from tests.support.homeserver import PASSWORD, Client, Homeserver, q

ROOMS = "auto_join_rooms: ['#welcome:hearth.test']\n"


async def joined(client: Client) -> list[str]:
    return list((await client.get("/joined_rooms"))["joined_rooms"])


async def room_of(hs: Homeserver, alias: str = "#welcome:hearth.test") -> str:
    return str((await hs.ask("GET", f"/directory/room/{q(alias)}")).json["room_id"])


async def test_the_first_user_makes_the_rooms_and_all_others_join_them(start_homeserver: Any) -> None:
    hs = await start_homeserver(ROOMS)
    first, second = await hs.register("first"), await hs.register("second")
    room = await room_of(hs)
    assert await joined(first) == await joined(second) == [room]
    create = await first.get(f"/rooms/{q(room)}/state/m.room.create", format="event")
    assert create["sender"] == first.user_id


async def test_a_guest_joins_them_too_unless_the_operator_says_no(start_homeserver: Any) -> None:
    hs = await start_homeserver(ROOMS + "auto_join_rooms_for_guests: false")
    await hs.register("first")
    session = (await hs.ask("POST", "/register", {}, kind="guest")).json
    assert await joined(Client(hs, session)) == []


async def test_the_setup_pages_user_is_the_first(start_homeserver: Any) -> None:
    hs = await start_homeserver(ROOMS)
    token = await hs.server.users.first_user.setup_token_if_empty()
    await hs.server.users.first_user.create(token, "admin", PASSWORD)
    assert len(await joined(await hs.log_in("admin"))) == 1


async def test_nobody_but_the_first_user_comes_to_rule_a_room_by_registering(start_homeserver: Any) -> None:
    hs = await start_homeserver()
    await hs.register("first")
    again = await start_homeserver(ROOMS)
    assert await joined(await again.register("second")) == []


async def test_private_rooms_are_made_by_the_named_user_who_invites(start_homeserver: Any) -> None:
    more = "autocreate_auto_join_room_preset: private_chat\nauto_join_mxid_localpart: host\n"
    hs = await start_homeserver(ROOMS + more + "autocreate_auto_join_rooms_federated: false")
    first, second = await hs.register("first"), await hs.register("second")
    [room] = await joined(first)
    assert await joined(second) == [room]
    create = await first.get(f"/rooms/{q(room)}/state/m.room.create", format="event")
    assert (create["sender"], create["content"]["m.federate"]) == ("@host:hearth.test", False)
    assert (await first.get(f"/rooms/{q(room)}/state/m.room.join_rules"))["join_rule"] == "invite"


async def test_a_room_that_does_not_exist_keeps_nobody_from_registering(start_homeserver: Any) -> None:
    hs = await start_homeserver(ROOMS + "autocreate_auto_join_rooms: false")
    assert await joined(await hs.register("first")) == []


@pytest.mark.parametrize(
    ("rule", "direct", "taken"),
    [
        ("enabled: true", False, True),
        ("enabled: true, only_for_direct_messages: true", False, False),
        ("enabled: true, only_for_direct_messages: true", True, True),
        ("enabled: false", True, False),
    ],
)
async def test_invites_are_taken(start_homeserver: Any, rule: str, direct: bool, taken: bool) -> None:
    hs = await start_homeserver(f"auto_accept_invites: {{{rule}}}")
    alice, bob = await hs.register("alice"), await hs.register("bob")
    await bob.sync()
    room = await alice.create_room(invite=[bob], is_direct=direct, preset="private_chat")
    await room_part(bob, "join" if taken else "invite", room)


async def test_invites_of_other_servers_are_taken_too(network: Network) -> None:
    one = await network.start("one.test")
    two = await network.start("two.test", "auto_accept_invites: {enabled: true}")
    alice, bob = await one.register("alice"), await two.register("bob")
    await bob.sync()
    room = await alice.create_room(invite=[bob], preset="private_chat")
    await room_part(bob, "join", room)


async def test_who_joins_before_the_other_server_has_stored_its_invite_comes_again(network: Network) -> None:
    one = await network.start("one.test")
    two = await network.start("two.test", "auto_accept_invites: {enabled: true}")
    alice, bob = await one.register("alice"), await two.register("bob")
    await bob.sync()
    refused: Deferred[None] = Deferred()

    async def late(sent: Sent, deliver: Deliver) -> WireAnswer:
        answer = await deliver()
        if "/invite/" in sent.path:
            await refused
        if "/make_join/" in sent.path and not refused.called:
            assert answer.status == 403
            refused.callback(None)
        return answer

    network.on_request = late
    room = await alice.create_room(invite=[bob], preset="private_chat")
    await room_part(bob, "join", room)
