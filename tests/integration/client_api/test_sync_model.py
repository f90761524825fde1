"""What a client that only syncs, and fills its gaps, knows at the end: every event once and in order, and the state.

Random histories of a few users in a few rooms, by seed. Some clients read the state before the timeline, some the
state after it; some ask another process of the same server, or one that has just started.
"""

import random
from typing import Any

import pytest
from attrs import define, field

from tests.support.homeserver import Client, Homeserver, q

State = dict[tuple[str, str], str]


@define(eq=False)
class Follower:
    """A client that believes what it is told. `seen` and `state` are event ids, by room."""

    client: Client
    state_after: bool
    seen: dict[str, list[str]] = field(factory=dict)
    state: dict[str, State] = field(factory=dict)

    async def sync(self, limit: int) -> None:
        query: dict[str, Any] = {"filter": f'{{"room":{{"timeline":{{"limit":{limit}}}}}}}'}
        if self.state_after:
            query["use_state_after"] = "true"
        rooms = (await self.client.sync(**query)).get("rooms", {})
        for room, part in rooms.get("join", {}).items():
            await self._hear(room, part)
        for room in rooms.get("leave", {}):
            # What follows is told anew when it joins again.
            self.state.pop(room, None)

    async def _hear(self, room: str, part: dict[str, Any]) -> None:
        seen = self.seen.setdefault(room, [])
        timeline = [event["event_id"] for event in part["timeline"]["events"]]
        assert not set(timeline) & set(seen), "told twice"
        if part["timeline"]["limited"]:
            seen += await self._gap(room, part["timeline"]["prev_batch"], set(seen))
        seen += timeline
        self._fold(room, part)

    async def _gap(self, room: str, token: str, seen: set[str]) -> list[str]:
        """What was missed before the token, oldest first."""
        missed: list[str] = []
        while True:
            page = await self.client.get(f"/rooms/{q(room)}/messages", dir="b", limit=3, **{"from": token})
            for event in page["chunk"]:
                if event["event_id"] in seen:
                    return missed[::-1]
                missed.append(event["event_id"])
            if "end" not in page:
                return missed[::-1]
            token = page["end"]

    def _fold(self, room: str, part: dict[str, Any]) -> None:
        state = self.state.setdefault(room, {})
        events = part["state_after" if self.state_after else "state"]["events"]
        if not self.state_after:
            events = events + [event for event in part["timeline"]["events"] if "state_key" in event]
        state.update({(event["type"], event["state_key"]): event["event_id"] for event in events})


@define(eq=False)
class World:
    chance: random.Random
    servers: list[Homeserver]
    users: list[Client]
    rooms: list[str]
    followers: list[Follower]

    async def step(self) -> None:
        act = self.chance.choice([self.send, self.send, self.send, self.topic, self.move, self.rename, self.sync])
        await act()

    def anyone(self) -> Client:
        return self.chance.choice(self.users).at(self.chance.choice(self.servers))

    async def send(self) -> None:
        room = self.chance.choice(self.rooms)
        await self.anyone().ask(
            "PUT", f"/rooms/{q(room)}/send/m.room.message/t{self.chance.random()}", {"msgtype": "m.text", "body": "x"}
        )

    async def topic(self) -> None:
        """By the owner, who never leaves."""
        room = self.chance.choice(self.rooms)
        await self.users[0].set_state(room, "m.room.topic", {"topic": str(self.chance.random())})

    async def rename(self) -> None:
        user = self.anyone()
        room = self.chance.choice(self.rooms)
        content = {"membership": "join", "displayname": str(self.chance.random())}
        await user.ask("PUT", f"/rooms/{q(room)}/state/m.room.member/{q(user.user_id)}", content)

    async def move(self) -> None:
        user = self.chance.choice(self.users[1:])
        verb = self.chance.choice(["join", "join", "leave"])
        await user.ask("POST", f"/rooms/{q(self.chance.choice(self.rooms))}/{verb}", {})

    async def sync(self) -> None:
        follower = self.chance.choice(self.followers)
        follower.client = follower.client.at(self.chance.choice(self.servers))
        await self.settle()
        await follower.sync(self.chance.randint(1, 5))

    async def settle(self) -> None:
        """Each process has heard of what the others did: a token must not be ahead of who answers it."""
        newest = max(self.servers, key=lambda server: server.core.storage.stream.position)
        for server in self.servers:
            await server.has_heard(newest)

    async def check(self) -> None:
        """Everybody joins everything and syncs once more: then all know all."""
        for user in self.users:
            for room in self.rooms:
                await user.join(room)
        await self.settle()
        for follower in self.followers:
            await follower.sync(5)
            for room in self.rooms:
                history = await follower._gap(room, f"s{10**15}", set())
                assert follower.seen[room] == history
                now = await follower.client.get(f"/rooms/{q(room)}/state")
                assert follower.state[room] == {(event["type"], event["state_key"]): event["event_id"] for event in now}


@pytest.mark.parametrize("seed", range(4))
async def test_a_client_that_syncs_and_fills_its_gaps_knows_everything_once(start_homeserver: Any, seed: int) -> None:
    chance = random.Random(seed)
    servers = [await start_homeserver(), await start_homeserver()]
    users = [await servers[0].register(name) for name in ("alice", "bob", "carol")]
    rooms = [await users[0].create_room() for _ in range(2)]
    followers = [
        Follower(await servers[0].log_in(user.user_id), state_after) for user in users for state_after in (False, True)
    ]
    world = World(chance, servers, users, rooms, followers)
    for number in range(90):
        await world.step()
        if number == 45:
            # Whoever asks this one is answered from the database: its memory begins here.
            servers.append(await start_homeserver())
    await world.check()
