"""/keys/upload, /keys/query, /keys/claim and /keys/changes."""

from collections.abc import Iterator

import pytest
from twisted.internet.defer import Deferred, gatherResults

from matrix.events import from_pdu
from matrix.ids import EventId
from matrix.room_versions import ROOM_VERSIONS
from storage.change import Entry, Kind
from storage.events import StoredEvent
from tests.integration.client_api.e2ee_server import ALICE, BOB, CAROL, E2eeServer, e2ee_server
from tests.unit.e2ee.made_keys import device_keys, one_time_keys


@pytest.fixture
def server(dsn: str) -> Iterator[E2eeServer]:
    with e2ee_server(dsn) as running:
        yield running


async def test_uploaded_device_keys_are_found_with_the_device_name(server: E2eeServer) -> None:
    alice, bob = server.device(ALICE, "A", "Alice's phone"), server.device(BOB, "B")
    await alice.upload(device_keys=device_keys(ALICE, "A"))
    answer = await bob.query(ALICE)
    assert answer["device_keys"] == {
        ALICE: {"A": {**device_keys(ALICE, "A"), "unsigned": {"device_display_name": "Alice's phone"}}}
    }
    assert answer["failures"] == {}


async def test_a_user_without_keys_is_in_the_answer_without_devices(server: E2eeServer) -> None:
    bob = server.device(BOB, "B")
    assert (await bob.query(CAROL))["device_keys"] == {CAROL: {}}


async def test_only_the_devices_asked_for_are_told(server: E2eeServer) -> None:
    for name in ("A", "A2"):
        await server.device(ALICE, name).upload(device_keys=device_keys(ALICE, name))
    bob = server.device(BOB, "B")
    answer = await bob.ok("POST", "/keys/query", {"device_keys": {ALICE: ["A2", "unknown"]}})
    assert list(answer["device_keys"][ALICE]) == ["A2"]


async def test_a_query_sees_what_was_changed_since_the_last_one(server: E2eeServer) -> None:
    alice, bob = server.device(ALICE, "A"), server.device(BOB, "B")
    await alice.upload(device_keys=device_keys(ALICE, "A"))
    await bob.query(ALICE)
    await server.delete(alice)
    assert (await bob.query(ALICE))["device_keys"] == {ALICE: {}}


async def test_users_of_other_servers_are_failures_without_federation(server: E2eeServer) -> None:
    answer = await server.device(BOB, "B").query("@dora:elsewhere.example")
    assert list(answer["failures"]) == ["elsewhere.example"]
    assert answer["device_keys"] == {}


async def test_device_keys_must_be_those_of_the_caller(server: E2eeServer) -> None:
    alice = server.device(ALICE, "A")
    for keys in (device_keys(BOB, "A"), device_keys(ALICE, "B"), None, [], {**device_keys(ALICE, "A"), "keys": 1}):
        response = await alice.ask("POST", "/keys/upload", {"device_keys": keys})
        assert (response.status, response.errcode) == (400, "M_BAD_JSON")


async def test_counts_are_told_even_when_there_are_none(server: E2eeServer) -> None:
    alice = server.device(ALICE, "A")
    assert await alice.upload() == {"one_time_key_counts": {"signed_curve25519": 0}}
    answer = await alice.upload(one_time_keys=one_time_keys(ALICE, "A", "1", "2"))
    assert answer == {"one_time_key_counts": {"signed_curve25519": 2}}


async def test_one_time_keys_are_handed_out_in_the_order_of_upload_and_once(server: E2eeServer) -> None:
    alice, bob = server.device(ALICE, "A"), server.device(BOB, "B")
    for name in ("zz", "aa", "mm"):
        await alice.upload(one_time_keys=one_time_keys(ALICE, "A", name))
    claimed = [await bob.claim(ALICE, "A") for _ in range(4)]
    assert claimed[:3] == [one_time_keys(ALICE, "A", name) for name in ("zz", "aa", "mm")]
    assert claimed[3] is None


async def test_claims_at_the_same_time_never_get_the_same_key(server: E2eeServer) -> None:
    alice, bob = server.device(ALICE, "A"), server.device(BOB, "B")
    await alice.upload(one_time_keys=one_time_keys(ALICE, "A", *map(str, range(20))))
    claims = [Deferred.fromCoroutine(bob.claim(ALICE, "A")) for _ in range(25)]
    keys = [next(iter(claim)) for claim in await gatherResults(claims) if claim is not None]
    assert len(keys) == len(set(keys)) == 20


async def test_the_same_one_time_key_may_be_uploaded_again_but_no_other_under_its_name(server: E2eeServer) -> None:
    alice = server.device(ALICE, "A")
    await alice.upload(one_time_keys=one_time_keys(ALICE, "A", "1"))
    again = one_time_keys(ALICE, "A", "1")
    again["signed_curve25519:1"]["signatures"] = {}
    assert (await alice.upload(one_time_keys=again))["one_time_key_counts"] == {"signed_curve25519": 1}
    other = {"one_time_keys": one_time_keys(ALICE, "A", "1", other=True)}
    response = await alice.ask("POST", "/keys/upload", other)
    assert (response.status, response.errcode) == (400, "M_UNKNOWN")
    # The Rust SDK knows the fault by these words.
    assert "already exists" in response.json["error"]


async def test_the_fallback_key_is_used_again_and_again_when_the_others_are_gone(server: E2eeServer) -> None:
    alice, bob = server.device(ALICE, "A"), server.device(BOB, "B")
    fallback = one_time_keys(ALICE, "A", "fb", fallback=True)
    await alice.upload(one_time_keys=one_time_keys(ALICE, "A", "1"), fallback_keys=fallback)
    assert await server.keys.counts(ALICE, "A") == ({"signed_curve25519": 1}, ["signed_curve25519"])
    assert await bob.claim(ALICE, "A") == one_time_keys(ALICE, "A", "1")
    assert await server.keys.counts(ALICE, "A") == ({"signed_curve25519": 0}, ["signed_curve25519"])
    assert [await bob.claim(ALICE, "A") for _ in range(3)] == [fallback] * 3
    assert await server.keys.counts(ALICE, "A") == ({"signed_curve25519": 0}, [])


async def test_a_used_fallback_key_stays_used_until_another_is_uploaded(server: E2eeServer) -> None:
    alice, bob = server.device(ALICE, "A"), server.device(BOB, "B")
    fallback = one_time_keys(ALICE, "A", "fb", fallback=True)
    await alice.upload(fallback_keys=fallback)
    await bob.claim(ALICE, "A")
    await alice.upload(fallback_keys=fallback)
    assert (await server.keys.counts(ALICE, "A"))[1] == []
    await alice.upload(fallback_keys=one_time_keys(ALICE, "A", "fb2", fallback=True))
    assert (await server.keys.counts(ALICE, "A"))[1] == ["signed_curve25519"]


async def test_a_deleted_device_leaves_no_keys_behind(server: E2eeServer) -> None:
    alice, bob = server.device(ALICE, "A"), server.device(BOB, "B")
    fallback = one_time_keys(ALICE, "A", "fb")
    await alice.upload(device_keys=device_keys(ALICE, "A"), one_time_keys=one_time_keys(ALICE, "A", "1"))
    await alice.upload(fallback_keys=fallback)
    await server.delete(alice)
    assert await bob.claim(ALICE, "A") is None
    assert await server.keys.counts(ALICE, "A") == ({"signed_curve25519": 0}, [])
    # A request of the device that was under way when it was deleted.
    await alice.upload(device_keys=device_keys(ALICE, "A"), one_time_keys=one_time_keys(ALICE, "A", "2"))
    assert server.sql("SELECT 1 FROM device_keys UNION ALL SELECT 1 FROM one_time_keys") == []


@pytest.mark.parametrize(
    ("path", "body", "errcode"),
    [
        ("/keys/query", {}, "M_MISSING_PARAM"),
        ("/keys/query", {"device_keys": []}, "M_BAD_JSON"),
        ("/keys/query", {"device_keys": {ALICE: {}}}, "M_BAD_JSON"),
        ("/keys/query", {"device_keys": {ALICE: [1]}}, "M_BAD_JSON"),
        ("/keys/query", {"device_keys": {"alice": []}}, "M_INVALID_PARAM"),
        ("/keys/claim", {}, "M_MISSING_PARAM"),
        ("/keys/claim", {"one_time_keys": {ALICE: ["A"]}}, "M_BAD_JSON"),
        ("/keys/claim", {"one_time_keys": {ALICE: {"A": 1}}}, "M_BAD_JSON"),
        ("/keys/claim", {"one_time_keys": {ALICE: {"A\x00": "x"}}}, "M_INVALID_PARAM"),
        ("/keys/upload", {"one_time_keys": {"x": "y"}}, "M_BAD_JSON"),
        ("/keys/upload", {"one_time_keys": {"a:b:c": "y"}}, "M_BAD_JSON"),
        ("/keys/upload", {"one_time_keys": {"a:\x00": "y"}}, "M_BAD_JSON"),
        ("/keys/upload", {"one_time_keys": {"a:b": {"key": "x"}}}, "M_BAD_JSON"),
        ("/keys/upload", {"fallback_keys": {"a:b": 1}}, "M_BAD_JSON"),
    ],
)
async def test_a_malformed_request_is_refused(server: E2eeServer, path: str, body: object, errcode: str) -> None:
    response = await server.device(ALICE, "A").ask("POST", path, body)
    assert (response.status, response.errcode) == (400, errcode)


async def test_changes_tell_who_changed_among_those_who_share_a_room(server: E2eeServer) -> None:
    alice, bob, carol = server.device(ALICE, "A"), server.device(BOB, "B"), server.device(CAROL, "C")
    server.member(1, BOB)
    server.member(1, ALICE)
    before = server.token()
    await alice.upload(device_keys=device_keys(ALICE, "A"))
    await carol.upload(device_keys=device_keys(CAROL, "C"))
    after = server.token()
    answer = await bob.ok("GET", f"/keys/changes?from={before}&to={after}")
    assert answer == {"changed": [ALICE], "left": []}
    assert (await bob.ok("GET", f"/keys/changes?from={after}&to={after}"))["changed"] == []


async def test_changes_from_before_the_memory_of_the_stream_are_read_from_the_database(server: E2eeServer) -> None:
    alice, bob = server.device(ALICE, "A"), server.device(BOB, "B")
    server.member(1, BOB)
    server.member(1, ALICE)
    await alice.upload(device_keys=device_keys(ALICE, "A"))
    server.storage.stream.floor = server.storage.stream.position
    server.storage.stream._entries.clear()
    answer = await bob.ok("GET", f"/keys/changes?from=s0&to={server.token()}")
    assert answer["changed"] == [ALICE]


MOVES = [
    # Bob's room: Alice came, Carol went, Dora had left long before, Fred was there all the time.
    (1, BOB, "join", 1),
    (1, ALICE, "join", 5),
    (1, CAROL, "leave", 6),
    (1, "@dora:a", "leave", 2),
    (1, "@fred:a", "join", 1),
    # Bob left this one, where Erin is.
    (2, BOB, "leave", 6),
    (2, "@erin:a", "join", 1),
    # Bob came here, and found George.
    (3, BOB, "join", 7),
    (3, "@george:a", "join", 2),
]


def publish(server: E2eeServer, room_nid: int, user_id: str, membership: str, replaces: int | None = None) -> None:
    """A member event in memory, at the next position."""
    position = server.storage.stream.position + 1
    pdu = {
        "type": "m.room.member",
        "sender": user_id,
        "state_key": user_id,
        "content": {"membership": membership},
        "room_id": "!r:a",
        "depth": 1,
        "origin_server_ts": 1,
        "prev_events": [],
        "auth_events": [],
    }
    event = from_pdu(pdu, ROOM_VERSIONS["11"], EventId(f"${position}"))
    stored = StoredEvent(position, room_nid, event, None, position, 0, replaces)
    server.storage.events.remember(stored)
    server.storage.stream.publish([Entry(Kind.EVENT, room_nid, None, stored, position)])


async def test_changes_tell_who_came_and_who_left_from_the_database(server: E2eeServer) -> None:
    bob = server.device(BOB, "B")
    for row in MOVES:
        server.member(*row)
    server.storage.stream.floor = server.storage.stream.position = 9
    path = "/keys/changes?from=s4&to=s9"
    assert await bob.ok("GET", path) == {"changed": [ALICE, BOB, "@george:a"], "left": [CAROL, "@erin:a"]}
    server.member(3, "@erin:a")
    assert (await bob.ok("GET", path))["left"] == [CAROL]


async def test_changes_tell_who_came_and_who_left_from_memory(server: E2eeServer) -> None:
    bob = server.device(BOB, "B")
    for row in MOVES:
        server.member(*row)
    for room_nid, user_id, membership, position in MOVES:
        if position > 4:
            publish(server, room_nid, user_id, membership)
    path = f"/keys/changes?from=s0&to={server.token()}"
    assert await bob.ok("GET", path) == {"changed": [ALICE, BOB, "@george:a"], "left": [CAROL, "@erin:a"]}


async def test_a_new_name_is_no_move(server: E2eeServer) -> None:
    bob = server.device(BOB, "B")
    server.member(1, BOB)
    server.member(1, ALICE)
    for user_id in (BOB, ALICE):
        publish(server, 1, user_id, "join")
    since = server.token()
    for replaces, user_id in ((1, BOB), (2, ALICE)):
        publish(server, 1, user_id, "join", replaces)
    assert await bob.ok("GET", f"/keys/changes?from={since}&to={server.token()}") == {"changed": [], "left": []}


async def test_who_came_and_went_again_has_left(server: E2eeServer) -> None:
    bob = server.device(BOB, "B")
    server.member(1, BOB)
    server.member(1, ALICE, "leave")
    publish(server, 1, ALICE, "join")
    publish(server, 1, ALICE, "leave")
    assert await bob.ok("GET", f"/keys/changes?from=s0&to={server.token()}") == {"changed": [], "left": [ALICE]}


async def test_a_token_that_is_none_is_refused(server: E2eeServer) -> None:
    response = await server.device(BOB, "B").ask("GET", "/keys/changes?from=bogus&to=s1")
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")
