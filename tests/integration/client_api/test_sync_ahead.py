"""Sync while memory is ahead of what is committed and told: heads that are decided on, heads that are being read."""

import contextlib
from typing import Any

import psycopg2
from twisted.internet.defer import Deferred

from homeserver.services.rooms.intake import NewEvent
from matrix.errors import MatrixError
from matrix.ids import RoomId, UserId
from storage.rooms import load_heads
from tests.support.homeserver import Client, Homeserver


def told_types(answer: dict[str, Any], room: str) -> set[str]:
    part = answer["rooms"]["join"][room]
    return {event["type"] for event in part["state"]["events"] + part["timeline"]["events"]}


def room_nid(hs: Homeserver, room: str) -> int:
    [(nid,)] = hs.rows("SELECT room_nid FROM rooms WHERE room_id = %s", room)
    return int(nid)


def new_state(alice: Client, event_type: str) -> NewEvent:
    return NewEvent(type=event_type, sender=UserId(alice.user_id), content={}, state_key="")


async def test_an_event_that_is_decided_and_not_committed_is_not_told(hs: Homeserver, monkeypatch: Any) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    state_keys = hs.core.storage.state_keys
    original, meanwhile = state_keys.nids, []

    async def nids(keys: Any) -> Any:
        # The event is in the head already, and not in the hands of the committer yet.
        meanwhile.append(await alice.sync(since=None))
        return await original(keys)

    monkeypatch.setattr(type(state_keys), "nids", lambda self, keys: nids(keys))
    await hs.server.rooms.intake.send(RoomId(room), [new_state(alice, "org.example")])
    [answer] = meanwhile
    assert "org.example" not in told_types(answer, room)
    alice.since = answer["next_batch"]
    assert [event["type"] for event in await alice.timeline(room)] == ["org.example"]


async def test_an_event_that_is_refused_after_all_is_never_told(hs: Homeserver, monkeypatch: Any) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    meanwhile = []

    async def admit() -> None:
        meanwhile.append(await alice.sync(since=None))
        raise MatrixError(403, "M_FORBIDDEN", "no")

    with contextlib.suppress(MatrixError):
        await hs.server.rooms.intake.send(RoomId(room), [new_state(alice, "org.example")], admit=admit)
    [answer] = meanwhile
    assert "org.example" not in told_types(answer, room)
    assert "org.example" not in told_types(await alice.sync(since=None), room)
    await alice.set_state(room, "m.room.topic", {"topic": "the room goes on"})


async def test_what_is_committed_while_an_answer_is_made_belongs_to_the_next(hs: Homeserver, monkeypatch: Any) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    sources = hs.server._syncing.sync._sources
    original = sources.ignored

    async def ignored(user_id: UserId) -> frozenset[str]:
        monkeypatch.undo()
        # The answer's end is fixed by now.
        await alice.set_state(room, "m.room.topic", {"topic": "late"})
        name = {"membership": "join", "displayname": "late"}
        await alice.set_state(room, "m.room.member", name, alice.user_id)
        return await original(user_id)

    monkeypatch.setattr(type(sources), "ignored", property(lambda self: ignored), raising=False)
    first = await alice.sync(since=None)
    assert "m.room.topic" not in told_types(first, room)
    assert [event["content"]["displayname"] for event in _members(first, room)] == ["alice"]
    assert [event["type"] for event in await alice.timeline(room)] == ["m.room.topic", "m.room.member"]


def _members(answer: dict[str, Any], room: str) -> list[dict[str, Any]]:
    part = answer["rooms"]["join"][room]
    return [event for event in part["state"]["events"] + part["timeline"]["events"] if event["type"] == "m.room.member"]


async def test_rooms_are_told_though_a_head_is_forgotten_while_others_are_read(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    known, unknown = room_nid(hs, await alice.create_room()), room_nid(hs, await alice.create_room())
    heads = hs.server.rooms.heads
    heads.forget(unknown)
    reading = Deferred.fromCoroutine(heads.get_many([known, unknown]))
    assert not reading.called
    # As when another process has changed its state.
    heads.forget(known)
    assert set(await reading) == {known, unknown}


async def test_a_head_is_read_as_of_one_moment(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    nid = room_nid(hs, await alice.create_room(name="before"))
    connection = psycopg2.connect(hs.dsn)
    cur = connection.cursor()

    class Interrupted:
        """A cursor; after its first statement somebody else commits."""

        def __init__(self) -> None:
            self.calls = 0

        def execute(self, *args: Any) -> None:
            cur.execute(*args)
            self.calls += 1
            if self.calls == 2:
                hs.rows("UPDATE room_state SET event_nid = 0 WHERE room_nid = %s AND until IS NULL", nid)

        def __iter__(self) -> Any:
            return iter(cur)

    try:
        head = load_heads(Interrupted(), [nid])[nid]  # type: ignore[arg-type]
    finally:
        connection.rollback()
        connection.close()
    assert ("m.room.name", "") in head.state
