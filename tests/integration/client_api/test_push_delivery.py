"""Notifications to push gateways, over loopback: what they say, when they are sent, and what happens when they fail."""

from collections.abc import Iterator
from typing import Any

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from homeserver.services.push import delivery
from homeserver.web.call import Call
from homeserver.web.replies import Answer, Reply
from homeserver.web.router import Access, Router, route
from homeserver.web.server import HttpServer
from tests.support.homeserver import Client, Homeserver, q

OPEN = "ip_range_whitelist: ['127.0.0.1/32']"


class Gateway:
    """A push gateway. `told` are the notifications; `statuses` are what it answers first, then 200."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.statuses: list[int] = []
        self.rejected: list[str] = []
        self.port = 0
        self._waiting: list[tuple[int, Deferred[None]]] = []

    @route("POST", "/_matrix/push/v1/notify", access=Access.PUBLIC)
    async def notify(self, call: Call) -> Answer:
        self.told.append(call.json().raw["notification"])
        # Made up before the test goes on and changes what is answered next.
        answer: Answer = Reply(self.statuses.pop(0), {}) if self.statuses else {"rejected": self.rejected}
        for count, deferred in self._waiting:
            if len(self.told) >= count and not deferred.called:
                deferred.callback(None)
        return answer

    async def has_got(self, count: int) -> list[Any]:
        """Comes back when so many notifications have come."""
        if len(self.told) < count:
            deferred: Deferred[None] = Deferred()
            deferred.addTimeout(10, reactor)
            self._waiting.append((count, deferred))
            await deferred
        return self.told

    def events(self) -> list[str]:
        return [one["event_id"] for one in self.told if "event_id" in one]


@pytest_twisted.async_yield_fixture
async def gateway() -> Iterator[Gateway]:
    site = Gateway()
    router = Router()
    router.add(site)
    server = HttpServer(router=router, reactor=reactor)
    port = reactor.listenTCP(0, server, interface="127.0.0.1")
    site.port = port.getHost().port
    yield site
    await port.stopListening()
    for connection in list(getattr(server, "connections", ())):
        connection.abort()


async def subscribe(client: Client, gateway: Gateway, **data: Any) -> None:
    body = {
        "kind": "http",
        "app_id": "org.example.app",
        "pushkey": client.user_id,
        "app_display_name": "Example",
        "device_display_name": "Phone",
        "lang": "en",
        "data": {"url": f"http://127.0.0.1:{gateway.port}/_matrix/push/v1/notify", **data},
    }
    await client.ok("POST", "/pushers/set", body)


async def pair(hs: Homeserver, **room: Any) -> tuple[Client, Client, str]:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room_id = await alice.create_room(**room)
    await bob.join(room_id)
    return alice, bob, room_id


async def test_a_message_is_told_with_all_about_it(start_homeserver: Any, gateway: Gateway) -> None:
    hs = await start_homeserver(OPEN)
    alice, bob, room = await pair(hs, name="Tea", room_alias_name="tea")
    await subscribe(bob, gateway, own="value")
    event_id = await alice.send(room, "hello @room bob")
    (told,) = await gateway.has_got(1)
    pushkey_ts = told["devices"][0].pop("pushkey_ts")
    assert abs(pushkey_ts - hs.core.clock.now_ms() / 1000) < 60
    assert told == {
        "event_id": event_id,
        "room_id": room,
        "type": "m.room.message",
        "sender": alice.user_id,
        "sender_display_name": "alice",
        "room_name": "Tea",
        "room_alias": "#tea:hearth.test",
        "prio": "high",
        "content": {"msgtype": "m.text", "body": "hello @room bob"},
        "counts": {"unread": 1},
        "devices": [
            {
                "app_id": "org.example.app",
                "pushkey": bob.user_id,
                "data": {"own": "value"},
                "tweaks": told["devices"][0]["tweaks"],
            }
        ],
    }


async def test_the_short_format_says_which_event_and_no_more(start_homeserver: Any, gateway: Gateway) -> None:
    hs = await start_homeserver(OPEN)
    alice, bob, room = await pair(hs)
    await subscribe(bob, gateway, format="event_id_only")
    event_id = await alice.send(room)
    (told,) = await gateway.has_got(1)
    assert set(told) == {"event_id", "room_id", "counts", "prio", "devices"}
    assert (told["event_id"], told["devices"][0]["data"]) == (event_id, {"format": "event_id_only"})


async def test_an_invitation_is_told(start_homeserver: Any, gateway: Gateway) -> None:
    hs = await start_homeserver(OPEN)
    alice, bob = await hs.register("alice"), await hs.register("bob")
    await subscribe(bob, gateway)
    room = await alice.create_room(preset="private_chat", invite=[bob])
    (told,) = await gateway.has_got(1)
    assert (told["type"], told["room_id"], told["user_is_target"], told["counts"]) == (
        "m.room.member", room, True, {"unread": 1}
    )  # fmt: skip


async def test_what_the_rules_mute_and_what_one_sent_oneself_is_not_told(
    start_homeserver: Any, gateway: Gateway
) -> None:
    hs = await start_homeserver(OPEN)
    alice, bob, room = await pair(hs)
    muted = await alice.create_room()
    await bob.join(muted)
    await bob.ok("PUT", f"/pushrules/global/room/{q(muted)}", {"actions": []})
    await subscribe(bob, gateway)
    await bob.send(room, "mine")
    await alice.send(muted, "quiet")
    event_id = await alice.send(room, "loud")
    await gateway.has_got(1)
    assert gateway.events() == [event_id]


async def test_of_an_ignored_user_nothing_is_told(start_homeserver: Any, gateway: Gateway) -> None:
    hs = await start_homeserver(OPEN)
    alice, bob, room = await pair(hs)
    carol = await hs.register("carol")
    await carol.join(room)
    ignored = {"ignored_users": {carol.user_id: {}}}
    await bob.ok("PUT", f"/user/{q(bob.user_id)}/account_data/m.ignored_user_list", ignored)
    await subscribe(bob, gateway)
    await carol.send(room)
    event_id = await alice.send(room)
    await gateway.has_got(1)
    assert gateway.events() == [event_id]


async def test_reading_tells_the_new_number(start_homeserver: Any, gateway: Gateway) -> None:
    hs = await start_homeserver(OPEN)
    alice, bob, room = await pair(hs)
    other = await alice.create_room()
    await bob.join(other)
    await subscribe(bob, gateway)
    await alice.send(room)
    await gateway.has_got(1)
    event_id = await alice.send(other)
    told = await gateway.has_got(2)
    assert told[1]["counts"] == {"unread": 2}
    await bob.ok("POST", f"/rooms/{q(other)}/receipt/m.read/{q(event_id)}", {})
    told = await gateway.has_got(3)
    assert told[2]["counts"] == {"unread": 1}
    assert "event_id" not in told[2]


async def test_the_number_may_count_messages(start_homeserver: Any, gateway: Gateway) -> None:
    hs = await start_homeserver(OPEN + "\npush: {group_unread_count_by_room: false, include_content: false}")
    alice, bob, room = await pair(hs)
    await subscribe(bob, gateway)
    await alice.send(room, "one")
    await alice.send(room, "two")
    told = await gateway.has_got(2)
    assert told[1]["counts"] == {"unread": 2}
    assert "content" not in told[1]


async def test_a_gateway_that_fails_is_asked_again_and_nothing_is_lost(
    start_homeserver: Any, gateway: Gateway, monkeypatch: Any
) -> None:
    monkeypatch.setattr(delivery, "FIRST_PAUSE_S", 0.01)
    hs = await start_homeserver(OPEN)
    alice, bob, room = await pair(hs)
    await subscribe(bob, gateway)
    gateway.statuses = [500, 502]
    first, second = await alice.send(room, "one"), await alice.send(room, "two")
    await gateway.has_got(4)
    assert gateway.events() == [first, first, first, second]


async def test_a_rejected_pushkey_ends_its_pusher(start_homeserver: Any, gateway: Gateway) -> None:
    hs = await start_homeserver(OPEN)
    alice, bob, room = await pair(hs)
    await subscribe(bob, gateway)
    gateway.rejected = ["somebody else's"]
    await alice.send(room)
    await gateway.has_got(1)
    gateway.rejected = [bob.user_id]
    await alice.send(room)
    await gateway.has_got(2)
    heard: Deferred[None] = Deferred()
    hs.core.storage.stream.read_by(lambda entries: None if heard.called else heard.callback(None))
    await heard
    assert (await bob.get("/pushers"))["pushers"] == []


async def test_no_address_of_our_own_network_is_told(start_homeserver: Any, gateway: Gateway) -> None:
    hs = await start_homeserver("push: {jitter_delay: 1}")
    alice, bob, room = await pair(hs)
    await subscribe(bob, gateway)
    await alice.send(room)
    while not hs.core.metrics.registry.get_sample_value("hearth_push_sent_total", {"outcome": "failed"}):
        await hs.core.clock.sleep(0)
    assert gateway.told == []


async def test_what_came_while_no_process_ran_is_told_once(start_homeserver: Any, gateway: Gateway) -> None:
    first = await start_homeserver("push: {enabled: false}")
    alice, bob, room = await pair(first)
    await subscribe(bob, gateway)
    missed = await alice.send(room, "missed")
    one, two = await start_homeserver(OPEN), await start_homeserver(OPEN)
    await gateway.has_got(1)
    fresh = await alice.send(room, "fresh")
    await gateway.has_got(2)
    await one.has_heard(first)
    await two.has_heard(first)
    assert gateway.events() == [missed, fresh]


async def test_a_pusher_that_is_switched_off_is_silent(start_homeserver: Any, gateway: Gateway) -> None:
    hs = await start_homeserver(OPEN)
    alice, bob, room = await pair(hs)
    carol = await hs.register("carol")
    await carol.join(room)
    await subscribe(bob, gateway)
    await subscribe(carol, gateway)
    (pusher,) = (await bob.get("/pushers"))["pushers"]
    await bob.ok("POST", "/pushers/set", {**pusher, "org.matrix.msc3881.enabled": False})
    await alice.send(room)
    (told,) = await gateway.has_got(1)
    assert told["devices"][0]["pushkey"] == carol.user_id
