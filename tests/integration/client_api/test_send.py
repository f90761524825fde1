"""Sending messages, transaction ids, redactions."""

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.support.homeserver import Client, Homeserver, q

TEXT = {"msgtype": "m.text", "body": "hello"}


async def refused(client: Client, method: str, path: str, json: Any = None) -> tuple[int, str | None]:
    response = await client.ask(method, path, json)
    return response.status, response.errcode


def send_path(room: str, transaction: str = "t", event_type: str = "m.room.message") -> str:
    return f"/rooms/{q(room)}/send/{event_type}/{transaction}"


def redact_path(room: str, event_id: str, transaction: str = "t") -> str:
    return f"/rooms/{q(room)}/redact/{q(event_id)}/{transaction}"


async def test_a_message_reaches_the_others(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    await bob.sync()
    event_id = await alice.send(room, "hello")
    (event,) = await bob.timeline(room)
    assert (event["event_id"], event["sender"], event["content"]["body"]) == (event_id, alice.user_id, "hello")
    assert "transaction_id" not in event["unsigned"]


async def test_a_repeated_request_is_one_message(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    await alice.sync()
    sending = [Deferred.fromCoroutine(alice.ok("PUT", send_path(room), TEXT)) for _ in range(4)]
    answers = await gatherResults(sending)
    assert [await alice.ok("PUT", send_path(room), TEXT)] == answers[:1] == answers[3:]
    (event,) = await alice.timeline(room)
    assert event["unsigned"]["transaction_id"] == "t"


async def test_a_transaction_id_belongs_to_a_device_and_an_endpoint(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    phone = await hs.log_in("alice")
    room, other = await alice.create_room(), await alice.create_room()
    sent = [
        (await client.ok("PUT", send_path(where, "t", event_type), TEXT))["event_id"]
        for client, where, event_type in (
            (alice, room, "m.room.message"),
            (alice, room, "org.test"),
            (alice, other, "m.room.message"),
            (phone, room, "m.room.message"),
        )
    ]
    assert len(set(sent)) == 4
    timeline = (await alice.get("/sync"))["rooms"]["join"][room]["timeline"]["events"]
    own = {event["event_id"]: event["unsigned"].get("transaction_id") for event in timeline}
    assert (own[sent[0]], own[sent[1]], own[sent[3]]) == ("t", "t", None)


async def test_another_process_knows_the_transaction_too(start_homeserver: Any) -> None:
    first, second = await start_homeserver(), await start_homeserver()
    alice = await first.register("alice")
    room = await alice.create_room()
    answer = await alice.ok("PUT", send_path(room), TEXT)
    assert await alice.at(second).ok("PUT", send_path(room), TEXT) == answer
    await alice.leave(room)
    assert await alice.at(second).ok("PUT", send_path(room), TEXT) == answer
    third = await start_homeserver()
    assert await alice.at(third).ok("PUT", send_path(room), TEXT) == answer


async def test_without_a_transaction_id_each_request_is_a_message(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    path = f"/_matrix/client/r0/rooms/{q(room)}/send/m.room.message"
    first, second = [await alice.ok("POST", path, TEXT) for _ in range(2)]
    assert first != second


async def test_who_is_not_in_the_room_cannot_send(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    assert await refused(bob, "PUT", send_path(room), TEXT) == (403, "M_FORBIDDEN")
    assert await refused(bob, "PUT", send_path("!nothing:hearth.test"), TEXT) == (403, "M_FORBIDDEN")
    assert await refused(bob, "PUT", send_path("nothing"), TEXT) == (400, "M_INVALID_PARAM")


async def test_what_is_no_event_is_refused(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    assert await refused(alice, "PUT", send_path(room), {"body": "x" * 70_000}) == (413, "M_TOO_LARGE")
    assert await refused(alice, "PUT", send_path(room), {"n": 1.5}) == (400, "M_BAD_JSON")
    assert await refused(alice, "PUT", send_path(room), {"n": 2**60}) == (400, "M_BAD_JSON")
    assert await refused(alice, "PUT", send_path(room), []) == (400, "M_BAD_JSON")
    assert await refused(alice, "PUT", send_path(room, event_type="x" * 300), {}) == (413, "M_TOO_LARGE")
    assert await refused(alice, "PUT", send_path(room, event_type="a%00b"), {}) == (400, "M_INVALID_PARAM")


async def test_a_level_too_low_is_forbidden(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room(power_level_content_override={"events_default": 10})
    await bob.join(room)
    assert await refused(bob, "PUT", send_path(room), TEXT) == (403, "M_FORBIDDEN")


async def test_the_same_reaction_twice_is_refused(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room, other = await alice.create_room(), await alice.create_room()
    parent = await alice.send(room)
    reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": parent, "key": "👍"}}
    first = await alice.send_event(room, "m.reaction", reaction)
    path = send_path(room, "again", "m.reaction")
    assert await refused(alice, "PUT", path, reaction) == (400, "M_DUPLICATE_ANNOTATION")
    assert await refused(alice, "PUT", send_path(other, "t", "m.reaction"), reaction) == (400, "M_UNKNOWN")
    await alice.ok("PUT", redact_path(room, first), {})
    await alice.ok("PUT", path, reaction)


async def test_no_thread_begins_at_an_event_with_a_relation(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    root = await alice.send(room)
    child = await alice.send(room, **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    nested = {**TEXT, "m.relates_to": {"rel_type": "m.thread", "event_id": child}}
    assert await refused(alice, "PUT", send_path(room), nested) == (400, "M_UNKNOWN")


async def test_a_redaction_takes_the_content_away(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    for version in ("10", "11", "12"):
        room = await alice.create_room(room_version=version)
        await bob.join(room)
        event_id = await bob.send(room, "oops")
        await bob.sync()
        answer = await bob.ok("PUT", redact_path(room, event_id), {"reason": "typo"})
        assert await bob.ok("PUT", redact_path(room, event_id), {"reason": "typo"}) == answer
        (redaction,) = await bob.timeline(room)
        assert redaction["redacts"] == redaction["content"]["redacts"] == event_id
        assert redaction["content"]["reason"] == "typo"
        events = (await bob.get("/sync"))["rooms"]["join"][room]["timeline"]["events"]
        (redacted,) = [event for event in events if event["event_id"] == event_id]
        assert redacted["content"] == {}
        assert redacted["unsigned"]["redacted_because"]["event_id"] == answer["event_id"]


async def test_others_events_are_redacted_by_who_has_the_level(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    of_alice, of_bob = await alice.send(room), await bob.send(room)
    assert await refused(bob, "PUT", redact_path(room, of_alice), {}) == (403, "M_FORBIDDEN")
    await alice.ok("POST", f"/rooms/{q(room)}/redact/{q(of_bob)}", {})


async def test_what_is_not_here_can_be_redacted(hs: Homeserver) -> None:
    """It may be on other servers."""
    alice = await hs.register("alice")
    room = await alice.create_room()
    await alice.ok("PUT", redact_path(room, "$elsewhere"), {})
    assert (await alice.timeline(room))[-1]["redacts"] == "$elsewhere"


async def test_what_cannot_be_redacted(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room, other = await alice.create_room(), await alice.create_room()
    elsewhere = await alice.send(other)
    create = (await alice.get(f"/rooms/{q(room)}/state/m.room.create?format=event"))["event_id"]
    acl = await alice.set_state(room, "m.room.server_acl", {"allow": ["*"]})
    assert await refused(alice, "PUT", redact_path(room, elsewhere), {}) == (400, "M_UNKNOWN")
    assert await refused(alice, "PUT", redact_path(room, create), {}) == (403, "M_FORBIDDEN")
    assert await refused(alice, "PUT", redact_path(room, acl), {}) == (403, "M_FORBIDDEN")


async def test_a_redaction_can_be_sent_as_an_event(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room(room_version="9")
    event_id = await alice.send(room, "oops")
    await alice.send_event(room, "m.room.redaction", {"redacts": event_id})
    events = (await alice.get("/sync"))["rooms"]["join"][room]["timeline"]["events"]
    assert [event["content"] for event in events if event["event_id"] == event_id] == [{}]


async def test_messages_are_limited_by_rate(start_homeserver: Any) -> None:
    hs = await start_homeserver("rc_message: {per_second: 0.001, burst_count: 1}")
    alice = await hs.register("alice")
    room = await alice.create_room()
    await alice.ok("PUT", send_path(room), TEXT)
    await alice.ok("PUT", send_path(room), TEXT)
    response = await alice.ask("PUT", send_path(room, "other"), TEXT)
    assert (response.status, response.errcode) == (429, "M_LIMIT_EXCEEDED")
    assert "retry-after" in response.headers


async def test_only_bridges_choose_the_time(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    await alice.sync()
    await alice.ok("PUT", send_path(room) + "?ts=1", TEXT)
    (event,) = await alice.timeline(room)
    assert event["origin_server_ts"] > 1
