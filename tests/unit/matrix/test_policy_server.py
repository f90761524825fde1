"""Which policy server a room has, and whether it has signed."""

from typing import Any

import pytest

from matrix import unpadded_base64
from matrix.building import Draft, build
from matrix.events import Event
from matrix.hashing import essential_bytes
from matrix.ids import RoomId, ServerName, UserId
from matrix.policy_server import is_exempt, policy_in, room_policy, signature_in, with_signature
from matrix.room_versions import ROOM_VERSIONS
from matrix.signing import SigningKey, key_ids_of

KEY = SigningKey.from_seed("policy_server", b"p" * 32)
OTHER = SigningKey.from_seed("policy_server", b"q" * 32)
PUBLIC = unpadded_base64.encode(bytes(KEY.verify_key))
VIA = ServerName("policy.test")


def made(body: str = "hello") -> Event:
    draft = Draft(
        type="m.room.message",
        sender=UserId("@a:policy.test"),
        content={"body": body},
        room_id=RoomId("!r:policy.test"),
        origin_server_ts=1,
        depth=1,
        prev_events=[],
        auth_events=[],
    )
    return build(draft, ROOM_VERSIONS["11"], VIA, SigningKey.from_seed("a", b"a" * 32))


def signature(event: Event, key: SigningKey = KEY) -> str:
    return unpadded_base64.encode(key.sign(essential_bytes(event.pdu, event.version)))


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"via": "policy.test"},
        {"via": "policy.test", "public_keys": {}},
        {"via": "policy.test", "public_keys": {"ed25519": 7}},
        {"via": "policy.test", "public_keys": {"ed25519": "short"}},
        {"via": "policy.test", "public_keys": PUBLIC},
        {"via": 7, "public_keys": {"ed25519": PUBLIC}},
        {"via": "no name!", "public_keys": {"ed25519": PUBLIC}},
    ],
)
def test_what_is_not_valid_is_no_policy_server(content: dict[str, Any]) -> None:
    assert room_policy(content) is None


def test_a_signature_is_the_policy_servers_by_the_rooms_key() -> None:
    policy = room_policy({"via": VIA, "public_keys": {"ed25519": PUBLIC, "other": "x"}})
    assert policy is not None
    event = made()
    assert not policy.has_signed(event)
    signed = with_signature(event, VIA, signature(event))
    assert policy.has_signed(signed)
    assert signed.event_id == event.event_id
    assert not policy.has_signed(with_signature(event, VIA, signature(event, OTHER)))
    assert not policy.has_signed(with_signature(event, VIA, signature(made("another"))))
    assert not policy.verifies(event, 7)


def test_the_senders_signature_stays_beside_the_policy_servers() -> None:
    event = made()
    signed = with_signature(event, VIA, signature(event))
    assert set(signed.pdu["signatures"][VIA]) == {"ed25519:a", "ed25519:policy_server"}
    assert key_ids_of(signed.pdu, VIA) == ["ed25519:a"]


def test_a_room_of_old_names_its_policy_server_by_the_old_name() -> None:
    old = ("org.matrix.msc4284.policy", "")
    content = {"via": VIA, "public_key": PUBLIC}
    policy = policy_in({old: content})
    assert policy is not None and policy.via == VIA
    assert policy.verifies(made(), signature(made()))
    assert policy_in({old: {"via": VIA}}) is None and policy_in({}) is None
    # What the specification has says all, also that there is none.
    assert policy_in({old: content, ("m.room.policy", ""): {}}) is None


def test_only_the_policy_itself_is_exempt() -> None:
    assert is_exempt("m.room.policy", "")
    assert is_exempt("org.matrix.msc4284.policy", "")
    assert not is_exempt("m.room.policy", None)
    assert not is_exempt("m.room.policy", "x")
    assert not is_exempt("m.room.name", "")


@pytest.mark.parametrize(
    "answer", [{}, {VIA: 7}, {VIA: {}}, {VIA: {"ed25519:policy_server": 7}}, {VIA: {"ed25519:x": "a"}}]
)
def test_an_answer_without_the_signature_has_none(answer: dict[str, Any]) -> None:
    assert signature_in(answer, VIA) is None
