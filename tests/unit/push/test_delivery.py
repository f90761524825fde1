"""Pushers and what is handed to them while they are at work. Who sends and what, is tests/integration's."""

from collections.abc import Collection, Sequence
from time import monotonic
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as ReactorClock

from homeserver.runtime.clock import Clock
from homeserver.runtime.tasks import Tasks
from homeserver.services.push.delivery import PushDelivery
from matrix.ids import UserId
from storage.change import Entry, Kind
from storage.pushers import SHARDS, Pusher
from storage.shard_locks import Held

BOB = UserId("@bob:hearth.test")
PUSHER = Pusher(
    pusher_id=1,
    user_id=BOB,
    app_id="org.example",
    pushkey="key",
    kind="http",
    device_id=None,
    app_display_name="Example",
    device_display_name="Phone",
    profile_tag=None,
    lang="en",
    data={"url": "https://example.org/_matrix/push/v1/notify"},
    enabled=True,
    set_ms=0,
    position=4,
)


class World:
    """All that a delivery asks of others. `looked` are its looks for what is due: rooms, and up to where."""

    def __init__(self) -> None:
        self.position = 4
        self.looked: list[tuple[set[int], int]] = []
        self.looking: list[Deferred[None]] = []
        self.loading: dict[int, Deferred[None]] = {}

    async def look(self) -> Held:
        return Held(frozenset(range(SHARDS)), frozenset())

    async def list_of_shards(self, shards: Sequence[int]) -> list[Pusher]:
        return [PUSHER]

    async def rooms_to_look_at(self, pusher_ids: Sequence[int]) -> dict[int, list[int]]:
        return {}

    async def members_of(self, room_nid: int) -> dict[UserId, str]:
        if room_nid in self.loading:
            await self.loading[room_nid]
        return {BOB: "join"}

    async def find_due(self, pusher: Pusher, rooms: Collection[int], since: int, upto: int) -> list[Any]:
        self.looked.append((set(rooms), upto))
        self.looking.append(Deferred())
        await self.looking[-1]
        return []


def event(room_nid: int, position: int) -> Entry:
    return Entry(Kind.EVENT, room_nid=room_nid, position=position)


async def test_a_room_that_is_handed_over_while_another_is_loaded_is_looked_at_up_to_its_event() -> None:
    world = World()
    clock = Clock(ReactorClock(), monotonic=monotonic)
    parts: Any = dict.fromkeys(("stream", "pushers", "members", "telling", "locks"), world)
    delivery = PushDelivery(**parts, clock=clock, tasks=Tasks(clock=clock))
    await delivery.share()
    delivery.read_stream([event(1, 5)])
    assert world.looked == [({1}, 5)]

    world.loading[3] = Deferred()
    delivery.read_stream([event(2, 6), event(3, 7)])
    world.looking[-1].callback(None)
    world.loading[3].callback(None)
    while not world.looking[-1].called:
        world.looking[-1].callback(None)
    upto = {room: upto for rooms, upto in world.looked for room in rooms}
    assert upto == {1: 5, 2: 7, 3: 7}
