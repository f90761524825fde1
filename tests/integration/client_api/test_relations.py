"""Relations and bundled aggregations, by the chapters "Aggregations of child events" and "Relationships API"."""

from typing import Any

import pytest

from tests.support.homeserver import Client, Homeserver, q


async def relate(client: Client, room: str, parent: str, rel_type: str, body: str = "child", **more: Any) -> str:
    relates_to = {"rel_type": rel_type, "event_id": parent, **more.pop("relates_to", {})}
    return await client.send(room, body, **{"m.relates_to": relates_to}, **more)


async def edit(client: Client, room: str, parent: str, body: str) -> str:
    return await relate(client, room, parent, "m.replace", f"* {body}", **{"m.new_content": {"body": body}})


async def react(client: Client, room: str, parent: str, key: str) -> str:
    relates_to = {"rel_type": "m.annotation", "event_id": parent, "key": key}
    return await client.send_event(room, "m.reaction", {"m.relates_to": relates_to})


async def bundle(client: Client, room: str, event_id: str) -> dict[str, Any]:
    event = await client.get(f"/rooms/{q(room)}/event/{q(event_id)}")
    relations: dict[str, Any] = event["unsigned"].get("m.relations", {})
    return relations


async def children(client: Client, room: str, parent: str, *path: str, **query: Any) -> dict[str, Any]:
    rest = "".join(f"/{q(part)}" for part in path)
    found: dict[str, Any] = await client.get(f"/_matrix/client/v1/rooms/{q(room)}/relations/{q(parent)}{rest}", **query)
    return found


def ids(page: dict[str, Any]) -> list[str]:
    return [event["event_id"] for event in page["chunk"]]


async def pair(hs: Homeserver) -> tuple[Client, Client, str]:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    return alice, bob, room


async def ignore(client: Client, other: Client) -> None:
    path = f"/user/{q(client.user_id)}/account_data/m.ignored_user_list"
    await client.ok("PUT", path, {"ignored_users": {other.user_id: {}}})


async def redact(client: Client, room: str, event_id: str) -> None:
    await client.ok("PUT", f"/rooms/{q(room)}/redact/{q(event_id)}/{q(event_id)}", {})


async def test_the_newest_edit_is_bundled(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    original = await alice.send(room, "helo")
    await edit(alice, room, original, "hello")
    newest = await edit(alice, room, original, "hello!")
    replaced = (await bundle(bob, room, original))["m.replace"]
    assert (replaced["event_id"], replaced["content"]["m.new_content"]["body"]) == (newest, "hello!")
    assert replaced["room_id"] == room


async def test_bundles_survive_a_restart(hs: Homeserver, start_homeserver: Any) -> None:
    alice, _, room = await pair(hs)
    original = await alice.send(room, "helo")
    newest = await edit(alice, room, original, "hello")
    plain = await alice.send(room, "plain")
    restarted = alice.at(await start_homeserver())
    assert (await bundle(restarted, room, original))["m.replace"]["event_id"] == newest
    assert await bundle(restarted, room, plain) == {}
    await relate(restarted, room, plain, "m.reference")
    assert "m.reference" in await bundle(restarted, room, plain)


async def test_a_redacted_edit_gives_way_to_the_one_before(hs: Homeserver) -> None:
    alice, _, room = await pair(hs)
    original = await alice.send(room, "one")
    first = await edit(alice, room, original, "two")
    second = await edit(alice, room, original, "three")
    await redact(alice, room, second)
    assert (await bundle(alice, room, original))["m.replace"]["event_id"] == first
    await redact(alice, room, first)
    assert await bundle(alice, room, original) == {}


async def test_a_redacted_original_has_no_edits(hs: Homeserver) -> None:
    alice, _, room = await pair(hs)
    original = await alice.send(room, "one")
    await edit(alice, room, original, "two")
    await redact(alice, room, original)
    assert await bundle(alice, room, original) == {}


async def test_invalid_edits_are_not_bundled(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    original = await alice.send(room, "one")
    await edit(bob, room, original, "by someone else")
    await relate(alice, room, original, "m.replace", "without new content")
    await relate(alice, room, original, "m.replace", "with a bad one", **{"m.new_content": "text"})
    relates_to = {"rel_type": "m.replace", "event_id": original}
    content = {"m.new_content": {"body": "x"}, "m.relates_to": relates_to}
    await alice.send_event(room, "org.example.other", content)
    assert "m.replace" not in await bundle(alice, room, original)


async def test_an_edit_of_an_edit_is_not_bundled(hs: Homeserver) -> None:
    alice, _, room = await pair(hs)
    first = await edit(alice, room, await alice.send(room, "one"), "two")
    await edit(alice, room, first, "three")
    assert await bundle(alice, room, first) == {}


async def test_an_encrypted_edit_is_bundled(hs: Homeserver) -> None:
    alice, _, room = await pair(hs)
    encrypted = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"}
    original = await alice.send_event(room, "m.room.encrypted", encrypted)
    relates_to = {"m.relates_to": {"rel_type": "m.replace", "event_id": original}}
    newest = await alice.send_event(room, "m.room.encrypted", {**encrypted, **relates_to})
    assert (await bundle(alice, room, original))["m.replace"]["event_id"] == newest


async def test_a_thread_is_summed_up(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    carol = await hs.register("carol")
    await carol.join(room)
    root = await alice.send(room, "root")
    await relate(bob, room, root, "m.thread", "one")
    latest = await relate(bob, room, root, "m.thread", "two")
    await edit(bob, room, latest, "two!")
    told = {client: (await bundle(client, room, root))["m.thread"] for client in (alice, bob, carol)}
    assert [told[client]["current_user_participated"] for client in (alice, bob, carol)] == [True, True, False]
    assert (told[carol]["count"], told[carol]["latest_event"]["event_id"]) == (2, latest)
    inner = told[carol]["latest_event"]["unsigned"]["m.relations"]["m.replace"]
    assert inner["content"]["m.new_content"] == {"body": "two!"}


async def test_ignored_users_and_redacted_events_do_not_count_in_a_thread(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    root = await alice.send(room, "root")
    first = await relate(alice, room, root, "m.thread", "one")
    redacted = await relate(alice, room, root, "m.thread", "two")
    await relate(bob, room, root, "m.thread", "three")
    await redact(alice, room, redacted)
    assert (await bundle(alice, room, root))["m.thread"]["count"] == 2
    await ignore(alice, bob)
    thread = (await bundle(alice, room, root))["m.thread"]
    assert (thread["count"], thread["latest_event"]["event_id"]) == (1, first)
    assert (await bundle(bob, room, root))["m.thread"]["count"] == 2


async def test_what_one_reader_ignores_others_still_hear_of(hs: Homeserver, start_homeserver: Any) -> None:
    alice, bob, room = await pair(hs)
    root = await alice.send(room, "root")
    await relate(bob, room, root, "m.thread", "one")
    await ignore(alice, bob)
    restarted = await start_homeserver()
    assert await bundle(alice.at(restarted), room, root) == {}
    assert (await bundle(bob.at(restarted), room, root))["m.thread"]["count"] == 1


async def test_references_are_listed_oldest_first(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    target = await alice.send(room, "target")
    sent = [await relate(client, room, target, "m.reference") for client in (alice, bob)]
    told = await bundle(alice, room, target)
    assert told == {"m.reference": {"chunk": [{"event_id": event_id} for event_id in sent]}}


async def test_reactions_are_not_bundled(hs: Homeserver) -> None:
    alice, _, room = await pair(hs)
    target = await alice.send(room, "target")
    await react(alice, room, target, "👍")
    assert await bundle(alice, room, target) == {}


async def test_bundles_are_told_by_every_endpoint(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    root = await alice.send(room, "root")
    child = await relate(bob, room, root, "m.reference", "child")
    await edit(bob, room, child, "edited")
    context = await alice.get(f"/rooms/{q(room)}/context/{q(root)}", limit=4)
    page = await alice.get(f"/rooms/{q(room)}/messages", dir="b", limit=10)
    related = await children(alice, room, root)
    synced = (await alice.sync())["rooms"]["join"][room]["timeline"]["events"]
    assert "m.reference" in context["event"]["unsigned"]["m.relations"]
    for events in (context["events_after"], page["chunk"], related["chunk"], synced):
        told = next(event for event in events if event["event_id"] == child)
        assert "m.replace" in told["unsigned"]["m.relations"]


async def test_who_has_left_is_not_told_of_later_children(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    original = await alice.send(room, "one")
    first = await edit(alice, room, original, "two")
    await bob.leave(room)
    await edit(alice, room, original, "three")
    await relate(alice, room, original, "m.thread")
    told = await bundle(bob, room, original)
    assert (told["m.replace"]["event_id"], set(told)) == (first, {"m.replace"})
    assert ids(await children(bob, room, original)) == [first]


async def test_children_are_listed_newest_first_and_chosen_by_type(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    parent = await alice.send(room, "parent")
    thread = await relate(alice, room, parent, "m.thread")
    reaction = await react(bob, room, parent, "a")
    reference = await relate(bob, room, parent, "m.reference")
    assert ids(await children(alice, room, parent)) == [reference, reaction, thread]
    assert ids(await children(alice, room, parent, dir="f")) == [thread, reaction, reference]
    assert ids(await children(alice, room, parent, "m.annotation")) == [reaction]
    assert ids(await children(alice, room, parent, "m.annotation", "m.reaction")) == [reaction]
    assert ids(await children(alice, room, parent, "m.annotation", "m.room.message")) == []
    await redact(bob, room, reaction)
    assert ids(await children(alice, room, parent)) == [reference, thread]


@pytest.mark.parametrize("direction", ["b", "f"])
async def test_pages_of_children_give_each_once(hs: Homeserver, direction: str) -> None:
    alice, _, room = await pair(hs)
    parent = await alice.send(room, "parent")
    sent = [await react(alice, room, parent, str(number)) for number in range(7)]
    wanted = sent if direction == "f" else sent[::-1]
    for limit in (1, 3, 7):
        page = await children(alice, room, parent, limit=limit, dir=direction)
        assert "prev_batch" not in page
        found = ids(page)
        while "next_batch" in page:
            start = page["next_batch"]
            page = await children(alice, room, parent, limit=limit, dir=direction, **{"from": start})
            assert page["prev_batch"] == start
            found += ids(page)
        assert found == wanted


async def test_five_children_are_given_unless_asked(hs: Homeserver) -> None:
    alice, _, room = await pair(hs)
    parent = await alice.send(room, "parent")
    for number in range(6):
        await react(alice, room, parent, str(number))
    assert len((await children(alice, room, parent))["chunk"]) == 5


async def test_relations_are_followed_three_deep(hs: Homeserver) -> None:
    alice, _, room = await pair(hs)
    tree = [await alice.send(room, "root")]
    for _ in range(4):
        tree.append(await relate(alice, room, tree[-1], "m.reference"))
    page = await children(alice, room, tree[0], recurse="true")
    assert (ids(page), page["recursion_depth"]) == (tree[3:0:-1], 3)
    assert "recursion_depth" not in await children(alice, room, tree[0])
    reaction = await react(alice, room, tree[1], "a")
    assert reaction in ids(await children(alice, room, tree[0], recurse="true"))
    assert ids(await children(alice, room, tree[0], "m.annotation", recurse="true")) == []


async def test_a_parent_that_the_reader_may_not_see_is_not_found(hs: Homeserver) -> None:
    alice, _, room = await pair(hs)
    carol = await hs.register("carol")
    parent = await alice.send(room, "parent")
    for client, wanted in ((carol, parent), (alice, "$unknown")):
        path = f"/_matrix/client/v1/rooms/{q(room)}/relations/{q(wanted)}"
        response = await client.ask("GET", path)
        assert (response.status, response.errcode) == (404, "M_NOT_FOUND")


@pytest.mark.parametrize("query", [{"from": "x"}, {"to": "x"}, {"dir": "x"}, {"limit": "0"}, {"recurse": ""}])
async def test_a_bad_parameter_is_refused(hs: Homeserver, query: dict[str, str]) -> None:
    alice, _, room = await pair(hs)
    parent = await alice.send(room, "parent")
    response = await alice.ask("GET", f"/_matrix/client/v1/rooms/{q(room)}/relations/{q(parent)}", **query)
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")
