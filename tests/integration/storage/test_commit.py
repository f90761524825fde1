"""The committer: one door, one order, nothing lost, nothing doubled."""

import psycopg2
import pytest
from twisted.internet import reactor
from twisted.internet.defer import gatherResults

from storage.change import AlreadyThere, Change, Entry, HeadMoved, Insert, Kind, NotNew
from storage.commit import Committer
from storage.stream import entry_body

TXN = Insert(
    "event_transactions",
    {"user_id": "text", "device": "text", "transaction_id": "text", "event_nid": "bigint", "made_ms": "bigint"},
)
ROOM = Insert("rooms", {"room_nid": "int", "room_id": "text", "version": "text", "creator": "text"})


class Setup:
    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.told: list[Entry] = []
        self.committer = Committer(
            dsn, reactor=reactor, published=self.told.extend, instance="test", entry_body=entry_body
        )
        self.committer.start()

    def rows(self, sql: str) -> list[tuple]:
        connection = psycopg2.connect(self.dsn)
        try:
            cur = connection.cursor()
            cur.execute(sql)
            return cur.fetchall()
        finally:
            connection.close()


@pytest.fixture
def setup(dsn: str):
    setup = Setup(dsn)
    yield setup
    setup.committer.stop()


def change(name: str) -> Change:
    made = Change()
    made.announce(Entry(Kind.PROFILE, user_id=name, body={}))
    return made.put(TXN, (name, "", "", 0, 0))


def room_change(room_nid: int, after: "int | Change", *, new: bool = False) -> Change:
    made = Change().on_head(room_nid, after)
    made.announce(Entry(Kind.EVENT, room_nid=room_nid))
    if new:
        made.put(ROOM, (room_nid, f"!{room_nid}", "12", "@a:b"))
    return made


async def test_positions_have_no_gaps_and_follow_the_order_of_changes(setup: Setup) -> None:
    await gatherResults([setup.committer(change(f"@{n}:x")) for n in range(50)])
    assert [entry.position for entry in setup.told] == list(range(1, 51))
    assert setup.rows("SELECT count(*), max(position) FROM stream") == [(50, 50)]


async def test_a_change_that_fails_does_not_hurt_its_batch(setup: Setup) -> None:
    await setup.committer(change("@same:x"))
    waiting = [setup.committer(change(name)) for name in ("@a:x", "@same:x", "@b:x")]
    with pytest.raises(AlreadyThere):
        await waiting[1]
    await waiting[0]
    await waiting[2]
    assert [entry.position for entry in setup.told] == [1, 2, 3]
    assert setup.rows("SELECT user_id FROM event_transactions ORDER BY 1") == [("@a:x",), ("@b:x",), ("@same:x",)]


async def test_a_change_decided_on_an_old_head_is_refused_alone(setup: Setup) -> None:
    first = room_change(1, 0, new=True)
    await setup.committer(first)
    waiting = [setup.committer(room_change(1, 1)), setup.committer(room_change(1, 1)), setup.committer(change("@a:x"))]
    await waiting[0]
    with pytest.raises(HeadMoved):
        await waiting[1]
    await waiting[2]
    assert setup.rows("SELECT head FROM rooms") == [(2,)]


async def test_changes_may_be_decided_on_one_another_before_they_are_committed(setup: Setup) -> None:
    first = room_change(1, 0, new=True)
    second = room_change(1, first)
    third = room_change(1, second)
    await gatherResults([setup.committer(made) for made in (first, second, third)])
    assert setup.rows("SELECT head FROM rooms") == [(3,)]


async def test_what_was_decided_on_a_refused_change_is_refused(setup: Setup) -> None:
    await setup.committer(room_change(1, 0, new=True))
    late = room_change(1, 77)
    waiting = [setup.committer(late), setup.committer(room_change(1, late))]
    for deferred in waiting:
        with pytest.raises(HeadMoved):
            await deferred
    assert setup.rows("SELECT head FROM rooms") == [(1,)]


async def test_a_change_that_takes_for_new_what_is_named_already_is_refused_alone(setup: Setup) -> None:
    awaited = Insert("awaited_redactions", {"target_id": "text", "redaction_nid": "bigint", "may_any": "bool"})
    await setup.committer(change("@a:x").put(awaited, ("$named", 7, False)))
    waiting = [
        setup.committer(change(user).only_if_new(event_id))
        for user, event_id in (("@b:x", "$new"), ("@c:x", "$named"), ("@d:x", "$newer"))
    ]
    await waiting[0]
    with pytest.raises(NotNew):
        await waiting[1]
    await waiting[2]
    assert [entry.user_id for entry in setup.told] == ["@a:x", "@b:x", "@d:x"]


async def test_a_change_that_takes_for_new_what_others_follow_is_refused(setup: Setup) -> None:
    missing = Insert("missing_prev_events", {"room_nid": "int", "event_id": "text", "referrer_nid": "bigint"})
    await setup.committer(room_change(1, 0, new=True).put(missing, (1, "$named", 7)))
    with pytest.raises(NotNew):
        await setup.committer(room_change(1, 1).only_if_new("$named"))
    await setup.committer(room_change(1, 1).only_if_new("$new"))
    assert setup.rows("SELECT head FROM rooms") == [(2,)]


async def test_heads_of_several_rooms_move_in_one_commit(setup: Setup) -> None:
    await gatherResults([setup.committer(room_change(nid, 0, new=True)) for nid in (1, 2, 3)])
    await gatherResults([setup.committer(room_change(nid, nid)) for nid in (1, 2, 3)])
    assert setup.rows("SELECT room_nid, head FROM rooms ORDER BY 1") == [(1, 4), (2, 5), (3, 6)]


async def test_a_function_runs_in_the_transaction_and_gives_its_value(setup: Setup) -> None:
    def count(cur) -> int:
        cur.execute("SELECT count(*) FROM event_transactions")
        return cur.fetchone()[0]

    await setup.committer(change("@a:x"))
    assert await setup.committer(change("@b:x").run(count)) == 2


async def test_the_committer_survives_the_loss_of_its_connection(setup: Setup) -> None:
    await setup.committer(change("@a:x"))
    setup.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid()"
    )
    await setup.committer(change("@b:x"))
    assert [entry.position for entry in setup.told] == [1, 2]
