"""Rooms with a policy server: ours or another server's, asked before events are sent and when they come."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest_twisted
from attrs import define
from twisted.internet.defer import ensureDeferred, gatherResults

from federation.outbound.wire import WireAnswer
from matrix import unpadded_base64
from matrix.hashing import essential_bytes
from matrix.ids import RoomId
from matrix.room_versions import ROOM_VERSIONS
from matrix.signing import SigningKey
from tests.integration.federation.remote_pair import has_text, join, until_member
from tests.support.fake_server import FakeServer
from tests.support.federation import Network, Sent
from tests.support.homeserver import Client, Homeserver, q

SIGN = "/_matrix/policy/v1/sign"
RULES = "{enabled: true, blocked_words: [scam], exempt_power_level: null"
VERSION = ROOM_VERSIONS["11"]


@define(eq=False)
class World:
    """alice is of one.test; pat of policy.test, the policy server; bob of two.test. All are in the room."""

    network: Network
    one: Homeserver
    alice: Client
    pat: Client
    bob: Client
    room: str

    @classmethod
    async def make(cls, network: Network, rules: str = RULES + "}") -> "World":
        one, two = await network.start("one.test"), await network.start("two.test")
        policy = await network.start("policy.test", f"policy_server: {rules}")
        alice, pat, bob = await one.register("alice"), await policy.register("pat"), await two.register("bob")
        room = await alice.create_room(room_version="11")
        await join(pat, room, "one.test")
        await join(bob, room, "one.test")
        for client in (alice, pat, bob):
            for user in (alice, pat, bob):
                await until_member(client, room, user.user_id, "join")
            await client.sync()
        world = cls(network, one, alice, pat, bob, room)
        await world.set_policy()
        return world

    async def set_policy(self, **more: Any) -> None:
        keys = (await self.pat.hs.ask("GET", "/.well-known/matrix/policy_server")).json
        await self.alice.set_state(self.room, "m.room.policy", {"via": "policy.test", **keys, **more})
        for client in (self.pat, self.bob):
            while (await client.ask("GET", f"/rooms/{q(self.room)}/state/m.room.policy")).status != 200:
                await client.sync(timeout=2000)

    def asked(self) -> int:
        return len(self.network.sent(SIGN))

    async def refused(self, client: Client, body: str) -> tuple[int, str | None]:
        path = f"/rooms/{q(self.room)}/send/m.room.message/{body}"
        response = await client.ask("PUT", path, {"msgtype": "m.text", "body": body})
        return response.status, response.errcode


@pytest_twisted.async_yield_fixture
async def world(network: Network) -> Iterator[World]:
    yield await World.make(network)


def pdu(hs: Homeserver, event_id: str) -> Any:
    [(json,)] = hs.rows("SELECT json FROM events WHERE event_id = %s", event_id)
    return orjson.loads(json)


def flags(hs: Homeserver, event_id: str) -> int:
    [(found,)] = hs.rows("SELECT flags FROM events WHERE event_id = %s", event_id)
    return int(found)


async def test_an_event_has_the_policy_servers_signature_when_it_is_sent(world: World) -> None:
    asked = world.asked()
    event_id = await world.alice.send(world.room, "hello")
    assert "ed25519:policy_server" in pdu(world.one, event_id)["signatures"]["policy.test"]
    assert world.asked() == asked + 1
    await has_text(world.bob, world.room, "hello")
    await has_text(world.pat, world.room, "hello")
    # Who gets it signed need not ask.
    assert world.asked() == asked + 1


async def test_what_the_policy_server_refuses_is_not_sent_and_the_client_hears_its_words(world: World) -> None:
    before = world.one.rows("SELECT count(*) FROM events")
    path = f"/rooms/{q(world.room)}/send/m.room.message/t1"
    response = await world.alice.ask("PUT", path, {"msgtype": "m.text", "body": "a scam"})
    assert (response.status, response.json) == (400, {"errcode": "M_FORBIDDEN", "error": "This is not wanted here"})
    assert world.one.rows("SELECT count(*) FROM events") == before


async def test_state_and_redactions_and_invites_are_signed_too(world: World) -> None:
    name = await world.alice.set_state(world.room, "m.room.name", {"name": "Tea"})
    message = await world.alice.send(world.room, "oops")
    redaction = (await world.alice.ok("PUT", f"/rooms/{q(world.room)}/redact/{q(message)}/t2", {}))["event_id"]
    anna = await world.one.register("anna")
    await world.alice.invite(world.room, anna)
    [(invite,)] = world.one.rows(
        "SELECT event_id FROM events WHERE type = 'm.room.member' ORDER BY event_nid DESC LIMIT 1"
    )
    for event_id in (name, message, redaction, invite):
        assert "policy.test" in pdu(world.one, event_id)["signatures"], event_id
    event = await world.alice.get(f"/rooms/{q(world.room)}/event/{q(message)}")
    assert event["content"] == {}
    assert (await world.alice.get(f"/rooms/{q(world.room)}/state/m.room.name"))["name"] == "Tea"


async def test_a_request_that_is_repeated_sends_one_event(world: World) -> None:
    path = f"/rooms/{q(world.room)}/send/m.room.message/again"
    first = await world.alice.ok("PUT", path, {"msgtype": "m.text", "body": "once"})
    assert await world.alice.ok("PUT", path, {"msgtype": "m.text", "body": "once"}) == first
    part = (await world.alice.sync())["rooms"]["join"][world.room]
    [event] = [one for one in part["timeline"]["events"] if one["event_id"] == first["event_id"]]
    assert event["unsigned"]["transaction_id"] == "again"


async def test_the_policy_server_signs_its_own_users_events_without_asking(world: World) -> None:
    asked = world.asked()
    event_id = await world.pat.send(world.room, "mine")
    assert "ed25519:policy_server" in pdu(world.pat.hs, event_id)["signatures"]["policy.test"]
    await has_text(world.alice, world.room, "mine")
    assert world.asked() == asked
    assert (await world.refused(world.pat, "scam")) == (400, "M_FORBIDDEN")


async def test_an_event_that_comes_without_the_signature_is_soft_failed_if_it_is_refused(
    world: World, network: Network
) -> None:
    # Of a server that asks nobody.
    world.bob.hs.server.rooms.intake.policing = None
    bad, good = await world.bob.send(world.room, "scam"), await world.bob.send(world.room, "fine")
    await has_text(world.alice, world.room, "fine")
    assert flags(world.one, bad) != 0
    assert (await world.alice.ask("GET", f"/rooms/{q(world.room)}/event/{q(bad)}")).status == 404
    # What the policy server has nothing against it signs for who asks.
    assert "policy.test" in pdu(world.one, good)["signatures"]


async def test_a_policy_server_that_is_not_there_holds_up_all_but_its_removal(world: World) -> None:
    world.network.cut("one.test", "policy.test")
    assert (await world.refused(world.alice, "hello"))[0] == 502
    await world.alice.set_state(world.room, "m.room.policy", {})
    await world.alice.send(world.room, "free again")


async def test_a_policy_server_without_a_user_in_the_room_is_none(world: World) -> None:
    await world.pat.leave(world.room)
    # bob's server asks too, as long as it has not heard of it.
    for client in (world.alice, world.bob):
        await until_member(client, world.room, world.pat.user_id, "leave")
        room = await client.hs.server.rooms.heads.room(RoomId(world.room))
        while "policy.test" in await client.hs.server.sending.hosts.in_room(room.room_nid):
            await client.sync(timeout=100)
    asked = world.asked()
    await world.alice.send(world.room, "scam")
    assert world.asked() == asked


async def test_a_signature_by_another_key_than_the_rooms_is_none(world: World) -> None:
    other = unpadded_base64.encode(bytes(SigningKey.from_seed("x", b"x" * 32).verify_key))
    await world.alice.set_state(world.room, "m.room.policy", {"via": "policy.test", "public_keys": {"ed25519": other}})
    assert (await world.refused(world.alice, "hello"))[0] in (404, 502)


async def test_many_may_speak_at_once(world: World) -> None:
    sent: Any = await gatherResults([ensureDeferred(world.alice.send(world.room, f"n{n}")) for n in range(10)])
    assert len(set(sent)) == 10
    await has_text(world.bob, world.room, *(f"n{n}" for n in range(10)))


async def test_another_servers_word_is_checked(network: Network) -> None:
    """A policy server that is none of ours: what it answers is verified, and its errors are told."""
    one = await network.start("one.test")
    alice = await one.register("alice")
    evil, key = FakeServer(network, "policy.test"), SigningKey.from_seed("policy_server", b"p" * 32)
    room = await alice.create_room(room_version="11")
    believe_in(one, "one.test", "policy.test")
    public = unpadded_base64.encode(bytes(key.verify_key))
    await alice.set_state(room, "m.room.policy", {"via": "policy.test", "public_keys": {"ed25519": public}})
    path = f"/rooms/{q(room)}/send/m.room.message/"
    said: Any = {}
    evil.answers("POST", SIGN, lambda sent: said(sent) if callable(said) else said)

    def good(sent: Sent) -> Any:
        signed = key.sign(essential_bytes(sent.json, VERSION))
        return {"policy.test": {"ed25519:policy_server": unpadded_base64.encode(signed)}}

    for number, (answer, status) in enumerate(
        [
            ({}, 502),
            ({"policy.test": {"ed25519:policy_server": "AAAA"}}, 502),
            ((400, {"errcode": "M_FORBIDDEN", "error": "spam"}), 400),
            ((403, {"errcode": "M_FORBIDDEN", "error": "spam"}), 403),
            ((401, {"errcode": "M_UNKNOWN_TOKEN", "error": "who?"}), 502),
            ((404, {"errcode": "M_UNRECOGNIZED", "error": "what?"}), 502),
            (good, 200),
        ]
    ):
        said = answer
        response = await alice.ask("PUT", f"{path}t{number}", {"body": "hello"})
        assert response.status == status, (answer, response)


def believe_in(hs: Homeserver, *names: str) -> None:
    """As far as this server knows, these servers are in all its rooms."""

    async def hosts_of(room_nid: int) -> set[str]:
        return set(names)

    policing: Any = hs.server.rooms.intake.policing
    policing._hosts_of = hosts_of


async def test_a_server_that_is_no_policy_server_says_so(network: Network) -> None:
    one = await network.start("one.test")
    other = FakeServer(network, "two.test")
    assert (await one.ask("GET", "/.well-known/matrix/policy_server")).status == 404
    response = await other.ask("one.test", "POST", SIGN, {})
    assert (response.status, response.errcode) == (404, "M_UNRECOGNIZED")


async def test_only_rooms_that_name_the_policy_server_are_signed_for(world: World) -> None:
    asker = FakeServer(world.network, "asker.test")
    event_id = await world.alice.send(world.room, "hello")
    event = pdu(world.one, event_id)
    assert (await asker.ask("policy.test", "POST", SIGN, event)).status == 200
    for bad, status, errcode in [
        ({}, 404, "M_NOT_FOUND"),
        ({**event, "room_id": "!elsewhere:one.test"}, 404, "M_NOT_FOUND"),
        ({**event, "room_id": 7}, 404, "M_NOT_FOUND"),
        ({**event, "sender": "nobody"}, 400, "M_BAD_JSON"),
        ({**event, "content": {"body": "another"}}, 400, "M_BAD_JSON"),
        ({**event, "type": "m.room.policy", "state_key": ""}, 400, "M_BAD_JSON"),
    ]:
        response = await asker.ask("policy.test", "POST", SIGN, bad)
        assert (response.status, response.errcode) == (status, errcode), (bad, response)
    await world.alice.set_state(world.room, "m.room.policy", {})
    while (await world.pat.get(f"/rooms/{q(world.room)}/state/m.room.policy")).get("via"):
        await world.pat.sync(timeout=2000)
    assert (await asker.ask("policy.test", "POST", SIGN, event)).status == 404


async def test_the_rooms_access_list_holds_for_who_asks(world: World) -> None:
    await world.alice.set_state(world.room, "m.room.server_acl", {"allow": ["*"], "deny": ["asker.test"]})
    event = pdu(world.one, await world.alice.send(world.room, "after"))
    await has_text(world.pat, world.room, "after")
    asker = FakeServer(world.network, "asker.test")
    response = await asker.ask("policy.test", "POST", SIGN, event)
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_moderators_are_above_the_rules_unless_the_operator_says_no(network: Network) -> None:
    world = await World.make(network, "{enabled: true, blocked_words: [scam], exempt_power_level: 50}")
    await world.alice.send(world.room, "scam")
    assert await world.refused(world.bob, "scam") == (400, "M_FORBIDDEN")


async def test_who_writes_too_much_is_not_signed(network: Network) -> None:
    world = await World.make(network, RULES + ", events_per_user: {per_second: 0.001, burst_count: 2}}")
    await world.bob.send(world.room, "one")
    await world.bob.send(world.room, "two")
    assert await world.refused(world.bob, "three") == (400, "M_FORBIDDEN")


async def test_the_key_stays_after_a_restart(network: Network) -> None:
    options = "policy_server: {enabled: true}"
    one = await network.start("one.test", options)
    keys = (await one.ask("GET", "/.well-known/matrix/policy_server")).json
    await network.stop("one.test")
    again = await network.start("one.test", options)
    assert (await again.ask("GET", "/.well-known/matrix/policy_server")).json == keys
    assert len(unpadded_base64.decode(keys["public_keys"]["ed25519"])) == 32


async def test_rooms_and_servers_from_before_the_specification_are_served_by_the_old_names(world: World) -> None:
    keys = (await world.pat.hs.ask("GET", "/.well-known/matrix/policy_server")).json["public_keys"]
    room = await world.alice.create_room(room_version="11")
    await join(world.pat, room, "one.test")
    await until_member(world.alice, room, world.pat.user_id, "join")
    content = {"via": "policy.test", "public_key": keys["ed25519"]}
    await world.alice.set_state(room, "org.matrix.msc4284.policy", content)
    while (await world.pat.ask("GET", f"/rooms/{q(room)}/state/org.matrix.msc4284.policy")).status != 200:
        await world.pat.sync(timeout=2000)

    async def of_old(sent: Sent, deliver: Any) -> Any:
        if sent.path == SIGN:
            return WireAnswer(404, {"content-type": "application/json"}, b'{"errcode":"M_UNRECOGNIZED"}')
        return await deliver()

    world.network.on_request = of_old
    event_id = await world.alice.send(room, "hello")
    assert "ed25519:policy_server" in pdu(world.one, event_id)["signatures"]["policy.test"]
    assert len(world.network.sent("/_matrix/policy/unstable/org.matrix.msc4284/sign")) == 1
    path = f"/rooms/{q(room)}/send/m.room.message/scam"
    response = await world.alice.ask("PUT", path, {"msgtype": "m.text", "body": "a scam"})
    assert (response.status, response.errcode) == (400, "M_FORBIDDEN")
