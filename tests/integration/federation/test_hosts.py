"""Which servers are in a room, in memory: what the database says, at every moment and in every process."""

import random

import pytest

from homeserver.services.rooms.hosts import Hosts
from homeserver.services.rooms.intake import NewEvent
from matrix.ids import RoomId, UserId
from storage.room_servers import find_servers, servers_before
from tests.support.homeserver import Client, Homeserver

USERS = [UserId(f"@{name}:{server}.test") for server in ("x", "y", "z") for name in ("a", "b")]


def hosts_of(hs: Homeserver) -> Hosts:
    return hs.server.sending.hosts


async def put(hs: Homeserver, alice: Client, room: str, user: UserId, membership: str) -> int:
    """The position of the event."""
    sender = user if membership in ("join", "leave") else UserId(alice.user_id)
    new = NewEvent(type="m.room.member", sender=sender, state_key=user, content={"membership": membership})
    [stored] = await hs.server.rooms.intake.send(RoomId(room), [new])
    return stored.position


async def check(hs: Homeserver, nid: int, positions: list[int]) -> None:
    database = hs.core.storage.database
    expected = (await database.read(find_servers, [nid]))[nid].servers
    assert set(await hosts_of(hs).in_room(nid)) == expected
    for position in positions:
        assert set(await hosts_of(hs).before(nid, position)) == await database.read(servers_before, nid, position)


@pytest.mark.parametrize("seed", range(4))
async def test_memory_says_what_the_database_says(host: Homeserver, alice: Client, seed: int) -> None:
    chance = random.Random(seed)
    room = await alice.create_room()
    nid = (await host.server.rooms.heads.room(RoomId(room))).room_nid
    now = dict.fromkeys(USERS, "leave")
    positions = []
    for _ in range(40):
        user = chance.choice(USERS)
        now[user] = "leave" if now[user] in ("join", "ban") else chance.choice(("join", "join", "ban"))
        membership = now[user]
        if membership == "leave" and chance.random() < 0.3:
            now[user] = membership = "join"
        if membership == "leave":
            # Also lifts a ban.
            sender = UserId(alice.user_id)
            new = NewEvent(type="m.room.member", sender=sender, state_key=user, content={"membership": "leave"})
            [stored] = await host.server.rooms.intake.send(RoomId(room), [new])
            positions.append(stored.position)
        elif membership == "join" and await _is_banned(host, room, user):
            now[user] = "ban"
        else:
            positions.append(await put(host, alice, room, user, membership))
        if chance.random() < 0.5:
            await check(host, nid, [*positions[-4:], positions[-1] + 1])
    await check(host, nid, positions)


async def _is_banned(host: Homeserver, room: str, user: UserId) -> bool:
    head = await host.server.rooms.heads.get(RoomId(room))
    stored = await host.server.rooms.heads.state_event(head, "m.room.member", user)
    return stored is not None and stored.event.membership == "ban"


async def test_another_process_knows_it_too(start_homeserver: object) -> None:
    first, second = await start_homeserver(), await start_homeserver()  # type: ignore[operator]
    alice = await first.register("alice")
    room = await alice.create_room()
    nid = (await first.server.rooms.heads.room(RoomId(room))).room_nid
    await check(second, nid, [])
    for user in USERS:
        await put(first, alice, room, user, "join")
    last = 0
    for user in USERS[:3]:
        last = await put(first, alice, room, user, "leave")
    await second.has_heard(first)
    await check(second, nid, [last, last + 1])
    assert set(await hosts_of(second).in_room(nid)) == {"hearth.test", "y.test", "z.test"}


async def test_servers_that_share_a_room_with_a_user(host: Homeserver, alice: Client) -> None:
    other = await host.register("sharer")
    first, second = await other.create_room(), await other.create_room()
    await put(host, other, first, USERS[0], "join")
    await put(host, other, second, USERS[2], "join")
    assert await hosts_of(host).sharing_with(UserId(other.user_id)) == {"one.test", "x.test", "y.test"}
    await other.leave(first)
    assert await hosts_of(host).sharing_with(UserId(other.user_id)) == {"one.test", "y.test"}


async def test_a_load_that_is_overtaken_is_right(host: Homeserver, alice: Client) -> None:
    from homeserver.runtime.clock import as_deferred

    room = await alice.create_room()
    nid = (await host.server.rooms.heads.room(RoomId(room))).room_nid
    await put(host, alice, room, USERS[0], "join")
    hosts_of(host)._forget(nid)
    loading = as_deferred(hosts_of(host).in_room(nid))
    await put(host, alice, room, USERS[2], "join")
    await put(host, alice, room, USERS[0], "leave")
    await loading
    await check(host, nid, [])
