"""What a state resolution changes without an event reaches clients: by sync, before and after, from memory or not."""

from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted

from matrix.ids import RoomId
from tests.integration.federation.writer import Writer
from tests.support.consistency import faults
from tests.support.fake_server import FakeServer
from tests.support.homeserver import Client, Homeserver

TOPIC = "m.room.topic"


@pytest_twisted.async_yield_fixture
async def writers(two: FakeServer, host: Homeserver, alice: Client) -> Iterator[tuple[Writer, Writer]]:
    """An admin and a moderator of two.test in a room of alice's, which has a topic."""
    room = RoomId(await alice.create_room(topic="first"))
    admin, moderator = Writer(two, host, room, "admin"), Writer(two, host, room, "moderator")
    await admin.join()
    await moderator.join()
    await alice.set_state(room, "m.room.power_levels", levels(admin, moderator))
    await alice.sync()
    yield admin, moderator
    assert faults(host.dsn) == []


def levels(admin: Writer, *moderators: Writer) -> dict[str, Any]:
    users = {admin.user_id: 90, **{one.user_id: 50 for one in moderators}}
    return {"users": users, "state_default": 50, "events": {"m.room.power_levels": 90}, "ban": 50}


async def reset_topic(admin: Writer, moderator: Writer) -> None:
    """The moderator sets the topic; then comes that he had been demoted before, and the topic is void."""
    base = sorted(await admin.extremities())
    await moderator.say(type=TOPIC, state_key="", content={"topic": "void"}, prev=base)
    assert await admin.state(TOPIC) == {"topic": "void"}
    await admin.say(type="m.room.power_levels", state_key="", content=levels(admin), prev=base)
    assert (await admin.state(TOPIC))["topic"] == "first"


def topics(joined: dict[str, Any], name: str = "state") -> list[str]:
    return [event["content"]["topic"] for event in joined.get(name, {}).get("events", []) if event["type"] == TOPIC]


async def test_what_came_and_went_within_one_sync_is_not_the_state(
    writers: tuple[Writer, Writer], alice: Client
) -> None:
    admin, moderator = writers
    await reset_topic(admin, moderator)
    joined = (await alice.sync())["rooms"]["join"][admin.room]
    # Whoever applied the void topic would not hear that it is void.
    assert topics(joined) + topics(joined, "timeline") == []
    assert joined["timeline"]["limited"]


async def test_a_room_told_whole_ends_with_its_state(writers: tuple[Writer, Writer], alice: Client) -> None:
    admin, moderator = writers
    await reset_topic(admin, moderator)
    joined = (await alice.get("/sync"))["rooms"]["join"][admin.room]
    assert (topics(joined) + topics(joined, "timeline"))[-1] == "first"


async def test_a_client_that_knew_the_void_topic_is_told_the_old_one(
    writers: tuple[Writer, Writer], alice: Client
) -> None:
    admin, moderator = writers
    base = sorted(await admin.extremities())
    await moderator.say(type=TOPIC, state_key="", content={"topic": "void"}, prev=base)
    assert topics((await alice.sync())["rooms"]["join"][admin.room], "timeline") == ["void"]
    await admin.say(type="m.room.power_levels", state_key="", content=levels(admin), prev=base)
    since = alice.since
    joined = (await alice.sync())["rooms"]["join"][admin.room]
    assert topics(joined) == ["first"]
    assert [event["type"] for event in joined["timeline"]["events"]] == ["m.room.power_levels"]
    after = await alice.get("/sync", since=since, use_state_after="true")
    assert topics(after["rooms"]["join"][admin.room], "state_after") == ["first"]


async def test_a_token_that_is_not_in_memory_any_more_is_told_the_same(
    writers: tuple[Writer, Writer], alice: Client, host: Homeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, moderator = writers
    base = sorted(await admin.extremities())
    await moderator.say(type=TOPIC, state_key="", content={"topic": "void"}, prev=base)
    await alice.sync()
    await admin.say(type="m.room.power_levels", state_key="", content=levels(admin), prev=base)
    stream = host.core.storage.stream
    monkeypatch.setattr(stream, "floor", stream.position)
    joined = (await alice.sync())["rooms"]["join"][admin.room]
    assert topics(joined) == ["first"]


async def test_a_state_event_that_lost_is_not_taken_for_the_state(
    writers: tuple[Writer, Writer], alice: Client
) -> None:
    admin, moderator = writers
    base = sorted(await admin.extremities())
    await alice.set_state(admin.room, TOPIC, {"topic": "ours"})
    await alice.sync()
    await moderator.say(type=TOPIC, state_key="", content={"topic": "older"}, prev=base)
    assert (await admin.state(TOPIC))["topic"] == "ours"
    joined = (await alice.sync())["rooms"]["join"][admin.room]
    assert topics(joined) + topics(joined, "timeline") == []
    assert joined["timeline"]["limited"]


async def test_a_name_that_lost_hides_no_messages(writers: tuple[Writer, Writer], alice: Client) -> None:
    admin, moderator = writers
    fields = {"type": "m.room.member", "state_key": moderator.user_id}
    older, ours = [
        await moderator.pdu(content={"membership": "join", "displayname": name}, **fields) for name in ("older", "ours")
    ]
    await moderator.send(ours)
    await alice.sync()
    await moderator.send(older)
    await moderator.say("seen", prev=[older])
    assert (await admin.state("m.room.member", moderator.user_id))["displayname"] == "ours"
    timeline = (await alice.sync())["rooms"]["join"][admin.room]["timeline"]
    assert [event["content"].get("body") for event in timeline["events"]] == [None, "seen"]


async def test_memberships_follow_the_state(writers: tuple[Writer, Writer], alice: Client, host: Homeserver) -> None:
    admin, moderator = writers
    victim = await Writer(admin.server, host, admin.room, "victim").join()
    await alice.sync()
    base = sorted(await admin.extremities())
    await moderator.say(type="m.room.member", state_key=victim.user_id, content={"membership": "ban"}, prev=base)
    members = await host.server.rooms.members.members_of((await admin.head()).room_nid)
    assert members[victim.user_id] == "ban"
    await admin.say(type="m.room.power_levels", state_key="", content=levels(admin), prev=base)
    head = await admin.head()
    now = (await admin.state("m.room.member", victim.user_id))["membership"]
    members = await host.server.rooms.members.members_of(head.room_nid)
    assert members[victim.user_id] == now
    [row] = host.rows(
        "SELECT membership FROM memberships WHERE room_nid = %s AND user_id = %s", head.room_nid, victim.user_id
    )
    assert row == (now,)
