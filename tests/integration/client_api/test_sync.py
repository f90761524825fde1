"""GET /sync, by the chapter "Syncing": what each kind of client is told, and when."""

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.support.homeserver import Client, Homeserver, q


def joined(answer: dict[str, Any], room: str) -> dict[str, Any]:
    return answer["rooms"]["join"][room]


def bodies(part: dict[str, Any]) -> list[str]:
    return [
        event["content"].get("body", "") for event in part["timeline"]["events"] if event["type"] == "m.room.message"
    ]


def state_types(part: dict[str, Any], name: str = "state") -> set[tuple[str, str]]:
    return {(event["type"], event["state_key"]) for event in part[name]["events"]}


async def two_in_a_room(hs: Homeserver) -> tuple[Client, Client, str]:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    return alice, bob, room


class Waiting:
    """A long-poll that is under way."""

    def __init__(self, client: Client, **query: Any) -> None:
        self.answer: Deferred[Any] = Deferred.fromCoroutine(
            client.sync(**{"timeout": 30_000, "set_presence": "offline", **query})
        )

    @property
    def is_waiting(self) -> bool:
        return not self.answer.called


async def test_an_initial_sync_tells_the_whole_room_once(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room(name="Hearth", topic="warm")
    part = joined(await alice.sync(), room)
    told = [(event["type"], event.get("state_key")) for event in part["timeline"]["events"]]
    assert len(told) == len(set(told))
    assert not set(told) & state_types(part)
    assert {("m.room.create", ""), ("m.room.name", ""), ("m.room.member", alice.user_id)} <= set(told) | state_types(
        part
    )


async def test_the_state_is_that_before_the_timeline(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room(name="first")
    for number in range(10):
        await alice.send(room, str(number))
    await alice.set_state(room, "m.room.name", {"name": "second"})
    part = joined(await alice.sync(filter='{"room":{"timeline":{"limit":5}}}'), room)
    assert part["timeline"]["limited"]
    names = [event["content"]["name"] for event in part["state"]["events"] if event["type"] == "m.room.name"]
    assert names == ["first"]
    assert part["timeline"]["events"][-1]["content"] == {"name": "second"}
    assert part["timeline"]["events"][-1]["unsigned"]["prev_content"] == {"name": "first"}


async def test_state_after_tells_the_state_after_the_timeline(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room(name="first")
    await alice.sync()
    await alice.set_state(room, "m.room.name", {"name": "second"})
    part = joined(await alice.sync(use_state_after="true"), room)
    assert "state" not in part
    assert [event["content"] for event in part["state_after"]["events"]] == [{"name": "second"}]


async def test_who_asks_by_the_unstable_name_is_answered_by_it(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room(name="first")
    part = joined(await alice.sync(**{"org.matrix.msc4222.use_state_after": "true"}), room)
    assert "state" not in part and "state_after" not in part
    assert ("m.room.name", "") in state_types(part, "org.matrix.msc4222.state_after")


async def test_an_incremental_sync_tells_only_what_is_new(hs: Homeserver) -> None:
    alice, bob, room = await two_in_a_room(hs)
    other = await alice.create_room()
    await alice.sync()
    await bob.send(room, "hello")
    answer = await alice.sync()
    assert bodies(joined(answer, room)) == ["hello"]
    assert joined(answer, room)["state"]["events"] == []
    assert other not in answer["rooms"]["join"]
    again = await alice.sync()
    assert "rooms" not in again


async def test_a_gap_is_told_with_the_state_that_changed_in_it(hs: Homeserver) -> None:
    alice, bob, room = await two_in_a_room(hs)
    await alice.sync()
    await bob.send(room, "lost in the gap")
    await alice.set_state(room, "m.room.topic", {"topic": "in the gap"})
    for number in range(12):
        await bob.send(room, str(number))
    part = joined(await alice.sync(), room)
    assert part["timeline"]["limited"]
    assert bodies(part) == [str(number) for number in range(2, 12)]
    assert state_types(part) == {("m.room.topic", "")}


@pytest.mark.parametrize("restart", [False, True])
async def test_the_gap_can_be_filled_from_prev_batch(hs: Homeserver, start_homeserver: Any, restart: bool) -> None:
    alice, bob, room = await two_in_a_room(hs)
    await alice.sync()
    for number in range(15):
        await bob.send(room, str(number))
    if restart:
        other = await start_homeserver()
        alice = alice.at(other)
    part = joined(await alice.sync(), room)
    earlier = await alice.get(
        f"/rooms/{q(room)}/messages", dir="b", limit=5, **{"from": part["timeline"]["prev_batch"]}
    )
    assert [event["content"]["body"] for event in earlier["chunk"]] == ["4", "3", "2", "1", "0"]


async def test_a_token_is_valid_after_a_restart(hs: Homeserver, start_homeserver: Any) -> None:
    alice, bob, room = await two_in_a_room(hs)
    await alice.sync()
    await bob.send(room, "before")
    await alice.set_state(room, "m.room.topic", {"topic": "t"})
    await bob.ok("POST", f"/rooms/{q(room)}/receipt/m.read/{q(await bob.send(room, 'read'))}", {})
    other = await start_homeserver()
    answer = await alice.at(other).sync(since=alice.since)
    part = joined(answer, room)
    assert bodies(part) == ["before", "read"]
    assert "m.receipt" in [event["type"] for event in part["ephemeral"]["events"]]


async def test_a_sync_waits_and_is_woken_by_a_message(hs: Homeserver) -> None:
    alice, bob, room = await two_in_a_room(hs)
    await alice.sync(set_presence="offline")
    waiting = Waiting(alice)
    await bob.send(room, "wake up")
    assert bodies(joined(await waiting.answer, room)) == ["wake up"]


async def test_a_sync_is_not_woken_by_what_does_not_concern_it(hs: Homeserver) -> None:
    alice, bob, room = await two_in_a_room(hs)
    carol = await hs.register("carol")
    for client in (bob, carol, alice):
        await client.sync(set_presence="offline")
    await alice.sync(set_presence="offline")
    waiting = Waiting(alice)
    await carol.send(await carol.create_room(), "elsewhere")
    assert waiting.is_waiting
    await bob.send(room, "here")
    await waiting.answer


async def test_a_sync_without_timeout_answers_at_once(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    first = await alice.sync()
    second = await alice.sync(timeout=0)
    assert second["next_batch"] >= first["next_batch"]


async def test_a_new_room_is_told_whole_to_who_joins_later(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room(name="late")
    for number in range(20):
        await alice.send(room, str(number))
    await bob.sync()
    await bob.join(room)
    part = joined(await bob.sync(), room)
    assert part["timeline"]["limited"]
    assert part["timeline"]["events"][-1]["state_key"] == bob.user_id
    assert {("m.room.create", ""), ("m.room.name", ""), ("m.room.member", alice.user_id)} <= state_types(part)


async def test_an_invite_comes_with_stripped_state_until_it_is_answered(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    await bob.sync()
    room = await alice.create_room(preset="private_chat", name="secret", invite=[bob])
    answer = await bob.sync()
    invite = answer["rooms"]["invite"][room]["invite_state"]["events"]
    assert {"m.room.create", "m.room.name", "m.room.join_rules", "m.room.member"} <= {event["type"] for event in invite}
    own = [event for event in invite if event["type"] == "m.room.member" and event["state_key"] == bob.user_id]
    assert own[0]["content"]["membership"] == "invite"
    assert all(set(event) <= {"type", "content", "sender", "state_key"} for event in invite)
    assert room in (await bob.sync(since=None))["rooms"]["invite"]
    await bob.leave(room)
    answer = await bob.sync()
    assert room in answer["rooms"]["leave"]
    assert "invite" not in answer["rooms"]


async def test_who_leaves_hears_until_then_and_no_further(hs: Homeserver) -> None:
    alice, bob, room = await two_in_a_room(hs)
    await bob.sync()
    await alice.send(room, "farewell")
    await bob.leave(room)
    await alice.send(room, "gossip")
    answer = await bob.sync()
    part = answer["rooms"]["leave"][room]
    assert bodies(part) == ["farewell"]
    assert part["timeline"]["events"][-1]["content"]["membership"] == "leave"
    assert "rooms" not in await bob.sync()
    initial = await bob.sync(since=None)
    assert room not in initial.get("rooms", {}).get("leave", {})
    with_left = await bob.sync(since=None, filter='{"room":{"include_leave":true}}')
    assert "gossip" not in bodies(with_left["rooms"]["leave"][room])


async def test_who_was_put_out_hears_of_it_in_a_first_sync_too(hs: Homeserver) -> None:
    alice, bob, room = await two_in_a_room(hs)
    await alice.ok("POST", f"/rooms/{q(room)}/kick", {"user_id": bob.user_id, "reason": "for a while"})
    assert room in (await bob.sync(since=None))["rooms"]["leave"]
    await alice.ok("POST", f"/rooms/{q(room)}/ban", {"user_id": bob.user_id})
    part = (await bob.sync(since=None))["rooms"]["leave"][room]
    assert part["timeline"]["events"][-1]["content"]["membership"] == "ban"
    others = {"room": {"not_rooms": [room]}}
    assert "leave" not in (await bob.sync(since=None, filter=json.dumps(others))).get("rooms", {})
    await bob.ok("POST", f"/rooms/{q(room)}/forget", {})
    assert "leave" not in (await bob.sync(since=None)).get("rooms", {})


async def test_lazy_members_are_the_senders_and_each_once(hs: Homeserver) -> None:
    alice, bob, room = await two_in_a_room(hs)
    carol = await hs.register("carol")
    await carol.join(room)
    for number in range(3):
        await bob.send(room, str(number))
    lazy = '{"room":{"state":{"lazy_load_members":true},"timeline":{"limit":2}}}'
    part = joined(await alice.sync(filter=lazy), room)
    members = {key for kind, key in state_types(part) if kind == "m.room.member"}
    assert members == {alice.user_id, bob.user_id, carol.user_id}, "the senders, the reader and the heroes"
    assert part["summary"]["m.joined_member_count"] == 3
    assert part["summary"]["m.heroes"] == [bob.user_id, carol.user_id]
    await carol.send(room, "again")
    assert joined(await alice.sync(filter=lazy), room)["state"]["events"] == []


async def test_typing_and_receipts_are_told(hs: Homeserver) -> None:
    alice, bob, room = await two_in_a_room(hs)
    event_id = await alice.send(room, "read me")
    await alice.sync()
    await bob.ok("PUT", f"/rooms/{q(room)}/typing/{q(bob.user_id)}", {"typing": True, "timeout": 30_000})
    await bob.ok("POST", f"/rooms/{q(room)}/receipt/m.read/{q(event_id)}", {})
    ephemeral = {event["type"]: event["content"] for event in joined(await alice.sync(), room)["ephemeral"]["events"]}
    assert ephemeral["m.typing"] == {"user_ids": [bob.user_id]}
    assert list(ephemeral["m.receipt"][event_id]["m.read"]) == [bob.user_id]
    await bob.send(room, "a message in between")
    assert joined(await alice.sync(), room)["ephemeral"]["events"] == []
    await bob.ok("PUT", f"/rooms/{q(room)}/typing/{q(bob.user_id)}", {"typing": False})
    ephemeral = {event["type"]: event["content"] for event in joined(await alice.sync(), room)["ephemeral"]["events"]}
    assert ephemeral == {"m.typing": {"user_ids": []}}


async def test_private_receipts_are_told_to_their_owner_only(hs: Homeserver) -> None:
    alice, bob, room = await two_in_a_room(hs)
    event_id = await alice.send(room, "read me")
    await alice.sync()
    await bob.sync()
    await bob.ok("POST", f"/rooms/{q(room)}/receipt/m.read.private/{q(event_id)}", {})
    assert room not in (await alice.sync()).get("rooms", {}).get("join", {})
    [receipt] = joined(await bob.sync(), room)["ephemeral"]["events"]
    assert list(receipt["content"][event_id]) == ["m.read.private"]


async def test_account_data_is_told_when_it_changes(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    await alice.sync()
    await alice.ok("PUT", f"/user/{q(alice.user_id)}/account_data/org.example", {"a": 1})
    await alice.ok("PUT", f"/user/{q(alice.user_id)}/rooms/{q(room)}/account_data/org.example", {"b": 2})
    answer = await alice.sync()
    assert answer["account_data"]["events"] == [{"type": "org.example", "content": {"a": 1}}]
    assert joined(answer, room)["account_data"]["events"] == [{"type": "org.example", "content": {"b": 2}}]


async def test_unread_messages_are_counted_until_they_are_read(hs: Homeserver) -> None:
    alice, bob, room = await two_in_a_room(hs)
    await alice.sync()
    await bob.send(room, "one")
    event_id = await bob.send(room, "hello alice", **{"m.mentions": {"user_ids": [alice.user_id]}})
    counts = joined(await alice.sync(), room)["unread_notifications"]
    assert counts == {"notification_count": 2, "highlight_count": 1}
    await alice.ok("POST", f"/rooms/{q(room)}/receipt/m.read/{q(event_id)}", {})
    counts = joined(await alice.sync(), room)["unread_notifications"]
    assert counts == {"notification_count": 0, "highlight_count": 0}


async def test_unread_messages_are_counted_by_thread_on_request(hs: Homeserver) -> None:
    alice, bob, room = await two_in_a_room(hs)
    root = await alice.send(room, "root")
    await alice.sync()
    await bob.send(room, "main")
    await bob.send(room, "in thread", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    by_thread = '{"room":{"timeline":{"unread_thread_notifications":true}}}'
    part = joined(await alice.sync(filter=by_thread), room)
    assert part["unread_notifications"]["notification_count"] == 1
    assert part["unread_thread_notifications"][root]["notification_count"] == 1
    read = await bob.send(room, "main again")
    await alice.ok("POST", f"/rooms/{q(room)}/receipt/m.read/{q(read)}", {"thread_id": "main"})
    part = joined(await alice.sync(filter=by_thread), room)
    assert part["unread_notifications"]["notification_count"] == 0
    assert part["unread_thread_notifications"][root]["notification_count"] == 1


async def test_the_sender_finds_its_transaction_id_and_no_other_device_does(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    other = await hs.log_in("alice")
    room = await alice.create_room()
    await alice.sync()
    await other.sync()
    await alice.ok("PUT", f"/rooms/{q(room)}/send/m.room.message/mine", {"msgtype": "m.text", "body": "x"})
    [event] = await alice.timeline(room)
    assert event["unsigned"]["transaction_id"] == "mine"
    [event] = await other.timeline(room)
    assert "transaction_id" not in event["unsigned"]


async def test_messages_of_ignored_users_are_left_out_and_their_state_is_not(hs: Homeserver) -> None:
    alice, bob, room = await two_in_a_room(hs)
    ignored = {"ignored_users": {bob.user_id: {}}}
    await alice.ok("PUT", f"/user/{q(alice.user_id)}/account_data/m.ignored_user_list", ignored)
    await alice.sync()
    await bob.send(room, "spam")
    await bob.leave(room)
    events = await alice.timeline(room)
    assert [event["type"] for event in events] == ["m.room.member"]


async def test_a_redacted_event_is_told_without_its_content(hs: Homeserver) -> None:
    alice, bob, room = await two_in_a_room(hs)
    event_id = await alice.send(room, "oops")
    await alice.ok("PUT", f"/rooms/{q(room)}/redact/{q(event_id)}/t1", {"reason": "typo"})
    part = joined(await bob.sync(), room)
    redacted = next(event for event in part["timeline"]["events"] if event["event_id"] == event_id)
    assert redacted["content"] == {}
    assert redacted["unsigned"]["redacted_because"]["content"]["reason"] == "typo"


async def test_to_device_messages_come_once_the_device_has_acknowledged_them(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    await bob.sync()
    messages = {"messages": {bob.user_id: {bob.device_id: {"n": 1}}}}
    await alice.ok("PUT", "/sendToDevice/org.example/t1", messages)
    before = bob.since
    told = (await bob.sync())["to_device"]["events"]
    assert told == [{"type": "org.example", "sender": alice.user_id, "content": {"n": 1}}]
    repeated = (await bob.sync(since=before))["to_device"]["events"]
    assert repeated == told
    assert "to_device" not in await bob.sync()


async def test_many_to_device_messages_come_in_order_over_several_syncs(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    await bob.sync()
    for number in range(250):
        messages = {"messages": {bob.user_id: {bob.device_id: {"n": number}}}}
        await alice.ok("PUT", f"/sendToDevice/org.example/t{number}", messages)
    told: list[int] = []
    for _ in range(3):
        told += [event["content"]["n"] for event in (await bob.sync())["to_device"]["events"]]
    assert told == list(range(250))


async def test_device_lists_tell_of_those_who_share_a_room(hs: Homeserver) -> None:
    alice, bob, _ = await two_in_a_room(hs)
    await hs.register("carol")
    await alice.sync()
    await hs.log_in("bob")
    await hs.log_in("carol")
    assert (await alice.sync())["device_lists"]["changed"] == [bob.user_id]


@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ({"since": "nonsense"}, "M_INVALID_PARAM"),
        ({"timeout": "soon"}, "M_INVALID_PARAM"),
        ({"set_presence": "asleep"}, "M_INVALID_PARAM"),
        ({"filter": "{"}, "M_NOT_JSON"),
        ({"filter": "999999"}, "M_INVALID_PARAM"),
        ({"full_state": "perhaps"}, "M_INVALID_PARAM"),
    ],
)
async def test_a_bad_parameter_is_refused(hs: Homeserver, query: dict[str, str], errcode: str) -> None:
    alice = await hs.register("alice")
    response = await alice.ask("GET", "/sync", **query)
    assert (response.status // 100, response.errcode) == (4, errcode)


async def test_full_state_tells_all_state_again(hs: Homeserver) -> None:
    alice, bob, room = await two_in_a_room(hs)
    await alice.sync()
    await bob.send(room, "new")
    part = joined(await alice.sync(full_state="true"), room)
    assert bodies(part) == ["new"]
    assert ("m.room.create", "") in state_types(part)


async def test_who_has_all_members_is_told_how_many_there_are_when_that_changes(hs: Homeserver) -> None:
    alice, bob, room = await two_in_a_room(hs)
    carol = await hs.register("carol")
    await alice.sync()
    await alice.invite(room, carol)
    summary = joined(await alice.sync(), room)["summary"]
    assert (summary["m.joined_member_count"], summary["m.invited_member_count"]) == (2, 1)
    await bob.send(room)
    assert "summary" not in joined(await alice.sync(), room)


NO_TIMELINE = '{"room":{"timeline":{"limit":0},"include_leave":true}}'


async def test_without_a_timeline_all_is_state(hs: Homeserver) -> None:
    alice, bob, room = await two_in_a_room(hs)
    part = joined(await bob.sync(filter=NO_TIMELINE), room)
    assert part["timeline"]["events"] == [] and part["timeline"]["limited"]
    assert ("m.room.member", bob.user_id) in state_types(part)
    await alice.set_state(room, "m.room.topic", {"topic": "new"})
    part = joined(await bob.sync(filter=NO_TIMELINE), room)
    assert part["timeline"]["events"] == [] and state_types(part) == {("m.room.topic", "")}


async def test_without_a_timeline_a_room_that_was_left_ends_in_the_state(hs: Homeserver) -> None:
    alice, bob, room = await two_in_a_room(hs)
    await bob.leave(room)
    await alice.set_state(room, "m.room.topic", {"topic": "not for Bob"})
    part = (await bob.sync(filter=NO_TIMELINE))["rooms"]["leave"][room]
    assert part["timeline"]["events"] == []
    own = [event for event in part["state"]["events"] if event.get("state_key") == bob.user_id]
    assert [event["content"]["membership"] for event in own] == ["leave"]
    assert ("m.room.topic", "") not in state_types(part)


async def test_a_filter_by_room_leaves_out_the_others(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    wanted, other = await alice.create_room(), await alice.create_room()
    answer = await alice.sync(filter=f'{{"room":{{"rooms":["{wanted}"]}}}}')
    assert list(answer["rooms"]["join"]) == [wanted]
    assert other not in answer["rooms"]["join"]
