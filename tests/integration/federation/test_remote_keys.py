"""Keys of users of other servers: asked for, kept, claimed; and what becomes of answers that no honest server gives."""

from typing import Any

from tests.integration.federation.device_sharing import device_keys, publish_keys, query, share_room
from tests.support.fake_server import FakeServer
from tests.support.federation import Network

V1 = "/_matrix/federation/v1"


async def test_keys_of_another_servers_user_are_asked_for(network: Network) -> None:
    one, two = await network.start("one.test"), await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    keys = await publish_keys(bob)
    answer = await query(alice, bob.user_id)
    assert answer["failures"] == {}
    assert answer["device_keys"][bob.user_id][bob.device_id] == {**keys, "unsigned": {}}


async def test_a_user_without_a_shared_room_is_asked_for_each_time(network: Network) -> None:
    one, two = await network.start("one.test"), await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    await query(alice, bob.user_id)
    await query(alice, bob.user_id)
    assert len(network.sent("/user/keys/query")) == 2


async def test_the_list_of_a_user_with_a_shared_room_is_kept(network: Network) -> None:
    one, two = await network.start("one.test"), await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    await publish_keys(bob)
    await share_room(1, [one, two], [alice.user_id, bob.user_id])
    first = await query(alice, bob.user_id)
    network.cut("one.test", "two.test")
    assert await query(alice, bob.user_id) == first
    assert bob.device_id in first["device_keys"][bob.user_id]


async def test_display_names_of_devices_are_not_told(network: Network) -> None:
    one, two = await network.start("one.test"), await network.start("two.test")
    alice = await one.register("alice")
    bob = await two.register("bob", initial_device_display_name="Bob's phone")
    await publish_keys(bob)
    answer = await query(alice, bob.user_id)
    assert answer["device_keys"][bob.user_id][bob.device_id]["unsigned"] == {}


async def test_display_names_of_devices_are_told_where_the_operator_allows_it(network: Network) -> None:
    one = await network.start("one.test")
    two = await network.start("two.test", "allow_device_name_lookup_over_federation: true\n")
    alice, carol = await one.register("alice"), await one.register("carol")
    bob = await two.register("bob", initial_device_display_name="Bob's phone")
    await publish_keys(bob)
    named = {"device_display_name": "Bob's phone"}
    assert (await query(alice, bob.user_id))["device_keys"][bob.user_id][bob.device_id]["unsigned"] == named
    await share_room(1, [one, two], [carol.user_id, bob.user_id])
    assert (await query(carol, bob.user_id))["device_keys"][bob.user_id][bob.device_id]["unsigned"] == named


async def test_a_server_that_is_away_is_a_failure(network: Network) -> None:
    one = await network.start("one.test")
    alice = await one.register("alice")
    answer = await query(alice, "@bob:nowhere.test")
    assert list(answer["failures"]) == ["nowhere.test"]
    assert answer["device_keys"] == {}


async def test_a_server_that_is_too_slow_holds_nobody_up(network: Network) -> None:
    from twisted.internet.defer import Deferred

    one, slow = await network.start("one.test"), FakeServer(network, "slow.test")
    two = await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    await publish_keys(bob)
    never: Deferred[Any] = Deferred()
    slow.answers("POST", f"{V1}/user/keys/query", lambda sent: never)
    wanted = {slow.user("eve"): [], bob.user_id: []}
    answer = await alice.ok("POST", "/keys/query", {"device_keys": wanted, "timeout": 300})
    assert bob.device_id in answer["device_keys"][bob.user_id]
    assert answer["failures"]["slow.test"]["status"] == 504
    never.callback({"device_keys": {}})


async def test_one_time_keys_are_claimed_once(network: Network) -> None:
    one, two = await network.start("one.test"), await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    key = {"key": "AAAA", "signatures": {bob.user_id: {f"ed25519:{bob.device_id}": "c2ln"}}}
    await publish_keys(bob)
    await bob.ok("POST", "/keys/upload", {"one_time_keys": {"signed_curve25519:AAAAHg": key}})
    body = {"one_time_keys": {bob.user_id: {bob.device_id: "signed_curve25519"}}}
    answer = await alice.ok("POST", "/keys/claim", body)
    assert answer == {
        "one_time_keys": {bob.user_id: {bob.device_id: {"signed_curve25519:AAAAHg": key}}},
        "failures": {},
    }
    assert (await alice.ok("POST", "/keys/claim", body))["one_time_keys"] == {}


async def test_a_claim_from_a_server_that_is_away_is_a_failure(network: Network) -> None:
    one = await network.start("one.test")
    alice = await one.register("alice")
    body = {"one_time_keys": {"@bob:nowhere.test": {"PHONE": "signed_curve25519"}}}
    answer = await alice.ok("POST", "/keys/claim", body)
    assert answer["one_time_keys"] == {} and list(answer["failures"]) == ["nowhere.test"]


async def test_claimed_keys_that_were_not_asked_for_are_dropped(network: Network) -> None:
    one, evil = await network.start("one.test"), FakeServer(network, "evil.test")
    alice, mallory = await one.register("alice"), evil.user("mallory")
    good = {"key": "AAAA", "signatures": {}}
    evil.answers(
        "POST",
        f"{V1}/user/keys/claim",
        {
            "one_time_keys": {
                alice.user_id: {alice.device_id: {"signed_curve25519:A": good}},
                mallory: {
                    "PHONE": {"signed_curve25519:A": good},
                    "OTHER": {"signed_curve25519:A": good},
                    "WRONG": {"curve25519:A": good},
                    "TWO": {"signed_curve25519:A": good, "signed_curve25519:B": good},
                    "BAD": {"signed_curve25519:A": {"key": 7}},
                    "LARGE": {"signed_curve25519:A": {**good, "more": "x" * 70_000}},
                },
            }
        },
    )
    asked = dict.fromkeys(("PHONE", "WRONG", "TWO", "BAD", "LARGE"), "signed_curve25519")
    answer = await alice.ok("POST", "/keys/claim", {"one_time_keys": {mallory: asked}})
    assert answer["one_time_keys"] == {mallory: {"PHONE": {"signed_curve25519:A": good}}}


async def test_keys_that_no_honest_server_gives_are_dropped(network: Network) -> None:
    one, evil = await network.start("one.test"), FakeServer(network, "evil.test")
    alice, mallory = await one.register("alice"), evil.user("mallory")
    good = device_keys(mallory, "PHONE")
    evil.answers(
        "POST",
        f"{V1}/user/keys/query",
        {
            "device_keys": {
                alice.user_id: {"FORGED": device_keys(alice.user_id, "FORGED")},
                mallory: {
                    "PHONE": good,
                    "TABLET": device_keys(mallory, "LAPTOP"),
                    "STOLEN": device_keys(alice.user_id, "STOLEN"),
                    "SHAPELESS": {**good, "device_id": "SHAPELESS", "keys": ["no"]},
                    "NUL\x00": device_keys(mallory, "NUL\x00"),
                    "LARGE": {**device_keys(mallory, "LARGE"), "more": "x" * 70_000},
                    "NULL": None,
                },
            },
            "master_keys": {mallory: {"user_id": alice.user_id, "usage": ["master"], "keys": {}}},
            "self_signing_keys": {mallory: [7]},
        },
    )
    answer = await query(alice, mallory)
    assert answer["device_keys"] == {mallory: {"PHONE": {**good, "unsigned": {}}}}
    assert answer["master_keys"] == {} and answer["self_signing_keys"] == {}


async def test_an_answer_that_is_no_device_list_is_a_failure(network: Network) -> None:
    one, evil = await network.start("one.test"), FakeServer(network, "evil.test")
    alice, mallory = await one.register("alice"), evil.user("mallory")
    await share_room(1, [one], [alice.user_id, mallory])
    evil.answers("GET", f"{V1}/user/devices", {"user_id": alice.user_id, "stream_id": 1, "devices": []})
    assert list((await query(alice, mallory))["failures"]) == ["evil.test"]


async def test_a_server_without_device_lists_is_asked_for_keys(network: Network) -> None:
    one, old = await network.start("one.test"), FakeServer(network, "old.test")
    alice, olga = await one.register("alice"), old.user("olga")
    await share_room(1, [one], [alice.user_id, olga])
    keys = device_keys(olga, "PHONE")
    old.answers("POST", f"{V1}/user/keys/query", {"device_keys": {olga: {"PHONE": keys}}})
    assert (await query(alice, olga))["device_keys"] == {olga: {"PHONE": {**keys, "unsigned": {}}}}


async def test_many_users_of_a_server_are_asked_for_at_once(network: Network) -> None:
    one, two = await network.start("one.test"), FakeServer(network, "two.test")
    alice = await one.register("alice")
    others = [two.user(f"user{number}") for number in range(20)]
    await share_room(1, [one], [alice.user_id, *others])
    devices = {user_id: {"PHONE": device_keys(user_id, "PHONE")} for user_id in others}
    two.answers("POST", f"{V1}/user/keys/query", {"device_keys": devices})
    wanted = {"device_keys": {user_id: [] for user_id in others}}
    first = await alice.ok("POST", "/keys/query", wanted)
    assert len(first["device_keys"]) == 20 and first["failures"] == {}
    assert await alice.ok("POST", "/keys/query", wanted) == first
    assert len([sent for sent in two.requests if sent.path.endswith("/keys/query")]) == 1


async def test_other_servers_may_only_ask_for_our_users(network: Network) -> None:
    one, two = await network.start("one.test"), FakeServer(network, "two.test")
    await one.register("alice")
    bodies: list[tuple[str, str, Any]] = [
        ("GET", "/user/devices/@carol:three.test", None),
        ("POST", "/user/keys/query", {"device_keys": {"@carol:three.test": []}}),
        ("POST", "/user/keys/claim", {"one_time_keys": {"@carol:three.test": {"A": "b"}}}),
        ("POST", "/user/keys/query", {"device_keys": {"carol": []}}),
        ("POST", "/user/keys/query", {"device_keys": {"@alice:one.test": {}}}),
        ("POST", "/user/keys/query", {}),
        ("POST", "/user/keys/claim", {"one_time_keys": {"@alice:one.test": {"A": ["b"]}}}),
        ("POST", "/user/keys/claim", []),
    ]
    for method, path, body in bodies:
        response = await two.ask("one.test", method, V1 + path, body)
        assert response.status == 400, (path, body, response)


async def test_the_device_list_of_a_user(network: Network) -> None:
    one, two = await network.start("one.test"), FakeServer(network, "two.test")
    alice = await one.register("alice", initial_device_display_name="Alice's phone")
    keys = await publish_keys(alice)
    response = await two.ask("one.test", "GET", f"{V1}/user/devices/{alice.user_id}")
    assert response.status == 200
    answer = response.json
    assert isinstance(answer.pop("stream_id"), int)
    assert answer == {"user_id": alice.user_id, "devices": [{"device_id": alice.device_id, "keys": keys}]}
