"""Large JSON is decoded to what orjson makes of it, with turns for others; what is none is none here too."""

from typing import Any

import orjson
import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor

from federation.outbound import large_json
from federation.outbound.large_json import decode_in_turns
from homeserver.runtime.clock import Clock

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


def decoded(body: bytes) -> Any:
    """Without a reactor: turns are counted only."""
    steps = large_json._Reader(body).document()
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


@given(VALUES, st.integers(1, 40), st.booleans())
def test_it_is_what_orjson_makes_of_it(value: Any, window: int, is_spaced: bool) -> None:
    body = orjson.dumps(value, option=orjson.OPT_INDENT_2 if is_spaced else 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_json, "WINDOW", window)
        patch.setattr(large_json, "TURN", 3)
        assert decoded(body) == orjson.loads(body)


# What looks like the end of an element, within texts and within elements.
OBJECTS = st.recursive(
    st.fixed_dictionaries({"a": st.sampled_from(["},{", '"},{"', "\\", "]"]) | st.integers(0, 9)}),
    lambda inner: st.fixed_dictionaries({"b": st.lists(inner, max_size=3)}),
    max_leaves=6,
)


STRINGS = st.text('",\\a', max_size=4)


@given(
    st.lists(OBJECTS | STRINGS | st.lists(OBJECTS | STRINGS, max_size=3), max_size=8),
    st.integers(1, 200),
    st.integers(1, 200),
)
def test_several_elements_at_once_are_what_each_is_by_itself(value: list[Any], window: int, turn: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_json, "WINDOW", window)
        patch.setattr(large_json, "TURN", turn)
        assert decoded(orjson.dumps({"pdus": value})) == {"pdus": value}


@pytest.mark.parametrize("element", [b'{"a":[{},{}]}', b'"$an_event_id"', b"0"])
def test_what_was_looked_at_in_vain_is_not_looked_at_for_each_element(
    monkeypatch: pytest.MonkeyPatch, element: bytes
) -> None:
    tried: list[int] = []
    monkeypatch.setattr(large_json, "_at_once", lambda text: (tried.append(len(text)), ([], 0))[1])
    body = b'{"pdus":[' + b",".join([element] * 20_000) + b"]}"
    assert decoded(body) == orjson.loads(body)
    assert sum(tried) < 2 * len(body)


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"[", b'{"a"', b'{"a":', b'{"a":1', b'{"a":1,', b'{"a":1,}', b'{"a":[1', b'{"a":[1,',
        b'{"a":[1,]}',
        b'{"a":[1 2]}', b'{"a":1}x', b'{"a":1}{}', b"{1:2}", b'{"a":NaN}', b'{"a":[Infinity]}', b'{"a":["\\ud800"]}',
        b'{"a":"\xff"}', b'{"a":["\xc3', b"nul", b'{"a" 1}', b'{,"a":1}', b'{"a":[,1]}', b"[1,2",
        b'{"a":[' + b"[" * 5000 + b"]" * 5000 + b"]}",
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        decoded(body)


@pytest.mark.parametrize("value", [b"[]", b"{}", b"0", b'"ab"', b"[[]]"])
def test_more_values_than_events_have_are_refused_before_they_are_decoded(value: bytes) -> None:
    body = b'{"auth_chain":[' + b",".join([value] * 900_000) + b"]}"
    with pytest.raises(ValueError, match="too many values"):
        decoded(body)


def test_an_element_longer_than_any_event_is_refused() -> None:
    assert decoded(b'{"a":["' + b"x" * 500_000 + b'"]}')
    with pytest.raises(ValueError):
        decoded(b'{"a":["' + b"x" * 3_000_000 + b'"]}')
    assert decoded(b'{"a":{"b":"' + b"x" * 3_000_000 + b'"}}')


@pytest_twisted.ensureDeferred
async def test_others_have_their_turn() -> None:
    body = orjson.dumps({"pdus": [{"content": {"body": "x" * 1000}}] * 2000, "auth_chain": []})
    turns = []
    going = True

    def turn() -> None:
        turns.append(1)
        if going:
            reactor.callLater(0, turn)

    turn()
    value = await decode_in_turns(body, Clock(reactor))
    going = False
    assert value == orjson.loads(body)
    assert len(turns) > len(body) // large_json.TURN // 2
