"""The first check on receipt: what is an event of its room version, and what is not."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.client_format import client_event
from matrix.errors import BadEvent, BadSignature, EventTooLarge
from matrix.event_format import MAX_PDU_BYTES, parse_pdu
from matrix.events import Event
from matrix.hashing import check_content_hash
from matrix.redaction import redact_event
from matrix.room_versions import V1, V2, V3, V5, V6, V10, V11, V12, RoomVersion
from matrix.signing import verify_event
from tests.unit.matrix import pdus
from tests.unit.matrix.pdus import PROPERTY, VERSIONS

every_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: f"v{version.id}")
REQUIRED = [
    "auth_events", "content", "depth", "hashes", "origin_server_ts", "prev_events", "room_id", "sender", "signatures",
    "type",
]  # fmt: skip


def refused(version: RoomVersion, **changes: Any) -> None:
    with pytest.raises(BadEvent):
        parse_pdu(pdus.pdu(version, **changes), version)


def accepted(version: RoomVersion, **changes: Any) -> Event:
    return parse_pdu(pdus.pdu(version, **changes), version)


@every_version
@pytest.mark.parametrize("key", REQUIRED)
def test_a_required_key_may_be_neither_missing_nor_of_another_type(version: RoomVersion, key: str) -> None:
    pdu = pdus.pdu(version)
    del pdu[key]
    with pytest.raises(BadEvent):
        parse_pdu(pdu, version)
    for wrong in (None, True, [{}], {"a": [1]} if key != "content" else [], 5 if key == "type" else "5"):
        refused(version, **{key: wrong})


@pytest.mark.parametrize("not_an_object", [None, [], "x", 5])
def test_an_event_is_an_object(not_an_object: Any) -> None:
    with pytest.raises(BadEvent):
        parse_pdu(not_an_object, V11)


@every_version
def test_unsigned_is_dropped_and_what_else_is_unknown_kept(version: RoomVersion) -> None:
    pdu = pdus.pdu(version, unsigned={"age": 0.5, "evil": True}, other=[1])
    event = parse_pdu(pdu, version)
    assert "unsigned" in pdu
    assert "unsigned" not in event.pdu
    assert event.pdu["other"] == [1]
    assert b"unsigned" not in event.canonical


@every_version
def test_a_state_key_is_text_or_absent(version: RoomVersion) -> None:
    assert accepted(version).state_key is None
    assert accepted(version, state_key="").is_state
    for wrong in (None, 5, [], {}):
        refused(version, state_key=wrong)


@pytest.mark.parametrize("sender", ["", "alice", "@alice", "@a\x00:domain", "@alice:", "@" + "a" * 255 + ":domain"])
def test_the_sender_is_a_user_id(sender: str) -> None:
    refused(V11, sender=sender)


def test_historical_senders_are_accepted() -> None:
    assert accepted(V11, sender="@Ä b:domain").origin == "domain"


@pytest.mark.parametrize("room_id", ["", "room", "!", "!a\x00:domain", "!" + "a" * 255])
def test_the_room_id_is_one(room_id: str) -> None:
    refused(V11, room_id=room_id)


@pytest.mark.parametrize("room_id", ["!room:domain", "!" + "a" * 42, "!" + "a" * 42 + "+"])
def test_the_room_id_of_version_12_is_a_hash(room_id: str) -> None:
    refused(V12, room_id=room_id)


def test_the_create_event_of_version_12_has_no_room_id() -> None:
    create: dict[str, Any] = {"type": "m.room.create", "state_key": "", "prev_events": []}
    refused(V12, **create)
    pdu = pdus.pdu(V12, **create)
    del pdu["room_id"]
    event = parse_pdu(pdu, V12)
    assert event.room_id == "!" + event.event_id[1:]
    with pytest.raises(BadEvent):
        parse_pdu(pdu, V11)


def test_auth_events_of_version_12_do_not_contain_the_create_event() -> None:
    create_id = "$" + pdus.room_id(V12)[1:]
    refused(V12, auth_events=["$" + "d" * 43, create_id])
    accepted(V12, auth_events=["$" + "d" * 43])
    accepted(V11, auth_events=[create_id])


@pytest.mark.parametrize("event_id", [None, 5, "", "a:b", "$a", "$a:", "$" + "a" * 255 + ":b"])
@pytest.mark.parametrize("version", [V1, V2], ids=["v1", "v2"])
def test_versions_1_and_2_want_an_event_id_with_a_domain(version: RoomVersion, event_id: Any) -> None:
    refused(version, event_id=event_id)


@every_version
@pytest.mark.parametrize(("key", "most"), [("prev_events", 20), ("auth_events", 10)])
def test_the_number_of_references_is_bounded(version: RoomVersion, key: str, most: int) -> None:
    ids = [f"${number}:domain" for number in range(most + 1)]
    references: list[Any] = list(ids) if version.event_id_is_hash else [[event_id, {"sha256": "x"}] for event_id in ids]
    assert len(getattr(accepted(version, **{key: references[:most]}), key)) == most
    refused(version, **{key: references})


@pytest.mark.parametrize("key", ["prev_events", "auth_events"])
@pytest.mark.parametrize("reference", [None, 5, "", "a", "$", ["$a"], ["$a", {}], {}, "$" + "a" * 255])
def test_references_are_event_ids(key: str, reference: Any) -> None:
    refused(V3, **{key: [reference]})


@pytest.mark.parametrize("key", ["prev_events", "auth_events"])
@pytest.mark.parametrize("reference", [None, "$a:b", [], ["$a:b"], ["$a:b", "x"], [5, {}], ["$a:b", {}, {}], ["a", {}]])
def test_references_of_old_are_pairs(key: str, reference: Any) -> None:
    refused(V1, **{key: [reference]})


@pytest.mark.parametrize(
    ("version", "most"), [(V1, 2**63 - 1), (V5, 2**63 - 1), (V6, 2**53 - 1), (V12, 2**53 - 1)], ids=str
)
def test_depth_and_time_are_bounded_integers(version: RoomVersion, most: int) -> None:
    for depth in (0, most):
        assert accepted(version, depth=depth).depth == depth
    for depth in (-1, most + 1, 1.0, True):
        refused(version, depth=depth)
    for ts in (-most, most):
        assert accepted(version, origin_server_ts=ts).origin_server_ts == ts
    for ts in (-most - 2, most + 1, 1.5):
        refused(version, origin_server_ts=ts)


@every_version
@pytest.mark.parametrize("number", [1.5, 2**53, -(2**53)])
def test_strict_versions_refuse_what_is_not_canonical(version: RoomVersion, number: float) -> None:
    if version.strict_canonical_json:
        refused(version, content={"a": number})
    else:
        assert accepted(version, content={"a": number}).content == {"a": number}


@every_version
def test_nesting_is_bounded(version: RoomVersion) -> None:
    content: dict[str, Any] = {}
    for _ in range(126):
        content = {"a": content}
    accepted(version, content=content)
    refused(version, content={"a": content})


@every_version
def test_the_size_limit_counts_bytes_with_signatures_but_without_unsigned(version: RoomVersion) -> None:
    room = MAX_PDU_BYTES - len(accepted(version, content={"body": ""}).canonical)
    full = {"body": "é" * (room // 2) + "x" * (room % 2)}
    assert len(accepted(version, content=full, unsigned={"a": "x" * 1000}).canonical) == MAX_PDU_BYTES
    with pytest.raises(EventTooLarge):
        accepted(version, content={"body": full["body"] + "x"})


@pytest.mark.parametrize("key", ["type", "state_key"])
def test_type_and_state_key_have_at_most_255_bytes_and_no_nul(key: str) -> None:
    accepted(V11, **{key: "é" * 127 + "x"})
    with pytest.raises(EventTooLarge):
        accepted(V11, **{key: "é" * 128})
    refused(V11, **{key: "a\x00"})


@pytest.mark.parametrize("hashes", [{}, {"sha256": 5}, {"md5": "x"}])
def test_a_content_hash_is_required(hashes: Any) -> None:
    refused(V11, hashes=hashes)


@pytest.mark.parametrize("signatures", [{"a": "x"}, {"a": []}, {"a": {"ed25519:1": 5}}])
def test_signatures_are_text_by_server_and_key(signatures: Any) -> None:
    refused(V11, signatures=signatures)
    accepted(V11, signatures={})


def test_a_redaction_of_old_names_its_event_in_text() -> None:
    assert accepted(V10, type="m.room.redaction", redacts="$a").redacts == "$a"
    assert accepted(V10, type="m.room.redaction").redacts is None
    refused(V10, type="m.room.redaction", redacts=5)
    assert accepted(V11, type="m.room.redaction", redacts=5, content={"redacts": "$a"}).redacts == "$a"
    assert accepted(V11, type="m.room.redaction", content={"redacts": 5}).redacts is None
    assert accepted(V10, redacts="$a").redacts is None


CHANGED = st.sampled_from([*REQUIRED, "state_key", "event_id", "redacts"])
WORDS = st.sampled_from(
    ["a", "membership", "third_party_invite", "join_authorised_via_users_server", "signed", "redacts"]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["m.room.member", "m.room.create", "m.room.redaction", "invite", "join"])
    | st.text("@!$a:\x00\ud800é", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)


@PROPERTY
@given(st.sampled_from(VERSIONS), st.dictionaries(CHANGED, JSON, max_size=3))
def test_whatever_is_sent_is_an_event_or_a_bad_event(version: RoomVersion, changes: dict[str, Any]) -> None:
    try:
        event = parse_pdu(pdus.pdu(version, **changes), version)
    except BadEvent:
        return
    assert event.event_id.startswith("$")
    assert len(event.canonical) <= MAX_PDU_BYTES
    check_content_hash(event.pdu, version)
    redact_event(event)
    client_event(event)
    with suppress(BadSignature):
        verify_event(event.pdu, version, {pdus.SERVER: {pdus.KEY.key_id: pdus.KEY.verify_key}})
