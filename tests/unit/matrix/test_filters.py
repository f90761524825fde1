"""Filters: what is accepted, what they let through."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.errors import MatrixError
from matrix.filters import EMPTY, EventFields, EventFilter, clamp_limit, parse_event_filter, parse_filter

ALICE, BOB, ROOM = "@alice:a", "@bob:a", "!room:a"


def test_an_empty_filter_lets_all_through() -> None:
    assert parse_filter({}) == EMPTY
    assert EMPTY.room.timeline.is_empty
    assert EMPTY.room.timeline.allows("m.room.message", ALICE, ROOM, {})
    assert EMPTY.event_fields is None
    assert EMPTY.event_format == "client"


def test_every_part_is_read() -> None:
    read = parse_filter(
        {
            "room": {
                "rooms": [ROOM], "not_rooms": ["!no:a"], "include_leave": True,
                "timeline": {"limit": 7, "contains_url": True, "unread_thread_notifications": True},
                "state": {"lazy_load_members": True, "include_redundant_members": True},
                "ephemeral": {"types": ["m.typing"]},
                "account_data": {"not_types": ["m.*"]},
            },
            "presence": {"senders": [ALICE]},
            "account_data": {"not_senders": [BOB]},
            "event_fields": ["content.body"],
            "event_format": "federation",
            "org.example.unknown": 3,
        }
    )  # fmt: skip
    assert read.room.rooms.allows(ROOM) and not read.room.rooms.allows("!no:a")
    assert read.room.include_leave
    assert (read.timeline_limit, read.lazy_load_members) == (7, True)
    assert read.room.timeline.contains_url and read.room.timeline.unread_thread_notifications
    assert read.room.state.include_redundant_members
    assert not read.room.ephemeral.allows("m.receipt", None, ROOM)
    assert not read.room.account_data.allows("m.tag", None, ROOM)
    assert read.presence.allows("m.presence", ALICE) and not read.presence.allows("m.presence", BOB)
    assert read.account_data.allows("m.direct", None)
    assert read.event_format == "federation"


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ([], "M_BAD_JSON"),
        ({"room": []}, "M_BAD_JSON"),
        ({"room": None}, "M_BAD_JSON"),
        ({"room": {"timeline": "all"}}, "M_BAD_JSON"),
        ({"room": {"timeline": {"limit": "7"}}}, "M_BAD_JSON"),
        ({"room": {"timeline": {"limit": True}}}, "M_BAD_JSON"),
        ({"room": {"timeline": {"limit": float("inf")}}}, "M_INVALID_PARAM"),
        ({"room": {"timeline": {"types": "m.*"}}}, "M_BAD_JSON"),
        ({"room": {"timeline": {"types": [1]}}}, "M_BAD_JSON"),
        ({"room": {"timeline": {"types": ["x"] * 501}}}, "M_INVALID_PARAM"),
        ({"room": {"timeline": {"types": ["x" * 256]}}}, "M_INVALID_PARAM"),
        ({"room": {"timeline": {"senders": ["alice"]}}}, "M_INVALID_PARAM"),
        ({"room": {"rooms": ["#room:a"]}}, "M_INVALID_PARAM"),
        ({"room": {"rooms": [{}]}}, "M_BAD_JSON"),
        ({"room": {"include_leave": 1}}, "M_BAD_JSON"),
        ({"room": {"state": {"lazy_load_members": "yes"}}}, "M_BAD_JSON"),
        ({"event_fields": "content"}, "M_BAD_JSON"),
        ({"event_format": "xml"}, "M_INVALID_PARAM"),
        ({"event_format": ["client"]}, "M_INVALID_PARAM"),
    ],
)
def test_a_bad_filter_is_refused(body: Any, errcode: str) -> None:
    with pytest.raises(MatrixError) as raised:
        parse_filter(body)
    assert (raised.value.status, raised.value.errcode) == (400, errcode)


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        ({"types": ["m.room.message"]}, True),
        ({"types": ["m.room.*"]}, True),
        ({"types": ["*.message"]}, True),
        ({"types": ["m.*.mess*e"]}, True),
        ({"types": ["m.room.message?"]}, False),
        ({"types": ["m.room"]}, False),
        ({"types": []}, False),
        ({"types": ["m.room.*"], "not_types": ["m.room.message"]}, False),
        ({"not_types": ["*"]}, False),
        ({"not_types": ["m.reaction"]}, True),
        ({"not_types": []}, True),
        ({"senders": [ALICE]}, True),
        ({"senders": [BOB]}, False),
        ({"senders": []}, False),
        ({"senders": [ALICE], "not_senders": [ALICE]}, False),
        ({"rooms": [ROOM]}, True),
        ({"rooms": []}, False),
        ({"not_rooms": [ROOM]}, False),
        ({"contains_url": True}, True),
        ({"contains_url": False}, False),
    ],
)
def test_an_event_passes_if_every_part_lets_it(body: dict[str, Any], allowed: bool) -> None:
    checked = parse_event_filter(body)
    assert checked.allows("m.room.message", ALICE, ROOM, {"url": "mxc://a/b"}) is allowed


def test_a_url_is_text() -> None:
    assert not parse_event_filter({"contains_url": True}).allows("m.room.message", ALICE, ROOM, {"url": 3})


@pytest.mark.parametrize(
    ("body", "blocks"),
    [
        ({}, False),
        ({"types": []}, True),
        ({"not_types": ["*"]}, True),
        ({"not_types": ["m.*"]}, False),
        ({"senders": []}, True),
        ({"rooms": [ROOM], "not_rooms": [ROOM]}, True),
    ],
)
def test_a_filter_knows_when_nothing_can_pass(body: dict[str, Any], blocks: bool) -> None:
    assert parse_event_filter(body).blocks_all is blocks


def test_relations_are_for_the_reader_of_events_to_look_at() -> None:
    assert parse_event_filter({"related_by_rel_types": ["m.thread"]}).asks_relations
    assert parse_event_filter({"related_by_senders": [ALICE]}).related_by_senders == frozenset({ALICE})
    assert not parse_event_filter({"related_by_rel_types": [], "related_by_senders": []}).asks_relations


@pytest.mark.parametrize(("limit", "clamped"), [(None, 10), (0, 1), (-5, 1), (1, 1), (100, 100), (101, 100)])
def test_a_limit_is_clamped(limit: int | None, clamped: int) -> None:
    assert clamp_limit(limit) == clamped


def test_a_timeline_may_be_limited_to_nothing() -> None:
    assert parse_filter({"room": {"timeline": {"limit": 0}}}).timeline_limit == 0


EVENT = {
    "type": "m.room.message",
    "content": {"body": "x", "m.relates_to": {"rel_type": "m.thread", "event_id": "$a"}, "list": [1]},
    "sender": ALICE,
}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["type"], {"type": "m.room.message"}),
        (["content.body", "sender"], {"content": {"body": "x"}, "sender": ALICE}),
        ([r"content.m\.relates_to.rel_type"], {"content": {"m.relates_to": {"rel_type": "m.thread"}}}),
        (["content", "content.body"], {"content": EVENT["content"]}),
        (["content.body", "content"], {"content": EVENT["content"]}),
        (["content.list.0", "content.none", "none"], {}),
    ],
)
def test_only_the_wanted_fields_are_shown(fields: list[str], expected: dict[str, Any]) -> None:
    assert EventFields.of(fields).project(EVENT) == expected


TYPES = st.sampled_from(["m.room.message", "m.reaction", "m.typing", "", "m.*", "*", "m.r*n"])
USERS, ROOMS = st.sampled_from([ALICE, BOB]), st.sampled_from([ROOM, "!other:a"])
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "types": st.lists(TYPES),
        "not_types": st.lists(TYPES),
        "senders": st.lists(USERS),
        "not_senders": st.lists(USERS),
        "rooms": st.lists(ROOMS),
        "not_rooms": st.lists(ROOMS),
        "contains_url": st.booleans(),
    },
)
EVENTS = st.tuples(TYPES, st.none() | USERS, st.none() | ROOMS, st.none() | st.just({}) | st.just({"url": "x"}))


@given(BODIES, st.sets(st.sampled_from(["types", "senders", "rooms", "not_types", "not_senders", "not_rooms"])), EVENTS)
def test_a_filter_with_fewer_bounds_shows_no_less(body: dict[str, Any], without: set[str], event: Any) -> None:
    wider = {key: value for key, value in body.items() if key not in without}
    if parse_event_filter(body).allows(*event):
        assert parse_event_filter(wider).allows(*event)
        assert EventFilter().allows(*event)


@given(BODIES, EVENTS)
def test_what_blocks_all_lets_nothing_through(body: dict[str, Any], event: Any) -> None:
    checked = parse_event_filter(body)
    if checked.blocks_all:
        assert not checked.allows(*event)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
KEYS = st.sampled_from(["room", "timeline", "types", "limit", "rooms", "event_fields", "event_format", "senders"])


@given(st.dictionaries(KEYS, JSON | st.dictionaries(KEYS, JSON | st.dictionaries(KEYS, JSON))))
def test_any_json_is_a_filter_or_a_bad_request(body: Any) -> None:
    try:
        parse_filter(body)
    except MatrixError as e:
        assert e.status == 400


@given(st.lists(st.text(max_size=5)), st.dictionaries(st.text(max_size=3), JSON))
def test_projection_gives_a_part_of_the_event(fields: list[str], event: dict[str, Any]) -> None:
    assert EventFields.of(fields).project(event).keys() <= event.keys()
