"""What the homeserver and programs ask of the bridge, and how clients find the network."""

from typing import Any

import pytest_twisted

from appservice.bridges.core.incoming import EmojiChanged
from tests.integration.bridges.core.scenes import comes_to, opened
from tests.integration.bridges.core.test_messages import PNG
from tests.support.bridges import SECRET, Town
from tests.support.fake_service import until
from tests.support.homeserver import Client, q

inlined = pytest_twisted.ensureDeferred
APP = "/_matrix/app/v1"
Json = dict[str, Any]


@inlined
async def test_only_the_homeserver_may_tell(town: Town) -> None:
    assert (await town.api("POST", f"{APP}/ping", {}, token="wrong")).status == 403
    assert (await town.api("PUT", f"{APP}/transactions/1", {"events": []}, token="")).status == 401
    assert (await town.api("POST", f"{APP}/ping", {})).status == 200


@inlined
async def test_nonsense_in_a_transaction_is_no_fault(town: Town) -> None:
    events = [{}, 3, {"room_id": 4}, {"room_id": "!x", "type": "m.room.message", "content": []}, {"room_id": "!x"}]
    for number, body in enumerate(({"events": events, "ephemeral": [{}, {"content": 3}, 4]}, {})):
        assert (await town.api("PUT", f"{APP}/transactions/n{number}", body)).status == 200
    assert (await town.api("PUT", f"{APP}/transactions/n9", [])).status == 400
    await town.bridge.parts.inbox.idle()


@inlined
async def test_a_transaction_is_taken_once(town: Town) -> None:
    alice, room = await opened(town)
    event = {"type": "m.reaction", "room_id": room, "sender": alice.user_id, "event_id": "$1", "content": {}}
    for _ in range(3):
        assert (await town.api("PUT", f"{APP}/transactions/same", {"events": [event]})).status == 200
    taken = town.hs.rows("SELECT count(*) FROM bridge_taken WHERE key = 'transaction same'")
    assert taken == [(1,)]


@inlined
async def test_an_alias_that_is_joined_makes_the_room(town: Town) -> None:
    town.remote.add_channel("C1", "general", ["U1"])
    town.remote.add_channel("C2", "secret", ["U1"], is_public=False)
    alice = await town.user("alice")
    await alice.join("#fake__c1:hearth.test")
    portal = town.bridge.parts.portals.of_channel("C1")
    assert portal is not None
    town.remote.say("C1", "U1", "hello")
    await town.says(alice, portal.room_id, "hello")
    assert (await alice.ask("POST", f"/join/{q('#fake__c2:hearth.test')}", {})).status == 404


@inlined
async def test_a_ghost_that_is_looked_for_is_there(town: Town) -> None:
    town.remote.add_person("U7", "Uta")
    alice = await town.user("alice")
    assert (await alice.get(f"/profile/{q('@fake__u7:hearth.test')}"))["displayname"] == "Uta"
    assert (await alice.ask("GET", f"/profile/{q('@fake__u8:hearth.test')}")).status == 404


@inlined
async def test_clients_look_for_channels_and_people(town: Town) -> None:
    town.remote.add_space("T1", "Team")
    town.remote.add_channel("C1", "general", ["U1"])
    alice = await town.user("alice")
    protocols = await alice.get("/thirdparty/protocols")
    assert protocols["fake"]["instances"][0]["desc"] == "Team"
    found = await alice.get("/thirdparty/location/fake", channel="gen")
    assert [each["alias"] for each in found] == ["#fake__c1:hearth.test"]
    people = await alice.get("/thirdparty/user/fake", name="u1")
    assert [each["userid"] for each in people] == [town.ghost("U1")]


@inlined
async def test_public_channels_are_in_the_networks_directory(town: Town) -> None:
    alice, room = await opened(town)
    listed = await alice.ok("POST", "/publicRooms", {"third_party_instance_id": _instance(alice, town)})
    network = await alice.ok("POST", "/publicRooms", {"include_all_networks": True})
    assert room in {each["room_id"] for each in [*listed["chunk"], *network["chunk"]]}


def _instance(client: object, town: Town) -> str:
    return "fake|fake"


@inlined
async def test_custom_emoji_are_an_image_pack_of_the_space(town: Town) -> None:
    space = town.remote.add_space("T1", "Team")
    town.remote.add_emoji("party", PNG)
    town.remote.add_channel("C1", "general", ["U1"], space=space)
    alice, _room = await opened(town)
    town.remote.emit(EmojiChanged(space=space), None)
    row = town.bridge.parts.spaces.find("T1")
    assert row is not None
    await alice.join(row.room_id)

    async def names() -> object:
        pack = await town.state(alice, row.room_id, "im.ponies.room_emotes", "fake.emoticon.0")
        return pack and sorted(pack["images"])

    await comes_to(names, ["party"])

    async def stable() -> object:
        pack = await town.state(alice, row.room_id, "m.room.image_pack", "fake.emoticon.0")
        return pack and pack["pack"]

    await comes_to(stable, {"display_name": "Team (Fakechat)", "usage": ["emoticon"]})
    town.remote.emoji.clear()
    town.remote.emit(EmojiChanged(space=space), None)
    await comes_to(names, {})


@inlined
async def test_the_provisioning_api_does_what_commands_do(town: Town) -> None:
    town.remote.add_person("A1", "Alice there")
    town.remote.add_channel("C1", "general", ["U1"])
    alice = await town.user("admin")
    who = f"user_id={q(alice.user_id)}"
    assert (await town.api("GET", f"/_bridge/v1/whoami?{who}", token="wrong")).status == 401
    started = await town.api("POST", f"/_bridge/v1/login/start/token?{who}", {}, token=SECRET)
    assert started.json["fields"][0]["id"] == "token"
    done = await town.api("POST", f"/_bridge/v1/login/step?{who}", {"token": "token-A1"}, token=SECRET)
    assert done.json["login"]["name"] == "Alice there"
    whoami = (await town.api("GET", f"/_bridge/v1/whoami?{who}", token=SECRET)).json
    assert [each["id"] for each in whoami["logins"]] == ["L-A1"]
    found = (await town.api("GET", f"/_bridge/v1/channels?{who}&search=gen", token=SECRET)).json
    assert found["channels"][0]["room_id"] is None
    room = (await town.api("POST", f"/_bridge/v1/channels/C1/open?{who}", {}, token=SECRET)).json["room_id"]
    await alice.join(room)
    chat = (await town.api("POST", f"/_bridge/v1/people/U1/chat?{who}", {}, token=SECRET)).json["room_id"]
    await alice.join(chat)
    await alice.send(chat, "psst")
    await until(lambda: town.remote.texts("D-A1-U1") == ["A1: psst"])
    assert (await town.api("DELETE", f"/_bridge/v1/rooms/{q(room)}/channel?{who}", token=SECRET)).status == 200
    out = await town.api("POST", f"/_bridge/v1/logout/all?{who}", {}, token=SECRET)
    assert out.json == {"signed_out": ["Alice there"]}


@inlined
async def test_the_provisioning_api_says_what_is_wrong_by_status(town: Town) -> None:
    town.remote.add_person("A1", "Alice there")
    town.remote.add_channel("C1", "general", ["U1"])
    town.remote.add_channel("C2", "board", ["U1"], is_public=False)
    admin, alice, bob = await town.user("admin"), await town.user("alice"), await town.user("bob")
    room, other = await alice.create_room(), await alice.create_room()
    for one in (room, other):
        await alice.ok("POST", f"/rooms/{q(one)}/invite", {"user_id": town.bot_user})

        async def bots(one: str = one) -> object:
            return (await town.state(alice, one, "m.room.member", town.bot_user))["membership"]

        await comes_to(bots, "join")

    async def ask(client: Client, method: str, path: str, body: Json | None = None) -> tuple[int, str]:
        answer = await town.api(method, f"/_bridge/v1{path}?user_id={q(client.user_id)}", body, token=SECRET)
        return answer.status, answer.json.get("errcode", "")

    general, missing = {"channel": "general"}, (404, "M_NOT_FOUND")
    assert await ask(alice, "POST", "/login/step", {"token": "token-A1"}) == missing
    assert await ask(alice, "POST", "/login/start/nothing", {}) == missing
    assert await ask(alice, "POST", "/logout/L-A1", {}) == missing
    assert await ask(alice, "POST", "/channels/nowhere/open", {}) == missing
    assert await ask(alice, "DELETE", f"/rooms/{q(room)}/channel") == missing
    assert await ask(alice, "PUT", f"/rooms/{q(room)}/channel", {}) == (400, "M_MISSING_PARAM")
    assert await ask(alice, "POST", "/channels/board/open", {}) == (403, "M_FORBIDDEN")
    assert await ask(bob, "PUT", f"/rooms/{q(room)}/channel", general) == (403, "M_FORBIDDEN")
    assert await ask(alice, "PUT", f"/rooms/{q(room)}/channel", general) == (200, "")
    assert await ask(alice, "PUT", f"/rooms/{q(other)}/channel", general) == (409, "M_ROOM_IN_USE")
    assert await ask(alice, "PUT", f"/rooms/{q(room)}/channel", {"channel": "board"}) == (403, "M_FORBIDDEN")
    assert await ask(admin, "PUT", f"/rooms/{q(room)}/channel", {"channel": "board"}) == (409, "M_ROOM_IN_USE")
    for client, status in ((alice, (200, "")), (bob, (409, "M_ROOM_IN_USE"))):
        await ask(client, "POST", "/login/start/token", {})
        assert await ask(client, "POST", "/login/step", {"token": "token-A1"}) == status


@inlined
async def test_the_bot_answers_in_its_management_room(town: Town) -> None:
    town.remote.add_channel("C1", "general", ["U1"])
    alice = await town.user("admin")
    room = await town.management_room(alice)
    help_text = await town.command(alice, room, "help")
    for word in ("login", "logout", "bridge", "unbridge", "status", "list"):
        assert f"`{word}" in help_text
    assert "do not know" in await town.command(alice, room, "dance")
    assert "Connected to Fakechat" in await town.command(alice, room, "status")
    assert "general" in await town.command(alice, room, "search gen")
    assert "You are invited" in await town.command(alice, room, "bridge general")
    assert "1 channel is bridged" in await town.command(alice, room, "list")
    assert "no channel nowhere" in await town.command(alice, room, "bridge nowhere")
    assert "no longer bridged" in await town.command(alice, room, "unbridge general")


@inlined
async def test_metrics_tell_of_the_bridge(town: Town) -> None:
    alice, room = await opened(town)
    await town.settle("C1", alice, room)
    text = (await town.api("GET", "/metrics", token="")).body.decode()
    assert "hearth_bridge_connected 1.0" in text
    assert 'hearth_bridge_messages_total{direction="in",kind="message"} 1.0' in text


@inlined
async def test_a_private_channel_is_opened_by_its_members_only(town: Town) -> None:
    town.remote.add_channel("C1", "board", ["U1", "A1"], is_public=False)
    alice = await town.user("alice")
    room = await town.management_room(alice)
    assert "not public" in await town.command(alice, room, "bridge board")
    assert "Nothing was found" in await town.command(alice, room, "search board")
    await town.command(alice, room, "login token")
    await town.command(alice, room, "token-A1")
    assert "You are invited" in await town.command(alice, room, "bridge board")
