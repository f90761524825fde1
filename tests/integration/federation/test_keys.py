"""Signing keys: published, fetched directly and by notaries, kept, and told to others."""

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from matrix import canonical_json, signing, unpadded_base64
from matrix.errors import BadSignature
from matrix.ids import ServerName
from matrix.room_versions import V4, V10, V12
from matrix.server_keys import OldKey, publish
from matrix.signing import SigningKey, verify_key_from_base64
from tests.support.fake_server import FakeServer
from tests.support.federation import Network, Sent
from tests.support.homeserver import Homeserver

ONE, TWO, EVIL, NOTARY = map(ServerName, ("one.test", "two.test", "evil.test", "notary.test"))
NEW = SigningKey.from_seed("new", b"n" * 32)
TRUST = "trusted_key_servers: [{server_name: notary.test}]\n"
DAY_MS = 24 * 3600 * 1000


def count(network: Network, destination: str) -> int:
    return len(network.sent("/_matrix/key/v2/", destination=destination))


async def check(homeserver: Homeserver, *pdus: Any, version: Any = V10) -> list[BadSignature | None]:
    return await homeserver.server.federation.keys.check_events(pdus, version)


def notary(network: Network, *servers: FakeServer, key: SigningKey | None = None) -> FakeServer:
    """A notary that knows these servers' keys."""
    fake = FakeServer(network, NOTARY)

    def tell(sent: Sent) -> Any:
        wanted = sent.json["server_keys"]
        told = [server.published() for server in servers if server.name in wanted]
        return {"server_keys": [signing.sign_json(each, "notary.test", key or fake.key) for each in told]}

    fake.answers("POST", "/_matrix/key/v2/query", tell)
    return fake


# What we publish


async def test_our_keys_are_published_and_signed_by_us(network: Network) -> None:
    old = "old_signing_keys: {'ed25519:old': {key: 'l7PPtoI1+wzpM8OT6ktYyOeVqX4hAmDSN2JjWEvdGHM', expired_ts: 5}}\n"
    one = await network.start(ONE, old)
    for path in ("/_matrix/key/v2/server", "/_matrix/key/v2/server/ed25519:kone"):
        answer = (await one.ask("GET", path)).json
        assert answer["server_name"] == ONE
        assert answer["old_verify_keys"]["ed25519:old"]["expired_ts"] == 5
        key = verify_key_from_base64(answer["verify_keys"]["ed25519:kone"]["key"])
        signing.verify_json(answer, ONE, "ed25519:kone", key)
        assert 0 < answer["valid_until_ts"] - one.core.clock.now_ms() <= DAY_MS


async def test_our_keys_go_out_in_the_form_that_is_signed(network: Network) -> None:
    one = await network.start(ONE)
    response = await one.ask("GET", "/_matrix/key/v2/server")
    assert response.body == canonical_json.encode(response.json)


# Events


async def test_an_event_is_verified_by_its_servers_key(network: Network) -> None:
    one, evil = await network.start(ONE), FakeServer(network, EVIL)
    good = evil.pdu(V10)
    bad = {**good, "depth": 2}
    unsigned = {**good, "signatures": {}}
    forged = FakeServer(network, EVIL, key=NEW).pdu(V10)
    network.peers[EVIL] = evil
    faults = await check(one, good, bad, unsigned, forged)
    assert [fault is None for fault in faults] == [True, False, False, False]


async def test_very_many_events_are_verified_together(network: Network) -> None:
    one = await network.start(ONE)
    servers = [FakeServer(network, f"s{number}.test") for number in range(8)]
    pdus = [servers[number % 8].pdu(V12, depth=number) for number in range(250)]
    pdus[123] = {**pdus[123], "depth": 0}
    faults = await check(one, *pdus, version=V12)
    assert [number for number, fault in enumerate(faults) if fault is not None] == [123]
    assert all(count(network, server.name) == 1 for server in servers)


async def test_our_own_events_are_verified_without_asking(network: Network) -> None:
    one = await network.start(ONE)
    ours = FakeServer(network, ONE, key=one.core.signer.key).pdu(V10)
    assert await check(one, ours) == [None]
    assert network.requests == []


async def test_events_after_the_key_was_valid_count_only_in_old_rooms(network: Network) -> None:
    one, evil = await network.start(ONE), FakeServer(network, EVIL)
    evil.valid_until_ms = 1_600_000_000_000
    before, after = evil.pdu(V10, origin_server_ts=1_500_000_000_000), evil.pdu(V10, origin_server_ts=1_650_000_000_000)
    faults = await check(one, before, after)
    assert [fault is None for fault in faults] == [True, False]
    assert await check(one, evil.pdu(V4, origin_server_ts=1_650_000_000_000), version=V4) == [None]


async def test_an_event_from_the_far_future_makes_nobody_ask(network: Network) -> None:
    one, evil = await network.start(ONE), FakeServer(network, EVIL)
    assert await check(one, evil.pdu(V10)) == [None]
    far = evil.pdu(V10, origin_server_ts=one.core.clock.now_ms() + 1000 * DAY_MS)
    for _ in range(3):
        assert await check(one, far) != [None]
    assert count(network, EVIL) == 1


async def test_an_old_key_is_good_for_events_of_its_time(network: Network) -> None:
    one, evil = await network.start(ONE), FakeServer(network, EVIL)
    early = evil.pdu(V10, origin_server_ts=1_500_000_000_000)
    late = evil.pdu(V10, origin_server_ts=1_700_000_000_000)
    old_key, evil.key = evil.key, NEW
    old = {old_key.key_id: OldKey(old_key.verify_key, 1_600_000_000_000)}
    evil.answers("GET", "/_matrix/key/v2/server", lambda _: publish(EVIL, [NEW], old, evil.valid_until_ms))
    faults = await check(one, early, late)
    assert [fault is None for fault in faults] == [True, False]


# Where keys come from


async def test_keys_outlive_a_restart(network: Network) -> None:
    one, evil = await network.start(ONE), FakeServer(network, EVIL)
    pdu = evil.pdu(V10)
    assert await check(one, pdu) == [None]
    await network.stop(ONE)
    network.cut(ONE, EVIL)
    assert await check(await network.start(ONE), pdu) == [None]


async def test_a_notary_tells_the_keys_of_who_is_gone(network: Network) -> None:
    one, evil = await network.start(ONE, TRUST), FakeServer(network, EVIL)
    notary(network, evil)
    network.cut(ONE, EVIL)
    assert await check(one, evil.pdu(V10)) == [None]


async def test_of_many_servers_the_notary_is_asked_first(network: Network) -> None:
    one = await network.start(ONE, TRUST)
    servers = [FakeServer(network, f"s{number}.test") for number in range(150)]
    asked = notary(network, *servers[1:])
    assert await check(one, *(server.pdu(V10) for server in servers)) == [None] * 150
    assert [len(sent.json["server_keys"]) for sent in asked.requests] == [100, 50]
    assert [count(network, server.name) for server in servers] == [1] + [0] * 149


async def test_a_notary_that_lies_is_not_believed(network: Network) -> None:
    one = await network.start(ONE, TRUST)
    fake = notary(network)
    for lie in ("signature", "keys", "nothing", "nonsense", "error"):
        evil = FakeServer(network, f"{lie}.test")
        forger = FakeServer(network, evil.name, key=SigningKey.from_seed("fake", b"f" * 32))
        network.cut(ONE, evil.name)
        signer = NEW if lie == "signature" else fake.key
        told = {**evil.published(), **({"verify_keys": forger.published()["verify_keys"]} if lie == "keys" else {})}
        said: dict[str, Any] = {
            "nothing": {"server_keys": []},
            "nonsense": {"server_keys": [None, 5, {}, {"server_name": evil.name}, []]},
            "error": (500, []),
        }
        answer = said.get(lie, {"server_keys": [signing.sign_json(told, "notary.test", signer)]})
        fake.answers("POST", "/_matrix/key/v2/query", lambda _, answer=answer: answer)
        faults = await check(one, forger.pdu(V10), evil.pdu(V10))
        assert [fault is None for fault in faults] == [False, False], lie


async def test_a_notary_whose_keys_are_configured_signs_with_those(network: Network) -> None:
    other = SigningKey.from_seed("pinned", b"p" * 32)
    public = other.verify_key.encode()
    pinned = f"{{'ed25519:pinned': '{unpadded_base64.encode(public)}'}}"
    one = await network.start(ONE, f"trusted_key_servers: [{{server_name: notary.test, verify_keys: {pinned}}}]\n")
    evil = FakeServer(network, EVIL)
    network.cut(ONE, EVIL)
    notary(network, evil, key=other)
    assert await check(one, evil.pdu(V10)) == [None]
    assert not network.sent("/_matrix/key/v2/server", destination=NOTARY)


async def test_a_hostile_answer_is_no_key(network: Network) -> None:
    one = await network.start(ONE)
    answers = [
        (200, []),
        (200, {}),
        (200, {"server_name": EVIL, "verify_keys": {}, "valid_until_ts": 1}),
        (500, {"errcode": "M_UNKNOWN"}),
        (404, {}),
        (200, {"server_keys": "x" * 300_000}),
    ]
    for number, answer in enumerate(answers):
        evil = FakeServer(network, f"evil{number}.test")
        evil.answers("GET", "/_matrix/key/v2/server", lambda _, answer=answer: answer)
        assert await check(one, evil.pdu(V10)) != [None]


async def test_the_keys_of_another_are_not_taken(network: Network) -> None:
    one, evil, other = await network.start(ONE), FakeServer(network, EVIL), FakeServer(network, "other.test")
    evil.answers("GET", "/_matrix/key/v2/server", lambda _: other.published())
    assert await check(one, evil.pdu(V10)) != [None]


async def test_who_is_gone_is_not_asked_for_each_event(network: Network) -> None:
    one, evil = await network.start(ONE), FakeServer(network, EVIL)
    pdu = evil.pdu(V10)
    network.cut(ONE, EVIL)
    for _ in range(5):
        assert await check(one, pdu) != [None]
    assert count(network, EVIL) == 1


async def test_those_who_ask_together_ask_once(network: Network) -> None:
    one, evil = await network.start(ONE), FakeServer(network, EVIL)
    checks = [Deferred.fromCoroutine(check(one, evil.pdu(V10, depth=depth))) for depth in range(20)]
    assert await gatherResults(checks) == [[None]] * 20
    assert count(network, EVIL) == 1


# Being a notary


async def test_we_tell_others_keys_with_our_signature(network: Network) -> None:
    one, evil = await network.start(ONE), FakeServer(network, EVIL)
    key = one.core.signer.key
    for response in (
        await one.ask("GET", f"/_matrix/key/v2/query/{EVIL}"),
        await one.ask("GET", f"/_matrix/key/v2/query/{EVIL}?minimum_valid_until_ts=5"),
        await one.ask("GET", f"/_matrix/key/v2/query/{EVIL}/{evil.key.key_id}"),
        await one.ask("POST", "/_matrix/key/v2/query", {"server_keys": {EVIL: {evil.key.key_id: {}}}}),
        await one.ask("POST", "/_matrix/key/v2/query", {"server_keys": {EVIL: {}}}),
    ):
        (told,) = response.json["server_keys"]
        signing.verify_json(told, ONE, key.key_id, key.verify_key)
        signing.verify_json(told, EVIL, evil.key.key_id, evil.key.verify_key)
    assert count(network, EVIL) == 1


async def test_we_tell_the_keys_of_who_is_gone(network: Network) -> None:
    one, evil = await network.start(ONE), FakeServer(network, EVIL)
    await check(one, evil.pdu(V10))
    network.cut(ONE, EVIL)
    asked = {"server_keys": {EVIL: {evil.key.key_id: {"minimum_valid_until_ts": 2**53 - 1}}, "gone.test": {}}}
    (told,) = (await one.ask("POST", "/_matrix/key/v2/query", asked)).json["server_keys"]
    assert told["server_name"] == EVIL


async def test_we_tell_our_own_keys_as_a_notary_too(network: Network) -> None:
    one = await network.start(ONE)
    (told,) = (await one.ask("GET", f"/_matrix/key/v2/query/{ONE}")).json["server_keys"]
    assert told["server_name"] == ONE


async def test_a_question_about_nobody_is_answered_so(network: Network) -> None:
    one = await network.start(ONE)
    response = await one.ask("POST", "/_matrix/key/v2/query", {"server_keys": {}})
    assert (response.status, response.json) == (200, {"server_keys": []})


NONSENSE: list[Any] = [
    {},
    {"server_keys": []},
    {"server_keys": {"a/b": {}}},
    {"server_keys": {EVIL: []}},
    {"server_keys": {EVIL: {"ed25519:1": 5}}},
    {"server_keys": {EVIL: {"ed25519:1": {"minimum_valid_until_ts": "x"}}}},
    {"server_keys": {EVIL: {f"ed25519:{n}": {} for n in range(100)}}},
    {"server_keys": {f"s{n}.test": {} for n in range(1000)}},
]


async def test_nonsense_is_refused(network: Network) -> None:
    one = await network.start(ONE)
    for body in NONSENSE:
        assert (await one.ask("POST", "/_matrix/key/v2/query", body)).status == 400, body


async def test_strangers_cannot_make_us_ask_for_ever(network: Network) -> None:
    one, evil = await network.start(ONE), FakeServer(network, EVIL)
    for number in range(30):
        await one.ask("POST", "/_matrix/key/v2/query", {"server_keys": {EVIL: {f"ed25519:x{number}": {}}}})
    assert count(network, EVIL) <= 5
    many = {"server_keys": {f"s{number}.test": {} for number in range(200)}}
    await one.ask("POST", "/_matrix/key/v2/query", many)
    assert len(network.requests) <= 5 + 20
    assert evil.requests == []


async def test_two_servers_are_notaries_of_each_other(network: Network) -> None:
    one = await network.start(ONE, "trusted_key_servers: [{server_name: two.test}]\n")
    two, evil = await network.start(TWO), FakeServer(network, EVIL)
    await check(two, evil.pdu(V10))
    network.cut(ONE, EVIL)
    network.cut(TWO, EVIL)
    assert await check(one, evil.pdu(V10)) == [None]
