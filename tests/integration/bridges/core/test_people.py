"""People through core alone: signing in, double puppets, faces of relayed users, typing, presence, receipts."""

import pytest_twisted

from appservice.bridges.core.errors import LoginLost
from appservice.bridges.core.ids import ChannelId, LoginId, PersonId
from appservice.bridges.core.incoming import PersonChanged, Receipt, RemotePerson
from tests.integration.bridges.core.scenes import comes_to, opened, signed_in
from tests.integration.bridges.core.test_messages import PNG, upload
from tests.support.bridges import Town
from tests.support.fake_service import until
from tests.support.homeserver import q

inlined = pytest_twisted.ensureDeferred


@inlined
async def test_who_has_signed_in_writes_as_themselves(town: Town) -> None:
    alice, room = await opened(town, "U1", "A1")
    await signed_in(town, alice, "A1")
    await alice.send(room, "it is me")
    await until(lambda: town.remote.texts("C1") == ["A1: it is me"])


@inlined
async def test_who_has_signed_in_is_in_the_rooms_of_their_channels(town: Town) -> None:
    town.remote.add_channel("C1", "general", ["U1", "A1"])
    room = await town.open("C1")
    alice = await town.user("alice")
    await signed_in(town, alice, "A1")

    async def rooms() -> object:
        return room in (await alice.get("/joined_rooms"))["joined_rooms"]

    await comes_to(rooms, True)


@inlined
async def test_what_they_do_on_the_network_is_theirs_in_matrix(town: Town) -> None:
    alice, room = await opened(town, "U1", "A1")
    await signed_in(town, alice, "A1")
    town.remote.say("C1", "A1", "from my telephone")
    event = await town.says(alice, room, "from my telephone")
    assert event["sender"] == alice.user_id
    message = town.remote.say("C1", "U1", "hello")
    town.remote.react(message, "A1", "👍")
    await town.settle("C1", alice, room)
    assert [event["sender"] for event in await town.events(alice, room) if event["type"] == "m.reaction"] == [
        alice.user_id
    ]
    assert [each.person for each in town.remote.messages("C1")[1].reactions or ()] == ["A1"]
    assert not [text for text in town.remote.texts("C1") if text.startswith("alice")], "nothing comes back"


@inlined
async def test_the_message_with_the_token_is_redacted(town: Town) -> None:
    town.remote.add_person("A1", "Alice there")
    alice = await town.user("alice")
    room = await signed_in(town, alice, "A1")
    assert not [text for text in await town.messages(alice, room) if "token-A1" in text]


@inlined
async def test_signing_in_may_take_several_steps(town: Town) -> None:
    town.remote.add_person("A1", "Alice there")
    alice = await town.user("alice")
    room = await town.management_room(alice)
    assert "Which way?" in await town.command(alice, room, "login")
    await town.command(alice, room, "login code")
    assert "Sent." in await town.command(alice, room, "A1")
    assert "signed in as" in await town.command(alice, room, "1234")
    assert "Alice there" in await town.command(alice, room, "logout")
    await town.command(alice, room, "login token")
    assert "not good" in await town.command(alice, room, "token-X9")
    assert "Broken off" in await town.command(alice, room, "cancel")


@inlined
async def test_a_login_that_is_lost_is_told_and_its_user_relayed(town: Town) -> None:
    alice, room = await opened(town, "U1", "A1")
    manage = await signed_in(town, alice, "A1")

    async def revoke(op: str) -> None:
        if op == "send":
            town.remote.before = _nothing
            raise LoginLost("the token was revoked", LoginId("L-A1"))

    town.remote.before = revoke
    await alice.send(room, "hello")
    await until(lambda: town.remote.texts("C1") == ["alice: hello"])
    await town.says(alice, manage, "no longer works: the token was revoked")
    assert "lost: the token was revoked" in await town.command(alice, manage, "status")
    await signed_in_again(town, manage, alice)
    await alice.send(room, "me again")
    await until(lambda: town.remote.texts("C1")[-1] == "A1: me again")


async def signed_in_again(town: Town, room: str, client: object) -> None:
    from tests.support.homeserver import Client

    assert isinstance(client, Client)
    await town.command(client, room, "login token")
    await town.command(client, room, "token-A1")


async def _nothing(op: str) -> None:
    return None


@inlined
async def test_a_relayed_user_has_their_face(town: Town) -> None:
    alice, room = await opened(town)
    mxc = await upload(alice, PNG)
    await alice.ok("PUT", f"/profile/{q(alice.user_id)}/avatar_url", {"avatar_url": mxc})
    await alice.ok("PUT", f"/profile/{q(alice.user_id)}/displayname", {"displayname": "Alice A."})

    async def known() -> object:
        author = await town.bridge.parts.authors.of(alice.user_id, room)
        return author.name, author.avatar_url is not None

    await comes_to(known, ("Alice A.", True))
    await alice.send(room, "hello")
    await until(lambda: town.remote.messages("C1"))
    memo = town.remote.messages("C1")[0].memo
    assert memo["name"] == "Alice A."
    assert memo["face"].startswith("https://bridge.test/fake/face/hearth.test/")
    path = memo["face"].removeprefix("https://bridge.test")
    picture = await town.api("GET", path, token="")
    assert (picture.status, picture.body, picture.headers["content-type"]) == (200, PNG, "image/png")
    assert (await town.api("GET", path[:-1] + "x", token="")).status == 404


@inlined
async def test_a_new_name_of_a_person_is_shown(town: Town) -> None:
    alice, _room = await opened(town)
    town.remote.emit(PersonChanged(person=RemotePerson(id=PersonId("U1"), name="New Name")), None)

    async def name() -> object:
        return (await alice.get(f"/profile/{q(town.ghost('U1'))}"))["displayname"]

    await comes_to(name, "New Name")


@inlined
async def test_typing_passes_both_ways(town: Town) -> None:
    alice, room = await opened(town)
    assert town.network.bridge is not None
    await alice.sync()
    town.network.bridge.typing(ChannelId("C1"), PersonId("U1"))

    async def typists() -> object:
        answer = await alice.get("/sync", since=alice.since, timeout=0)
        events = answer.get("rooms", {}).get("join", {}).get(room, {}).get("ephemeral", {}).get("events", [])
        found = [event["content"]["user_ids"] for event in events if event["type"] == "m.typing"]
        return found[-1] if found else None

    await comes_to(typists, [town.ghost("U1")])
    path = f"/rooms/{q(room)}/typing/{q(alice.user_id)}"
    await alice.ok("PUT", path, {"typing": True, "timeout": 30000})
    await until(lambda: ("typing", ("alice", "C1", True)) in town.remote.calls)
    await alice.ok("PUT", path, {"typing": False})
    await until(lambda: ("typing", ("alice", "C1", False)) in town.remote.calls)


@inlined
async def test_presence_of_the_network_is_shown(town: Town) -> None:
    alice, _ = await opened(town)
    assert town.network.bridge is not None
    town.network.bridge.presence(PersonId("U1"), "unavailable", "at lunch")

    async def presence() -> object:
        answer = await alice.ask("GET", f"/presence/{q(town.ghost('U1'))}/status")
        return answer.status == 200 and (answer.json["presence"], answer.json.get("status_msg"))

    await comes_to(presence, ("unavailable", "at lunch"))


@inlined
async def test_receipts_of_who_has_signed_in_pass_both_ways(town: Town) -> None:
    alice, room = await opened(town, "U1", "A1")
    await signed_in(town, alice, "A1")
    message = town.remote.say("C1", "U1", "hello")
    event = await town.says(alice, room, "hello")
    await alice.ok("POST", f"/rooms/{q(room)}/receipt/m.read/{q(event['event_id'])}", {})
    await until(lambda: ("mark_read", ("L-A1", message.id)) in town.remote.calls)
    second = town.remote.say("C1", "U1", "and this")
    newer = await town.says(alice, room, "and this")
    town.remote.emit(Receipt(channel=ChannelId("C1"), person=PersonId("A1"), message=second.id), "C1")

    async def marker() -> object:
        response = await alice.ask("GET", f"/user/{q(alice.user_id)}/rooms/{q(room)}/account_data/m.fully_read")
        return response.json.get("event_id") if response.status == 200 else None

    await comes_to(marker, newer["event_id"])


@inlined
async def test_who_may_not_be_relayed_is_told(town: Town) -> None:
    alice, room = await opened(town)
    await town.bridge.kill()
    await town.restart(permissions={"*": "none"})
    await alice.send(room, "hello")
    await town.says(alice, room, "you have not signed in")
    assert town.remote.texts("C1") == []
