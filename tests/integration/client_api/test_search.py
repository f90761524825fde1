"""POST /search, by the chapter "Server Side Search"."""

from base64 import urlsafe_b64encode
from typing import Any

import pytest

from homeserver.services.rooms import search_index
from tests.support.homeserver import Client, Homeserver, q


async def search(client: Client, term: str, *, next_batch: str | None = None, **criteria: Any) -> dict[str, Any]:
    body = {"search_categories": {"room_events": {"search_term": term, **criteria}}}
    answer = await client.ok("POST", "/search", body, next_batch=next_batch)
    found: dict[str, Any] = answer["search_categories"]["room_events"]
    return found


def bodies(found: dict[str, Any]) -> list[str]:
    return [one["result"]["content"].get("body") for one in found["results"]]


async def test_messages_are_found_by_their_words(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    await alice.send(room, "The quick brown fox")
    await alice.send(room, "a lazy dog")
    found = await search(alice, "FOXES quick")
    assert bodies(found) == ["The quick brown fox"]
    assert found["count"] == 1 and "next_batch" not in found
    assert found["results"][0]["rank"] > 0
    assert found["results"][0]["result"]["room_id"] == room
    assert set(found["highlights"]) == {"fox", "quick"}


async def test_names_and_topics_are_found_by_key(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room(name="martian embassy", topic="martian affairs")
    await alice.send(room, "martian news")

    async def types(**criteria: Any) -> set[str]:
        return {one["result"]["type"] for one in (await search(alice, "martian", **criteria))["results"]}

    assert await types() == {"m.room.name", "m.room.topic", "m.room.message"}
    assert await types(keys=["content.body"]) == {"m.room.message"}
    assert await types(keys=["content.name", "content.topic"]) == {"m.room.name", "m.room.topic"}
    assert await types(filter={"types": ["m.room.topic"]}) == {"m.room.topic"}


async def test_the_plain_text_of_a_rich_topic_is_found(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    texts = [{"body": "<b>bold</b>", "mimetype": "text/html"}, {"body": "plainly"}]
    await alice.set_state(room, "m.room.topic", {"topic": "short", "m.topic": {"m.text": texts}})
    assert len((await search(alice, "plainly"))["results"]) == 1
    assert (await search(alice, "bold"))["results"] == []


async def test_only_what_the_searcher_may_see_is_found(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    state = {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "joined"}}
    room = await alice.create_room(initial_state=[state])
    await alice.send(room, "secret before")
    assert bodies(await search(bob, "secret")) == []
    await bob.join(room)
    await alice.send(room, "secret during")
    await bob.leave(room)
    await alice.send(room, "secret after")
    assert bodies(await search(bob, "secret")) == ["secret during"]
    assert len(bodies(await search(alice, "secret"))) == 3
    await bob.ok("POST", f"/rooms/{q(room)}/forget", {})
    assert bodies(await search(bob, "secret")) == []


async def test_redacted_messages_are_not_found(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    event_id = await alice.send(room, "regret")
    assert bodies(await search(alice, "regret")) == ["regret"]
    await alice.ok("PUT", f"/rooms/{q(room)}/redact/{q(event_id)}/1", {})
    assert bodies(await search(alice, "regret")) == []


async def test_messages_of_ignored_users_are_not_found(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    await bob.send(room, "noise")
    path = f"/user/{q(alice.user_id)}/account_data/m.ignored_user_list"
    await alice.ok("PUT", path, {"ignored_users": {bob.user_id: {}}})
    assert bodies(await search(alice, "noise")) == []


@pytest.mark.parametrize("order", ["recent", "rank"])
async def test_pages_of_results_give_each_once(hs: Homeserver, order: str) -> None:
    alice = await hs.register("alice")
    room, other = await alice.create_room(), await alice.create_room()
    sent = []
    for number in range(7):
        await alice.send(room if number % 2 else other, f"word {number}")
        sent.append(f"word {number}")
    page = await search(alice, "word", order_by=order, filter={"limit": 3})
    assert page["count"] == 7
    found = bodies(page)
    while "next_batch" in page:
        next_batch = page["next_batch"]
        page = await search(alice, "word", order_by=order, filter={"limit": 3}, next_batch=next_batch)
        assert page["count"] == 7
        found += bodies(page)
    assert (found if order == "recent" else sorted(found, reverse=True)) == sent[::-1]


@pytest.mark.parametrize("order", ["recent", "rank"])
async def test_a_page_that_is_just_full_names_a_next_one(hs: Homeserver, order: str) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    await alice.send(room, "only word")
    page = await search(alice, "word", order_by=order, filter={"limit": 1})
    assert bodies(page) == ["only word"]
    page = await search(alice, "word", order_by=order, filter={"limit": 1}, next_batch=page["next_batch"])
    assert bodies(page) == [] and "next_batch" not in page


async def test_the_most_relevant_comes_first_unless_time_is_asked_for(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    await alice.send(room, "tea tea tea tea")
    await alice.send(room, "tea")
    assert bodies(await search(alice, "tea"))[0] == "tea tea tea tea"
    assert bodies(await search(alice, "tea", order_by="recent"))[0] == "tea"


async def test_results_are_grouped_and_a_group_goes_on_alone(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room, other = await alice.create_room(), await alice.create_room()
    await bob.join(other)
    for number in range(3):
        await alice.send(room, f"word {number}")
    await bob.send(other, "word of bob")
    groupings = {"group_by": [{"key": "room_id"}, {"key": "sender"}]}
    wanted = {"order_by": "recent", "groupings": groupings, "filter": {"limit": 2}}
    found = await search(alice, "word", **wanted)
    assert set(found["groups"]["room_id"]) == {room, other}
    assert set(found["groups"]["sender"]) == {alice.user_id, bob.user_id}
    group = found["groups"]["room_id"][room]
    assert group["results"] == [found["results"][1]["result"]["event_id"]] and group["order"] == 1
    more = await search(alice, "word", **wanted, next_batch=group["next_batch"])
    assert bodies(more) == ["word 1", "word 0"]
    by_bob = found["groups"]["sender"][bob.user_id]["next_batch"]
    assert bodies(await search(alice, "word", **wanted, next_batch=by_bob)) == []


async def test_results_come_with_their_context_and_profiles(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    for body in ("one", "two", "needle", "three", "four"):
        await alice.send(room, body)
    found = await search(alice, "needle", event_context={"before_limit": 1, "after_limit": 5, "include_profile": True})
    context = found["results"][0]["context"]
    assert [event["content"]["body"] for event in context["events_before"]] == ["two"]
    assert [event["content"]["body"] for event in context["events_after"]] == ["three", "four"]
    assert context["profile_info"] == {alice.user_id: {"displayname": "alice"}}
    earlier = await alice.get(f"/rooms/{q(room)}/messages", dir="b", limit=1, **{"from": context["start"]})
    assert earlier["chunk"][0]["content"]["body"] == "one"


async def test_the_state_of_the_rooms_is_given_if_asked_for(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room(name="here")
    await alice.send(room, "needle")
    found = await search(alice, "needle", include_state=True)
    assert {"m.room.create", "m.room.name", "m.room.member"} <= {event["type"] for event in found["state"][room]}


async def test_rooms_can_be_chosen_and_bring_their_predecessors(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    old, other = await alice.create_room(), await alice.create_room()
    await alice.send(old, "needle in the old room")
    await alice.send(other, "needle elsewhere")
    answer = await alice.ok("POST", f"/rooms/{q(old)}/upgrade", {"new_version": "11"})
    new = answer["replacement_room"]
    await alice.send(new, "needle in the new room")
    found = await search(alice, "needle", filter={"rooms": [new]}, order_by="recent")
    assert bodies(found) == ["needle in the new room", "needle in the old room"]
    assert bodies(await search(alice, "needle", filter={"rooms": [other]})) == ["needle elsewhere"]


@pytest.mark.parametrize("term", ["", "the", "!!", "&|'\\", "-", '"', "\x01", "a" * 4000])
async def test_a_term_without_words_finds_nothing(hs: Homeserver, term: str) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    await alice.send(room, "the word")
    found = await search(alice, term)
    assert (found["results"], found["count"]) == ([], 0)


async def test_odd_messages_do_not_stop_the_index(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    for body in ("nul \x00 inside", "back\\u0000slash", {"not": "text"}, None, 7, "x" * 30_000, "w " * 20_000):
        await alice.send_event(room, "m.room.message", {"msgtype": "m.text", "body": body})
    await alice.send(room, "needle")
    assert bodies(await search(alice, "needle")) == ["needle"]
    assert bodies(await search(alice, "inside")) == ["nul \x00 inside"]


async def test_the_first_search_of_all_finds_what_was_there_before(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    await alice.send(room, "needle before")
    await hs.server.core.tasks.stop(0)
    assert hs.rows("SELECT * FROM event_words") == []
    assert bodies(await search(alice, "needle")) == ["needle before"]
    await alice.send(room, "needle after")
    assert bodies(await search(alice, "needle", order_by="recent")) == ["needle after", "needle before"]


async def test_long_histories_are_taken_up_in_batches(hs: Homeserver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_index, "BATCH", 3)
    await hs.server.core.tasks.stop(0)  # the background would be faster on some days
    alice = await hs.register("alice")
    room = await alice.create_room()
    for number in range(40):
        await alice.send(room, f"needle {number}")
    newest = bodies(await search(alice, "needle", order_by="recent", filter={"limit": 100}))
    assert newest == [f"needle {number}" for number in range(39, 9, -1)]
    for number in range(40, 50):
        await alice.send(room, f"needle {number}")
    everything = bodies(await search(alice, "needle", order_by="recent", filter={"limit": 100}))
    assert everything == [f"needle {number}" for number in range(49, -1, -1)]


async def test_other_categories_are_left_out(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    assert await alice.ok("POST", "/search", {"search_categories": {"org.example": {}}}) == {"search_categories": {}}


@pytest.mark.parametrize(
    ("criteria", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"search_term": 1}, "M_BAD_JSON"),
        ({"search_term": "x", "keys": ["content.other"]}, "M_INVALID_PARAM"),
        ({"search_term": "x", "order_by": "other"}, "M_INVALID_PARAM"),
        ({"search_term": "x", "groupings": {"group_by": [{"key": "other"}]}}, "M_INVALID_PARAM"),
        ({"search_term": "x", "filter": []}, "M_BAD_JSON"),
        ({"search_term": "x", "event_context": {"before_limit": -1}}, "M_INVALID_PARAM"),
    ],
)
async def test_bad_criteria_are_refused(hs: Homeserver, criteria: dict[str, Any], errcode: str) -> None:
    alice = await hs.register("alice")
    response = await alice.ask("POST", "/search", {"search_categories": {"room_events": criteria}})
    assert (response.status, response.errcode) == (400, errcode)


@pytest.mark.parametrize("token", ["x", "fA", "MTIzfHg", "é", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OXw"])
async def test_a_bad_token_is_refused(hs: Homeserver, token: str) -> None:
    alice = await hs.register("alice")
    body = {"search_categories": {"room_events": {"search_term": "x"}}}
    response = await alice.ask("POST", "/search", body, next_batch=token)
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize("order", ["recent", "rank"])
async def test_a_token_from_nowhere_does_no_harm(hs: Homeserver, order: str) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    await alice.send(room, "word")
    for token in ("-5|", "-999999999999999999|", "999999999999999999|rnowhere", "7|s", "7|s\x00"):
        next_batch = urlsafe_b64encode(token.encode()).decode()
        assert len((await search(alice, "word", order_by=order, next_batch=next_batch))["results"]) <= 1
