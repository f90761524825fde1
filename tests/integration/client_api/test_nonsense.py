"""What clients may write as they please, and the server reads all the same: state, messages, account data.

Each is written with every kind of nonsense in it. It is refused or taken; and whatever was taken, everything that can
be read about the room and its members is read afterwards without a fault.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pytest
import pytest_twisted

from tests.support.attacker import Attacker, attacking
from tests.support.endpoints import endpoints_of
from tests.support.furnished import Furnished
from tests.support.homeserver import Homeserver, q
from tests.support.mutations import mutations, schema_of

MXC = "mxc://hearth.test/abc"
# Sensible content of what the server itself reads. {member} and such are filled in.
STATE: Mapping[tuple[str, str], Any] = {
    ("m.room.name", ""): {"name": "Hearth"},
    ("m.room.topic", ""): {"topic": "warm", "m.topic": {"m.text": [{"mimetype": "text/plain", "body": "warm"}]}},
    ("m.room.avatar", ""): {"url": MXC, "info": {"w": 1, "h": 1, "size": 1, "mimetype": "image/png"}},
    ("m.room.canonical_alias", ""): {"alias": "#a:hearth.test", "alt_aliases": ["#b:hearth.test"]},
    ("m.room.join_rules", ""): {
        "join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": "!x:hearth.test"}],
    },
    ("m.room.history_visibility", ""): {"history_visibility": "shared"},
    ("m.room.guest_access", ""): {"guest_access": "can_join"},
    ("m.room.encryption", ""): {"algorithm": "m.megolm.v1.aes-sha2", "rotation_period_ms": 1},
    ("m.room.server_acl", ""): {"allow": ["*"], "deny": ["evil.example"], "allow_ip_literals": False},
    ("m.room.pinned_events", ""): {"pinned": ["$a"]},
    ("m.room.tombstone", ""): {"body": "gone", "replacement_room": "!x:hearth.test"},
    ("m.room.third_party_invite", "token"): {
        "display_name": "a", "key_validity_url": "https://a.example", "public_key": "abc",
        "public_keys": [{"public_key": "abc", "key_validity_url": "https://a.example"}],
    },
    ("m.room.retention", ""): {"max_lifetime": 1000, "min_lifetime": 10},
    ("m.space.child", "!x:hearth.test"): {"via": ["hearth.test"], "order": "a", "suggested": True},
    ("m.space.parent", "!x:hearth.test"): {"via": ["hearth.test"], "canonical": True},
    ("m.room.member", "{admin}"): {
        "membership": "join", "displayname": "Admin", "avatar_url": MXC, "is_direct": False, "reason": "so",
        "join_authorised_via_users_server": "{member}",
    },
    ("m.room.member", "{stranger}"): {
        "membership": "invite",
        "third_party_invite": {
            "display_name": "a", "signed": {"mxid": "{stranger}", "token": "t", "signatures": {"a": {"b": "c"}}},
        },
    },
    ("m.policy.rule.user", "rule"): {"entity": "@a:b", "recommendation": "m.ban", "reason": "spam"},
    ("m.room.power_levels", ""): {
        "ban": 50, "kick": 50, "invite": 0, "redact": 50, "events_default": 0, "state_default": 50, "users_default": 0,
        "events": {"m.room.name": 50}, "users": {"{admin}": 100, "{member}": 0}, "notifications": {"room": 50},
    },
}  # fmt: skip
MESSAGES: Mapping[str, Any] = {
    "m.room.message": {
        "msgtype": "m.text", "body": "hello @room", "format": "org.matrix.custom.html", "formatted_body": "hello",
        "m.mentions": {"user_ids": ["{member}"], "room": True}, "url": MXC, "info": {"thumbnail_url": MXC},
        "m.new_content": {"msgtype": "m.text", "body": "hello"},
        "m.relates_to": {
            "rel_type": "m.thread", "event_id": "{event_id}", "is_falling_back": True,
            "m.in_reply_to": {"event_id": "{event_id}"}, "key": "a",
        },
    },
    "m.reaction": {"m.relates_to": {"rel_type": "m.annotation", "event_id": "{event_id}", "key": "👍"}},
    "m.room.encrypted": {
        "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "a", "session_id": "b", "device_id": "c", "sender_key": "d",
        "m.relates_to": {"rel_type": "m.replace", "event_id": "{event_id}"},
    },
    "m.room.redaction": {"redacts": "{event_id}", "reason": "so"},
    "org.matrix.msc3381.poll.response": {"m.relates_to": {"rel_type": "m.reference", "event_id": "{event_id}"}},
}  # fmt: skip
# Words in the paths of what reads them.
READ = ("{room_id", "room_alias", "publicRooms", "joined", "sync", "account_data", "pushrules", "notifications")
ACCOUNT_DATA: Mapping[str, Any] = {
    "m.ignored_user_list": {"ignored_users": {"@nobody:hearth.test": {}}},
    "m.direct": {"{member}": ["{room_id}"]},
    "m.push_rules": {"global": {"override": []}},
    "m.fully_read": {"event_id": "{event_id}"},
    "m.tag": {"tags": {"m.favourite": {"order": 0.5}}},
    "m.invite_permission_config": {"default_action": "block", "blocked_users": ["@a:b"], "allowed_servers": ["a"]},
    "m.marked_unread": {"unread": True},
    "m.secret_storage.default_key": {"key": "a"},
}


@pytest_twisted.async_yield_fixture
async def world(hs: Homeserver) -> Iterator[Furnished]:
    yield await Furnished.make(hs)


@pytest.fixture
def attacker(hs: Homeserver, world: Furnished) -> Iterator[Attacker]:
    with attacking(hs) as attacker:
        yield attacker


async def test_a_room_with_nonsense_in_its_state_can_be_read(world: Furnished, attacker: Attacker) -> None:
    for (event_type, state_key), content in STATE.items():
        await world.furnish()
        path = f"/rooms/{q(world.values['room_id'])}/state/{q(event_type)}/{q(world.fill(state_key))}"
        await write_all(world, attacker, path, content)
        await read_all(world, attacker)
    assert not attacker.faults, "\n".join(attacker.faults)


async def test_a_room_with_nonsense_messages_can_be_read(world: Furnished, attacker: Attacker) -> None:
    for event_type, content in MESSAGES.items():
        await world.furnish()
        path = f"/rooms/{q(world.values['room_id'])}/send/{q(event_type)}/"
        await write_all(world, attacker, path, content, numbered=True)
        await read_all(world, attacker)
    assert not attacker.faults, "\n".join(attacker.faults)


async def test_a_user_with_nonsense_account_data_can_sync(world: Furnished, attacker: Attacker) -> None:
    user = f"/user/{q(world.admin.user_id)}"
    for kind, content in ACCOUNT_DATA.items():
        await world.furnish()
        await write_all(world, attacker, f"{user}/account_data/{q(kind)}", content)
        room = f"{user}/rooms/{q(world.values['room_id'])}"
        await write_all(world, attacker, f"{room}/account_data/{q(kind)}", content)
        await read_all(world, attacker)
    assert not attacker.faults, "\n".join(attacker.faults)


async def write_all(world: Furnished, attacker: Attacker, path: str, content: Any, *, numbered: bool = False) -> None:
    base = orjson.loads(world.fill(orjson.dumps(content).decode()))
    for number, mutation in enumerate(mutations(schema_of(base), base)):
        url = f"{path}{number}" if numbered else path
        what = f"PUT {path} [{mutation.where} {mutation.what}]"
        await attacker.send("PUT", url, what=what, body=orjson.dumps(mutation.body), token=world.admin.token)


async def read_all(world: Furnished, attacker: Attacker) -> None:
    """Everything that GET gives, to both who are in the room; and a new message that is to be judged for them."""
    for client in (world.admin, world.member):
        for endpoint in endpoints_of(world.hs.server.router):
            if endpoint.method == "GET" and any(word in endpoint.path for word in READ):
                await attacker.ask(endpoint, world.good_url(endpoint), what=client.user_id, token=client.token)
        room = q(world.values["room_id"])
        for path in (
            f"/rooms/{room}/messages?dir=b&limit=100",
            "/sync?timeout=0",
            f"/sync?since={world.values['from']}",
        ):
            await attacker.send("GET", path, what=f"{client.user_id} GET {path}", token=client.token)
        path = f"/rooms/{room}/send/m.room.message/read{client.user_id[1]}"
        body = orjson.dumps({"msgtype": "m.text", "body": "member admin @room"})
        await attacker.send("PUT", path, what=f"{client.user_id} speaks", body=body, token=client.token)
        await attacker.send("GET", "/sync", what=f"{client.user_id} GET /sync again", token=client.token)
