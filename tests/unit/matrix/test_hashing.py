"""Hashes and event ids, with plain json and hashlib as the oracle."""

import base64
import hashlib
import json

import pytest

from matrix import canonical_json, unpadded_base64
from matrix.errors import BadEvent
from matrix.event_format import parse_pdu
from matrix.hashing import (
    add_content_hash,
    check_content_hash,
    content_hash,
    event_id_of,
    reference_hash,
)
from matrix.redaction import redact
from matrix.room_versions import ROOM_VERSIONS, V1, V3, V4, V6, V11, RoomVersion
from tests.unit.matrix import pdus
from tests.unit.matrix.pdus import VERSIONS

# The minimal event of the specification's appendices, hashed; neither hash nor id covers the signature.
MINIMAL = {
    "auth_events": [], "content": {}, "depth": 3, "hashes": {"sha256": "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos"},
    "origin": "domain", "origin_server_ts": 1000000, "prev_events": [], "room_id": "!x:domain", "sender": "@a:domain",
    "signatures": {"domain": {"ed25519:1": "KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbO"}},
    "type": "X", "unsigned": {"age_ts": 1000000},
}  # fmt: skip


def oracle(value: object) -> bytes:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).digest()


@pytest.mark.parametrize(
    ("versions", "event_id"),
    [
        (["3", "4", "5", "6", "7", "8", "9", "10"], "$8yif6p8EqgoSten2BLje9ntKm720NyFLWQv9tn8memc"),
        (["11"], "$70O_oKlXzFbkfu0KE88USi98DjSWrOELrPj-8tisl8I"),
    ],
)
def test_the_id_of_the_minimal_event_of_the_specification(versions: list[str], event_id: str) -> None:
    for version in versions:
        assert event_id_of(MINIMAL, ROOM_VERSIONS[version]) == event_id
        assert parse_pdu(MINIMAL, ROOM_VERSIONS[version]).event_id == event_id


def test_version_3_writes_the_hash_in_plain_base64_and_version_4_in_the_url_safe_one() -> None:
    pdu = next(pdu for pdu in ({**MINIMAL, "depth": depth} for depth in range(1000)) if "/" in event_id_of(pdu, V3))
    assert event_id_of(pdu, V4) == event_id_of(pdu, V3).replace("/", "_").replace("+", "-")
    assert len(event_id_of(pdu, V3)) == 44


def test_versions_1_and_2_read_the_id_from_the_event() -> None:
    assert event_id_of({**MINIMAL, "event_id": "$0:domain"}, V1) == "$0:domain"


def test_the_content_hash_of_the_specification() -> None:
    assert unpadded_base64.encode(content_hash(MINIMAL, V1)) == MINIMAL["hashes"]["sha256"]
    assert check_content_hash(MINIMAL, V1)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: f"v{version.id}")
def test_hashes_agree_with_the_oracle(version: RoomVersion) -> None:
    pdu = pdus.pdu(version, unsigned={"age": 1}, other="kept by no redaction")
    bare = {key: value for key, value in pdu.items() if key not in ("hashes", "signatures", "unsigned")}
    essential = {key: value for key, value in redact(pdu, version).items() if key != "signatures"}
    assert content_hash(pdu, version) == oracle(bare)
    assert reference_hash(pdu, version) == oracle(essential)
    if version.event_id_format == "url_safe_hash":
        assert event_id_of(pdu, version) == "$" + base64.urlsafe_b64encode(oracle(essential)).decode().rstrip("=")


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: f"v{version.id}")
def test_the_id_survives_redaction_and_further_signatures(version: RoomVersion) -> None:
    pdu = pdus.pdu(version)
    event_id = event_id_of(pdu, version)
    assert event_id_of(redact(pdu, version), version) == event_id
    assert event_id_of({**pdu, "signatures": {}, "unsigned": {"a": 1}}, version) == event_id


def test_the_content_hash_covers_what_a_redaction_removes() -> None:
    pdu = pdus.pdu(V11)
    assert check_content_hash(pdu, V11)
    assert not check_content_hash({**pdu, "content": {"body": "changed"}}, V11)
    assert not check_content_hash(redact(pdu, V11), V11)


def test_floats_of_old_room_versions_are_hashed_as_canonicaljson_writes_them() -> None:
    pdu = {**MINIMAL, "content": {"a": 1e-7, "b": 1e22, "c": 0.5}}
    assert b'{"a":1e-07,"b":1e+22,"c":0.5}' in canonical_json.encode(pdu)
    assert parse_pdu(add_content_hash(pdu, V4), V4).content == pdu["content"]
    with pytest.raises(BadEvent):
        parse_pdu(pdu, V6)


@pytest.mark.parametrize("hashes", [None, {}, [], {"sha256": 1}, {"sha256": "é"}, {"sha256": "A"}, {"sha256": ""}])
def test_a_malformed_hash_is_a_wrong_hash(hashes: object) -> None:
    assert not check_content_hash({**MINIMAL, "hashes": hashes}, V11)


def test_adding_the_hash_changes_only_the_copy() -> None:
    pdu = {**MINIMAL, "hashes": {"other": "x"}}
    assert add_content_hash(pdu, V1)["hashes"] == {"other": "x", **MINIMAL["hashes"]}
    assert pdu["hashes"] == {"other": "x"}


@pytest.mark.parametrize(
    ("data", "text"), [(b"", ""), (b"f", "Zg"), (b"fo", "Zm8"), (b"foo", "Zm9v"), (b"foobar", "Zm9vYmFy")]
)
def test_base64_without_padding(data: bytes, text: str) -> None:
    assert unpadded_base64.encode(data) == text
    assert unpadded_base64.decode(text) == data
    assert unpadded_base64.decode(base64.b64encode(data).decode()) == data


def test_base64_of_either_alphabet_is_read() -> None:
    assert unpadded_base64.decode("-_-_") == unpadded_base64.decode("+/+/") == b"\xfb\xff\xbf"
    assert unpadded_base64.encode_url_safe(b"\xfb\xff\xbf") == "-_-_"
    for text in ("A", "é", "AAAAA"):
        with pytest.raises(ValueError, match="not base64"):
            unpadded_base64.decode(text)
