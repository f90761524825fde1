"""Signatures: the specification's test vectors, and signedjson as the oracle."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import signedjson.key
import signedjson.sign
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import VerifyKey

from matrix import unpadded_base64
from matrix.errors import BadSignature
from matrix.events import Json
from matrix.hashing import add_content_hash
from matrix.ids import ServerName
from matrix.redaction import redact
from matrix.room_versions import V1, V2, V3, V7, V8, V11, RoomVersion
from matrix.signing import (
    SigningKey,
    key_ids_of,
    read_signing_keys,
    servers_that_must_sign,
    sign_event,
    sign_json,
    verify_event,
    verify_json,
    verify_key_from_base64,
)
from tests.unit.matrix import pdus
from tests.unit.matrix.pdus import KEY, PROPERTY, SERVER, VERSIONS

VECTORS = json.loads((Path(__file__).parent / "fixtures" / "signing_vectors.json").read_text())
KEYS = {SERVER: {KEY.key_id: KEY.verify_key}}
OTHER = SigningKey.from_seed("2", b"\x02" * 32)
REFERENCE_KEY = signedjson.key.decode_signing_key_base64("ed25519", "1", VECTORS["seed"])

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON_OBJECTS = st.dictionaries(
    TEXT.filter(lambda key: key != "signatures"),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT,
        lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
        max_leaves=6,
    ),
)


@pytest.mark.parametrize("vector", VECTORS["json"])
def test_json_signing_vectors_of_the_specification(vector: Json) -> None:
    signed = sign_json(vector["unsigned"], SERVER, KEY)
    assert signed == {**vector["unsigned"], "signatures": {"domain": {"ed25519:1": vector["signature"]}}}
    verify_json(signed, SERVER, "ed25519:1", KEY.verify_key)


@pytest.mark.parametrize("vector", VECTORS["events"])
def test_event_signing_vectors_of_the_specification(vector: Json) -> None:
    signed = sign_event(add_content_hash(vector["pdu"], V1), SERVER, KEY, V1)
    assert signed == {
        **vector["pdu"],
        "hashes": {"sha256": vector["sha256"]},
        "signatures": {"domain": {"ed25519:1": vector["signature"]}},
    }


@PROPERTY
@given(JSON_OBJECTS)
def test_signatures_are_those_of_signedjson(obj: Json) -> None:
    signed = sign_json(obj, "example.org", KEY)
    assert signed["signatures"] == signedjson.sign.sign_json(dict(obj), "example.org", REFERENCE_KEY)["signatures"]
    signedjson.sign.verify_signed_json(dict(signed), "example.org", signedjson.key.get_verify_key(REFERENCE_KEY))
    verify_json(signed, "example.org", "ed25519:1", KEY.verify_key)


def test_signing_keeps_unsigned_and_the_signatures_of_others_and_changes_only_the_copy() -> None:
    obj = {"a": 1, "unsigned": {"age": 5}, "signatures": {"other": {"ed25519:x": "y"}, "domain": {"ed25519:0": "z"}}}
    before = json.dumps(obj)
    signed = sign_json(obj, SERVER, KEY)
    assert json.dumps(obj) == before
    assert signed["unsigned"] == {"age": 5}
    assert signed["signatures"]["other"] == {"ed25519:x": "y"}
    assert set(signed["signatures"]["domain"]) == {"ed25519:0", "ed25519:1"}
    verify_json({**signed, "unsigned": {}}, SERVER, "ed25519:1", KEY.verify_key)


def test_a_changed_object_does_not_verify() -> None:
    signed = sign_json({"a": 1}, SERVER, KEY)
    for changed in ({**signed, "a": 2}, {**signed, "b": 1}, {"signatures": signed["signatures"]}):
        with pytest.raises(BadSignature):
            verify_json(changed, SERVER, "ed25519:1", KEY.verify_key)


def test_another_key_does_not_verify() -> None:
    with pytest.raises(BadSignature):
        verify_json(sign_json({}, SERVER, KEY), SERVER, "ed25519:1", OTHER.verify_key)


@pytest.mark.parametrize(
    "signatures",
    [
        None,
        [],
        "x",
        {},
        {"domain": None},
        {"domain": []},
        {"domain": {}},
        {"domain": {"ed25519:1": None}},
        {"domain": {"ed25519:1": 5}},
        {"domain": {"ed25519:1": ""}},
        {"domain": {"ed25519:1": "é"}},
        {"domain": {"ed25519:1": "A"}},
        {"domain": {"ed25519:1": "A" * 86}},
        {"domain": {"ed25519:1": "A" * 10_000}},
    ],
)
def test_a_malformed_signature_is_a_bad_signature(signatures: Any) -> None:
    with pytest.raises(BadSignature):
        verify_json({"signatures": signatures}, SERVER, "ed25519:1", KEY.verify_key)
    with pytest.raises(BadSignature):
        verify_event(pdus.pdu(V11, signatures=signatures), V11, KEYS)


def test_an_object_that_has_no_canonical_json_is_a_bad_signature() -> None:
    with pytest.raises(BadSignature):
        verify_json({"a": float("nan"), "signatures": {}}, SERVER, "ed25519:1", KEY.verify_key)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: f"v{version.id}")
def test_an_event_verifies_whole_and_redacted_but_not_changed(version: RoomVersion) -> None:
    pdu = pdus.pdu(version)
    verify_event(pdu, version, KEYS)
    verify_event({**pdu, "content": {"body": "only the hash covers this"}, "unsigned": {}}, version, KEYS)
    verify_event(redact(pdu, version), version, KEYS)
    with pytest.raises(BadSignature):
        verify_event({**pdu, "depth": 4}, version, KEYS)


def test_a_server_without_a_known_key_has_not_signed() -> None:
    pdu = pdus.pdu(V11)
    for keys in ({}, {SERVER: {}}, {SERVER: {"ed25519:other": KEY.verify_key}}, {ServerName("other"): KEYS[SERVER]}):
        with pytest.raises(BadSignature):
            verify_event(pdu, V11, keys)


def test_signatures_by_unknown_keys_and_algorithms_are_passed_over() -> None:
    pdu = pdus.pdu(V11)
    pdu["signatures"]["domain"] |= {"ed25519:unknown": "junk", "rsa:1": "junk"}
    assert key_ids_of(pdu, SERVER) == ["ed25519:1", "ed25519:unknown"]
    verify_event(pdu, V11, KEYS)


def test_every_signature_by_a_known_key_must_verify() -> None:
    keys = {SERVER: {KEY.key_id: KEY.verify_key, OTHER.key_id: OTHER.verify_key}}
    both = sign_event(pdus.pdu(V11), SERVER, OTHER, V11)
    verify_event(both, V11, keys)
    both["signatures"]["domain"]["ed25519:2"] = both["signatures"]["domain"]["ed25519:1"]
    with pytest.raises(BadSignature):
        verify_event(both, V11, keys)


def member(version: RoomVersion, membership: str, **content: Any) -> Json:
    return pdus.pdu(version, type="m.room.member", content={"membership": membership, **content})


def test_the_server_of_the_event_id_signs_in_versions_1_and_2_only() -> None:
    for version in (V1, V2):
        assert servers_that_must_sign(pdus.pdu(version, event_id="$a:elsewhere:80"), version) == [
            "domain",
            "elsewhere:80",
        ]
        assert servers_that_must_sign(pdus.pdu(version, event_id="$a:domain"), version) == ["domain"]
    assert servers_that_must_sign(pdus.pdu(V3, event_id="$a:elsewhere"), V3) == ["domain"]


def test_a_third_party_invite_needs_no_signature_of_the_senders_server() -> None:
    assert servers_that_must_sign(member(V3, "invite", third_party_invite={}), V3) == []
    assert servers_that_must_sign(member(V1, "invite", third_party_invite={}), V1) == ["domain"]
    assert servers_that_must_sign(member(V3, "invite"), V3) == ["domain"]
    assert servers_that_must_sign(member(V3, "join", third_party_invite={}), V3) == ["domain"]


def test_a_restricted_join_is_signed_by_the_authorising_users_server_from_version_8_on() -> None:
    join = member(V8, "join", join_authorised_via_users_server="@bob:resident:8448")
    assert servers_that_must_sign(join, V8) == ["domain", "resident:8448"]
    assert servers_that_must_sign(join, V7) == ["domain"]
    leave = member(V8, "leave", join_authorised_via_users_server="@bob:resident")
    assert servers_that_must_sign(leave, V8) == ["domain"]


@pytest.mark.parametrize("authoriser", [None, 5, [], "bob", "@bob", "@bob:"])
def test_an_authorising_user_that_is_none_is_a_bad_signature(authoriser: Any) -> None:
    with pytest.raises(BadSignature):
        servers_that_must_sign(member(V8, "join", join_authorised_via_users_server=authoriser), V8)


def test_a_restricted_join_needs_both_signatures() -> None:
    content = {"membership": "join", "join_authorised_via_users_server": "@bob:resident"}
    join = pdus.event(V11, type="m.room.member", state_key=pdus.ALICE, content=content).pdu
    keys = {**KEYS, ServerName("resident"): {OTHER.key_id: OTHER.verify_key}}
    with pytest.raises(BadSignature):
        verify_event(join, V11, keys)
    verify_event(sign_event(join, "resident", OTHER, V11), V11, keys)


def test_keys_are_read_and_written_as_synapse_does() -> None:
    line = "ed25519 a_ABCD AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n"
    keys = read_signing_keys(line + "\n" + OTHER.line())
    assert [key.key_id for key in keys] == ["ed25519:a_ABCD", "ed25519:2"]
    assert keys[0].line() == line
    assert keys[1] == OTHER
    reference = signedjson.key.read_signing_keys([line])[0]
    assert bytes(keys[0].verify_key) == bytes(signedjson.key.get_verify_key(reference))
    written = StringIO()
    signedjson.key.write_signing_keys(written, [reference])
    assert written.getvalue() == line


@pytest.mark.parametrize(
    "text", ["ed25519 a", "rsa a AAAA", "ed25519 a AAAA", "ed25519 a-b " + "A" * 43, "ed25519 a é", "a b c d"]
)
def test_a_bad_key_file_is_refused_without_repeating_the_secret(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_signing_keys(text)
    assert text not in str(caught.value)


def test_a_key_does_not_show_its_secret() -> None:
    assert repr(KEY) == "SigningKey(key_id='ed25519:1')"


def test_public_keys_are_read_from_base64() -> None:
    text = unpadded_base64.encode(bytes(KEY.verify_key))
    assert verify_key_from_base64(text) == verify_key_from_base64(text + "=") == VerifyKey(bytes(KEY.verify_key))
    for bad in ("", "AAAA", "é", text + "AAAA"):
        with pytest.raises(BadSignature):
            verify_key_from_base64(bad)
