"""The newest events of a room from the stream in memory: all of them, or none."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from storage.change import Entry, Kind
from storage.recent import newest_in_memory
from storage.stream import Stream

ROOM, OTHER = 1, 2


def event(position: int, kind: str = "m.room.message", flags: int = 0, room: int = ROOM) -> Entry:
    body = SimpleNamespace(flags=flags, position=position, event=SimpleNamespace(type=kind))
    return Entry(Kind.EVENT, room, None, body, position)


def gap(position: int) -> Entry:
    return Entry(Kind.ROOM, ROOM, None, {"resolved": True, "gap": True}, position)


def stream(entries: Iterable[Entry], floor: int = 0) -> Stream:
    made = Stream(floor, catch_up=lambda: None)
    made.publish(list(entries))
    return made


def positions(found: list[Any] | None) -> list[int] | None:
    return None if found is None else [stored.position for stored in found]


def test_the_newest_are_given_oldest_first() -> None:
    known = stream([event(1), event(2, room=OTHER), event(3), event(4)])
    assert positions(newest_in_memory(known, ROOM, 0, 4, 2)) == [3, 4]
    assert positions(newest_in_memory(known, ROOM, 0, 4, 9)) == [1, 3, 4]


def test_what_came_later_or_before_is_left_out() -> None:
    known = stream([event(1), event(2), event(3), event(4)])
    assert positions(newest_in_memory(known, ROOM, 1, 3, 9)) == [2, 3]


def test_what_was_rejected_is_left_out() -> None:
    known = stream([event(1), event(2, flags=1), event(3)])
    assert positions(newest_in_memory(known, ROOM, 0, 3, 9)) == [1, 3]


@pytest.mark.parametrize(("limit", "expected"), [(2, [11, 12]), (3, None)])
def test_memory_that_does_not_reach_back_says_so(limit: int, expected: list[int] | None) -> None:
    known = stream([event(11), event(12)], floor=10)
    assert positions(newest_in_memory(known, ROOM, 0, 12, limit)) == expected


def test_memory_reaches_back_to_its_floor() -> None:
    known = stream([event(11), event(12)], floor=10)
    assert positions(newest_in_memory(known, ROOM, 10, 12, 9)) == [11, 12]
    assert positions(newest_in_memory(known, 3, 10, 12, 9)) == []
    assert newest_in_memory(known, 3, 9, 12, 9) is None


def test_nothing_is_before_a_rooms_creation() -> None:
    known = stream([event(11, "m.room.create"), event(12)], floor=10)
    assert positions(newest_in_memory(known, ROOM, 0, 12, 9)) == [11, 12]


def test_what_lies_before_a_gap_is_not_the_newest() -> None:
    known = stream([event(11), gap(12), event(13)], floor=10)
    assert positions(newest_in_memory(known, ROOM, 0, 13, 9)) == [13]
