"""How many unread events there are: in all, by thread, and what changes it."""

from typing import Any

from tests.support.homeserver import Client, Homeserver, q

BY_THREAD = '{"room": {"timeline": {"unread_thread_notifications": true}}}'


async def pair(hs: Homeserver) -> tuple[Client, Client, str]:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    return alice, bob, room


async def counts(client: Client, room: str, **query: Any) -> tuple[int, int]:
    """(notifications, highlights) of a whole sync."""
    joined = (await client.get("/sync", **query))["rooms"]["join"][room]
    found = joined["unread_notifications"]
    return found["notification_count"], found["highlight_count"]


async def by_thread(client: Client, room: str) -> dict[str, tuple[int, int]]:
    """The counts of threads, and of what is in none as "main"."""
    joined = (await client.get("/sync", filter=BY_THREAD))["rooms"]["join"][room]
    found = {"main": joined["unread_notifications"], **joined.get("unread_thread_notifications", {})}
    return {name: (one["notification_count"], one["highlight_count"]) for name, one in found.items()}


async def read(client: Client, room: str, event_id: str, kind: str = "m.read", **body: Any) -> None:
    await client.ok("POST", f"/rooms/{q(room)}/receipt/{kind}/{q(event_id)}", body)


async def in_thread(client: Client, room: str, root: str, body: str = "reply", **content: Any) -> str:
    return await client.send(room, body, **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}}, **content)


async def test_messages_count_until_they_are_read(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    assert await counts(bob, room) == (0, 0)
    first = await alice.send(room, "one")
    second = await alice.send(room, "for you", **{"m.mentions": {"user_ids": [bob.user_id]}})
    assert await counts(bob, room) == (2, 1)
    await read(bob, room, first)
    assert await counts(bob, room) == (1, 1)
    await read(bob, room, second, "m.read.private")
    assert await counts(bob, room) == (0, 0)


async def test_an_incremental_sync_says_the_new_number(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    since = (await bob.get("/sync"))["next_batch"]
    event_id = await alice.send(room)
    assert await counts(bob, room, since=since) == (1, 0)
    since = (await bob.get("/sync"))["next_batch"]
    await read(bob, room, event_id)
    assert await counts(bob, room, since=since) == (0, 0)


async def test_what_one_sends_oneself_and_quiet_events_do_not_count(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    await bob.send(room)
    await alice.send(room, "robot", msgtype="m.notice")
    await alice.set_state(room, "org.example.state", {})
    assert await counts(bob, room) == (0, 0)


async def test_what_was_redacted_does_not_count(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    event_id = await alice.send(room)
    await alice.ok("PUT", f"/rooms/{q(room)}/redact/{q(event_id)}/1", {})
    assert await counts(bob, room) == (0, 0)


async def test_rules_decide_what_counts(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    await alice.send(room)
    await bob.ok("PUT", f"/pushrules/global/room/{q(room)}", {"actions": []})
    assert await counts(bob, room) == (0, 0)
    await bob.ok("DELETE", f"/pushrules/global/room/{q(room)}")
    assert await counts(bob, room) == (1, 0)


async def test_threads_count_apart_for_those_who_ask(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    root = await alice.send(room, "root")
    await in_thread(alice, room, root)
    await in_thread(alice, room, root, "you", **{"m.mentions": {"user_ids": [bob.user_id]}})
    assert await by_thread(bob, room) == {"main": (1, 0), root: (2, 1)}
    assert await counts(bob, room) == (3, 1)


async def test_a_threaded_receipt_reads_its_thread_alone(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    root = await alice.send(room, "root")
    reply = await in_thread(alice, room, root)
    beside = await alice.send(room, "beside")
    await read(bob, room, reply, thread_id=root)
    assert await by_thread(bob, room) == {"main": (2, 0)}
    await read(bob, room, beside, thread_id="main")
    assert await by_thread(bob, room) == {"main": (0, 0)}
    await in_thread(alice, room, root)
    assert await by_thread(bob, room) == {"main": (0, 0), root: (1, 0)}


async def test_a_receipt_without_a_thread_reads_all_of_them(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    root = await alice.send(room, "root")
    await in_thread(alice, room, root)
    last = await alice.send(room, "last")
    await read(bob, room, last)
    assert await by_thread(bob, room) == {"main": (0, 0)}


async def test_counts_are_the_same_after_a_restart(start_homeserver: Any) -> None:
    first = await start_homeserver()
    alice, bob, room = await pair(first)
    event_id = await alice.send(room, "one")
    await read(bob, room, event_id)
    await alice.send(room, "two", **{"m.mentions": {"user_ids": [bob.user_id]}})
    second = await start_homeserver()
    assert await counts(bob, room) == await counts(bob.at(second), room) == (1, 1)
