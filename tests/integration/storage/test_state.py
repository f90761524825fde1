"""State as intervals, against a model that keeps the whole state after every position."""

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.extensions import cursor as Cursor

from storage import state
from storage.change import At, Change, Entry, Kind
from storage.grouping import grouped

KEYS = (1, 2, 3)
ROOM = 7

# Steps: what one batch sets, each with a position of its own. 0 takes the key out of the state.
Batches = list[list[tuple[int, bool]]]
batches = st.lists(st.lists(st.tuples(st.sampled_from(KEYS), st.booleans()), min_size=1, max_size=6), max_size=8)


class Model:
    """The whole state after each position."""

    def __init__(self) -> None:
        self.after: list[dict[int, int]] = [{}]

    def set(self, key: int, nid: int) -> None:
        following = {**self.after[-1], key: nid}
        if nid == state.ABSENT:
            del following[key]
        self.after.append(following)


@pytest.fixture
def cur(dsn: str):
    connection = psycopg2.connect(dsn)
    yield connection.cursor()
    connection.rollback()
    connection.close()


def run(cur: Cursor, change: Change) -> None:
    for statement, rows in grouped(change.rows):
        statement.execute(cur, rows)


def write(cur: Cursor, steps: Batches) -> Model:
    """All batches, each with one statement, as the committer does."""
    model = Model()
    for batch in steps:
        change = Change()
        for key, is_there in batch:
            position = len(model.after)
            nid = 1000 + position if is_there else state.ABSENT
            entry = Entry(Kind.EVENT, ROOM, position=position)
            state.set_state(change, ROOM, key, nid, At(entry))
            model.set(key, nid) if is_there or key in model.after[-1] else model.after.append(model.after[-1])
            cur.execute(
                "INSERT INTO events (event_nid, room_nid, position, depth, event_id, type, sender, origin_server_ts,"
                " prev_nids, auth_nids, json) VALUES (%s, %s, %s, 1, %s, '', '', 0, '{}', '{}', '{}')",
                (1000 + position, ROOM, position, f"${position}"),
            )
        run(cur, change)
    return model


def afresh(cur: Cursor) -> None:
    cur.execute("TRUNCATE room_state, event_state, events")


each_example = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@each_example
@given(steps=batches)
def test_the_state_after_each_position_is_the_models(cur: Cursor, steps: Batches) -> None:
    afresh(cur)
    model = write(cur, steps)
    assert state.current(cur, ROOM) == model.after[-1]
    for position, expected in enumerate(model.after):
        assert state.after(cur, ROOM, position) == expected
        assert state.after(cur, ROOM, position, [1, 2]) == {key: expected[key] for key in (1, 2) if key in expected}


@each_example
@given(steps=batches)
def test_the_state_before_an_event_is_that_after_the_position_before(cur: Cursor, steps: Batches) -> None:
    afresh(cur)
    model = write(cur, steps)
    for position in range(1, len(model.after)):
        assert state.before_event(cur, 1000 + position) == model.after[position - 1]


@each_example
@given(steps=batches, data=st.data())
def test_the_changes_between_two_positions_lead_from_one_state_to_the_other(
    cur: Cursor, steps: Batches, data: st.DataObject
) -> None:
    afresh(cur)
    model = write(cur, steps)
    upto = data.draw(st.integers(0, len(model.after) - 1))
    since = data.draw(st.integers(0, upto))
    changed = state.changes_between(cur, ROOM, since, upto)
    made = {key: nid for key, nid in (model.after[since] | changed).items() if nid != state.ABSENT}
    assert made == model.after[upto]
    assert all(key not in model.after[upto] for key, nid in changed.items() if nid == state.ABSENT)


@each_example
@given(steps=batches, other=st.dictionaries(st.sampled_from(KEYS), st.integers(1, 5)), data=st.data())
def test_a_delta_gives_any_state_against_any_position(
    cur: Cursor, steps: Batches, other: dict[int, int], data: st.DataObject
) -> None:
    afresh(cur)
    model = write(cur, [*steps, [(1, True)]])
    base = data.draw(st.integers(0, len(model.after) - 1))
    fork = 1000 + len(model.after) - 1
    change = Change()
    state.put_delta(change, fork, base, state.difference(model.after[base], other))
    run(cur, change)
    assert state.before_event(cur, fork) == other
    assert state.before_event(cur, fork, [2]) == {key: nid for key, nid in other.items() if key == 2}


def test_rows_are_as_many_as_changes(cur: Cursor) -> None:
    write(cur, [[(1, True)], [(1, True), (1, True)], [(2, True)]])
    cur.execute("SELECT state_key_nid, since, until FROM room_state ORDER BY 1, 2")
    assert cur.fetchall() == [(1, 1, 2), (1, 2, 3), (1, 3, None), (2, 4, None)]


def test_rooms_do_not_meet(cur: Cursor) -> None:
    write(cur, [[(1, True)]])
    assert state.current(cur, ROOM + 1) == {}
    assert state.changes_between(cur, ROOM + 1, 0, 10) == {}


def test_an_outlier_has_no_state_and_an_unknown_event_neither(cur: Cursor) -> None:
    cur.execute(
        "INSERT INTO events (event_nid, room_nid, position, depth, event_id, type, sender, origin_server_ts,"
        " prev_nids, auth_nids, json) VALUES (5, %s, NULL, 1, '$o', '', '', 0, '{}', '{}', '{}')",
        (ROOM,),
    )
    write(cur, [[(1, True)]])
    assert state.before_event(cur, 5) == {}
    assert state.before_event(cur, 6) == {}
