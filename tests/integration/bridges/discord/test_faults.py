"""What goes wrong: connections, kills, tokens, permissions, limits. Nothing is lost or doubled, and people are told."""

import pytest
import pytest_twisted

from appservice.bridges.discord import past
from tests.integration.bridges.discord.pictures import PNG
from tests.integration.bridges.discord.town import Town
from tests.support.fake_discord import BRIDGE_PERMISSIONS, P
from tests.support.homeserver import Client

inlined = pytest_twisted.ensureDeferred
EXECUTE = "POST /webhooks/{webhook}/{token}"


async def opened(town: Town) -> tuple[Client, str]:
    alice = await town.alice()
    return alice, await town.open(town.garden, alice)


async def managed(town: Town) -> tuple[Client, str]:
    """Somebody who runs the bridge, in the room in which it tells of itself."""
    admin = await town.user("admin")
    return admin, await town.management_room(admin)


def count(texts: list[str], text: str) -> int:
    return sum(text == each for each in texts)


# The connection.


@inlined
async def test_what_is_said_while_the_socket_is_cut_comes_once(town: Town) -> None:
    alice, room = await opened(town)
    town.discord.drop_sockets()
    town.discord.post(town.garden, town.carol, "in the dark")
    await town.says(alice, room, "in the dark")
    await town.settle(alice, room, town.garden)
    assert count(await town.texts(alice, room), "in the dark") == 1


@inlined
async def test_what_is_missed_by_a_lost_session_is_read_from_the_history(town: Town) -> None:
    alice, room = await opened(town)
    town.discord.post(town.garden, town.carol, "before")
    await town.says(alice, room, "before")
    town.discord.forget_sessions()
    town.discord.post(town.garden, town.carol, "in between")
    town.discord.drop_sockets()
    await town.says(alice, room, "in between")


@inlined
async def test_an_unexpected_payload_costs_no_message(town: Town) -> None:
    alice, room = await opened(town)
    town.discord.dispatch("MESSAGE_CREATE", {"id": "1", "channel_id": town.garden, "guild_id": town.guild})
    town.discord.dispatch("GUILD_ROLE_CREATE", {"what": "ever"})
    town.discord.dispatch("MESSAGE_REACTION_ADD", {"emoji": None})
    town.discord.post(town.garden, town.carol, "and yet")
    await town.says(alice, room, "and yet")


@inlined
async def test_a_library_that_ends_is_started_again_and_goes_on_where_it_was(town: Town) -> None:
    alice, room = await opened(town)
    # A greeting without what must be in it.
    town.discord.send_raw(10, {})
    town.discord.post(town.garden, town.carol, "and yet")
    await town.says(alice, room, "and yet")
    assert town.discord.server.gateway.resumes == 1


@inlined
async def test_a_dispatch_that_comes_twice_is_shown_once(town: Town) -> None:
    alice, room = await opened(town)
    town.discord.post(town.garden, town.carol, "twice")
    town.discord.repeat_last("MESSAGE_CREATE")
    await town.settle(alice, room, town.garden)
    assert count(await town.texts(alice, room), "twice") == 1


# Kills.


@inlined
async def test_what_happened_on_discord_while_the_bridge_was_dead_is_made_up_for(town: Town) -> None:
    alice, room = await opened(town)
    old = town.discord.post(town.garden, town.carol, "old")
    # In a later millisecond: of equal times it is not known which was first, and so what lies before the newest few.
    await town.says(alice, room, "old")
    gone = town.discord.post(town.garden, town.carol, "gone")
    town.discord.post(town.garden, town.carol, "last before")
    await town.says(alice, room, "last before")
    await town.process.kill()
    town.discord.edit(old, "new")
    town.discord.delete(gone)
    town.discord.react(old, town.carol, "👍")
    for number in range(3):
        town.discord.post(town.garden, town.carol, f"meanwhile {number}")
    await town.restart()
    await town.says(alice, room, "meanwhile 2")
    await town.find(alice, room, lambda each: each["content"]["m.new_content"]["body"] == "new", "the edit")
    await town.find(alice, room, lambda each: each["content"]["m.relates_to"]["key"] == "👍", "the reaction")
    texts = await town.texts(alice, room)
    assert [text for text in texts if "meanwhile" in text] == [f"meanwhile {number}" for number in range(3)]

    async def is_gone() -> bool:
        return "gone" not in await town.texts(alice, room)

    await town.eventually(is_gone, "the deletion")


@inlined
async def test_threads_that_came_to_rest_meanwhile_are_all_made_up_for(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past, "MAX_PAGE", 2)
    alice, room = await opened(town)
    town.discord.post(town.garden, town.carol, "before")
    await town.says(alice, room, "before")
    await town.process.kill()
    for number in range(5):
        root = town.discord.post(town.garden, town.carol, f"root {number}")
        thread = town.discord.thread(town.garden, town.carol, f"branch {number}", root)
        town.discord.post(thread, town.carol, f"leaf {number}")
        rest = town.discord.world.channels[thread]["thread_metadata"]
        rest.update(archived=True, archive_timestamp=f"2099-01-01T00:00:0{number}+00:00")
    await town.restart()
    for number in range(5):
        leaf, root = await town.says(alice, room, f"leaf {number}"), await town.says(alice, room, f"root {number}")
        assert leaf["content"]["m.relates_to"]["event_id"] == root["event_id"]


@inlined
async def test_threads_pins_names_and_members_of_meanwhile_are_made_up_for(town: Town) -> None:
    dora = town.discord.person("dora", "Dora")
    alice, room = await opened(town)
    root = town.discord.post(town.garden, town.carol, "root")
    event = await town.says(alice, room, "root")
    thread = town.discord.thread(town.garden, town.carol, "branch", root)
    town.discord.post(thread, town.carol, "leaf")
    await town.says(alice, room, "leaf")
    await town.process.kill()
    town.discord.post(thread, town.carol, "fallen leaf")
    town.discord.pin(root, town.carol)
    town.discord.set_channel(town.garden, name="park")
    town.discord.join(town.guild, dora)
    await town.restart()
    fallen = await town.says(alice, room, "fallen leaf")
    assert fallen["content"]["m.relates_to"]["event_id"] == event["event_id"]

    async def is_made_up_for() -> bool:
        pins = await town.state(alice, room, "m.room.pinned_events") or {}
        name = await town.state(alice, room, "m.room.name")
        member = await town.state(alice, room, "m.room.member", town.ghost(dora)) or {}
        found = (pins.get("pinned"), name["name"], member.get("membership"))
        return bool(found == ([event["event_id"]], "park", "join"))

    await town.eventually(is_made_up_for, "pins, name, member")


@inlined
async def test_what_was_said_in_matrix_while_the_bridge_was_dead_is_sent_in_order(town: Town) -> None:
    alice, room = await opened(town)
    await town.process.kill()
    for number in range(3):
        await alice.send(room, f"meanwhile {number}")
    await town.restart()
    await town.posted(town.garden, "meanwhile 2")
    said = [each["content"] for each in town.discord.messages(town.garden)]
    assert said == [f"meanwhile {number}" for number in range(3)]


@inlined
async def test_a_bridge_that_dies_while_it_sends_sends_once(town: Town) -> None:
    alice, room = await opened(town)
    # The message arrives at Discord; the answer never comes back.
    town.discord.hold_answers(EXECUTE)
    await alice.send(room, "once")
    await town.posted(town.garden, "once")
    await town.process.kill()
    town.discord.release_answers()
    await town.restart()
    await town.settle(alice, room, town.garden)
    assert count([each["content"] for each in town.discord.messages(town.garden)], "once") == 1


@inlined
async def test_a_bridge_that_dies_while_it_uploads_uploads_once(town: Town) -> None:
    alice, room = await opened(town)
    mxc = await town.upload(alice, PNG, "image/png", "rose.png")
    town.discord.hold_answers(EXECUTE)
    await alice.send(room, "rose.png", msgtype="m.image", url=mxc, info={"mimetype": "image/png"})
    await town.message(town.garden, lambda each: each["attachments"], "the picture")
    await town.process.kill()
    town.discord.release_answers()
    await town.restart()
    await town.settle(alice, room, town.garden)
    assert len([each for each in town.discord.messages(town.garden) if each["attachments"]]) == 1


@inlined
async def test_a_long_text_that_was_cut_off_in_the_middle_is_sent_to_its_end(town: Town) -> None:
    alice, room = await opened(town)
    await alice.send(room, "first")
    await town.posted(town.garden, "first")
    town.discord.hold_answers(EXECUTE)
    await alice.send(room, "a" * 1500 + "\n\n" + "b" * 1500)
    await town.posted(town.garden, "aaa")
    await town.process.kill()
    town.discord.release_answers()
    await town.restart()
    await town.posted(town.garden, "bbb")
    lengths = [len(each["content"]) for each in town.discord.messages(town.garden)]
    assert lengths == [5, 1500, 1500]


# Limits and faults of the API.


@inlined
async def test_a_fault_of_discord_delays_and_loses_nothing(town: Town) -> None:
    alice, room = await opened(town)
    town.discord.fail_next(EXECUTE, 502)
    await alice.send(room, "one")
    await alice.send(room, "two")
    await town.posted(town.garden, "two")
    assert [each["content"] for each in town.discord.messages(town.garden)] == ["one", "two"]


@inlined
async def test_what_discord_did_in_spite_of_its_fault_is_not_done_again(town: Town) -> None:
    alice, room = await opened(town)
    town.discord.fail_after_next(EXECUTE)
    await alice.send(room, "once")
    await town.settle(alice, room, town.garden)
    assert count([each["content"] for each in town.discord.messages(town.garden)], "once") == 1


@inlined
async def test_many_messages_keep_their_order_and_the_limits(town: Town) -> None:
    alice, room = await opened(town)
    for number in range(15):
        await alice.send(room, str(number))
    await town.message(town.garden, lambda each: each["content"] == "14", "the last")
    assert [each["content"] for each in town.discord.messages(town.garden)] == [str(each) for each in range(15)]
    assert town.discord.count(EXECUTE, 429) <= 1


# Tokens, intents, permissions.


@inlined
async def test_a_revoked_token_is_told_and_everything_waits_for_another(town: Town) -> None:
    admin, control = await managed(town)
    alice, room = await opened(town)
    town.discord.revoke(town.bot)
    await town.says(admin, control, "token was revoked")
    await alice.send(room, "still here")
    await town.process.kill()
    town.discord.revoke(town.bot, is_revoked=False)
    await town.restart()
    await town.posted(town.garden, "still here")


@inlined
async def test_a_bad_token_is_told_and_the_bridge_runs(town: Town) -> None:
    admin, control = await managed(town)
    await town.process.kill()
    town.process = town.new_process(token="1.2.3")
    await town.start(connects=False)
    await town.says(admin, control, "does not accept")
    assert "Not connected to Discord" in await town.command(admin, control, "status")


@inlined
async def test_a_missing_intent_is_told_and_the_rest_works(town: Town) -> None:
    admin, control = await managed(town)
    await town.process.stop()
    # Server Members is switched off.
    town.bot.flags &= ~(1 << 15)
    await town.restart()
    await town.says(admin, control, "Server Members Intent")
    alice, room = await opened(town)
    town.discord.post(town.garden, town.carol, "hello")
    await town.says(alice, room, "hello")


@inlined
async def test_without_webhooks_the_bot_writes_and_says_what_is_missing(town: Town) -> None:
    role = town.discord.bot_role(town.guild, town.bot)
    town.discord.set_role(town.guild, role, permissions=str(int(BRIDGE_PERMISSIONS & ~P.MANAGE_WEBHOOKS)))
    alice, room = await opened(town)
    await alice.send(room, "hello")
    message = await town.posted(town.garden, "hello")
    assert (message["content"], message["author"]["id"]) == ("**Alice**: hello", town.bot.user_id)
    await town.says(alice, room, "Manage Webhooks")


@inlined
async def test_what_the_bot_may_not_do_is_told_and_the_channel_goes_on(town: Town) -> None:
    role = town.discord.bot_role(town.guild, town.bot)
    town.discord.set_role(town.guild, role, permissions=str(int(BRIDGE_PERMISSIONS & ~P.PIN_MESSAGES)))
    alice, room = await opened(town)
    town.discord.post(town.garden, town.carol, "important")
    event = await town.says(alice, room, "important")
    await town.give_power(alice, room, 60)
    await alice.set_state(room, "m.room.pinned_events", {"pinned": [event["event_id"]]})
    await town.says(alice, room, "Pin Messages")
    await alice.send(room, "anyway")
    await town.posted(town.garden, "anyway")


@inlined
async def test_a_webhook_that_somebody_deleted_is_made_again(town: Town) -> None:
    alice, room = await opened(town)
    first = await alice.send(room, "one")
    await town.posted(town.garden, "one")
    town.discord.do(town.discord.world.webhooks.clear)
    await alice.send(room, "two")
    assert "webhook_id" in await town.posted(town.garden, "two")
    # What the old one wrote cannot be changed any more; that is told.
    await town.edit(alice, room, first, "one and a half")
    await town.says(alice, room, "webhook")


@inlined
async def test_a_file_that_is_too_large_is_told(town: Town) -> None:
    alice, room = await opened(town)
    town.discord.world.guilds[town.guild].file_limit = 10
    mxc = await town.upload(alice, PNG, "image/png", "rose.png")
    await alice.send(room, "rose.png", msgtype="m.image", url=mxc, info={"mimetype": "image/png"})
    await town.says(alice, room, "larger than")
    await alice.send(room, "anyway")
    await town.posted(town.garden, "anyway")


@inlined
async def test_a_bot_that_is_thrown_out_of_the_server_says_so(town: Town) -> None:
    alice, room = await opened(town)
    town.discord.kick_bot(town.guild, town.bot)
    await town.says(alice, room, "no longer bridged")
