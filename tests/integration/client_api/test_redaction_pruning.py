"""What was redacted goes from the database too, when the operator's time is over."""

from storage.redaction_pruning import prune
from tests.support.homeserver import Client, Homeserver, q

DAY_MS = 24 * 3600 * 1000
KEEP_MS = 7 * DAY_MS


async def run(hs: Homeserver, now_ms: int) -> int:
    return await hs.core.storage.database.run(prune, now_ms, KEEP_MS)


async def redact(client: Client, room: str, event_id: str) -> None:
    await client.ok("PUT", f"/rooms/{q(room)}/redact/{q(event_id)}/{event_id[1:9]}", {})


def stored(hs: Homeserver, event_id: str) -> str:
    [(json,)] = hs.rows("SELECT json FROM events WHERE event_id = %s", event_id)
    return str(json)


async def test_what_was_redacted_long_ago_is_pruned_and_nothing_else(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    for version in ("1", "11"):
        room = await alice.create_room(room_version=version)
        old, kept = await alice.send(room, "old secret"), await alice.send(room, "kept")
        await redact(alice, room, old)
        await run(hs, DAY_MS)
        new = await alice.send(room, "new secret")
        await redact(alice, room, new)
        assert "old secret" in stored(hs, old)
        await run(hs, DAY_MS + KEEP_MS)
        assert "old secret" not in stored(hs, old)
        assert "new secret" in stored(hs, new)
        assert "kept" in stored(hs, kept)
        event = await alice.get(f"/rooms/{q(room)}/event/{q(old)}")
        assert (event["event_id"], event["content"]) == (old, {})
        hs.rows("DELETE FROM redaction_marks")


async def test_pruned_events_are_read_by_another_process(hs: Homeserver, start_homeserver: object) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    event_id = await alice.send(room, "secret")
    await redact(alice, room, event_id)
    await run(hs, DAY_MS)
    await run(hs, DAY_MS + KEEP_MS)
    again = await start_homeserver()  # type: ignore[operator]
    event = await alice.at(again).get(f"/rooms/{q(room)}/event/{q(event_id)}")
    assert "redacted_because" in event["unsigned"]


async def test_it_goes_on_where_it_ended(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    await run(hs, DAY_MS)
    assert await run(hs, DAY_MS + KEEP_MS) > 0
    assert await run(hs, DAY_MS + KEEP_MS) == 0
    await alice.send(room, "more")
    assert await run(hs, 2 * DAY_MS + KEEP_MS) == 0
    assert await run(hs, 2 * DAY_MS + 2 * KEEP_MS) > 0
