"""Canonical JSON, with the canonicaljson package as the oracle."""

import tracemalloc
from typing import Any

import pytest
from canonicaljson import encode_canonical_json
from hypothesis import example, given
from hypothesis import strategies as st

from matrix import canonical_json
from matrix.errors import NotCanonical
from matrix.ids import UserId
from tests.unit.matrix.pdus import PROPERTY

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
STRICT_INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)
SCALARS = st.none() | st.booleans() | TEXT | STRICT_INTEGERS
ANY_SCALARS = SCALARS | st.integers() | st.floats(allow_nan=False, allow_infinity=False)


def nested(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=12)


def deep(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, "{}"),
        ({"one": 1, "two": "Two"}, '{"one":1,"two":"Two"}'),
        ({"b": "2", "a": "1"}, '{"a":"1","b":"2"}'),
        (
            {"auth": {"success": True, "mxid": "@a:b", "profile": {"three_pids": [{"medium": "x", "address": "y"}]}}},
            '{"auth":{"mxid":"@a:b","profile":{"three_pids":[{"address":"y","medium":"x"}]},"success":true}}',
        ),
        ({"a": "日本語"}, '{"a":"日本語"}'),
        ({"本": 2, "日": 1}, '{"日":1,"本":2}'),
        ({"a": "\u65e5"}, '{"a":"日"}'),
        ({"a": None}, '{"a":null}'),
    ],
)
def test_the_examples_of_the_specification(value: Any, expected: str) -> None:
    assert canonical_json.encode(value) == expected.encode()
    assert canonical_json.encode_checked(value) == expected.encode()


def test_minus_zero_from_outside_is_zero() -> None:
    assert canonical_json.encode(canonical_json.decode(b'{"a": -0}')) == b'{"a":0}'


@PROPERTY
@given(nested(ANY_SCALARS))
@example([1e16, 1e22, 1e-7, 0.1, -0.0, 5e-324, 1.7976931348623157e308])
@example({"a": 2**64, "b": -(2**63) - 1, "c": 10**4000})
@example({"\U0001f600": 1, "\uffff": 2, "\x7f\u2028": '\x00\x1f\b\f/<>&\\"'})
@example(1.5)
@example("[1.5,")
def test_the_bytes_are_those_of_canonicaljson(value: Any) -> None:
    assert canonical_json.encode(value) == encode_canonical_json(value)


@PROPERTY
@given(nested(SCALARS))
def test_what_is_strictly_canonical_passes_and_encodes_alike_every_way(value: Any) -> None:
    expected = encode_canonical_json(value)
    assert canonical_json.encode_checked(value, strict=True) == expected
    assert canonical_json.encode_checked(value, strict=False) == expected
    assert canonical_json.encode_known(value) == expected


@PROPERTY
@given(nested(ANY_SCALARS))
def test_the_strict_check_finds_every_number_that_is_not_a_safe_integer(value: Any) -> None:
    if _has_unsafe_number(value):
        with pytest.raises(NotCanonical):
            canonical_json.check(value, strict=True)
    else:
        canonical_json.check(value, strict=True)


def _has_unsafe_number(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_unsafe_number, value.values()))
    if isinstance(value, list):
        return any(map(_has_unsafe_number, value))
    return isinstance(value, float) or (isinstance(value, int) and abs(value) >= 2**53)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        {"a": float("inf")},
        [-float("inf")],
        {1: 2},
        {"a": {None: 1}},
        {"a": "\ud800"},
        {"\udfff": 1},
        {"a": b"bytes"},
        {"a": {1, 2}},
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_what_json_cannot_hold_is_refused(value: Any, strict: bool) -> None:
    with pytest.raises(NotCanonical):
        canonical_json.check(value, strict=strict)
    with pytest.raises(NotCanonical):
        canonical_json.encode(value)


@pytest.mark.parametrize("value", [{"a": 1.0}, {"a": 2**53}, {"a": -(2**53)}, [[-0.0]], 1e100])
def test_only_strict_room_versions_refuse_floats_and_unsafe_integers(value: Any) -> None:
    canonical_json.check(value, strict=False)
    with pytest.raises(NotCanonical):
        canonical_json.check(value, strict=True)


@pytest.mark.parametrize("value", [2**53 - 1, -(2**53) + 1, True, 0])
def test_the_strict_range_includes_its_ends(value: int) -> None:
    canonical_json.check({"a": value}, strict=True)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1])
def test_integers_beyond_64_bits_are_refused_in_every_room_version(value: int) -> None:
    with pytest.raises(NotCanonical):
        canonical_json.check({"a": value}, strict=False)


def test_user_ids_may_be_keys() -> None:
    value = {"users": {UserId("@b:x"): 1, UserId("@a:x"): 2}}
    expected = b'{"users":{"@a:x":2,"@b:x":1}}'
    assert canonical_json.encode(value) == expected
    assert canonical_json.encode_checked(value) == expected
    assert canonical_json.encode_known(value) == expected


@pytest.mark.parametrize("strict", [True, False])
def test_depth_is_bounded_exactly(strict: bool) -> None:
    canonical_json.check(deep(10), strict=strict, max_depth=10)
    with pytest.raises(NotCanonical):
        canonical_json.check(deep(11), strict=strict, max_depth=10)


def test_many_brackets_side_by_side_are_not_deep() -> None:
    canonical_json.check([[]] * 1000, max_depth=2)
    assert canonical_json.decode(b"[" + b"[]," * 999 + b"[]]", max_depth=2) == [[]] * 1000


@pytest.mark.parametrize("levels", [300, 2_000, 100_000])
def test_a_value_far_too_deep_is_refused_without_recursion(levels: int) -> None:
    value = deep(levels)
    with pytest.raises(NotCanonical):
        canonical_json.check(value)
    with pytest.raises(NotCanonical):
        canonical_json.encode(value)
    while isinstance(value, dict | list):  # Python itself would free so deep a value by recursion
        value = value["a"] if isinstance(value, dict) else value[0]


def test_decoding_bounds_depth_exactly() -> None:
    assert canonical_json.decode(b"[" * 5 + b"1" + b"]" * 5, max_depth=5) == [[[[[1]]]]]
    with pytest.raises(NotCanonical):
        canonical_json.decode(b"[" * 6 + b"]" * 6, max_depth=5)


@pytest.mark.parametrize("levels", [161, 1_000, 1_000_000])
def test_a_depth_bomb_is_refused(levels: int) -> None:
    with pytest.raises(NotCanonical):
        canonical_json.decode(b"[" * levels + b"]" * levels)


def test_what_decode_takes_can_be_sent_on_wrapped() -> None:
    value = canonical_json.decode(b"[" * 160 + b"]" * 160)
    assert canonical_json.encode({"a": [{"b": value}]}).count(b"[") == 161


@pytest.mark.parametrize(
    "number",
    ["18446744073709551616", "-9223372036854775809", "1" + "0" * 30, "-" + "9" * 20, "9" * 100_000],
)
@pytest.mark.parametrize("around", ["{}", "[{}]", '{{"a":{}}}', '["12345678901234567890\\"",{},0.5]'])
def test_integers_that_would_become_floats_are_refused(number: str, around: str) -> None:
    with pytest.raises(NotCanonical):
        canonical_json.decode(around.format(number).encode())


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"18446744073709551615", 2**64 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b'"99999999999999999999999999"', "99999999999999999999999999"),
        (b'{"99999999999999999999999999":"\\"99999999999999999999999999"}', {"9" * 26: '"' + "9" * 26}),
        (b"0.12345678901234567890123", 0.12345678901234568),
        (b"12345678901234567890.5", 12345678901234567890.5),
        (b"1e20", 1e20),
        (b'{"a":1,"a":2}', {"a": 2}),
    ],
)
def test_long_digits_that_are_no_integers_pass(data: bytes, value: Any) -> None:
    assert canonical_json.decode(data) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"NaN",
        b"[Infinity]",
        b"1e999",
        b'"\\ud800"',
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        b"[1,]",
        b"{'a':1}",
        b"01",
    ],
)
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(NotCanonical):
        canonical_json.decode(data)


@PROPERTY
@given(nested(SCALARS))
def test_encoding_and_decoding_give_the_value_again(value: Any) -> None:
    assert canonical_json.decode(canonical_json.encode(value)) == value


@pytest.mark.parametrize(
    "text", ["@a:127.0.0.1:8448", ",1.5", "[null", '":1.5', "\\", '\\":12345678901234567', "é:-1e9"]
)
def test_a_text_that_looks_like_a_number_is_a_text(text: str) -> None:
    for value in ({text: 1}, {"a": [text, 2], "b": "x"}, [text]):
        assert canonical_json.encode(value) == encode_canonical_json(value)
        assert canonical_json.encode_checked(value) == encode_canonical_json(value)


@pytest.mark.parametrize("number", [1.5, 1e30, 2**53, -(2**53), 10**15 + 0.5])
def test_a_number_is_found_beside_texts_that_look_like_one(number: float) -> None:
    for value in ({"@a:127.0.0.1": number}, {"a": ["\\", number, ":1.5"]}, {'"': {"\\": number}, "z": ",2.5"}):
        with pytest.raises(NotCanonical):
            canonical_json.encode_checked(value)
        assert canonical_json.encode(value) == encode_canonical_json(value)


def test_what_is_kept_takes_the_room_that_it_needs() -> None:
    tracemalloc.start()
    kept = [canonical_json.to_keep(canonical_json.encode({"body": "x" * 500, "n": n})) for n in range(100)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 1.5 * sum(map(len, kept))
