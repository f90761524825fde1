"""What state resolution takes back is counted and logged: members who are in a room no more, power levels."""

import logging
from collections.abc import Iterator

import pytest
import pytest_twisted

from matrix.ids import RoomId
from tests.integration.federation.writer import Writer
from tests.support.consistency import faults
from tests.support.fake_server import FakeServer
from tests.support.homeserver import Client, Homeserver, q

LEVELS, JOIN_RULES = "m.room.power_levels", "m.room.join_rules"


@pytest_twisted.async_yield_fixture
async def writers(two: FakeServer, host: Homeserver, alice: Client) -> Iterator[tuple[Writer, Writer]]:
    """An admin and a moderator of two.test in a room of alice's."""
    room = RoomId(await alice.create_room(preset="public_chat"))
    admin, moderator = Writer(two, host, room, "admin"), Writer(two, host, room, "moderator")
    await admin.join()
    await moderator.join()
    await alice.set_state(room, LEVELS, levels(admin, moderator))
    await alice.set_state(room, JOIN_RULES, {"join_rule": "invite"})
    yield admin, moderator
    assert faults(host.dsn) == []


def levels(admin: Writer, *moderators: Writer) -> dict[str, object]:
    users = {admin.user_id: 95, **{one.user_id: 90 for one in moderators}}
    return {"users": users, "state_default": 50, "events": {LEVELS: 90}, "ban": 50}


def count(host: Homeserver, kind: str) -> float:
    return host.core.metrics.registry.get_sample_value("hearth_state_resets_total", {"kind": kind}) or 0.0


async def test_power_levels_that_go_back_are_seen(
    writers: tuple[Writer, Writer], host: Homeserver, caplog: pytest.LogCaptureFixture
) -> None:
    admin, moderator = writers
    base = sorted(await admin.extremities())
    known = await host.server.rooms.heads.state_event(await admin.head(), LEVELS)
    assert known is not None
    before = count(host, "power_levels")
    content = {**levels(admin, moderator), "invite": 77}
    await moderator.say(type=LEVELS, state_key="", content=content, prev=base)
    assert (await admin.state(LEVELS))["invite"] == 77
    assert count(host, "power_levels") == before
    with caplog.at_level(logging.WARNING):
        ban = {"type": "m.room.member", "state_key": moderator.user_id, "content": {"membership": "ban"}}
        await admin.say(prev=base, state={(LEVELS, ""): known.event_id}, **ban)
    assert "invite" not in await admin.state(LEVELS)
    assert count(host, "power_levels") == before + 1
    assert any("the power levels of" in record.getMessage() for record in caplog.records)


async def test_a_member_whose_join_is_void_now_is_seen(
    writers: tuple[Writer, Writer], host: Homeserver, caplog: pytest.LogCaptureFixture
) -> None:
    admin, moderator = writers
    before = count(host, "members")
    base = sorted(await admin.extremities())
    await moderator.say(type=JOIN_RULES, state_key="", content={"join_rule": "public"}, prev=base)
    late = await Writer(admin.server, host, admin.room, "late").join()
    assert (await admin.state("m.room.member", late.user_id))["membership"] == "join"
    with caplog.at_level(logging.WARNING):
        await admin.say(type=LEVELS, state_key="", content=levels(admin), prev=base)
    assert ("m.room.member", late.user_id) not in (await admin.head()).state
    assert count(host, "members") == before + 1
    assert any(late.user_id in record.getMessage() for record in caplog.records)


async def test_a_user_of_ours_whose_join_is_void_now_has_left(writers: tuple[Writer, Writer], host: Homeserver) -> None:
    admin, moderator = writers
    base = sorted(await admin.extremities())
    await moderator.say(type=JOIN_RULES, state_key="", content={"join_rule": "public"}, prev=base)
    late = await host.register("late")
    await late.ok("POST", f"/join/{q(admin.room)}", {})
    assert admin.room in (await late.sync())["rooms"]["join"]
    await admin.say(type=LEVELS, state_key="", content=levels(admin), prev=base)
    assert ("m.room.member", late.user_id) not in (await admin.head()).state
    rooms = (await late.sync())["rooms"]
    assert admin.room in rooms["leave"] and admin.room not in rooms.get("join", {})
    assert admin.room not in (await late.sync()).get("rooms", {}).get("leave", {})
    assert (await late.get("/joined_rooms"))["joined_rooms"] == []
    assert (await late.ask("PUT", f"/rooms/{q(admin.room)}/send/m.room.message/1", {"body": ""})).status == 403


async def test_a_topic_that_goes_back_is_none(writers: tuple[Writer, Writer], host: Homeserver) -> None:
    admin, moderator = writers
    before = count(host, "members"), count(host, "power_levels")
    base = sorted(await admin.extremities())
    await moderator.say(type="m.room.topic", state_key="", content={"topic": "void"}, prev=base)
    await admin.say(type=LEVELS, state_key="", content=levels(admin), prev=base)
    assert (count(host, "members"), count(host, "power_levels")) == before


async def test_what_became_of_events_is_counted(writers: tuple[Writer, Writer], host: Homeserver) -> None:
    admin, moderator = writers
    registry = host.core.metrics.registry

    def outcome(name: str) -> float:
        return registry.get_sample_value("hearth_remote_events_total", {"outcome": name}) or 0.0

    accepted, rejected = outcome("accepted"), outcome("rejected")
    await admin.say("hello")
    assert (outcome("accepted"), outcome("rejected")) == (accepted + 1, rejected)
    resolved = registry.get_sample_value("hearth_state_resolution_seconds_count") or 0.0
    base = sorted(await admin.extremities())
    for one in (admin, moderator):
        await one.say(type="m.room.topic", state_key="", content={"topic": one.user_id}, prev=base)
    assert registry.get_sample_value("hearth_state_resolution_seconds_count") > resolved
