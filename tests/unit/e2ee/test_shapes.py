"""The shapes of keys and queries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.services.e2ee import shapes
from homeserver.services.e2ee.backups import read_rooms
from homeserver.services.e2ee.to_device import read_messages
from matrix.errors import MatrixError
from matrix.ids import UserId
from tests.unit.e2ee.made_keys import device_keys, identity, one_time_keys

ALICE = "@alice:a"
# What the parser of requests gives: a number beyond 64 bits comes as a float.
INTEGERS = st.integers(-(2**63), 2**64 - 1)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([ALICE, "keys", "signatures", "user_id", "usage", "device_id", "a:b", "sessions", "x\x00"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def test_keys_of_both_forms_are_read() -> None:
    raw = {**one_time_keys(ALICE, "A", "1"), "curve25519:2": "bare"}
    read = shapes.read_new_keys(raw, "one_time_keys")
    assert [(key.algorithm, key.key_id) for key in read] == [("signed_curve25519", "1"), ("curve25519", "2")]
    assert read[1].value == "bare"


def test_too_many_users_or_keys_at_once_are_refused() -> None:
    users = {f"@u{n}:a": [] for n in range(shapes.MAX_USERS + 1)}
    devices = {ALICE: {f"D{n}": "signed_curve25519" for n in range(shapes.MAX_CLAIMS + 1)}}
    with pytest.raises(MatrixError, match="M_INVALID_PARAM"):
        shapes.read_query(users)
    with pytest.raises(MatrixError, match="M_INVALID_PARAM"):
        shapes.read_claim(devices)


def test_a_key_is_the_same_with_other_signatures_but_not_with_another_content() -> None:
    key = {"key": "x", "signatures": {"a": {}}}
    assert shapes.is_same_key(key, {"key": "x"})
    assert not shapes.is_same_key(key, {"key": "y", "signatures": {"a": {}}})
    assert not shapes.is_same_key(key, "x")
    assert shapes.is_same_key("x", "x")


def test_a_cross_signing_key_is_read_for_its_usage_only() -> None:
    master = identity(ALICE).public("master")
    assert shapes.read_cross_signing_key(master, ALICE, "master").key_id == next(iter(master["keys"]))
    with pytest.raises(MatrixError, match="M_INVALID_PARAM"):
        shapes.read_cross_signing_key(master, ALICE, "self_signing")


@given(ANY_JSON)
def test_whatever_json_comes_it_is_read_or_refused(raw: object) -> None:
    readers = (
        lambda: shapes.read_device_keys(raw, ALICE, "A"),
        lambda: shapes.read_device_keys({**device_keys(ALICE, "A"), "keys": raw}, ALICE, "A"),
        lambda: shapes.read_device_keys({**device_keys(ALICE, "A"), "signatures": raw}, ALICE, "A"),
        lambda: shapes.read_new_keys(raw, "one_time_keys"),
        lambda: shapes.read_new_keys({"a:b": raw}, "one_time_keys"),
        lambda: shapes.read_query(raw),
        lambda: shapes.read_claim(raw),
        lambda: shapes.read_cross_signing_key(raw, ALICE, "master"),
        lambda: shapes.read_cross_signing_key({**identity(ALICE).public("master"), "keys": raw}, ALICE, "master"),
        lambda: read_rooms(raw),
        lambda: read_rooms({"!r:a": {"sessions": {"s": raw}}}),
        lambda: read_messages(raw),
        lambda: read_messages({UserId(ALICE): raw}),
    )
    for read in readers:
        try:
            read()
        except MatrixError as error:
            assert error.status in (400, 413)
