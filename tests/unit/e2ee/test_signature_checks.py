"""Which uploaded signatures are good."""

from typing import Any

import orjson
import pytest

from homeserver.services.e2ee.signature_checks import NewSignature, Outcome, check_uploaded
from matrix.ids import UserId
from matrix.signing import sign_json
from storage.device_keys import PublishedKeys
from tests.unit.e2ee.made_keys import device_key, device_keys, identity, public_of

ALICE, BOB = "@alice:a", "@bob:b"
ALICES, BOBS = identity(ALICE), identity(BOB)
MASTER, BOBS_MASTER = public_of(ALICES.master), public_of(BOBS.master)


def published(user_id: str, *device_ids: str) -> PublishedKeys:
    uploaded = identity(user_id).uploaded()
    return PublishedKeys(
        devices={device_id: orjson.dumps(device_keys(user_id, device_id)) for device_id in device_ids},
        cross_signing={usage: uploaded[f"{usage}_key"] for usage in ("master", "self_signing", "user_signing")},
    )


def outcome_of(uploaded: dict[str, Any], keys: dict[str, PublishedKeys]) -> Outcome:
    return check_uploaded(UserId(ALICE), {UserId(user_id): signed for user_id, signed in uploaded.items()}, keys)


def check(uploaded: dict[str, Any]) -> tuple[list[NewSignature], dict[str, dict[str, str]]]:
    outcome = outcome_of(uploaded, {ALICE: published(ALICE, "A", "A2"), BOB: published(BOB, "B")})
    failures = {
        user_id: {target: error["errcode"] for target, error in errors.items()}
        for user_id, errors in outcome.failures.items()
    }
    return outcome.good, failures


def test_a_device_signed_by_the_self_signing_key_is_good() -> None:
    signed = ALICES.sign("self_signing", device_keys(ALICE, "A"))
    key_id = ALICES.self_signing.key_id
    assert check({ALICE: {"A": signed}}) == (
        [NewSignature(ALICE, "A", key_id, signed["signatures"][ALICE][key_id])],
        {},
    )


def test_what_a_client_adds_as_unsigned_is_not_looked_at() -> None:
    signed = ALICES.sign("self_signing", device_keys(ALICE, "A")) | {"unsigned": {"device_display_name": "x"}}
    assert check({ALICE: {"A": signed}})[1] == {}


@pytest.mark.parametrize("usage", ["master", "user_signing"])
def test_a_device_signed_by_another_key_is_refused(usage: str) -> None:
    signed = ALICES.sign(usage, device_keys(ALICE, "A"))
    assert check({ALICE: {"A": signed}}) == ([], {ALICE: {"A": "M_INVALID_SIGNATURE"}})


def test_a_device_with_other_keys_than_ours_is_refused() -> None:
    signed = ALICES.sign("self_signing", device_keys(ALICE, "A", algorithms=[]))
    assert check({ALICE: {"A": signed}}) == ([], {ALICE: {"A": "M_UNKNOWN"}})


def test_the_signature_of_one_device_does_not_do_for_another() -> None:
    signed = ALICES.sign("self_signing", device_keys(ALICE, "A"))
    stolen = device_keys(ALICE, "A2") | {"signatures": signed["signatures"]}
    assert check({ALICE: {"A2": stolen}}) == ([], {ALICE: {"A2": "M_INVALID_SIGNATURE"}})


def test_the_master_key_may_be_signed_by_several_own_devices() -> None:
    signed = ALICES.public("master")
    for device_id in ("A", "A2"):
        signed = sign_json(signed, ALICE, device_key(ALICE, device_id))
    good, failures = check({ALICE: {MASTER: signed}})
    assert [new.signer_key_id for new in good] == ["ed25519:A", "ed25519:A2"]
    assert failures == {}


def test_the_master_key_signed_by_an_unknown_device_is_refused() -> None:
    signed = sign_json(ALICES.public("master"), ALICE, device_key(ALICE, "A3"))
    assert check({ALICE: {MASTER: signed}}) == ([], {ALICE: {MASTER: "M_INVALID_SIGNATURE"}})


def test_another_users_master_key_may_be_signed_by_the_user_signing_key() -> None:
    good, failures = check({BOB: {BOBS_MASTER: ALICES.sign("user_signing", BOBS.public("master"))}})
    assert [(new.target_user_id, new.target) for new in good] == [(BOB, BOBS_MASTER)]
    assert failures == {}


@pytest.mark.parametrize("usage", ["master", "self_signing"])
def test_another_users_master_key_signed_by_any_other_key_is_refused(usage: str) -> None:
    signed = ALICES.sign(usage, BOBS.public("master"))
    assert check({BOB: {BOBS_MASTER: signed}}) == ([], {BOB: {BOBS_MASTER: "M_INVALID_SIGNATURE"}})


def test_another_users_devices_and_other_keys_cannot_be_signed() -> None:
    for target, key in (
        ("B", device_keys(BOB, "B")),
        (public_of(BOBS.self_signing), BOBS.uploaded()["self_signing_key"]),
    ):
        assert check({BOB: {target: ALICES.sign("user_signing", key)}}) == ([], {BOB: {target: "M_NOT_FOUND"}})


def test_a_signature_that_is_there_already_is_neither_new_nor_a_failure() -> None:
    signed = ALICES.sign("user_signing", BOBS.public("master"))
    own = published(ALICE)
    own.signed[BOB] = {BOBS_MASTER: signed["signatures"][ALICE]}
    outcome = outcome_of({BOB: {BOBS_MASTER: signed}}, {ALICE: own, BOB: published(BOB)})
    assert (outcome.good, outcome.failures) == ([], {})


@pytest.mark.parametrize(
    "signatures",
    [None, [], {}, {ALICE: []}, {ALICE: {}}, {ALICE: {"ed25519:A": 1}}, {ALICE: {"ed25519:A": "x" * 300}},
     {ALICE: {"x" * 300: "x"}}, {ALICE: {"ed25519:\x00": "x"}}, {ALICE: {"ed25519:A": "%"}}, {BOB: {"ed25519:B": "x"}}],
)  # fmt: skip
def test_whatever_stands_for_signatures_is_refused_cleanly(signatures: object) -> None:
    for target, key in (("A", device_keys(ALICE, "A")), (MASTER, ALICES.public("master"))):
        assert check({ALICE: {target: {**key, "signatures": signatures}}})[1] == {
            ALICE: {target: "M_INVALID_SIGNATURE"}
        }


def test_without_cross_signing_keys_nothing_can_be_signed() -> None:
    signed = ALICES.sign("self_signing", device_keys(ALICE, "A"))
    outcome = outcome_of({ALICE: {"A": signed}}, {ALICE: PublishedKeys()})
    assert outcome.failures[ALICE]["A"]["errcode"] == "M_NOT_FOUND"


def test_a_broken_key_of_another_server_is_as_good_as_none() -> None:
    signed = ALICES.sign("user_signing", BOBS.public("master"))
    for master in ([], "x", {"keys": 1}, {**BOBS.public("master"), "user_id": ALICE}):
        theirs = PublishedKeys(cross_signing={"master": master})  # type: ignore[dict-item]
        outcome = outcome_of({BOB: {BOBS_MASTER: signed}}, {ALICE: published(ALICE), BOB: theirs})
        assert outcome.failures[BOB][BOBS_MASTER]["errcode"] == "M_NOT_FOUND"
