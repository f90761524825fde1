"""State before any event of a room of 50,000 members: one key, and all; and what changed in between.

The members joined one after another; a fifth of them has changed its name since; among it messages, a hundredth of them
off the main line (with a delta). Times include the way to the database's thread and back.

python -m benchmarks.bench_state
"""

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from benchmarks.measured import Hearth, start
from storage import state

MEMBERS = 50_000
ROOM = 1_000_000
# Positions: joins, then messages with a change of name at every tenth.
EVENTS = 150_000
_FILL = f"""
    INSERT INTO rooms (room_nid, room_id, version, creator) VALUES ({ROOM}, '!big', '12', '@a:b');
    INSERT INTO state_keys (type, state_key) SELECT 'm.room.member', '@user' || n || ':example.org'
        FROM generate_series(1, {MEMBERS}) n;
    CREATE TEMP TABLE keys AS SELECT row_number() OVER () AS n, state_key_nid FROM state_keys
        WHERE type = 'm.room.member' AND state_key LIKE '@user%';
    INSERT INTO events (event_nid, room_nid, position, depth, event_id, type, sender, origin_server_ts, prev_nids,
                        auth_nids, json)
        SELECT {ROOM} + n, {ROOM}, {ROOM} + n, n, '$' || lpad(n::text, 43, '0'), 'm.room.message', '@a:example.org', n,
               ARRAY[{ROOM} + n - 1], ARRAY[1, 2, 3], repeat('x', 900) FROM generate_series(1, {EVENTS}) n;
    CREATE TEMP TABLE changes AS
        SELECT state_key_nid, {ROOM} + n AS position FROM keys
        UNION ALL
        SELECT k.state_key_nid, {ROOM} + m FROM generate_series({MEMBERS} + 10, {EVENTS}, 10) m
            JOIN keys k ON k.n = 1 + (m * 7919) % {MEMBERS};
    INSERT INTO room_state (room_nid, state_key_nid, since, until, event_nid)
        SELECT {ROOM}, state_key_nid, position,
               lead(position) OVER (PARTITION BY state_key_nid ORDER BY position), position FROM changes;
    INSERT INTO event_state (event_nid, base, state_key_nids, event_nids)
        SELECT {ROOM} + n, {ROOM} + n - 50, ARRAY(SELECT state_key_nid FROM keys WHERE keys.n <= 5), '{{1,2,3,4,5}}'
            FROM generate_series({MEMBERS} + 100, {EVENTS}, 100) n;
    ANALYZE
"""


async def report(name: str, times: int, ask: Callable[[], Any]) -> None:
    took = []
    for _ in range(times):
        begin = time.perf_counter()
        await ask()
        took.append((time.perf_counter() - begin) * 1e3)
    took.sort()
    print(f"{name:44} p50 {statistics.median(took):7.2f} ms   p95 {took[len(took) * 95 // 100]:7.2f} ms", flush=True)


async def run(hearth: Hearth) -> None:
    hearth.rows(_FILL)
    hearth.rows("VACUUM")
    database, chance = hearth.storage.database, random.Random(1)
    keys = [nid for (nid,) in hearth.rows("SELECT state_key_nid FROM state_keys WHERE state_key LIKE '@user%'")]

    def any_event() -> int:
        return ROOM + chance.randrange(MEMBERS, EVENTS)

    def off_line() -> int:
        return ROOM + chance.randrange(MEMBERS + 100, EVENTS, 100)

    async def between() -> None:
        since = any_event()
        await database.run(state.changes_between, ROOM, since, since + 100)

    def before(nid: int, wanted: list[int] | None = None) -> Any:
        return database.run(state.before_event, nid, wanted)

    await report("before any event, one key", 500, lambda: before(any_event(), [chance.choice(keys)]))
    await report("before any event, five keys", 500, lambda: before(any_event(), chance.sample(keys, 5)))
    await report("before an event with a delta, one key", 500, lambda: before(off_line(), [chance.choice(keys)]))
    await report("before any event, all", 40, lambda: before(any_event()))
    await report("before an event with a delta, all", 40, lambda: before(off_line()))
    await report("current, all", 40, lambda: database.run(state.current, ROOM))
    await report("changes between positions 100 apart", 200, between)


def main() -> None:
    with start() as hearth:
        done = Deferred.fromCoroutine(run(hearth)).addErrback(lambda failure: failure.printTraceback())
        done.addBoth(lambda _: reactor.stop())  # type: ignore[attr-defined]
        reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
