"""What a redaction leaves, in each room version."""

from typing import Any

import pytest

from matrix.events import Json
from matrix.redaction import redact, redact_event
from matrix.room_versions import ROOM_VERSIONS, RoomVersion
from tests.unit.matrix import pdus
from tests.unit.matrix.pdus import VERSIONS
from tests.unit.matrix.room_events import versions

LEVELS = ["ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default"]
INVITE = {"signed": {"token": "t"}, "display_name": "x"}

# Type, content that is offered beside a key "other", keys that stay by room version.
KEPT: list[tuple[str, Json, dict[str, list[str]]]] = [
    ("m.room.message", {"body": 1, "membership": 1}, {"1-12": []}),
    ("m.room.topic", {"topic": 1}, {"1-12": []}),
    ("m.room.member", {"membership": "join", "displayname": 1}, {"1-12": ["membership"]}),
    (
        "m.room.member",
        {"join_authorised_via_users_server": "@a:b"},
        {"1-8": [], "9-12": ["join_authorised_via_users_server"]},
    ),
    ("m.room.create", {"creator": 1}, {"1-10": ["creator"], "11-12": ["creator", "other"]}),
    ("m.room.join_rules", {"join_rule": 1, "allow": []}, {"1-7": ["join_rule"], "8-12": ["allow", "join_rule"]}),
    (
        "m.room.power_levels",
        dict.fromkeys([*LEVELS, "invite", "notifications"], 1),
        {"1-10": LEVELS, "11-12": sorted([*LEVELS, "invite"])},
    ),
    ("m.room.aliases", {"aliases": 1}, {"1-5": ["aliases"], "6-12": []}),
    ("m.room.history_visibility", {"history_visibility": 1}, {"1-12": ["history_visibility"]}),
    ("m.room.redaction", {"redacts": "$a", "reason": 1}, {"1-10": [], "11-12": ["redacts"]}),
]


@pytest.mark.parametrize(
    ("version", "event_type", "content", "kept"),
    [
        pytest.param(version, event_type, content, kept, id=f"v{version.id}-{event_type}-{'-'.join(kept)[:20]}")
        for event_type, content, kept_by_versions in KEPT
        for some, kept in kept_by_versions.items()
        for version in versions(some)
    ],
)
def test_the_content_that_stays(version: RoomVersion, event_type: str, content: Json, kept: list[str]) -> None:
    redacted = redact({"type": event_type, "content": {**content, "other": 1}}, version)
    assert sorted(redacted["content"]) == kept
    assert all(redacted["content"][key] == {**content, "other": 1}[key] for key in kept)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: f"v{version.id}")
def test_the_top_level_keys_that_stay(version: RoomVersion) -> None:
    always = {
        "event_id", "type", "room_id", "sender", "state_key", "content", "hashes", "signatures", "depth", "prev_events",
        "auth_events", "origin_server_ts",
    }  # fmt: skip
    older = {"prev_state", "origin", "membership"}
    pdu: dict[str, Any] = dict.fromkeys(always | older | {"unsigned", "redacts", "age_ts", "anything"}, "x")
    redacted = redact({**pdu, "content": {}}, version)
    assert set(redacted) == (always if version in versions("11-12") else always | older)


@pytest.mark.parametrize(
    ("invite", "kept"),
    [
        (INVITE, {"third_party_invite": {"signed": {"token": "t"}}}),
        ({"display_name": "x"}, {"third_party_invite": {}}),
        ("text", {}),
        (None, {}),
    ],
)
def test_of_a_third_party_invite_the_signed_part_stays_from_version_11_on(invite: Any, kept: Json) -> None:
    pdu = {"type": "m.room.member", "content": {"third_party_invite": invite}}
    for version in versions("11-12"):
        assert redact(pdu, version)["content"] == kept
    for version in versions("1-10"):
        assert redact(pdu, version)["content"] == {}


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: f"v{version.id}")
def test_redacting_changes_neither_the_event_nor_what_is_redacted_already(version: RoomVersion) -> None:
    pdu = {"type": "m.room.member", "content": {"membership": "join", "displayname": "A"}, "unsigned": {"a": 1}}
    before = repr(pdu)
    once = redact(pdu, version)
    assert repr(pdu) == before
    assert redact(once, version) == once


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: f"v{version.id}")
def test_a_redacted_event_keeps_its_id_and_its_own_canonical_json(version: RoomVersion) -> None:
    event = pdus.event(version)
    redacted = redact_event(event)
    assert redacted == event
    assert redacted.content == {}
    assert b"hello" in event.canonical
    assert b"hello" not in redacted.canonical


def test_every_room_version_is_in_these_tests() -> None:
    assert VERSIONS == list(ROOM_VERSIONS.values()) == versions("1-12")
