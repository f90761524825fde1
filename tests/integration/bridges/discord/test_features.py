"""What stands in the manual's table and in no other test here: begun rooms, captions, look-ups, the API."""

import pytest
import pytest_twisted

from appservice.bridges.core import history
from tests.integration.bridges.core.scenes import kept_deliveries
from tests.integration.bridges.discord.pictures import PNG
from tests.integration.bridges.discord.town import Town
from tests.support.bridges import SECRET
from tests.support.fake_discord.posts import Upload
from tests.support.fake_discord.world import FORUM
from tests.support.homeserver import Client, q

inlined = pytest_twisted.ensureDeferred


async def opened(town: Town) -> tuple[Client, str]:
    alice = await town.alice()
    return alice, await town.open(town.garden, alice)


@inlined
async def test_a_new_room_begins_with_the_newest_messages_and_older_ones_are_brought(town: Town) -> None:
    old = [f"old {number}" for number in range(53)]
    posts = [town.discord.post(town.garden, town.carol, text) for text in old]
    town.discord.react(posts[-1], town.carol, "👍")
    await town.until(lambda: town.parts.inbox._running == {}, "all of it is heard")
    admin = await town.user("admin")
    room = await town.open(town.garden, admin)
    assert [text for text in await town.texts(admin, room) if text in old] == old[3:]
    (thumb,) = [event for event in await town.events(admin, room) if event["type"] == "m.reaction"]
    assert thumb["sender"] == town.ghost(town.carol)
    await admin.send(room, "!discord backfill")
    await town.says(admin, room, "3 older messages were brought in")
    assert [text for text in await town.texts(admin, room) if text in old] == old


@inlined
async def test_the_caption_of_a_picture_is_edited_both_ways(town: Town) -> None:
    alice, room = await opened(town)
    post = town.discord.post(town.garden, town.carol, "a roes", files=[Upload("rose.png", PNG)])
    await town.says(alice, room, "a roes")
    town.discord.edit(post, "a rose")
    edit = await town.find(alice, room, lambda each: each["content"]["m.new_content"]["body"] == "a rose", "the edit")
    assert edit["sender"] == town.ghost(town.carol)
    mxc = await town.upload(alice, PNG, "image/png", "tree.png")
    content = {"msgtype": "m.image", "body": "a tere", "filename": "tree.png", "url": mxc}
    event_id = await alice.send_event(room, "m.room.message", content)
    message = await town.posted(town.garden, "a tere")
    new = {**content, "body": "a tree"}
    relates = {"rel_type": "m.replace", "event_id": event_id}
    await alice.send_event(room, "m.room.message", {**new, "m.new_content": new, "m.relates_to": relates})
    edited = await town.posted(town.garden, "a tree")
    assert (edited["id"], len(edited["attachments"])) == (message["id"], 1)


@inlined
async def test_the_stickers_of_a_server_are_an_image_pack(town: Town) -> None:
    alice, room = await opened(town)
    space = await town.space_of(alice, room)
    town.discord.sticker(town.guild, "wave", PNG)
    admin = await town.user("admin")
    control = await town.management_room(admin)
    assert "are published" in await town.command(admin, control, "emoji")

    async def names() -> set[str]:
        pack = await town.bot_state(space, "im.ponies.room_emotes", "discord.sticker.0")
        return set() if pack is None else set(pack["images"])

    async def has_pack() -> bool:
        return await names() == {"wave"}

    async def has_both() -> bool:
        return await names() == {"wave", "bow"}

    await town.eventually(has_pack, "the pack")
    town.discord.sticker(town.guild, "bow", PNG)
    await town.eventually(has_both, "a sticker more")


@inlined
async def test_posts_of_a_forum_that_were_missed_come_and_those_of_before_the_room_do_not(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_SKEW_MS", 0)
    forum = town.discord.channel(town.guild, "questions", FORUM)
    await town.until(lambda: forum in town.process.network._directory.channels, "the forum")
    town.discord.forum_post(forum, town.carol, "Long ago", "Once upon a time")
    alice = await town.alice()
    room = await town.open(forum, alice)
    await town.process.kill()
    town.discord.forum_post(forum, town.carol, "Who stole the tarts?", "I want to know.")
    await town.restart()
    await town.says(alice, room, "I want to know.")
    assert "Once upon a time" not in await town.texts(alice, room)


@inlined
async def test_who_leaves_the_server_leaves_the_room(town: Town) -> None:
    dora = town.discord.person("dora", "Dora")
    town.discord.join(town.guild, dora)
    alice, room = await opened(town)
    assert (await town.state(alice, room, "m.room.member", town.ghost(dora)))["membership"] == "join"
    town.discord.leave(town.guild, dora)

    async def has_left() -> bool:
        return (await town.state(alice, room, "m.room.member", town.ghost(dora)))["membership"] == "leave"

    await town.eventually(has_left, "she leaves")


@inlined
async def test_a_level_that_stands_for_no_role_is_taken_back_and_its_giver_told_why(town: Town) -> None:
    alice, room = await opened(town)
    await town.give_power(alice, room, 100)
    levels = await town.state(alice, room, "m.room.power_levels")
    before = levels["users"].get(town.ghost(town.carol), 0)
    dora = town.discord.person("dora", "Dora")
    town.discord.join(town.guild, dora)
    levels["users"] |= {town.ghost(dora): 50}
    await alice.set_state(room, "m.room.power_levels", levels)
    await town.says(alice, room, "did not reach Discord")

    async def is_taken_back() -> bool:
        now = (await town.state(alice, room, "m.room.power_levels"))["users"]
        return now.get(town.ghost(dora), 0) == 0 and now.get(town.ghost(town.carol), 0) == before

    await town.eventually(is_taken_back, "the level")


@inlined
async def test_channels_and_people_are_looked_up_by_clients(town: Town) -> None:
    alice, room = await opened(town)
    protocols = await alice.get("/thirdparty/protocols")
    (field,) = protocols["discord"]["location_fields"][-1:]
    (location,) = await alice.get("/thirdparty/location/discord", **{field: "garden"})
    assert (await alice.get(f"/directory/room/{q(location['alias'])}"))["room_id"] == room
    (field,) = protocols["discord"]["user_fields"][-1:]
    (person,) = await alice.get("/thirdparty/user/discord", **{field: "carol"})
    assert person["userid"] == town.ghost(town.carol)
    instance = protocols["discord"]["instances"][0]["instance_id"]
    listed = await alice.ok("POST", "/publicRooms", {"third_party_instance_id": instance})
    assert room in {each["room_id"] for each in listed["chunk"]}


@inlined
async def test_the_provisioning_api_opens_channels_and_chats(town: Town) -> None:
    alice = await town.user("admin")
    who = f"user_id={q(alice.user_id)}"
    assert "Connected to Discord" in str((await town.api("GET", f"/_bridge/v1/status?{who}", token=SECRET)).json)
    found = (await town.api("GET", f"/_bridge/v1/channels?{who}&search=gard", token=SECRET)).json["channels"]
    assert [each["id"] for each in found] == [town.garden]
    answer = await town.api("POST", f"/_bridge/v1/channels/{town.garden}/open?{who}", {}, token=SECRET)
    await alice.join(answer.json["room_id"])
    await alice.send(answer.json["room_id"], "by the API")
    await town.posted(town.garden, "by the API")
    people = (await town.api("GET", f"/_bridge/v1/people?{who}&search=caro", token=SECRET)).json["people"]
    chat = await town.api("POST", f"/_bridge/v1/people/{people[0]['id']}/chat?{who}", {}, token=SECRET)
    assert chat.status == 200 and chat.json["room_id"] != answer.json["room_id"]
    gone = await town.api("DELETE", f"/_bridge/v1/rooms/{q(answer.json['room_id'])}/channel?{who}", token=SECRET)
    assert gone.status == 200


@inlined
async def test_what_the_bridge_wrote_itself_is_not_kept_when_it_comes_back(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, room = await opened(town)
    kept = kept_deliveries(monkeypatch)
    await alice.send(room, "from Matrix")
    await town.posted(town.garden, "from Matrix")
    town.discord.post(town.garden, town.carol, "from Discord")
    await town.says(alice, room, "from Discord")
    told = [item.payload["payload"]["data"].get("content") for item in kept]
    assert "from Discord" in told and "from Matrix" not in told
