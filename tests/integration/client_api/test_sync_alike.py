"""Messages are told to everybody alike, by one part written for all; and it is the same as what each would be told."""

import json
from typing import Any

import pytest
import pytest_twisted

from homeserver.services.sync.alike import AlikeRooms
from tests.support.homeserver import Client, Homeserver, q


@pytest_twisted.async_fixture
async def hs(start_homeserver: Any) -> Homeserver:
    """Without presence, which comes between messages."""
    homeserver: Homeserver = await start_homeserver("presence: {enabled: false}")
    return homeserver


LAZY = json.dumps({"room": {"state": {"lazy_load_members": True}}})


@pytest.fixture
def alike(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each answer that had something to tell was written for all."""
    used: list[bool] = []
    add = AlikeRooms.add

    async def watched(self: AlikeRooms, *args: Any) -> bool:
        used.append(await add(self, *args))
        return used[-1]

    monkeypatch.setattr(AlikeRooms, "add", watched)
    return used


async def answer_written_apart(client: Client, **query: Any) -> Any:
    async def never(self: AlikeRooms, *args: Any) -> bool:
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AlikeRooms, "add", never)
        return await client.get("/sync", since=client.since, **query)


def without_ages(answer: dict[str, Any]) -> dict[str, Any]:
    for room in answer.get("rooms", {}).get("join", {}).values():
        for event in room["timeline"]["events"]:
            event.get("unsigned", {}).pop("age", None)
    return answer


async def two_in_a_room(hs: Homeserver) -> tuple[Client, Client, str]:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    await bob.sync(filter=LAZY)
    await bob.sync(filter=LAZY)
    return alice, bob, room


@pytest.mark.parametrize("query", [{}, {"filter": LAZY}, {"use_state_after": "true"}])
async def test_messages_are_told_by_one_part_for_all(hs: Homeserver, alike: list[bool], query: dict[str, str]) -> None:
    alice, bob, room = await two_in_a_room(hs)
    if "filter" in query:
        await alice.send(room, "hello")
        await bob.sync(**query)
        await bob.sync(**query)
    del alike[:]
    await alice.send(room, "one")
    await alice.send(room, "two")
    apart = await answer_written_apart(bob, **query)
    together = await bob.get("/sync", since=bob.since, **query)
    assert alike == [True]
    assert without_ages(together) == without_ages(apart)
    assert together["rooms"]["join"][room]["unread_notifications"]["notification_count"] >= 2


async def test_a_lazy_client_is_told_of_a_sender_whom_it_does_not_know(hs: Homeserver, alike: list[bool]) -> None:
    alice, bob, carol = await hs.register("alice"), await hs.register("bob"), await hs.register("carol")
    room = await alice.create_room(name="named")
    await carol.join(room)
    await bob.join(room)
    short = json.dumps({"room": {"timeline": {"limit": 1}, "state": {"lazy_load_members": True}}})
    first = await bob.sync(filter=short)
    assert carol.user_id not in json.dumps(first)
    await carol.send(room, "it is me")
    del alike[:]
    answer = await bob.sync(filter=short)
    assert alike == [False]
    assert [event["state_key"] for event in answer["rooms"]["join"][room]["state"]["events"]] == [carol.user_id]


async def test_the_sender_hears_its_transaction_id(hs: Homeserver, alike: list[bool]) -> None:
    alice, _, room = await two_in_a_room(hs)
    await alice.sync()
    await alice.send(room, "mine")
    [event] = await alice.timeline(room)
    assert "transaction_id" in event["unsigned"]
    assert alike[-1:] == [False]


async def test_an_ignored_sender_is_not_told(hs: Homeserver) -> None:
    alice, bob, room = await two_in_a_room(hs)
    path = f"/user/{q(bob.user_id)}/account_data/m.ignored_user_list"
    await bob.ok("PUT", path, {"ignored_users": {alice.user_id: {}}})
    await bob.sync()
    await alice.send(room, "unheard")
    assert await bob.texts(room) == []


async def test_what_was_redacted_meanwhile_is_not_told_as_it_was(hs: Homeserver, alike: list[bool]) -> None:
    alice, bob, room = await two_in_a_room(hs)
    carol = await hs.register("carol")
    await carol.join(room)
    await bob.sync()
    await carol.sync()
    event_id = await alice.send(room, "secret")
    stream = hs.core.storage.stream
    first = await carol.get("/sync", since=carol.since)
    assert "secret" in json.dumps(first)
    assert alike[-1]
    await alice.ok("PUT", f"/rooms/{q(room)}/redact/{event_id}/t", {})
    # As a process that has not heard of more than the message when the answer begins.
    newest, stream.position = stream.position, stream.position - 1
    try:
        answer = await bob.get("/sync", since=bob.since)
    finally:
        stream.position = newest
    assert "secret" not in json.dumps(answer)


@pytest.mark.parametrize(
    "wanted",
    [
        {"room": {"timeline": {"types": ["m.room.member"]}}},
        {"room": {"timeline": {"limit": 1}}},
        {"room": {"rooms": ["!other:hearth.test"]}},
        {"event_fields": ["content.body"]},
    ],
)
async def test_a_filter_holds(hs: Homeserver, wanted: dict[str, Any]) -> None:
    alice, bob, room = await two_in_a_room(hs)
    await bob.sync()
    await alice.send(room, "one")
    await alice.send(room, "two")
    query = {"filter": json.dumps(wanted)}
    told = await bob.get("/sync", since=bob.since, **query)
    assert without_ages(told) == without_ages(await answer_written_apart(bob, **query))


async def test_the_age_of_an_event_grows(hs: Homeserver, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob, room = await two_in_a_room(hs)
    await alice.send(room, "hello")

    async def age() -> int:
        answer = await bob.get("/sync", since=bob.since)
        return int(answer["rooms"]["join"][room]["timeline"]["events"][0]["unsigned"]["age"])

    before, now_ms = await age(), hs.core.clock.now_ms
    monkeypatch.setattr(hs.core.clock, "now_ms", lambda: now_ms() + 60_000, raising=False)
    assert await age() >= before + 60_000
