"""Hearth beside a Synapse: users of each in rooms of the other, in every room version that both have.

`here` is a user of the server that the test is about, `there` one of the other; each test runs both ways.
"""

import io
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey
from PIL import Image

from matrix import canonical_json, unpadded_base64
from tests.interop.addresses import GOOD_KEY, REVOKED_KEY, ask_server, bind_address, identity_server
from tests.interop.beside_synapse import guest, host, needs_synapse, pair, servers
from tests.interop.chats import meet, text, verify
from tests.interop.clients import Kind, RealClient, skip_without
from tests.interop.people import Person, Refused, q
from tests.interop.servers import Homeserver

__all__ = ["guest", "host", "identity_server", "pair", "servers"]
VERSIONS = [str(number) for number in range(1, 13)]
pytestmark = needs_synapse


def in_one_room(host: Person, guest: Person, **options: object) -> str:
    room = host.create_room(**options)  # type: ignore[arg-type]
    guest.join(room, via=host)
    guest.sync()
    host.until("two members", lambda: guest.user_id in host.members(room))
    return room


@pytest.mark.parametrize("version", VERSIONS)
def test_a_public_room_is_joined_and_talked_in(host: Person, guest: Person, version: str) -> None:
    room = host.create_room(version=version, name="a room")
    host.send(room, "before")
    guest.join(room, via=host)
    host.send(room, "to the guest")
    guest.hears(room, "to the guest")
    guest.send(room, "to the host")
    host.hears(room, "to the host")
    guest.until("the same state", lambda: guest.state(room) == host.state(room))
    assert guest.members(room) == {host.user_id, guest.user_id}


@pytest.mark.parametrize("version", ["1", "10", "11", "12"])
def test_an_invite_is_accepted(host: Person, guest: Person, version: str) -> None:
    guest.sync()
    room = host.create_room(version=version, preset="private_chat", name="by invitation")
    host.invite(room, guest)
    invite = guest.sync_until("the invite", lambda answer: answer.get("rooms", {}).get("invite", {}).get(room))
    stripped = {event["type"]: event for event in invite["invite_state"]["events"]}
    assert stripped["m.room.name"]["content"]["name"] == "by invitation"
    guest.join(room)
    host.send(room, "welcome")
    guest.hears(room, "welcome")


def test_an_invite_is_declined(host: Person, guest: Person) -> None:
    guest.sync()
    room = host.create_room(preset="private_chat", invite=[guest])
    guest.sync_until("the invite", lambda answer: answer.get("rooms", {}).get("invite", {}).get(room))
    guest.leave(room)
    host.hears_state(room, "m.room.member", guest.user_id, membership="leave")


def test_an_invite_is_taken_back(host: Person, guest: Person) -> None:
    guest.sync()
    room = host.create_room(preset="private_chat", invite=[guest])
    guest.sync_until("the invite", lambda answer: answer.get("rooms", {}).get("invite", {}).get(room))
    host.ask("POST", f"/rooms/{q(room)}/kick", {"user_id": guest.user_id})
    guest.sync_until("the end of it", lambda answer: answer.get("rooms", {}).get("leave", {}).get(room))


def test_a_private_room_is_closed(host: Person, guest: Person) -> None:
    room = host.create_room(preset="private_chat")
    with pytest.raises(Refused) as refused:
        guest.join(room, via=host)
    assert (refused.value.status, refused.value.errcode) == (403, "M_FORBIDDEN")


def test_a_knock_is_let_in(host: Person, guest: Person) -> None:
    rules = [{"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}]
    room = host.create_room(preset="private_chat", version="10", initial_state=rules, name="knock first")
    guest.sync()
    guest.ask("POST", f"/knock/{q(room)}", {"reason": "please"}, server_name=host.homeserver.server_name)
    guest.sync_until("its knock", lambda answer: answer.get("rooms", {}).get("knock", {}).get(room))
    host.hears_state(room, "m.room.member", guest.user_id, membership="knock", reason="please")
    host.invite(room, guest)
    guest.sync_until("the invite", lambda answer: answer.get("rooms", {}).get("invite", {}).get(room))
    guest.join(room)
    host.hears_state(room, "m.room.member", guest.user_id, membership="join")


def test_a_knock_is_taken_back(host: Person, guest: Person) -> None:
    """That one is declined Synapse does not tell, nor take; of its own it tells nobody."""
    if not guest.homeserver.server_name.startswith("127."):
        pytest.skip("Synapse takes a knock back for itself only")
    rules = [{"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}]
    room = host.create_room(preset="private_chat", initial_state=rules)
    guest.ask("POST", f"/knock/{q(room)}", {}, server_name=host.homeserver.server_name)
    host.hears_state(room, "m.room.member", guest.user_id, membership="knock")
    guest.leave(room)
    host.hears_state(room, "m.room.member", guest.user_id, membership="leave")


def test_where_who_is_in_another_room_may_join_everybody_else_knocks(host: Person, guest: Person) -> None:
    space = host.create_room(name="space")
    rules = {"join_rule": "knock_restricted", "allow": [{"type": "m.room_membership", "room_id": space}]}
    state = [{"type": "m.room.join_rules", "state_key": "", "content": rules}]
    room = host.create_room(preset="private_chat", version="10", initial_state=state)
    with pytest.raises(Refused):
        guest.join(room, via=host)
    guest.ask("POST", f"/knock/{q(room)}", {}, server_name=host.homeserver.server_name)
    host.hears_state(room, "m.room.member", guest.user_id, membership="knock")
    other = Person(guest.homeserver, "other")
    other.join(space, via=host)
    other.join(room, via=host)
    other.send(room, "in")
    host.hears(room, "in")


@pytest.mark.parametrize("version", ["8", "10", "12"])
def test_a_restricted_room_lets_members_of_another_in(host: Person, guest: Person, version: str) -> None:
    space = host.create_room(name="space")
    allow = [{"type": "m.room_membership", "room_id": space}]
    rules = {"join_rule": "restricted", "allow": allow}
    state = [{"type": "m.room.join_rules", "state_key": "", "content": rules}]
    room = host.create_room(preset="private_chat", version=version, initial_state=state)
    with pytest.raises(Refused):
        guest.join(room, via=host)
    guest.join(space, via=host)
    guest.join(room, via=host)
    guest.send(room, "in")
    host.hears(room, "in")


def test_history_is_fetched_back(host: Person, guest: Person) -> None:
    room = host.create_room()
    sent = [host.send(room, f"old {number}") for number in range(120)]
    guest.join(room, via=host)
    got = [event["event_id"] for event in guest.messages(room) if event["type"] == "m.room.message"]
    assert got == sent[::-1]


@pytest.mark.parametrize("version", ["10", "12"])
def test_a_redaction_goes_over(host: Person, guest: Person, version: str) -> None:
    """From version 11 on it names the event in its content."""
    room = in_one_room(host, guest, version=version)
    event_id = host.send(room, "secret")
    guest.hears(room, "secret")
    host.ask("PUT", f"/rooms/{q(room)}/redact/{q(event_id)}/t", {"reason": "no"})
    path = f"/rooms/{q(room)}/event/{q(event_id)}"
    guest.until("redacted", lambda: guest.ask("GET", path)["content"] == {})
    own = guest.send(room, "secret too")
    host.hears(room, "secret too")
    guest.ask("PUT", f"/rooms/{q(room)}/redact/{q(own)}/t2", {})
    path = f"/rooms/{q(room)}/event/{q(own)}"
    host.until("redacted", lambda: host.ask("GET", path)["content"] == {})


def test_kicks_and_bans_hold(host: Person, guest: Person) -> None:
    room = in_one_room(host, guest)
    host.ask("POST", f"/rooms/{q(room)}/ban", {"user_id": guest.user_id, "reason": "no"})
    guest.sync_until("the ban", lambda answer: answer.get("rooms", {}).get("leave", {}).get(room))
    with pytest.raises(Refused) as refused:
        guest.join(room, via=host)
    assert refused.value.status == 403
    host.ask("POST", f"/rooms/{q(room)}/unban", {"user_id": guest.user_id})
    guest.join(room, via=host)
    host.hears_state(room, "m.room.member", guest.user_id, membership="join")


def test_a_guest_leaves_and_comes_back(host: Person, guest: Person) -> None:
    room = in_one_room(host, guest)
    guest.leave(room)
    host.hears_state(room, "m.room.member", guest.user_id, membership="leave")
    missed = host.send(room, "missed")
    host.set_state(room, "m.room.topic", {"topic": "changed meanwhile"})
    guest.join(room, via=host)
    host.send(room, "back")
    guest.hears(room, "back")
    guest.hears_state(room, "m.room.topic", topic="changed meanwhile")
    assert missed in [event["event_id"] for event in guest.messages(room)]


def test_aliases_profiles_and_public_rooms_are_looked_up(host: Person, guest: Person) -> None:
    name = host.user_id[1:].partition(":")[0]
    host.ask("PUT", f"/profile/{q(host.user_id)}/displayname", {"displayname": "The Host"})
    room = host.create_room(room_alias_name=name, visibility="public", name=f"public {name}")
    alias = f"#{name}:{host.homeserver.server_name}"
    found = guest.ask("GET", f"/directory/room/{q(alias)}")
    assert found["room_id"] == room
    assert host.homeserver.server_name in found["servers"]
    assert guest.ask("GET", f"/profile/{q(host.user_id)}")["displayname"] == "The Host"
    rooms = guest.ask("GET", "/publicRooms", server=host.homeserver.server_name)["chunk"]
    assert room in {one["room_id"] for one in rooms}
    wanted = {"filter": {"generic_search_term": f"public {name}"}, "limit": 5}
    rooms = guest.ask("POST", "/publicRooms", wanted, server=host.homeserver.server_name)["chunk"]
    assert [one["room_id"] for one in rooms] == [room]
    assert guest.join(alias) == room


def test_a_profile_change_goes_over(host: Person, guest: Person) -> None:
    room = in_one_room(host, guest)
    guest.ask("PUT", f"/profile/{q(guest.user_id)}/displayname", {"displayname": "Another"})
    host.hears_state(room, "m.room.member", guest.user_id, displayname="Another")
    guest.ask("PUT", f"/profile/{q(guest.user_id)}/avatar_url", {"avatar_url": "mxc://example.org/picture"})
    host.hears_state(room, "m.room.member", guest.user_id, avatar_url="mxc://example.org/picture")
    assert host.ask("GET", f"/profile/{q(guest.user_id)}")["displayname"] == "Another"


def test_a_moment_of_before_the_join_is_found(host: Person, guest: Person) -> None:
    room = host.create_room()
    sent = [host.send(room, f"{number}") for number in range(3)]
    guest.join(room, via=host)
    at_ms = host.ask("GET", f"/rooms/{q(room)}/event/{q(sent[1])}")["origin_server_ts"]
    path = f"/_matrix/client/v1/rooms/{q(room)}/timestamp_to_event"
    found = guest.ask("GET", path, ts=at_ms, dir="f")
    assert found["event_id"] == host.ask("GET", path, ts=at_ms, dir="f")["event_id"]
    # Where it is found it can be read.
    assert guest.ask("GET", f"/rooms/{q(room)}/context/{q(found['event_id'])}")["event"]["event_id"] in sent


def test_the_rooms_of_a_space_are_shown(host: Person, guest: Person) -> None:
    server = host.homeserver.server_name
    space = host.create_room(name="space", creation_content={"type": "m.space"})
    rooms = [host.create_room(name=f"room {number}") for number in range(2)]
    for room in rooms:
        host.set_state(space, "m.space.child", {"via": [server]}, room)
    guest.join(space, via=host)
    path = f"/_matrix/client/v1/rooms/{q(space)}/hierarchy"
    told = guest.until("all rooms", lambda: (rooms := guest.ask("GET", path)["rooms"])[2:] and rooms)
    assert {(one["room_id"], one["name"]) for one in told} == {
        (space, "space"),
        (rooms[0], "room 0"),
        (rooms[1], "room 1"),
    }
    summary = guest.ask("GET", f"/_matrix/client/v1/room_summary/{q(rooms[0])}", via=server)
    assert (summary["name"], summary["num_joined_members"], summary["join_rule"]) == ("room 0", 1, "public")


def test_who_is_in_a_room_follows_it_into_its_successor(host: Person, guest: Person) -> None:
    room = in_one_room(host, guest, version="10")
    successor = host.ask("POST", f"/rooms/{q(room)}/upgrade", {"new_version": "11"})["replacement_room"]
    guest.hears_state(room, "m.room.tombstone", replacement_room=successor)
    guest.join(successor, via=host)
    host.send(successor, "welcome")
    guest.hears(successor, "welcome")


def test_typing_receipts_and_presence_go_over(host: Person, guest: Person) -> None:
    room = in_one_room(host, guest)
    guest.ask("PUT", f"/rooms/{q(room)}/typing/{q(guest.user_id)}", {"typing": True, "timeout": 20_000})
    host.sync_until("typing", lambda answer: guest.user_id in str(ephemeral(answer, room, "m.typing")))
    event_id = host.send(room, "read this")
    guest.hears(room, "read this")
    guest.ask("POST", f"/rooms/{q(room)}/receipt/m.read/{q(event_id)}", {})
    host.sync_until("the receipt", lambda answer: guest.user_id in str(ephemeral(answer, room, "m.receipt")))
    status = {"presence": "online", "status_msg": "busy at work"}
    guest.ask("PUT", f"/presence/{q(guest.user_id)}/status", status)
    host.sync_until("the status", lambda answer: "busy at work" in str(answer.get("presence")))


def ephemeral(answer: dict, room: str, event_type: str) -> list:  # type: ignore[type-arg]
    events = answer.get("rooms", {}).get("join", {}).get(room, {}).get("ephemeral", {}).get("events", [])
    return [event["content"] for event in events if event["type"] == event_type]


def test_messages_to_devices_and_keys_go_over(host: Person, guest: Person) -> None:
    room = in_one_room(host, guest)
    guest.sync()
    host.sync()
    keys = {
        "algorithms": ["m.olm.v1.curve25519-aes-sha2"],
        "device_id": guest.device_id,
        "user_id": guest.user_id,
        "keys": {f"ed25519:{guest.device_id}": "x" * 43},
        "signatures": {guest.user_id: {f"ed25519:{guest.device_id}": "y" * 86}},
    }
    one_time = {"signed_curve25519:AAA": {"key": "z" * 43, "signatures": {guest.user_id: {"ed25519:A": "s" * 86}}}}
    guest.ask("POST", "/keys/upload", {"device_keys": keys, "one_time_keys": one_time})
    host.sync_until("the new device", lambda answer: guest.user_id in answer.get("device_lists", {}).get("changed", []))
    found = host.ask("POST", "/keys/query", {"device_keys": {guest.user_id: []}})["device_keys"]
    assert found[guest.user_id][guest.device_id]["keys"] == keys["keys"]
    wanted = {"one_time_keys": {guest.user_id: {guest.device_id: "signed_curve25519"}}}
    claimed = host.ask("POST", "/keys/claim", wanted)["one_time_keys"]
    assert claimed[guest.user_id][guest.device_id] == one_time
    message = {"messages": {guest.user_id: {guest.device_id: {"hello": "device"}}}}
    host.ask("PUT", "/sendToDevice/m.test/t1", message)
    told = guest.sync_until("the message", lambda answer: answer.get("to_device", {}).get("events"))
    assert {(one["type"], one["sender"], one["content"]["hello"]) for one in told} == {
        ("m.test", host.user_id, "device")
    }
    assert room
    guest.ask("POST", "/keys/device_signing/upload", cross_signing_keys(guest))
    host.until("the signing keys", lambda: guest.user_id in queried(host, guest)["master_keys"])
    # A device that is gone is gone everywhere.
    seen = len(host.answers)
    guest.ask("POST", "/logout", {})
    host.until("the change", lambda: guest.user_id in str([one.get("device_lists") for one in host.answers[seen:]]))
    host.until("no device", lambda: not queried(host, guest)["device_keys"].get(guest.user_id))


def queried(asker: Person, user: Person) -> dict[str, Any]:
    found: dict[str, Any] = asker.ask("POST", "/keys/query", {"device_keys": {user.user_id: []}})
    return {"device_keys": {}, "master_keys": {}, **found}


def cross_signing_keys(user: Person) -> dict[str, Any]:
    """A master key, and a self-signing key that it has signed."""
    master = SigningKey.generate()
    keys: dict[str, Any] = {}
    for usage, key in (("master", master), ("self_signing", SigningKey.generate())):
        name = unpadded_base64.encode(bytes(key.verify_key))
        keys[f"{usage}_key"] = {"user_id": user.user_id, "usage": [usage], "keys": {f"ed25519:{name}": name}}
    signature = unpadded_base64.encode(master.sign(canonical_json.encode(keys["self_signing_key"])).signature)
    by = next(iter(keys["master_key"]["keys"]))
    keys["self_signing_key"]["signatures"] = {user.user_id: {by: signature}}
    return keys


def test_encrypted_messages_go_over(pair: tuple[Homeserver, Homeserver], js: Kind, nio: Kind, tmp_path: Path) -> None:
    """By the real clients: matrix-js-sdk at one server, matrix-nio at the other."""
    clients = []
    for kind, homeserver in zip((js, nio), pair, strict=True):
        skip_without(kind)
        (tmp_path / kind.name).mkdir()
        clients.append(RealClient(kind, homeserver.url, tmp_path / kind.name))
    try:
        for client, homeserver in zip(clients, pair, strict=True):
            client.sign_in(Person(homeserver, "reader").user_id)
        chat = meet(*clients)
        verify(chat.js, chat.nio)
        for speaker in clients:
            read = chat.says(speaker, text(f"from {speaker.user_id}"))
            assert read["encrypted"]
            assert read["content"]["body"] == f"from {speaker.user_id}"
    finally:
        for client in clients:
            client.stop()


def test_files_are_fetched(host: Person, guest: Person) -> None:
    image = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(image, "PNG")
    png = image.getvalue()
    content = host.exchange("POST", "/_matrix/media/v3/upload", png, "image/png", {"filename": "a.png"})
    uri = content.decode().partition("mxc://")[2].partition('"')[0]
    assert guest.exchange("GET", f"/_matrix/client/v1/media/download/{uri}", None, "") == png
    query = {"width": 32, "height": 32, "method": "scale"}
    assert guest.exchange("GET", f"/_matrix/client/v1/media/thumbnail/{uri}", None, "", query)[1:4] == b"PNG"


def test_a_server_that_is_shut_out_is_not_heard(host: Person, guest: Person) -> None:
    room = in_one_room(host, guest)
    is_literal = guest.homeserver.server_name.startswith("127.")
    acl = {"allow": ["*"], "deny": [] if is_literal else ["localhost"], "allow_ip_literals": not is_literal}
    host.set_state(room, "m.room.server_acl", acl)
    other = Person(guest.homeserver, "other")
    closed = host.create_room(initial_state=[{"type": "m.room.server_acl", "state_key": "", "content": acl}])
    with pytest.raises(Refused) as refused:
        other.join(closed, via=host)
    assert refused.value.status == 403
    guest.send(room, "unheard")
    open_room = in_one_room(host, guest)
    # What is said in another room comes after it, and does come.
    guest.send(open_room, "heard")
    host.hears(open_room, "heard")
    assert "unheard" not in [event["content"].get("body") for event in host.messages(room)]


def test_an_address_that_was_invited_finds_its_user(host: Person, guest: Person, identity_server: str) -> None:
    guest.sync()
    room = host.create_room(preset="private_chat", name="by address")
    assert bind_address(host, guest, room, GOOD_KEY, identity_server) == 200
    guest.sync_until("the invite", lambda answer: answer.get("rooms", {}).get("invite", {}).get(room))
    member = host.ask("GET", f"/rooms/{q(room)}/state/m.room.member/{q(guest.user_id)}")
    assert member["third_party_invite"]["display_name"] == "g..."
    guest.join(room)
    guest.send(room, "that is my address")
    host.hears(room, "that is my address")


def test_a_key_that_was_revoked_invites_nobody(host: Person, guest: Person, identity_server: str) -> None:
    room = host.create_room(preset="private_chat")
    # Synapse tells the identity server nothing of what became of each invite.
    bind_address(host, guest, room, REVOKED_KEY, identity_server)
    with pytest.raises(Refused) as refused:
        host.ask("GET", f"/rooms/{q(room)}/state/m.room.member/{q(guest.user_id)}")
    assert refused.value.status == 404


def test_a_service_learns_whose_token_it_was_given(host: Person, guest: Person) -> None:
    given = host.ask("POST", f"/user/{q(host.user_id)}/openid/request_token", {})
    assert given["matrix_server_name"] == host.homeserver.server_name
    target = f"/openid/userinfo?access_token={given['access_token']}"
    assert ask_server(host.homeserver, "GET", target) == (200, {"sub": host.user_id})
    status, error = ask_server(guest.homeserver, "GET", target)
    assert (status, error["errcode"]) == (401, "M_UNKNOWN_TOKEN")


def test_both_write_at_once_and_agree(host: Person, guest: Person) -> None:
    room = in_one_room(host, guest)
    levels = host.ask("GET", f"/rooms/{q(room)}/state/m.room.power_levels")
    levels.setdefault("users", {})[guest.user_id] = 50
    host.set_state(room, "m.room.power_levels", levels)
    guest.hears_state(room, "m.room.power_levels", users=levels["users"])
    for number in range(10):
        host.set_state(room, "m.room.topic", {"topic": f"host {number}"})
        guest.set_state(room, "m.room.topic", {"topic": f"guest {number}"})
        host.set_state(room, "org.example.a", {"number": number}, str(number % 3))
        guest.set_state(room, "org.example.a", {"number": -number}, str(number % 3))
    host.send(room, "host is done")
    guest.send(room, "guest is done")
    guest.hears(room, "host is done")
    host.hears(room, "guest is done")
    host.until("the same state", lambda: host.state(room) == guest.state(room))


@pytest.mark.parametrize("who", ["host", "guest"])
def test_what_was_said_during_an_outage_is_caught_up(host: Person, guest: Person, who: str) -> None:
    room = in_one_room(host, guest)
    present, absent = (guest, host) if who == "host" else (host, guest)
    absent.homeserver.stop()
    sent = [present.send(room, f"during the outage {number}") for number in range(60)]
    message = {"messages": {absent.user_id: {absent.device_id: {"kept": "for you"}}}}
    present.ask("PUT", f"/sendToDevice/m.test/{who}", message)
    absent.homeserver.start_again()
    # A sign of life ends the other's waiting.
    absent.send(room, "here again")
    present.hears(room, "here again")
    absent.hears(room, "during the outage 59")
    got = [event["event_id"] for event in absent.messages(room) if event["event_id"] in sent]
    assert got == sent[::-1]
    told = absent.sync_until("the message to it", lambda answer: answer.get("to_device", {}).get("events"))
    assert [one["content"] for one in told] == [{"kept": "for you"}]


def test_what_was_acknowledged_before_a_server_was_killed_arrives(servers: tuple[Homeserver, Homeserver]) -> None:
    hearth, synapse = servers
    host, guest = Person(hearth, "host"), Person(synapse, "guest")
    room = in_one_room(host, guest)
    sent = [host.send(room, f"before the end {number}") for number in range(30)]
    message = {"messages": {guest.user_id: {guest.device_id: {"kept": "for you"}}}}
    host.ask("PUT", "/sendToDevice/m.test/killed", message)
    hearth.kill()
    hearth.start_again()
    host.send(room, "after it")
    guest.hears(room, "after it")
    told = guest.sync_until("the message to it", lambda answer: answer.get("to_device", {}).get("events"))
    assert [one["content"] for one in told] == [{"kept": "for you"}]
    assert [event["event_id"] for event in guest.messages(room) if event["event_id"] in sent] == sent[::-1]
