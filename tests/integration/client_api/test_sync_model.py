"""What a client that only syncs, and fills its gaps, knows after each answer: every event once, in order; the state.

Random histories of a few users in a few rooms, by seed: to look into a failure, run its seed alone with fewer STEPS.
Clients ask at random moments, while other things happen, with random limits. Some read the state before the timeline,
some after it, some load members lazily. They ask any process of the server: some of which have just begun, remember
little, or are behind the others. Some answers are lost.
"""

import os
import random
from collections.abc import Awaitable
from typing import Any

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred, FirstError, gatherResults

from homeserver.services.sync import inbox
from tests.integration.client_api.sync_follower import Follower
from tests.integration.client_api.sync_truth import MEMBER, Truth
from tests.support.homeserver import Client, Homeserver, Response, q

STEPS = 120
# HEARTH_SYNC_SEEDS=200 tries that many histories; each takes a few seconds.
SEEDS = range(int(os.environ.get("HEARTH_SYNC_SEEDS", "6")))
VISIBILITIES = ("shared", "joined", "invited", "world_readable")


@define(eq=False)
class World:
    chance: random.Random
    truth: Truth
    servers: list[Homeserver]
    users: list[Client]
    rooms: list[str]
    followers: list[Follower] = field(factory=list)
    sent: dict[str, list[str]] = field(factory=dict)
    count: int = 0

    async def step(self) -> None:
        """A few things at once."""
        acts = [self.send] * 4 + [self.burst, self.topic, self.rename, self.rename, self.move, self.move, self.govern]
        acts += [self.visibility, self.read, self.mail]
        at_once: list[Awaitable[None]] = [self.chance.choice(acts)() for _ in range(self.chance.randint(1, 3))]
        # One answer at a time for a device.
        for follower in self.chance.sample(self.followers, self.chance.choice((0, 1, 1, 2))):
            at_once.append(self.sync(follower))
        try:
            await gatherResults([Deferred.fromCoroutine(act) for act in at_once], consumeErrors=True)
        except FirstError as error:
            error.subFailure.raiseException()

    async def ask(self, method: str, path: str, json: Any, user: Client | None = None) -> Response:
        user = user or self.chance.choice(self.users)
        response = await user.at(self.chance.choice(self.servers)).ask(method, path, json)
        assert response.status < 500, response
        return response

    def room(self) -> str:
        return q(self.chance.choice(self.rooms))

    async def send(self, room: str | None = None) -> None:
        self.count += 1
        path = f"/rooms/{room or self.room()}/send/m.room.message/t{self.count}"
        await self.ask("PUT", path, {"msgtype": "m.text", "body": "."})

    async def burst(self) -> None:
        room = self.room()
        for _ in range(self.chance.randint(2, 9)):
            await self.send(room)

    async def topic(self) -> None:
        self.count += 1
        await self.ask("PUT", f"/rooms/{self.room()}/state/m.room.topic/", {"topic": str(self.count)}, self.users[0])

    async def visibility(self) -> None:
        content = {"history_visibility": self.chance.choice(VISIBILITIES)}
        await self.ask("PUT", f"/rooms/{self.room()}/state/m.room.history_visibility/", content, self.users[0])

    async def rename(self) -> None:
        self.count += 1
        user = self.chance.choice(self.users)
        content = {"membership": "join", "displayname": f"name {self.count}"}
        await self.ask("PUT", f"/rooms/{self.room()}/state/{MEMBER}/{q(user.user_id)}", content, user)

    async def move(self) -> None:
        verb = self.chance.choice(["join", "join", "join", "leave"])
        await self.ask("POST", f"/rooms/{self.room()}/{verb}", {}, self.chance.choice(self.users[1:]))

    async def govern(self) -> None:
        """The first user is who may, and never leaves."""
        verb = self.chance.choice(["invite", "kick", "ban", "unban", "unban"])
        target = self.chance.choice(self.users[1:]).user_id
        await self.ask("POST", f"/rooms/{self.room()}/{verb}", {"user_id": target}, self.users[0])

    async def read(self) -> None:
        room = self.chance.choice(self.rooms)
        event = self.chance.choice(self.truth.histories[room])
        await self.ask("POST", f"/rooms/{q(room)}/receipt/m.read/{q(event.event_id)}", {})

    async def mail(self) -> None:
        """To-device messages, more than one answer takes."""
        follower, sender = self.chance.choice(self.followers), self.chance.choice(self.users)
        for _ in range(self.chance.randint(1, 4)):
            self.count += 1
            messages = {follower.client.user_id: {follower.client.device_id: {"id": str(self.count)}}}
            self.sent.setdefault(follower.client.device_id, []).append(str(self.count))
            await self.ask("PUT", f"/sendToDevice/m.test/t{self.count}", {"messages": messages}, sender)

    async def sync(self, follower: Follower) -> None:
        follower.client = follower.client.at(self.chance.choice(self.servers))
        await follower.sync(self.truth, self.chance.randint(1, 6), is_lost=self.chance.random() < 0.2)

    async def check(self) -> None:
        """When all is quiet, all know all."""
        newest = max(self.servers, key=lambda server: server.core.storage.stream.position)
        for server in self.servers:
            await server.has_heard(newest)
        for follower in self.followers:
            follower.client = follower.client.at(self.chance.choice(self.servers))
            answer: dict[str, Any] = {"to_device": None}
            while "to_device" in answer:
                answer = await follower.sync(self.truth, 5)
            assert sorted(follower.messages, key=int) == sorted(
                self.sent.get(follower.client.device_id, []), key=int
            ), "each message once"
            for room_id in self.rooms:
                self.check_room(follower, room_id, int(answer["next_batch"][1:]))

    def check_room(self, follower: Follower, room_id: str, position: int) -> None:
        room = follower.rooms[room_id]
        if not room.is_in:
            return
        rows = self.servers[0].rows(
            "SELECT user_id, event_id FROM receipts JOIN rooms USING (room_nid) WHERE room_id = %s", room_id
        )
        assert room.receipts == dict(rows)
        if follower.lazy:
            memberships = [self.truth.membership(room_id, user.user_id, position) for user in self.users]
            assert room.summary["m.joined_member_count"] == memberships.count("join")
            assert room.summary["m.invited_member_count"] == memberships.count("invite")


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_client_knows_after_each_answer_what_is_so(
    start_homeserver: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(inbox, "MAX_MESSAGES", 3)
    chance = random.Random(seed)
    servers: list[Homeserver] = [await start_homeserver(), await start_homeserver()]
    users = [await servers[0].register(name) for name in ("alice", "bob", "carol", "dave")]
    rooms = [await users[0].create_room() for _ in range(2)] + [await users[0].create_room(name="named")]
    world = World(chance, Truth(servers[0].dsn), servers, users, rooms)
    world.truth.read()
    for user in users[:3]:
        for _ in range(2):
            device = await servers[0].log_in(user.user_id)
            world.followers.append(Follower(device, chance.random() < 0.5, chance.random() < 0.4))
    for number in range(STEPS):
        if number in (STEPS // 3, STEPS * 2 // 3):
            # Asked with older tokens it reads the database, since its memory begins here, and is short.
            started = await start_homeserver()
            started.core.storage.stream._max = 40
            world.servers = [*world.servers[-2:], started]
        await world.step()
    await world.check()
