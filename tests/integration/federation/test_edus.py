"""Typing, receipts and presence between two homeservers: told to who shares the room, and to nobody else."""

from typing import Any

from tests.integration.federation.listening import told_all, until
from tests.integration.federation.remote_pair import Pair, join, pair, sync_until
from tests.integration.federation.visiting import Visitor
from tests.support.fake_server import FakeServer
from tests.support.homeserver import Client, q

__all__ = ["pair"]


async def shared(pair: Pair) -> str:
    """A room with alice of one.test and bob of two.test, who have synced."""
    room = await pair.alice.create_room()
    await join(pair.bob, room, "one.test")
    await pair.alice.sync()
    await pair.bob.sync()
    return room


def ephemeral(answer: Any, room: str, event_type: str) -> list[Any]:
    part = answer.get("rooms", {}).get("join", {}).get(room, {})
    return [event["content"] for event in part.get("ephemeral", {}).get("events", []) if event["type"] == event_type]


async def heard(client: Client, room: str, event_type: str, content: Any) -> None:
    await sync_until(client, lambda answer: content in ephemeral(answer, room, event_type))


async def type_in(client: Client, room: str, typing: bool = True) -> None:
    path = f"/rooms/{q(room)}/typing/{q(client.user_id)}"
    await client.ok("PUT", path, {"typing": typing, "timeout": 30000})


def edus(pair: Pair, edu_type: str, since: int = 0) -> list[Any]:
    """The contents of those that went from one to the other, either way."""
    sent = [one.json for one in pair.network.requests[since:] if "/send/" in one.path]
    return [edu["content"] for body in sent for edu in body.get("edus", ()) if edu["edu_type"] == edu_type]


async def test_who_types_is_seen_elsewhere_until_they_stop(pair: Pair) -> None:
    room = await shared(pair)
    await type_in(pair.alice, room)
    await heard(pair.bob, room, "m.typing", {"user_ids": [pair.alice.user_id]})
    await type_in(pair.bob, room)
    await heard(pair.alice, room, "m.typing", {"user_ids": [pair.alice.user_id, pair.bob.user_id]})
    await type_in(pair.alice, room, False)
    await heard(pair.bob, room, "m.typing", {"user_ids": [pair.bob.user_id]})
    await type_in(pair.bob, room, False)
    await heard(pair.alice, room, "m.typing", {"user_ids": []})


async def test_who_leaves_types_no_more(pair: Pair) -> None:
    room = await shared(pair)
    await type_in(pair.bob, room)
    await heard(pair.alice, room, "m.typing", {"user_ids": [pair.bob.user_id]})
    await pair.bob.leave(room)
    await heard(pair.alice, room, "m.typing", {"user_ids": []})


async def test_who_still_types_is_told_again_before_others_forget(pair: Pair) -> None:
    room = await shared(pair)
    await type_in(pair.alice, room)
    await heard(pair.bob, room, "m.typing", {"user_ids": [pair.alice.user_id]})
    before = len(pair.network.requests)
    await pair.one.server.sending.sender.tell_typing()
    await until(lambda: edus(pair, "m.typing", before))
    assert edus(pair, "m.typing", before)[0]["typing"] is True
    await type_in(pair.alice, room, False)
    await heard(pair.bob, room, "m.typing", {"user_ids": []})


async def test_what_was_read_is_seen_elsewhere(pair: Pair) -> None:
    room = await shared(pair)
    event_id = await pair.alice.send(room)
    await sync_until(pair.bob, lambda answer: event_id in str(answer))
    await pair.bob.ok("POST", f"/rooms/{q(room)}/receipt/m.read/{q(event_id)}", {"thread_id": "main"})
    answer = await sync_until(pair.alice, lambda answer: ephemeral(answer, room, "m.receipt"))
    [content] = ephemeral(answer, room, "m.receipt")
    [(user_id, data)] = content[event_id]["m.read"].items()
    assert user_id == pair.bob.user_id and data["thread_id"] == "main" and data["ts"] > 10**12


async def test_private_receipts_stay_at_home(pair: Pair) -> None:
    room = await shared(pair)
    event_id = await pair.alice.send(room)
    before = len(pair.network.requests)
    await pair.alice.ok("POST", f"/rooms/{q(room)}/receipt/m.read.private/{q(event_id)}", {})
    await told_all(pair.one)
    assert edus(pair, "m.receipt", before) == []


async def test_receipts_of_several_threads_all_arrive(pair: Pair) -> None:
    room = await shared(pair)
    root = await pair.alice.send(room, "root")
    in_thread = await pair.alice.send(room, "leaf", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    await sync_until(pair.bob, lambda answer: in_thread in str(answer))
    pair.network.cut("one.test", "two.test")
    await pair.bob.ok("POST", f"/rooms/{q(room)}/receipt/m.read/{q(root)}", {"thread_id": "main"})
    await pair.bob.ok("POST", f"/rooms/{q(room)}/receipt/m.read/{q(in_thread)}", {"thread_id": root})
    outbox, name = pair.two.server.sending.outbox, pair.one.core.server_name
    await until(lambda: outbox.seen == pair.two.core.storage.stream.position)
    await until(lambda: name in outbox.behind and name not in outbox._busy)
    pair.network.mend("one.test", "two.test")
    # A message of alice's may not: something that was on its way makes her server leave the other alone for a while.
    outbox._destinations.heard_from(name)
    outbox.wake(name)
    sql = "SELECT thread_id FROM receipts WHERE user_id = %s AND event_id = ANY(%s) ORDER BY 1"
    await until(
        lambda: {t for (t,) in pair.one.rows(sql, pair.bob.user_id, [root, in_thread])} == {"main", root},
    )


async def test_presence_is_seen_by_who_shares_a_room(pair: Pair) -> None:
    await shared(pair)
    await pair.alice.ok(
        "PUT", f"/presence/{q(pair.alice.user_id)}/status", {"presence": "online", "status_msg": "at tea"}
    )

    def is_told(answer: Any) -> bool:
        return any(
            event["sender"] == pair.alice.user_id and event["content"].get("status_msg") == "at tea"
            for event in answer.get("presence", {}).get("events", ())
        )

    await sync_until(pair.bob, is_told)
    told = await pair.bob.get(f"/presence/{q(pair.alice.user_id)}/status")
    assert told["presence"] == "online" and told["currently_active"] is True
    assert not any(user["user_id"] == pair.bob.user_id for push in edus(pair, "m.presence") for user in push["push"]
                   if user.get("status_msg") == "at tea")  # fmt: skip


async def test_who_comes_into_a_room_is_shown_and_sees_who_is_there(pair: Pair) -> None:
    for client in (pair.anna, pair.carol):
        body = {"presence": "online", "status_msg": f"I am {client.user_id}"}
        await client.ok("PUT", f"/presence/{q(client.user_id)}/status", body)
    room = await pair.anna.create_room()
    before = len(pair.network.requests)
    await join(pair.carol, room, "one.test")

    def told(user_id: str) -> bool:
        pushes = [user for push in edus(pair, "m.presence", before) for user in push["push"]]
        return any(user["user_id"] == user_id and user["presence"] == "online" for user in pushes)

    await until(lambda: told(pair.carol.user_id))
    before = len(pair.network.requests)
    await pair.one.server.sending.sender.tell_presence()
    await until(lambda: told(pair.anna.user_id))


async def test_presence_of_who_shares_no_room_is_not_told(pair: Pair) -> None:
    await shared(pair)
    loner = await pair.one.register("loner")
    before = len(pair.network.requests)
    await loner.ok("PUT", f"/presence/{q(loner.user_id)}/status", {"presence": "unavailable"})
    await told_all(pair.one)
    assert not [user for push in edus(pair, "m.presence", before) for user in push["push"]
                if user["user_id"] == loner.user_id]  # fmt: skip


async def test_a_server_tells_nothing_of_others_users_or_of_rooms_that_it_is_not_in(pair: Pair) -> None:
    room = await shared(pair)
    evil = FakeServer(pair.network, "evil.test")
    event_id = await pair.alice.send(room)
    receipt = {"m.read": {pair.bob.user_id: {"event_ids": [event_id], "data": {"ts": 1}},
                          evil.user("mallory"): {"event_ids": [event_id], "data": {"ts": 1}}}}  # fmt: skip
    answer = await evil.transaction("one.test", [], [
        {"edu_type": "m.typing", "content": {"room_id": room, "user_id": pair.bob.user_id, "typing": True}},
        {"edu_type": "m.typing", "content": {"room_id": room, "user_id": evil.user("mallory"), "typing": True}},
        {"edu_type": "m.receipt", "content": {room: receipt}},
        {"edu_type": "m.presence", "content": {"push": [
            {"user_id": pair.bob.user_id, "presence": "offline", "last_active_ago": 1, "status_msg": "evil"},
            {"user_id": evil.user("mallory"), "presence": "online", "last_active_ago": 1}]}},
    ])  # fmt: skip
    assert answer.status == 200
    typing = pair.one.server.rooms.typing
    assert all(not typing.users(nid) for (nid,) in pair.one.rows("SELECT room_nid FROM rooms"))
    assert pair.one.rows("SELECT * FROM receipts WHERE event_id = %s", event_id) == []
    assert pair.one.rows("SELECT * FROM presence WHERE status_msg = 'evil' OR user_id LIKE '%%evil.test'") == []


async def test_a_server_that_the_room_refuses_cannot_type_there_or_read(pair: Pair) -> None:
    room = await shared(pair)
    event_id = await pair.alice.send(room)
    await pair.alice.set_state(room, "m.room.server_acl", {"allow": ["*"], "deny": ["two.test"]})
    await sync_until(pair.bob, lambda answer: "m.room.server_acl" in str(answer))
    before = len(pair.network.requests)
    await type_in(pair.bob, room)
    await pair.bob.ok("POST", f"/rooms/{q(room)}/receipt/m.read/{q(event_id)}", {})
    await until(lambda: edus(pair, "m.typing", before) and edus(pair, "m.receipt", before))
    await told_all(pair.two)
    [(nid,)] = pair.one.rows("SELECT room_nid FROM rooms WHERE room_id = %s", room)
    assert not pair.one.server.rooms.typing.users(nid)
    assert pair.one.rows("SELECT * FROM receipts WHERE event_id = %s", event_id) == []


async def test_edus_of_every_odd_shape_are_dropped_alone(pair: Pair) -> None:
    room = await shared(pair)
    odd: list[Any] = [None, 5, "x", [], {}, {"a": "b"}, {room: {}}, {room: {"m.read": {}}}, {"push": [None, {}]}]
    user = {"event_ids": ["$x"], "data": {"ts": 1}}
    for change in ({"event_ids": []}, {"event_ids": ["$a", "$b"]}, {"event_ids": [5]}, {"event_ids": None},
                   {"data": None}, {"data": {}}, {"data": {"ts": "x"}}, {"data": {"ts": 1 << 60}},
                   {"data": {"ts": 1, "thread_id": 5}}, {"data": {"ts": 1, "thread_id": "\x00"}}):  # fmt: skip
        odd.append({room: {"m.read": {"@bob:two.test": {**user, **change}}}})
    odd += [{"room_id": room, "user_id": "@bob:two.test", "typing": "yes"}, {"push": "all"}, {"push": [{}] * 501}]
    odd += [{"push": [{"user_id": "@bob:two.test", "presence": "asleep", "last_active_ago": 1}]}]
    odd += [{"push": [{"user_id": "@bob:two.test", "presence": "online", "status_msg": 5}]}]
    odd += [{f"!{number}:x": {} for number in range(300)}]
    fake = FakeServer(pair.network, "odd.test")
    for edu_type in ("m.typing", "m.receipt", "m.presence", "m.direct_to_device", "m.device_list_update",
                     "m.signing_key_update", "org.example.unknown"):  # fmt: skip
        sent = [{"edu_type": edu_type, "content": content} for content in odd]
        answer = await fake.transaction("one.test", [], sent)
        assert (answer.status, answer.json) == (200, {"pdus": {}})


async def test_a_user_of_whom_nothing_is_heard_any_more_is_offline(pair: Pair) -> None:
    from twisted.internet import task

    from homeserver.runtime.clock import Clock
    from homeserver.services.remote_news.presence import SILENT_S, RemotePresence
    from matrix.ids import ServerName

    # Of a server by hand: a real one would tell of them meanwhile.
    fake = FakeServer(pair.network, "silent.test")
    visitor = Visitor(fake, "one.test", await pair.alice.create_room())
    await visitor.join()
    time = task.Clock()
    time.advance(2_000_000_000)
    storage = pair.one.core.storage
    presence = RemotePresence(database=storage.database, committer=storage.committer, clock=Clock(time), enabled=True)
    push = [{"user_id": visitor.user_id, "presence": "online", "last_active_ago": 5, "status_msg": "here"}]
    await presence.receive(ServerName(fake.name), {"push": push})
    sql = "SELECT presence, status_msg, last_active_ms FROM presence WHERE user_id = %s"
    assert pair.one.rows(sql, visitor.user_id) == [("online", "here", 1_999_999_999_995)]
    time.advance(SILENT_S - 1)
    await presence.forget_silent()
    assert pair.one.rows(sql, visitor.user_id)[0][0] == "online"
    time.advance(2)
    await presence.forget_silent()
    assert pair.one.rows(sql, visitor.user_id) == [("offline", "here", 1_999_999_999_995)]
