"""State resolution of a large room: 50,000 members, ten states, a few of them in conflict.

Run: python -m benchmarks.bench_state_res
"""

from array import array
from collections.abc import Callable
from time import perf_counter

from matrix.conflicts import conflicts, conflicts_over_base, differing_positions
from matrix.dag import auth_difference, auth_difference_smaller
from matrix.events import Event, Json, StateKey
from matrix.ids import EventId, RoomId, UserId
from matrix.room_versions import V11, V12, RoomVersion
from matrix.state_res import resolve_conflicts

MEMBERS, STATES, CHANGES = 50_000, 10, 20
ROUNDS = 5


class Room:
    """Members who joined one after another, and a fork for each state with changes of its own."""

    def __init__(self, version: RoomVersion) -> None:
        self.version = version
        self.events: list[Event] = []
        creator = "@creator:a"
        self.add("m.room.create", creator, "", {"creator": creator}, [])
        self.add("m.room.member", creator, creator, {"membership": "join"}, [0])
        self.add("m.room.power_levels", creator, "", {"users": {"@u1:a": 50}}, [0, 1])
        self.add("m.room.join_rules", creator, "", {"join_rule": "public"}, [0, 1, 2])
        for number in range(MEMBERS):
            user = f"@u{number}:a"
            self.add("m.room.member", user, user, {"membership": "join"}, [0, 2, 3])
        self.base: dict[StateKey, int] = {event.key: nid for nid, event in enumerate(self.events)}
        self.changes = [self.fork(number) for number in range(STATES)]

    def add(self, event_type: str, sender: str, state_key: str, content: Json, auth: list[int]) -> int:
        nid = len(self.events)
        if self.version.room_id_is_create_hash:
            auth = [one for one in auth if one]
        event = Event(
            event_id=EventId(f"${nid:07}"), room_id=RoomId("!0000000"), version=self.version, type=event_type,
            state_key=state_key, sender=UserId(sender), content=content, origin_server_ts=nid, depth=nid,
            prev_events=(), auth_events=tuple(self.events[one].event_id for one in auth), redacts=None, canonical=b"{}",
        )  # fmt: skip
        self.events.append(event)
        return nid

    def fork(self, number: int) -> dict[StateKey, int]:
        changes: dict[StateKey, int] = {}
        for place in range(CHANGES):
            at = 4 + number * CHANGES + place
            user = self.events[at].sender
            content = {"membership": "join", "displayname": "new"}
            changes["m.room.member", user] = self.add("m.room.member", user, user, content, [0, 2, 3, at])
        topic = self.add("m.room.topic", "@creator:a", "", {"topic": str(number)}, [0, 1, 2])
        return {**changes, ("m.room.topic", ""): topic}


def measure(what: str, function: Callable[[], object]) -> None:
    times = []
    for _ in range(ROUNDS):
        start = perf_counter()
        function()
        times.append(perf_counter() - start)
    print(f"{what:<60} {min(times) * 1000:9.2f} ms")


def find_conflicts(room: Room) -> None:
    states = [{**room.base, **changes} for changes in room.changes]
    measure("conflicts, whole dicts", lambda: conflicts(states))
    measure("conflicts, changes over a shared base", lambda: conflicts_over_base(room.base, room.changes))
    keys = dict.fromkeys(key for state in states for key in state)
    arrays = [array("q", (state.get(key, -1) for key in keys)) for state in states]
    measure("conflicts, aligned arrays", lambda: differing_positions(arrays))


def resolve(room: Room) -> None:
    events = {event.event_id: event for event in room.events}
    nids = {event.event_id: nid for nid, event in enumerate(room.events)}
    auth_nids = [[nids[auth] for auth in event.auth_events] for event in room.events]
    states = [
        {key: room.events[nid].event_id for key, nid in {**room.base, **changes}.items()} for changes in room.changes
    ]
    unconflicted, conflicted = conflicts(states)
    parts = [[nids[event_id] for event_id in part.values()] for part in conflicted]
    shared = {nids[event_id] for event_id in unconflicted.values()}
    ids, shared_ids = [list(part.values()) for part in conflicted], list(unconflicted.values())
    measure("auth difference, integers", lambda: auth_difference_smaller(parts, shared, auth_nids.__getitem__))
    measure("auth difference, ids", lambda: auth_difference(ids, shared_ids, lambda one: events[one].auth_events))
    difference = [room.events[nid].event_id for nid in auth_difference_smaller(parts, shared, auth_nids.__getitem__)]

    def run() -> object:
        return resolve_conflicts(room.version, unconflicted, conflicted, events.__getitem__, auth_difference=difference)

    count = len({event_id for part in conflicted for event_id in part.values()})
    measure(f"resolve {count} events in conflict", run)


def main() -> None:
    for version in (V11, V12):
        print(f"room version {version.id}: {MEMBERS} members, {STATES} states")
        room = Room(version)
        find_conflicts(room)
        resolve(room)


if __name__ == "__main__":
    main()
