"""A room is joined with most members left out: usable at once, and whole later as if it had been so all the time."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from matrix.events import Json
from matrix.ids import RoomId
from tests.integration.federation.handmade_room import HandmadeRoom
from tests.integration.federation.listening import until
from tests.integration.federation.remote_pair import join
from tests.support.consistency import faults
from tests.support.fake_server import FakeServer
from tests.support.federation import Network, Sent
from tests.support.homeserver import Client, Homeserver, q

V1 = "/_matrix/federation/v1"
LAZY = '{"room":{"state":{"lazy_load_members":true}}}'
MEMBER = "m.room.member"


class LargeRoom(HandmadeRoom):
    """Leaves out the members but its own user's; `release` lets the answer to /state_ids go."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.released: Deferred[None] = Deferred()
        self.asked: Deferred[None] = Deferred()
        self.servers = [str(self.server.name)]
        for name in ("frank", "grace"):
            self.join(name)
        self.of_answer = self._partial
        room = q(self.room)
        self.server.answers("GET", f"{V1}/state_ids/{room}", self._ids)
        self.server.answers("GET", f"{V1}/state/{room}", lambda _: {"pdus": self.state(), "auth_chain": self.events})
        self.server.answers("GET", f"{V1}/event/", self.event)
        self.server.answers("GET", f"{V1}/event_auth/{room}", lambda _: {"auth_chain": self.told})
        self.server.answers("POST", f"{V1}/get_missing_events/", lambda _: {"events": []})
        self.server.answers("GET", f"{V1}/backfill/", lambda _: {"pdus": []})
        self.told: list[Json] = []

    def join(self, name: str, membership: str = "join", sender: str | None = None) -> Json:
        user = self.server.user(name)
        return self.say(MEMBER, {"membership": membership}, state_key=user, sender=self.server.user(sender or name))

    def event(self, sent: Sent) -> Any:
        wanted = unquote(sent.path.rsplit("/", 1)[1])
        return {"pdus": [pdu for pdu in self.told if self.id_of(pdu) == wanted]}

    def state(self) -> list[Json]:
        found = {(pdu["type"], pdu["state_key"]): pdu for pdu in self.told if "state_key" in pdu}
        return list(found.values())

    def say(
        self, event_type: str, content: Json, *, sender: str | None = None, prev: Any = None, **fields: Any
    ) -> Json:
        """An event after all others. `auth`: others than those that the state allows it by."""
        sender = sender or self.creator
        keys = [("m.room.create", ""), ("m.room.power_levels", ""), (MEMBER, sender)]
        if event_type == MEMBER:
            keys.append((MEMBER, fields["state_key"]))
        if content.get("membership") == "join":
            keys.append(("m.room.join_rules", ""))
        state = {(pdu["type"], pdu["state_key"]): pdu for pdu in self.events if "state_key" in pdu}
        auth = fields.pop("auth", None) or [state[key] for key in dict.fromkeys(keys) if key in state]
        pdu = self.server.pdu(
            self.version,
            type=event_type,
            sender=sender,
            content=content,
            room_id=self.room,
            prev_events=[self.id_of(self.events[-1])] if prev is None else prev,
            auth_events=[self.id_of(one) for one in auth],
            depth=len(self.events) + 1,
            **fields,
        )
        self.events.append(pdu)
        return pdu

    async def tell(self, *pdus: Json) -> None:
        answer = await self.server.transaction("one.test", pdus=pdus)
        assert all("error" not in one for one in answer.json["pdus"].values()), answer

    def _send(self, sent: Sent) -> Any:
        # What is told later is the state before the first join.
        self.told = self.told or list(self.events)
        self.events.append(sent.json)
        return super()._send(sent)

    def _partial(self, answer: Json) -> Json:
        few = [pdu for pdu in self.told if pdu["type"] != MEMBER]
        return {"state": few, "auth_chain": self.told[:4], "members_omitted": True, "servers_in_room": self.servers}

    async def _ids(self, sent: Sent) -> Json:
        if not self.asked.called:
            self.asked.callback(None)
        if not self.released.called:
            waiting: Deferred[None] = Deferred()
            self.released.addBoth(lambda result: (waiting.callback(None), result)[1])
            await waiting
        told = [self.id_of(pdu) for pdu in self.state()]
        return {"pdu_ids": told, "auth_chain_ids": [self.id_of(pdu) for pdu in self.told]}

    def release(self) -> None:
        self.released.callback(None)


@pytest.fixture
def room(two: FakeServer) -> LargeRoom:
    return LargeRoom(two)


@pytest_twisted.async_yield_fixture
async def joined(room: LargeRoom, alice: Client, host: Homeserver) -> Iterator[LargeRoom]:
    """alice is in the room, which is known in part. What is left of it afterwards is of one piece."""
    await join(alice, room.room, "two.test")
    yield room
    if not room.released.called:
        room.release()
    await whole(host, room)
    assert faults(host.dsn) == []


async def whole(host: Homeserver, room: LargeRoom) -> None:
    row = await host.server.rooms.heads.room(RoomId(room.room))
    await host.server.rooms.partial.whole(row.room_nid)


async def complete(host: Homeserver, room: LargeRoom) -> None:
    room.release()
    await whole(host, room)


async def members(client: Client, room: LargeRoom) -> set[str]:
    joined = (await client.get(f"/rooms/{q(room.room)}/joined_members"))["joined"]
    return {user.partition(":")[0] for user in joined}


def in_sync(answer: Json, room: LargeRoom) -> Json | None:
    found: Json | None = answer.get("rooms", {}).get("join", {}).get(room.room)
    return found


async def test_a_lazy_client_has_the_room_at_once_and_another_when_it_is_whole(
    joined: LargeRoom, alice: Client, host: Homeserver
) -> None:
    lazy = in_sync(await alice.get("/sync", filter=LAZY), joined)
    assert lazy is not None
    whole_sync = await alice.get("/sync")
    assert in_sync(whole_sync, joined) is None
    await complete(host, joined)
    later = in_sync(await alice.get("/sync", since=whole_sync["next_batch"]), joined)
    assert later is not None
    told = [*later["state"]["events"], *later["timeline"]["events"]]
    names = {event["state_key"].partition(":")[0] for event in told if event["type"] == MEMBER}
    assert names == {"@alice", "@eve", "@frank", "@grace"}


async def test_all_members_are_waited_for(joined: LargeRoom, alice: Client, host: Homeserver) -> None:
    waiting = Deferred.fromCoroutine(members(alice, joined))
    state = Deferred.fromCoroutine(alice.get(f"/rooms/{q(joined.room)}/state"))
    await joined.asked
    assert not waiting.called
    assert not state.called
    await complete(host, joined)
    assert await waiting == {"@alice", "@eve", "@frank", "@grace"}
    assert len(await state) == 7


async def test_the_room_is_spoken_in_both_ways_meanwhile(joined: LargeRoom, alice: Client, host: Homeserver) -> None:
    await alice.send(joined.room, "hello")
    await joined.tell(joined.say("m.room.message", {"body": "from frank"}, sender=joined.server.user("frank")))
    timeline = in_sync(await alice.get("/sync", filter=LAZY), joined)
    assert timeline is not None
    assert [event["content"].get("body") for event in timeline["timeline"]["events"][-2:]] == ["hello", "from frank"]
    lazily = {event["state_key"] for event in timeline["state"]["events"] if event["type"] == MEMBER}
    # Frank is known by what he said.
    assert joined.server.user("frank") in lazily
    await complete(host, joined)
    assert await members(alice, joined) == {"@alice", "@eve", "@frank", "@grace"}


async def test_what_was_allowed_by_a_membership_of_before_is_refused_in_the_end(
    two: FakeServer, alice: Client, host: Homeserver
) -> None:
    room = LargeRoom(two)
    came = room.join("heidi")
    room.join("heidi", "leave")
    await join(alice, room.room, "two.test")
    levels, create = room.events[2], room.events[0]
    user = two.user("heidi")
    bad = room.say("m.room.message", {"body": "bad"}, sender=user, auth=[create, levels, came])
    good = room.say("m.room.message", {"body": "good"})
    await room.tell(bad, good)
    path = f"/rooms/{q(room.room)}/event/{q(room.id_of(bad))}"
    assert (await alice.get(path))["content"] == {"body": "bad"}
    await complete(host, room)
    assert (await alice.ask("GET", path)).status == 404
    assert (await alice.get(f"/rooms/{q(room.room)}/event/{q(room.id_of(good))}"))["content"] == {"body": "good"}
    assert await members(alice, room) == {"@alice", "@eve", "@frank", "@grace"}
    assert faults(host.dsn) == []


async def test_who_came_and_went_meanwhile_is_where_they_are(
    joined: LargeRoom, alice: Client, host: Homeserver
) -> None:
    came, went = joined.join("ivan"), joined.join("frank", "leave")
    await joined.tell(came, went)
    await joined.tell(joined.say("m.room.topic", {"topic": "new"}, state_key=""))
    await complete(host, joined)
    assert await members(alice, joined) == {"@alice", "@eve", "@grace", "@ivan"}
    assert (await alice.get(f"/rooms/{q(joined.room)}/state/m.room.topic/"))["topic"] == "new"


async def test_forks_of_the_time_are_put_right(joined: LargeRoom, alice: Client, host: Homeserver) -> None:
    base = [joined.id_of(joined.events[-1])]
    ours = await alice.send(joined.room, "ours")
    one = joined.say("m.room.name", {"name": "one"}, state_key="", prev=base)
    other = joined.say("m.room.message", {"body": "other"}, sender=joined.server.user("grace"), prev=base)
    await joined.tell(one, other)
    both = [joined.id_of(one), joined.id_of(other), ours]
    await joined.tell(joined.say("m.room.message", {"body": "both"}, sender=joined.server.user("frank"), prev=both))
    await complete(host, joined)
    assert (await alice.get(f"/rooms/{q(joined.room)}/state/m.room.name/"))["name"] == "one"
    assert await members(alice, joined) == {"@alice", "@eve", "@frank", "@grace"}


async def test_other_servers_are_not_let_in_meanwhile(joined: LargeRoom, alice: Client, host: Homeserver) -> None:
    path = f"{V1}/make_join/{q(joined.room)}/{q(joined.server.user('judy'))}?ver=10"
    refused = await joined.server.ask("one.test", "GET", path)
    assert (refused.status, refused.errcode) == (404, "M_NOT_FOUND")
    await complete(host, joined)
    assert (await joined.server.ask("one.test", "GET", path)).status == 200


async def test_servers_that_were_told_hear_of_us_until_the_members_say_otherwise(
    two: FakeServer, shared_network: Network, alice: Client, host: Homeserver
) -> None:
    room = LargeRoom(two)
    room.servers += ["three.test"]
    three = FakeServer(shared_network, "three.test")
    three.answers("PUT", f"{V1}/send/", {"pdus": {}})
    await join(alice, room.room, "two.test")
    hosts = host.server.sending.hosts
    row = await host.server.rooms.heads.room(RoomId(room.room))
    assert set(await hosts.in_room(row.room_nid)) == {"one.test", "two.test", "three.test"}
    await room.tell(room.join("frank", "leave"))
    assert "two.test" in await hosts.in_room(row.room_nid)
    await complete(host, room)
    assert set(await hosts.in_room(row.room_nid)) == {"one.test", "two.test"}


async def test_another_server_is_asked_if_the_first_tells_nonsense(
    two: FakeServer, shared_network: Network, alice: Client, host: Homeserver
) -> None:
    room = LargeRoom(two)
    room.servers += ["four.test"]
    four = FakeServer(shared_network, "four.test")
    four.answers("PUT", f"{V1}/send/", {"pdus": {}})
    told = [room.id_of(pdu) for pdu in room.events]
    four.answers("GET", f"{V1}/state_ids/", {"pdu_ids": told, "auth_chain_ids": told})
    four.answers("GET", f"{V1}/event/", room.event)
    two.answers("GET", f"{V1}/state_ids/{q(room.room)}", {"pdu_ids": [], "auth_chain_ids": []})
    await join(alice, room.room, "two.test")
    await whole(host, room)
    assert await members(alice, room) == {"@alice", "@eve", "@frank", "@grace"}


async def test_a_restart_goes_on_with_it(network: Network) -> None:
    one, two = await network.start("one.test"), FakeServer(network, "two.test")
    room = LargeRoom(two)
    alice = await one.register("alice")
    await join(alice, room.room, "two.test")
    await room.asked
    await network.stop("one.test")
    room.release()
    one = await network.start("one.test")
    await whole(one, room)
    alice = Client(one, alice.session)
    assert await members(alice, room) == {"@alice", "@eve", "@frank", "@grace"}
    assert faults(one.dsn) == []


async def test_who_leaves_and_comes_back_before_it_is_whole(joined: LargeRoom, alice: Client, host: Homeserver) -> None:
    await alice.leave(joined.room)
    await alice.sync()
    left = (await alice.get("/sync", filter=LAZY))["rooms"]
    assert joined.room not in left.get("join", {})
    await join(alice, joined.room, "two.test")
    await complete(host, joined)
    assert await members(alice, joined) == {"@alice", "@eve", "@frank", "@grace"}


async def test_a_second_user_comes_in_by_the_word_of_others(joined: LargeRoom, alice: Client, host: Homeserver) -> None:
    bob = await host.register("bob")
    await join(bob, joined.room, "two.test")
    await complete(host, joined)
    assert await members(alice, joined) == {"@alice", "@bob", "@eve", "@frank", "@grace"}


async def test_of_two_processes_one_completes_it_and_the_other_if_that_ends(network: Network) -> None:
    first, two = await network.start("one.test"), FakeServer(network, "two.test")
    room = LargeRoom(two)
    alice = await first.register("alice")
    await join(alice, room.room, "two.test")
    await room.asked
    second = await Homeserver.start(first.dsn, first.core.config, wire=first.core.wire, key=first.core.signer.key)
    await until(lambda: not second.server.rooms.remote.completion._running)
    assert len(network.sent("/state_ids/")) == 1, "both ask"
    await network.stop("one.test")
    room.release()
    try:
        await second.server.rooms.remote.completion.look()
        await whole(second, room)
        assert await members(Client(second, alice.session), room) == {"@alice", "@eve", "@frank", "@grace"}
    finally:
        await second.stop()
    assert faults(second.dsn) == []
