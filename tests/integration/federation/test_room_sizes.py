"""Rooms of other servers that are too large: found out before a join."""

import pytest

from tests.integration.federation.remote_pair import join, refused, refused_join
from tests.support.fake_server import FakeServer
from tests.support.federation import Network
from tests.support.homeserver import PASSWORD, q

LIMIT = "limit_remote_rooms: {enabled: true, complexity: 0.001, complexity_error: Too big for us"
PATH = "/_matrix/federation/unstable/rooms"


async def test_a_room_above_the_limit_is_not_joined(network: Network) -> None:
    one, two = await network.start("one.test"), await network.start("two.test", LIMIT + "}")
    alice, bob = await one.register("alice"), await two.register("bob")
    room = await alice.create_room()
    assert await refused_join(bob, room, "one.test") == (400, "M_RESOURCE_LIMIT_EXCEEDED")
    response = await bob.ask("POST", f"/join/{q(room)}?via=one.test", {})
    assert response.json["error"] == "Too big for us"
    assert network.sent("make_join") == []


@pytest.mark.parametrize("may", [True, False])
async def test_admins_may_if_the_operator_says_so(network: Network, may: bool) -> None:
    one, two = (
        await network.start("one.test"),
        await network.start("two.test", LIMIT + f", admins_can_join: {str(may).lower()}}}"),
    )
    alice = await one.register("alice")
    await two.server.register_user("admin", PASSWORD, admin=True)
    admin = await two.log_in("admin")
    room = await alice.create_room()
    status, _ = await refused(admin, "POST", f"/join/{q(room)}?via=one.test", {})
    assert status == (200 if may else 400)


async def test_a_smaller_room_and_one_whose_size_nobody_tells_are_joined(network: Network) -> None:
    one, two = await network.start("one.test"), await network.start("two.test", LIMIT.replace("0.001", "1") + "}")
    alice, bob = await one.register("alice"), await two.register("bob")
    await join(bob, await alice.create_room(), "one.test")
    private = await alice.create_room(preset="private_chat", invite=[])
    await alice.ok("POST", f"/rooms/{q(private)}/invite", {"user_id": bob.user_id})
    await join(bob, private, "one.test")


async def test_the_size_of_a_room_is_told_to_who_might_join_it(network: Network) -> None:
    one = await network.start("one.test")
    alice, asker = await one.register("alice"), FakeServer(network, "asker.test")
    public, private = await alice.create_room(), await alice.create_room(preset="private_chat")
    state = len(await alice.get(f"/rooms/{q(public)}/state"))
    assert (await asker.ask("one.test", "GET", f"{PATH}/{q(public)}/complexity")).json == {"v1": round(state / 500, 2)}
    for room in (private, "!nothing:one.test"):
        assert (await asker.ask("one.test", "GET", f"{PATH}/{q(room)}/complexity")).status == 404
