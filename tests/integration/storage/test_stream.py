"""The stream in memory: strictly in order, whoever committed and whenever it is heard of."""

import psycopg2
import pytest

from storage.change import Entry, Kind
from storage.stream import KEEP, Stream, TooFarBehind, read_entries, trim


def entry(position: int, room: int | None = None, user: str | None = None) -> Entry:
    return Entry(Kind.ACCOUNT_DATA, room, user, None, position)


class Heard:
    """A stream, what its reader was told, and how often it asked to catch up."""

    def __init__(self, position: int = 0, max_entries: int = 100) -> None:
        self.told: list[Entry] = []
        self.asked = 0
        self.stream = Stream(position, catch_up=self._catch_up, max_entries=max_entries)
        self.stream.read_by(self.told.extend)

    def _catch_up(self) -> None:
        self.asked += 1

    @property
    def positions(self) -> list[int]:
        return [entry.position for entry in self.told]


def test_entries_are_told_as_they_come() -> None:
    heard = Heard()
    heard.stream.publish([entry(1), entry(2)])
    heard.stream.publish([entry(3)])
    assert heard.positions == [1, 2, 3]
    assert heard.stream.position == 3
    assert heard.asked == 0


def test_what_comes_before_its_turn_waits_for_the_other_process() -> None:
    heard = Heard()
    heard.stream.publish([entry(3), entry(4)])
    heard.stream.publish([entry(6)])
    assert heard.positions == [] and heard.asked == 2
    heard.stream.publish([entry(1), entry(2)])
    assert heard.positions == [1, 2, 3, 4]
    heard.stream.publish([entry(5)])
    assert heard.positions == [1, 2, 3, 4, 5, 6]


def test_of_an_entry_that_is_read_back_our_own_object_is_told_and_once() -> None:
    heard, ours = Heard(), [entry(2), entry(3)]
    heard.stream.publish(ours)
    heard.stream.publish([entry(1), entry(2), entry(3), entry(4)])
    assert heard.positions == [1, 2, 3, 4]
    assert heard.told[1] is ours[0] and heard.told[2] is ours[1]


def test_what_was_read_back_already_is_not_told_again() -> None:
    heard = Heard()
    heard.stream.publish([entry(1), entry(2)])
    heard.stream.publish([entry(2)])
    assert heard.positions == [1, 2]


def test_readers_hear_in_the_order_in_which_they_were_added() -> None:
    heard, order = Heard(), []
    heard.stream.read_by(lambda entries: order.append("first"))
    heard.stream.read_by(lambda entries: order.append("second"))
    heard.stream.publish([entry(1)])
    assert order == ["first", "second"]


def test_the_position_has_moved_when_readers_hear() -> None:
    heard, seen = Heard(), []
    heard.stream.read_by(lambda entries: seen.append(heard.stream.position))
    heard.stream.publish([entry(1), entry(2)])
    assert seen == [2]


@pytest.mark.parametrize("since", range(10, 16))
@pytest.mark.parametrize("upto", range(10, 16))
def test_windows_are_open_below_and_closed_above(since: int, upto: int) -> None:
    heard = Heard(position=10)
    heard.stream.publish([entry(n, room=n % 2, user=f"@{n % 3}") for n in range(11, 16)])
    inside = [n for n in range(11, 16) if since < n <= upto]
    assert [e.position for e in heard.stream.entries(since, upto)] == inside
    assert [e.position for e in heard.stream.room_entries(1, since, upto)] == [n for n in inside if n % 2 == 1]
    assert [e.position for e in heard.stream.user_entries("@2", since, upto)] == [n for n in inside if n % 3 == 2]


def test_the_oldest_are_forgotten_and_the_floor_says_so() -> None:
    heard = Heard(position=10, max_entries=3)
    assert heard.stream.floor == 10
    heard.stream.publish([entry(n, room=1, user="@a") for n in range(11, 17)])
    assert heard.stream.floor == 13
    assert [e.position for e in heard.stream.entries(13, 16)] == [14, 15, 16]
    assert [e.position for e in heard.stream.room_entries(1, 13, 16)] == [14, 15, 16]
    assert heard.stream.newest_in_room(1) == 16


def test_a_room_of_which_nothing_is_in_memory_was_quiet_since_the_floor() -> None:
    heard = Heard(max_entries=2)
    heard.stream.publish([entry(1, room=1), entry(2, room=2), entry(3, room=2)])
    assert heard.stream.newest_in_room(1) == heard.stream.floor == 1
    assert heard.stream.room_entries(1, 1, 3) == []
    assert heard.stream.user_entries("@nobody", 1, 3) == []


@pytest.fixture
def cur(dsn: str):
    connection = psycopg2.connect(dsn)
    yield connection.cursor()
    connection.close()


def put(cur, *positions: int, head: int) -> None:
    for position in positions:
        cur.execute("INSERT INTO stream VALUES (%s, 'profile', NULL, '@a:b', '{}')", (position,))
    cur.execute("UPDATE stream_head SET position = %s", (head,))


def test_what_was_deleted_since_is_read_as_gone(cur) -> None:
    put(cur, 1, 3, head=4)
    kinds = [(entry.position, entry.kind) for entry in read_entries(cur, 0)]
    assert kinds == [(1, Kind.PROFILE), (2, Kind.GONE), (3, Kind.PROFILE), (4, Kind.GONE)]


def test_who_is_too_far_behind_is_told(cur) -> None:
    put(cur, head=KEEP + 1)
    with pytest.raises(TooFarBehind):
        read_entries(cur, 0)
    read_entries(cur, 1)


def test_trimming_keeps_what_somebody_may_still_read(cur) -> None:
    put(cur, *range(1, 11), head=10)
    assert trim(cur, keep=4, limit=5) == 5
    assert trim(cur, keep=4, limit=5) == 1
    cur.execute("SELECT min(position) FROM stream")
    assert cur.fetchone() == (7,)
