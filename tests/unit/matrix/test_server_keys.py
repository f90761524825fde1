"""What servers publish of their keys: read with suspicion. Source: server-server API, "Retrieving server keys"."""

from typing import Any

import pytest

from matrix import signing
from matrix.errors import BadSignature
from matrix.ids import ServerName
from matrix.server_keys import (
    LONGEST_VALID_MS,
    MAX_KEYS,
    KnownKey,
    OldKey,
    check_notary_signature,
    publish,
    read_key_answer,
)
from matrix.signing import SigningKey

NAME, NOTARY = ServerName("hs.test"), ServerName("notary.test")
KEY, OTHER, OLD = (SigningKey.from_seed(name, name.encode() * 32) for name in "abc")
NOW_MS = 1_700_000_000_000
UNTIL_MS = NOW_MS + 3_600_000


def published(**changes: Any) -> dict[str, Any]:
    """An answer with members replaced, and signed again."""
    answer = publish(NAME, [KEY], {OLD.key_id: OldKey(OLD.verify_key, 5)}, UNTIL_MS)
    answer = {name: value for name, value in {**answer, **changes}.items() if name != "signatures"}
    return signing.sign_json(answer, "hs.test", KEY)


def test_keys_in_use_and_old_ones_are_read() -> None:
    answer = read_key_answer(published(), NOW_MS, NAME)
    assert answer.server_name == NAME
    assert answer.keys == {
        "ed25519:a": KnownKey(KEY.verify_key, UNTIL_MS),
        "ed25519:c": KnownKey(OLD.verify_key, 5, is_old=True),
    }


def test_several_keys_may_be_in_use() -> None:
    answer = read_key_answer(publish(NAME, [KEY, OTHER], {}, UNTIL_MS), NOW_MS)
    assert set(answer.keys) == {"ed25519:a", "ed25519:b"}


def test_no_answer_counts_for_more_than_seven_days() -> None:
    answer = read_key_answer(published(valid_until_ts=2**53 - 1), NOW_MS)
    assert answer.keys["ed25519:a"].valid_until_ms == NOW_MS + LONGEST_VALID_MS


def test_keys_of_other_kinds_are_passed_over() -> None:
    keys = {**published()["verify_keys"], "rsa:1": {"key": "?"}, "ed25519:-": 5}
    assert set(read_key_answer(published(verify_keys=keys), NOW_MS).keys) == {"ed25519:a", "ed25519:c"}


@pytest.mark.parametrize(
    "changes",
    [
        {"server_name": "other.test"},
        {"server_name": None},
        {"valid_until_ts": "soon"},
        {"valid_until_ts": -1},
        {"valid_until_ts": True},
        {"valid_until_ts": 2**60},
        {"verify_keys": {}},
        {"verify_keys": []},
        {"verify_keys": {"ed25519:a": {}}},
        {"verify_keys": {"ed25519:a": {"key": "AAAA"}}},
        {"verify_keys": {"ed25519:a": {"key": 5}}},
        {"verify_keys": {"ed25519:b": {"key": "l7PPtoI1+wzpM8OT6ktYyOeVqX4hAmDSN2JjWEvdGHM"}}},
        {"old_verify_keys": {"ed25519:c": {"key": "l7PPtoI1+wzpM8OT6ktYyOeVqX4hAmDSN2JjWEvdGHM"}}},
        {"old_verify_keys": {f"ed25519:{n}": {"key": "", "expired_ts": 1} for n in range(MAX_KEYS + 1)}},
    ],
)
def test_what_is_malformed_or_of_another_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadSignature):
        read_key_answer(published(**changes), NOW_MS, NAME)


def test_an_answer_that_was_changed_is_refused() -> None:
    with pytest.raises(BadSignature):
        read_key_answer({**published(), "valid_until_ts": UNTIL_MS + 1}, NOW_MS)


def test_an_old_key_cannot_vouch_for_the_keys() -> None:
    answer = {name: value for name, value in published().items() if name != "signatures"}
    with pytest.raises(BadSignature, match="has not signed"):
        read_key_answer(signing.sign_json(answer, "hs.test", OLD), NOW_MS)


def test_every_signature_by_a_key_in_use_must_verify() -> None:
    answer = publish(NAME, [KEY, OTHER], {}, UNTIL_MS)
    answer["signatures"]["hs.test"]["ed25519:b"] = answer["signatures"]["hs.test"]["ed25519:a"]
    with pytest.raises(BadSignature):
        read_key_answer(answer, NOW_MS)


@pytest.mark.parametrize("value", [None, [], "x", 5, {}])
def test_what_is_no_answer_is_refused(value: Any) -> None:
    with pytest.raises(BadSignature):
        read_key_answer(value, NOW_MS)


def test_a_notary_signs_what_it_tells() -> None:
    told = signing.sign_json(published(), "notary.test", OTHER)
    check_notary_signature(told, NOTARY, {OTHER.key_id: OTHER.verify_key})
    with pytest.raises(BadSignature):
        check_notary_signature(published(), NOTARY, {OTHER.key_id: OTHER.verify_key})
    with pytest.raises(BadSignature):
        check_notary_signature(told, NOTARY, {OTHER.key_id: KEY.verify_key})
