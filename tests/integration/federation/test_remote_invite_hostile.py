"""Invites of servers that mean no good, or too much of it."""

from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from attrs import frozen

from tests.integration.federation.handmade_room import HandmadeRoom
from tests.integration.federation.remote_pair import join, refused_join
from tests.support.database import TestServer
from tests.support.fake_server import FakeServer
from tests.support.federation import Network
from tests.support.homeserver import Client, Homeserver, q

# Nobody is held up by a limit but who is invited too often.
_LIMITED = "rc_invites: {per_issuer: {per_second: 0.001, burst_count: 3}}\n"


@frozen
class Scene:
    network: Network
    hs: Homeserver
    evil: FakeServer
    bob: Client


@pytest_twisted.async_yield_fixture(scope="module")
async def scene(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    network = Network(postgres, tmp_path_factory.mktemp("hostile"))
    hs = await network.start("one.test")
    yield Scene(network, hs, FakeServer(network, "evil.test"), await hs.register("bob"))
    await network.close()


async def invited(client: Client, room: str) -> list[dict[str, Any]] | None:
    """What the client is shown of the room that it is invited to."""
    part = (await client.get("/sync")).get("rooms", {}).get("invite", {}).get(room)
    return None if part is None else part["invite_state"]["events"]


async def test_what_is_shown_of_the_room_is_stripped_and_bounded(scene: Scene) -> None:
    room = HandmadeRoom(scene.evil)
    good = {"type": "m.room.name", "state_key": "", "sender": room.creator, "content": {"name": "n"}, "extra": 1}
    bad: list[Any] = [
        {**good, "content": "x"},
        {**good, "sender": "nobody"},
        {**good, "state_key": None},
        {**good, "type": "t" * 300},
        {"type": "m.room.topic"},
        7,
        None,
    ]
    many = [{**good, "type": f"org.test.{n}"} for n in range(80)]
    response = await room.send_invite("one.test", room.invite(scene.bob.user_id), [good, *bad, *many])
    assert response.status == 200, response
    shown = await invited(scene.bob, room.room)
    assert shown is not None and len(shown) <= 51
    assert shown[0] == {name: good[name] for name in ("type", "state_key", "sender", "content")}
    assert shown[-1]["state_key"] == scene.bob.user_id


@pytest.mark.parametrize("shown", [None, [], {}, "x"])
async def test_an_invite_with_nothing_to_show_is_an_invite(scene: Scene, shown: Any) -> None:
    room = HandmadeRoom(scene.evil)
    response = await room.send_invite("one.test", room.invite(scene.bob.user_id), shown if shown is not None else [])
    assert response.status in (200, 400)
    if response.status == 200:
        assert await invited(scene.bob, room.room) is not None


async def test_the_same_invite_twice_is_one(scene: Scene) -> None:
    room = HandmadeRoom(scene.evil)
    invite = room.invite(scene.bob.user_id)
    for _ in range(2):
        assert (await room.send_invite("one.test", invite)).status == 200
    await scene.bob.sync()
    assert (await room.send_invite("one.test", invite)).status == 200
    assert (await scene.bob.sync()).get("rooms", {}).get("invite", {}) == {}
    assert scene.hs.rows("SELECT count(*) FROM out_of_band WHERE event_id = %s", room.id_of(invite)) == [(1,)]


async def test_a_newer_invite_takes_the_place_of_the_older(scene: Scene) -> None:
    room = HandmadeRoom(scene.evil)
    for reason in ("one", "two", "three"):
        await room.send_invite("one.test", room.invite(scene.bob.user_id, reason=reason))
    shown = await invited(scene.bob, room.room)
    assert shown is not None and shown[-1]["content"]["reason"] == "three"
    found = scene.hs.rows("SELECT count(*) FROM out_of_band JOIN rooms USING (room_nid) WHERE room_id = %s", room.room)
    assert found == [(1,)]


async def test_a_wrong_version_in_an_invite_does_not_keep_anybody_from_the_room(scene: Scene) -> None:
    room = HandmadeRoom(scene.evil)
    liar = HandmadeRoom(scene.evil, version="1")
    liar.room = room.room
    invite = scene.evil.pdu(
        "1",
        type="m.room.member",
        sender=room.creator,
        state_key=scene.bob.user_id,
        content={"membership": "invite"},
        room_id=room.room,
        event_id="$lie:evil.test",
    )
    assert (await room.send_invite("one.test", invite, [], version="1")).status == 200
    assert await invited(scene.bob, room.room) is not None
    # The truth, by another invite, and then by the room itself.
    assert (await room.send_invite("one.test", room.invite(scene.bob.user_id))).status == 200
    await join(scene.bob, room.room)
    assert await invited(scene.bob, room.room) is None
    version = scene.hs.rows("SELECT version FROM rooms WHERE room_id = %s", room.room)
    assert version == [("10",)]
    # From now on we know better.
    anna = await scene.hs.register("anna")
    again = {**invite, "state_key": anna.user_id, "event_id": "$lie2:evil.test", "signatures": {}, "hashes": {}}
    response = await room.send_invite("one.test", scene.evil.sign_event(again, "1"), [], version="1")
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_a_room_id_of_the_wrong_kind_is_no_invite(scene: Scene) -> None:
    room = HandmadeRoom(scene.evil)
    room.room = "!" + "a" * 43
    invite = room.invite(scene.bob.user_id)
    response = await room.send_invite("one.test", invite, [])
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_an_invite_leads_nowhere_else_than_to_its_room(scene: Scene) -> None:
    room = HandmadeRoom(scene.evil, join_rule="invite")
    await room.send_invite("one.test", room.invite(scene.bob.user_id))
    for path in ("state", "members", "messages", "joined_members", "aliases"):
        response = await scene.bob.ask("GET", f"/rooms/{q(room.room)}/{path}")
        assert (response.status, response.errcode) == (403, "M_FORBIDDEN"), path
    for path, body in (
        ("upgrade", {"new_version": "12"}),
        ("invite", {"user_id": "@x:one.test"}),
        ("ban", {"user_id": "@x:one.test"}),
    ):
        response = await scene.bob.ask("POST", f"/rooms/{q(room.room)}/{path}", body)
        assert response.status in (403, 404), (path, response)
    for path in (
        "send/m.room.message/hostile1",
        "state/m.room.name",
        "redact/$x/hostile2",
        f"typing/{q(scene.bob.user_id)}",
    ):
        response = await scene.bob.ask("PUT", f"/rooms/{q(room.room)}/{path}", {"typing": True})
        assert response.status in (403, 404), (path, response)
    # The state that came with the answer has no invite: the room does not let bob in.
    assert await refused_join(scene.bob, room.room) == (502, "M_UNKNOWN")


async def test_nobody_is_flooded_with_invites(scene: Scene) -> None:
    limited = await scene.network.start("limited.test", _LIMITED)
    anna = await limited.register("anna")
    statuses = []
    for _ in range(5):
        room = HandmadeRoom(scene.evil)
        response = await room.send_invite("limited.test", room.invite(anna.user_id))
        statuses.append((response.status, response.json.get("errcode")))
    assert statuses == [(200, None)] * 3 + [(429, "M_LIMIT_EXCEEDED")] * 2


async def test_where_only_admins_invite_other_servers_do_not(scene: Scene) -> None:
    closed = await scene.network.start("closed.test", "block_non_admin_invites: true\n")
    anna = await closed.register("anna")
    room = HandmadeRoom(scene.evil)
    response = await room.send_invite("closed.test", room.invite(anna.user_id))
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")
    assert await invited(anna, room.room) is None
