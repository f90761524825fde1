"""Rooms through core alone: names, members, powers, pins, spaces, direct chats, rooms that people bridge."""

from typing import Any

import pytest_twisted
from attrs import evolve
from twisted.internet.defer import Deferred, succeed

from appservice.bridges.core.ids import ChannelId, PersonId
from appservice.bridges.core.incoming import ChannelChanged, ChannelKind, ChannelRemoved, MemberChanged, PinChanged
from appservice.bridges.core.settings import PortalOptions
from storage import bridges_inbox as rows
from tests.integration.bridges.core.scenes import comes_to, opened, signed_in
from tests.support.bridges import Town
from tests.support.fake_service import until
from tests.support.homeserver import Client, q

inlined = pytest_twisted.ensureDeferred
C1 = ChannelId("C1")


async def members(client: Client, room: str) -> set[str]:
    return set((await client.get(f"/rooms/{q(room)}/joined_members"))["joined"])


async def content(town: Town, client: Client, room: str, event_type: str, name: str) -> Any:
    return (await town.state(client, room, event_type) or {}).get(name)


@inlined
async def test_a_rooms_name_topic_and_members_are_the_channels(town: Town) -> None:
    town.remote.add_channel("C1", "general", ["U1", "U2"], topic="All of it")
    alice, room = await opened(town)
    assert await content(town, alice, room, "m.room.name", "name") == "general"
    assert await content(town, alice, room, "m.room.topic", "topic") == "All of it"
    assert await members(alice, room) == {town.bot_user, town.ghost("U1"), town.ghost("U2"), alice.user_id}
    bridge = await town.state(alice, room, "m.bridge", "hearth://fake/C1")
    assert bridge["channel"]["id"] == "C1"


@inlined
async def test_a_new_name_and_topic_of_the_network_are_shown(town: Town) -> None:
    alice, room = await opened(town)
    channel = town.remote.channels[C1]
    channel.name, channel.topic = "main", "New"
    town.remote.emit(ChannelChanged(channel=channel.value()), "C1")
    await comes_to(lambda: content(town, alice, room, "m.room.name", "name"), "main")
    await comes_to(lambda: content(town, alice, room, "m.room.topic", "topic"), "New")
    await town.settle("C1", alice, room)
    assert not [what for op, what in town.remote.calls if op == "set_channel"], "it is not told back"


@inlined
async def test_a_new_name_and_topic_of_matrix_go_over(town: Town) -> None:
    alice, room = await opened(town)
    await _powers(town, room, alice)
    await alice.set_state(room, "m.room.name", {"name": "main"})
    await alice.set_state(room, "m.room.topic", {"topic": "New"})
    channel = town.remote.channels[C1]
    await until(lambda: (channel.name, channel.topic) == ("main", "New"))


async def _powers(town: Town, room: str, client: Client) -> None:
    """The client may do everything."""
    matrix, bot = town.bridge.parts.context.matrix, town.bridge.parts.context.bot
    levels = await matrix.state(bot, room, "m.room.power_levels") or {}
    users = {**levels.get("users", {}), client.user_id: 100}
    await matrix.put_state(bot, room, "m.room.power_levels", {**levels, "users": users})


@inlined
async def test_people_come_and_go_as_on_the_network(town: Town) -> None:
    alice, room = await opened(town)
    town.remote.add_person("U2", "Uma")
    town.remote.emit(MemberChanged(channel=C1, person=PersonId("U2"), membership="join"), "C1")
    await comes_to(lambda: members(alice, room), {town.bot_user, town.ghost("U1"), town.ghost("U2"), alice.user_id})
    town.remote.emit(MemberChanged(channel=C1, person=PersonId("U2"), membership="leave"), "C1")
    await comes_to(lambda: members(alice, room), {town.bot_user, town.ghost("U1"), alice.user_id})
    town.remote.emit(MemberChanged(channel=C1, person=PersonId("U1"), membership="leave", by=PersonId("U2")), "C1")
    await comes_to(lambda: members(alice, room), {town.bot_user, alice.user_id})


@inlined
async def test_a_ghost_that_is_invited_or_put_out_is_so_on_the_network(town: Town) -> None:
    alice, room = await opened(town)
    town.remote.add_person("U2", "Uma")
    await _powers(town, room, alice)
    await alice.ok("POST", f"/rooms/{q(room)}/invite", {"user_id": town.ghost("U2")})
    await until(lambda: "U2" in town.remote.channels[C1].members)
    await comes_to(lambda: members(alice, room), {town.bot_user, town.ghost("U1"), town.ghost("U2"), alice.user_id})
    await alice.ok("POST", f"/rooms/{q(room)}/kick", {"user_id": town.ghost("U2")})
    await until(lambda: "U2" not in town.remote.channels[C1].members)


@inlined
async def test_roles_are_power_levels_both_ways(town: Town) -> None:
    alice, room = await opened(town, "U1", "U2")
    channel = town.remote.channels[C1]
    channel.levels[PersonId("U1")] = 50
    town.remote.emit(ChannelChanged(channel=channel.value()), "C1")

    async def levels() -> Any:
        users = (await town.state(alice, room, "m.room.power_levels"))["users"]
        return {user: level for user, level in users.items() if user.startswith("@fake__")}

    await comes_to(levels, {town.ghost("U1"): 50})
    await _powers(town, room, alice)
    now = await town.state(alice, room, "m.room.power_levels")
    await alice.set_state(room, "m.room.power_levels", {**now, "users": {**now["users"], town.ghost("U2"): 100}})
    await until(lambda: channel.levels.get(PersonId("U2")) == 100)
    now = await town.state(alice, room, "m.room.power_levels")
    await alice.set_state(room, "m.room.power_levels", {**now, "users": {**now["users"], town.ghost("U1"): 33}})
    await town.says(alice, room, "there is no role for that")
    await comes_to(levels, {town.ghost("U1"): 50, town.ghost("U2"): 100})


@inlined
async def test_pins_go_both_ways(town: Town) -> None:
    alice, room = await opened(town)
    message = town.remote.say("C1", "U1", "important")
    event = await town.says(alice, room, "important")
    pin = PinChanged(channel=C1, message=message.id, is_pinned=True, by=PersonId("U1"))
    town.remote.emit(pin, "C1")
    await comes_to(lambda: content(town, alice, room, "m.room.pinned_events", "pinned"), [event["event_id"]])
    await _powers(town, room, alice)
    mine = await alice.send(room, "mine")
    await until(lambda: len(town.remote.messages("C1")) == 2)
    await alice.set_state(room, "m.room.pinned_events", {"pinned": [mine]})
    sent = town.remote.messages("C1")[1].id
    await until(lambda: town.remote.channels[C1].pins == [sent])
    town.remote.emit(evolve(pin, is_pinned=False), "C1")
    await town.settle("C1", alice, room)
    assert [what for op, what in town.remote.calls if op == "pin"] == [(sent, True), (message.id, False)]


@inlined
async def test_a_channel_that_goes_is_told_of_once_and_may_come_back(town: Town) -> None:
    alice, room = await opened(town)
    for _ in range(2):
        town.remote.emit(ChannelRemoved(channel=C1, reason="it was deleted"), "C1")
    await town.says(alice, room, "no longer bridged: it was deleted")
    town.remote.say("C1", "U1", "back again")
    await town.says(alice, room, "back again")
    assert sum("no longer bridged" in text for text in await town.messages(alice, room)) == 1


@inlined
async def test_channels_lie_in_the_space_of_their_team(town: Town) -> None:
    space = town.remote.add_space("T1", "Team")
    town.remote.add_channel("C1", "general", ["U1"], space=space)
    alice, room = await opened(town)
    row = town.bridge.parts.spaces.find("T1")
    assert row is not None
    await alice.join(row.room_id)
    assert await town.state(alice, row.room_id, "m.space.child", room) == {"via": ["hearth.test"]}
    assert (await town.state(alice, room, "m.space.parent", row.room_id))["canonical"] is True
    assert await content(town, alice, row.room_id, "m.room.name", "name") == "Team"


@inlined
async def test_with_the_setting_seen_a_message_makes_a_room(town: Town) -> None:
    await town.bridge.kill()
    await town.restart(portals=PortalOptions(create="seen"))
    town.remote.add_channel("C1", "general", ["U1"])
    town.remote.say("C1", "U1", "hello")
    await until(lambda: town.bridge.parts.portals.of_channel("C1") is not None)
    alice = await town.user("alice")
    portal = town.bridge.parts.portals.of_channel("C1")
    assert portal is not None
    await alice.join(portal.room_id)
    await town.says(alice, portal.room_id, "hello")


@inlined
async def test_a_direct_chat_begun_on_the_network_invites_who_has_signed_in(town: Town) -> None:
    town.remote.add_person("U1", "Ursula")
    town.remote.add_person("A1", "Alice there")
    alice = await town.user("alice")
    await signed_in(town, alice, "A1")
    town.remote.add_channel("D1", "Ursula", ["U1", "A1"], kind=ChannelKind.DIRECT, is_public=False)
    town.remote.say("D1", "U1", "psst")
    await until(lambda: town.bridge.parts.portals.of_channel("D1") is not None)
    portal = town.bridge.parts.portals.of_channel("D1")
    assert portal is not None
    await until(lambda: town.bridge.parts.portals.is_inside(portal.room_id, alice.user_id))
    await town.says(alice, portal.room_id, "psst")
    direct = await alice.get(f"/user/{q(alice.user_id)}/account_data/m.direct")
    assert direct == {town.ghost("U1"): [portal.room_id]}


@inlined
async def test_a_direct_chat_begun_in_matrix_is_one_there(town: Town) -> None:
    town.remote.add_person("U1", "Ursula")
    alice = await town.user("alice")
    body = {"preset": "trusted_private_chat", "is_direct": True, "invite": [town.ghost("U1")]}
    room = str((await alice.ok("POST", "/createRoom", body))["room_id"])
    await until(lambda: town.bridge.parts.portals.of_room(room) is not None)
    await alice.send(room, "psst")
    await until(lambda: town.remote.texts("D-BOT-U1") == ["alice: psst"])
    town.remote.say("D-BOT-U1", "U1", "yes?")
    assert (await town.says(alice, room, "yes?"))["sender"] == town.ghost("U1")


@inlined
async def test_what_was_said_before_the_room_was_a_chat_is_done_before_what_comes_after(town: Town) -> None:
    town.remote.add_person("U1", "Ursula")
    alice = await town.user("alice")
    gates = {"open_direct": Deferred[None](), "send": Deferred[None]()}

    reached = list[str]()

    async def wait(op: str) -> None:
        reached.append(op)
        await gates.get(op, succeed(None))

    async def holds(text: str) -> bool:
        """The bridge has it, and has not handled it."""
        queues = await town.parts.context.store.read(rows.queues)
        held = [each for queue in queues for each in await town.parts.context.store.read(rows.waiting, queue, 50)]
        return any(text in str(item.payload) for item in held)

    town.remote.before = wait
    body = {"preset": "trusted_private_chat", "is_direct": True, "invite": [town.ghost("U1")]}
    room = str((await alice.ok("POST", "/createRoom", body))["room_id"])
    await until(lambda: "open_direct" in reached)
    event_id = await alice.send(room, "helo")
    await town.eventually(lambda: holds("helo"), "the message")
    gates["open_direct"].callback(None)
    await until(lambda: town.bridge.parts.portals.of_room(room) is not None)
    await town.edit(alice, room, event_id, "hello")
    await town.eventually(lambda: holds("* hello"), "the edit")
    gates["send"].callback(None)
    await until(lambda: town.remote.texts("D-BOT-U1") == ["alice: hello"])


@inlined
async def test_a_room_of_theirs_is_bridged_and_unbridged(town: Town) -> None:
    town.remote.add_channel("C1", "general", ["U1"])
    alice, bob = await town.user("alice"), await town.user("bob")
    room = await alice.create_room(invite=[bob])
    await bob.join(room)
    await alice.ok("POST", f"/rooms/{q(room)}/invite", {"user_id": town.bot_user})
    await town.says(alice, room, "to bridge this room")
    assert "power" in await town.command(bob, room, "!fake bridge #general")
    assert "is bridged to" in await town.command(alice, room, "!fake bridge #general")
    assert await content(town, alice, room, "m.room.name", "name") is None, "its name is its own"
    await alice.send(room, "hello")
    await until(lambda: town.remote.texts("C1") == ["alice: hello"])
    town.remote.say("C1", "U1", "hello too")
    await town.says(alice, room, "hello too")
    assert "no longer bridged" in await town.command(alice, room, "!fake unbridge")
    await alice.send(room, "alone")
    assert town.ghost("U1") not in await members(alice, room)


@inlined
async def test_a_room_that_is_upgraded_stays_bridged(town: Town) -> None:
    town.remote.add_channel("C1", "general", ["U1"])
    alice = await town.user("alice")
    room = await alice.create_room(room_version="11", name="Ours")
    await alice.ok("POST", f"/rooms/{q(room)}/invite", {"user_id": town.bot_user})
    await town.says(alice, room, "to bridge this room")
    await town.command(alice, room, "!fake bridge general")
    new = (await alice.ok("POST", f"/rooms/{q(room)}/upgrade", {"new_version": "12"}))["replacement_room"]
    await until(lambda: town.bridge.parts.portals.of_room(new) is not None)
    town.remote.say("C1", "U1", "hello")
    await town.says(alice, new, "hello")
