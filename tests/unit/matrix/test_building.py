"""Our own events, of every room version."""

import pytest
from canonicaljson import encode_canonical_json
from signedjson.key import decode_signing_key_base64
from signedjson.sign import sign_json

from matrix import canonical_json
from matrix.building import MAX_CONTENT_DEPTH, to_unsigned_pdu
from matrix.errors import BadEvent, EventTooLarge
from matrix.event_format import MAX_PDU_BYTES, parse_pdu
from matrix.hashing import check_content_hash, event_id_of, reference_hash
from matrix.ids import EventId, UserId
from matrix.redaction import redact
from matrix.room_versions import V1, V4, V10, V11, V12, RoomVersion
from matrix.signing import verify_event
from matrix.unpadded_base64 import encode
from tests.unit.matrix import pdus
from tests.unit.matrix.pdus import ALICE, KEY, SERVER, VERSIONS

every_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: f"v{version.id}")


@every_version
def test_what_we_build_is_what_others_accept(version: RoomVersion) -> None:
    event = pdus.event(version, state_key="", type="m.room.topic", content={"topic": "日本"})
    parsed = parse_pdu(canonical_json.decode(event.canonical), version)
    assert parsed.event_id == event.event_id == event_id_of(event.pdu, version)
    assert parsed.canonical == event.canonical == encode_canonical_json(event.pdu)
    assert check_content_hash(parsed.pdu, version)
    verify_event(parsed.pdu, version, {SERVER: {KEY.key_id: KEY.verify_key}})
    for name in ("room_id", "type", "state_key", "sender", "content", "depth", "prev_events", "auth_events", "redacts"):
        assert getattr(parsed, name) == getattr(event, name)


@every_version
def test_the_signature_is_that_of_signedjson(version: RoomVersion) -> None:
    pdu = pdus.event(version).pdu
    reference_key = decode_signing_key_base64("ed25519", "1", KEY.line().split()[2])
    essential = {key: value for key, value in redact(pdu, version).items() if key != "signatures"}
    assert sign_json(essential, SERVER, reference_key)["signatures"] == pdu["signatures"]


def test_the_bytes_of_a_built_event_are_made_once() -> None:
    event = pdus.event(V12)
    assert event.canonical is event.canonical


def test_the_create_event_of_version_12_names_its_room() -> None:
    create = pdus.event(
        V12, type="m.room.create", state_key="", room_id=None, prev_events=[], content={"room_version": "12"}
    )
    assert "room_id" not in create.pdu
    assert create.room_id == "!" + create.event_id[1:]
    assert parse_pdu(create.pdu, V12).room_id == create.room_id


def test_old_versions_refer_by_id_and_hash() -> None:
    first = pdus.event(V1, event_id=EventId("$first:domain"))
    second = pdus.event(V1, prev_events=[first], auth_events=[pdus.PREVIOUS])
    assert second.pdu["prev_events"] == [["$first:domain", {"sha256": encode(reference_hash(first.pdu, V1))}]]
    assert second.pdu["auth_events"] == [[pdus.PREVIOUS[0], {"sha256": pdus.PREVIOUS[1]}]]
    assert second.prev_events == ("$first:domain",)


def test_new_versions_refer_by_id_however_the_event_is_given() -> None:
    first = pdus.event(V11)
    event = pdus.event(V11, prev_events=[first, first.event_id, (first.event_id, "hash")])
    assert event.pdu["prev_events"] == [first.event_id] * 3


def test_a_redaction_says_what_it_redacts_where_its_version_has_it() -> None:
    changes = {"type": "m.room.redaction", "redacts": EventId("$other"), "content": {"reason": "spam"}}
    old, new = pdus.event(V10, **changes), pdus.event(V11, **changes)
    assert old.redacts == new.redacts == "$other"
    assert (old.pdu["redacts"], old.content) == ("$other", {"reason": "spam"})
    assert "redacts" not in new.pdu
    assert new.content == {"reason": "spam", "redacts": "$other"}
    assert changes["content"] == {"reason": "spam"}


def test_the_unsigned_draft_has_neither_hash_nor_signature() -> None:
    pdu = to_unsigned_pdu(pdus.draft(V11), V11)
    assert set(pdu) == {
        "auth_events", "content", "depth", "origin_server_ts", "prev_events", "room_id", "sender", "type",
    }  # fmt: skip


def test_power_levels_may_have_user_ids_for_keys() -> None:
    event = pdus.event(V12, type="m.room.power_levels", state_key="", content={"users": {UserId("@b:x"): 50, ALICE: 1}})
    assert event.canonical == encode_canonical_json(event.pdu)


@pytest.mark.parametrize("content", [{"a": 0.5}, {"a": 2**53}, {"a": {1: 2}}, {"a": "\ud800"}, {"a": float("nan")}])
def test_content_that_is_not_canonical_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(BadEvent):
        pdus.event(V12, content=content)


def test_old_versions_let_floats_pass() -> None:
    event = pdus.event(V4, content={"a": 1e-7})
    assert event.canonical == encode_canonical_json(event.pdu)
    assert parse_pdu(event.pdu, V4) == event


@pytest.mark.parametrize(("levels", "is_good"), [(MAX_CONTENT_DEPTH, True), (MAX_CONTENT_DEPTH + 1, False)])
def test_what_is_deeper_than_others_take_is_not_built(levels: int, is_good: bool) -> None:
    content: dict[str, object] = {}
    for _ in range(levels - 1):
        content = {"a": content}
    if is_good:
        parse_pdu(pdus.event(V12, content=content).pdu, V12)
    else:
        with pytest.raises(BadEvent):
            pdus.event(V12, content=content)


@pytest.mark.parametrize("version", [V1, V12], ids=["v1", "v12"])
def test_the_size_limit_is_exact(version: RoomVersion) -> None:
    room = MAX_PDU_BYTES - len(pdus.event(version, content={"body": ""}).canonical)
    assert len(pdus.event(version, content={"body": "x" * room}).canonical) == MAX_PDU_BYTES
    with pytest.raises(EventTooLarge):
        pdus.event(version, content={"body": "x" * (room + 1)})


@pytest.mark.parametrize("key", ["type", "state_key"])
def test_type_and_state_key_have_at_most_255_bytes(key: str) -> None:
    pdus.event(V12, **{key: "é" * 127 + "x"})
    with pytest.raises(EventTooLarge):
        pdus.event(V12, **{key: "é" * 128})


@pytest.mark.parametrize("text", ["a\x00b", "\ud800"])
@pytest.mark.parametrize("key", ["type", "state_key"])
def test_type_and_state_key_must_be_storable_text(key: str, text: str) -> None:
    with pytest.raises(BadEvent):
        pdus.event(V12, **{key: text})
