"""/room_keys."""

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults

from homeserver.services.e2ee.backups import Backups
from tests.integration.client_api.e2ee_server import ALICE, BOB, Device, E2eeServer, e2ee_server

ALGORITHM = "m.megolm_backup.v1.curve25519-aes-sha2"
VERSION = {"algorithm": ALGORITHM, "auth_data": {"public_key": "abc"}}
ROOM, OTHER_ROOM = "!r:a", "!s:a"


@pytest.fixture
def server(dsn: str) -> Iterator[E2eeServer]:
    with e2ee_server(dsn) as running:
        yield running


@pytest.fixture
def alice(server: E2eeServer) -> Device:
    return server.device(ALICE, "A")


def key(data: str = "x", *, first: int = 5, forwarded: int = 5, verified: bool = False) -> dict[str, Any]:
    return {
        "first_message_index": first,
        "forwarded_count": forwarded,
        "is_verified": verified,
        "session_data": {"ciphertext": data},
    }


async def make(alice: Device) -> str:
    version: str = (await alice.ok("POST", "/room_keys/version", VERSION))["version"]
    return version


async def put(alice: Device, session: str, room_key: dict[str, Any], version: str = "1") -> Any:
    return await alice.ok("PUT", f"/room_keys/keys/{ROOM}/{session}?version={version}", room_key)


async def refused(alice: Device, method: str, path: str, body: Any = None) -> tuple[int, str | None]:
    response = await alice.ask(method, path, body)
    return response.status, response.errcode


async def test_there_is_no_backup_at_first(alice: Device) -> None:
    assert await refused(alice, "GET", "/room_keys/version") == (404, "M_NOT_FOUND")


async def test_a_version_is_told_with_its_count_and_etag(alice: Device) -> None:
    assert await make(alice) == "1"
    expected = {**VERSION, "version": "1", "count": 0, "etag": "0"}
    assert await alice.ok("GET", "/room_keys/version") == expected
    assert await alice.ok("GET", "/room_keys/version/1") == expected
    assert await refused(alice, "GET", "/room_keys/version/2") == (404, "M_NOT_FOUND")
    assert await refused(alice, "GET", "/room_keys/version/bogus") == (404, "M_NOT_FOUND")


async def test_each_version_has_a_new_number_even_after_deletions(alice: Device) -> None:
    assert [await make(alice), await make(alice)] == ["1", "2"]
    await alice.ok("DELETE", "/room_keys/version/2")
    assert (await alice.ok("GET", "/room_keys/version"))["version"] == "1"
    assert await make(alice) == "3"


async def test_versions_made_at_the_same_time_have_different_numbers(alice: Device) -> None:
    made = await gatherResults([Deferred.fromCoroutine(make(alice)) for _ in range(4)])
    assert sorted(made) == ["1", "2", "3", "4"]


async def test_a_deleted_version_is_gone_and_may_be_deleted_again(alice: Device) -> None:
    await make(alice)
    await put(alice, "s", key())
    await alice.ok("DELETE", "/room_keys/version/1")
    await alice.ok("DELETE", "/room_keys/version/1")
    assert await refused(alice, "GET", "/room_keys/version/1") == (404, "M_NOT_FOUND")
    assert await refused(alice, "GET", "/room_keys/keys?version=1") == (404, "M_NOT_FOUND")
    assert await refused(alice, "PUT", f"/room_keys/keys/{ROOM}/s?version=1", key()) == (404, "M_NOT_FOUND")
    assert await refused(alice, "DELETE", "/room_keys/version/9") == (404, "M_NOT_FOUND")


async def test_auth_data_can_be_replaced_but_not_the_algorithm(alice: Device) -> None:
    await make(alice)
    new = {**VERSION, "auth_data": {"public_key": "new"}, "version": "1"}
    assert await alice.ok("PUT", "/room_keys/version/1", new) == {}
    assert (await alice.ok("GET", "/room_keys/version"))["auth_data"] == {"public_key": "new"}
    for fault in ({"algorithm": "other"}, {"version": "2"}):
        assert await refused(alice, "PUT", "/room_keys/version/1", {**new, **fault}) == (400, "M_INVALID_PARAM")
    assert await refused(alice, "PUT", "/room_keys/version/2", VERSION) == (404, "M_NOT_FOUND")
    assert await refused(alice, "PUT", "/room_keys/version/1", {}) == (400, "M_MISSING_PARAM")


async def test_a_backup_is_its_users_alone(server: E2eeServer, alice: Device) -> None:
    bob = server.device(BOB, "B")
    await make(alice)
    await put(alice, "s", key())
    await make(bob)
    assert await bob.ok("GET", "/room_keys/keys?version=1") == {"rooms": {}}


async def test_keys_are_stored_and_read_by_all_by_room_and_by_session(alice: Device) -> None:
    await make(alice)
    rooms = {ROOM: {"sessions": {"s1": key("1"), 's"2': key("2")}}, OTHER_ROOM: {"sessions": {"s3": key("3")}}}
    answer = await alice.ok("PUT", "/room_keys/keys?version=1", {"rooms": rooms})
    assert answer == {"etag": "1", "count": 3}
    assert await alice.ok("GET", "/room_keys/keys?version=1") == {"rooms": rooms}
    assert await alice.ok("GET", f"/room_keys/keys/{ROOM}?version=1") == rooms[ROOM]
    assert await alice.ok("GET", f"/room_keys/keys/{ROOM}/s1?version=1") == key("1")
    more = await alice.ok("PUT", f"/room_keys/keys/{ROOM}?version=1", {"sessions": {"s4": key("4")}})
    assert more == {"etag": "2", "count": 4}


async def test_what_is_not_there_is_empty_or_not_found(alice: Device) -> None:
    await make(alice)
    assert await alice.ok("GET", "/room_keys/keys?version=1") == {"rooms": {}}
    assert await alice.ok("GET", f"/room_keys/keys/{ROOM}?version=1") == {"sessions": {}}
    assert await refused(alice, "GET", f"/room_keys/keys/{ROOM}/s?version=1") == (404, "M_NOT_FOUND")
    assert await refused(alice, "GET", "/room_keys/keys?version=2") == (404, "M_NOT_FOUND")
    assert await refused(alice, "GET", "/room_keys/keys") == (400, "M_MISSING_PARAM")


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        (key("old"), key("new", verified=True, first=9, forwarded=9), "new"),
        (key("old", verified=True), key("new", first=0, forwarded=0), "old"),
        (key("old"), key("new", first=4, forwarded=9), "new"),
        (key("old"), key("new", first=6, forwarded=0), "old"),
        (key("old"), key("new", forwarded=4), "new"),
        (key("old"), key("new", forwarded=6), "old"),
        (key("old"), key("new"), "old"),
    ],
)
async def test_the_better_key_is_kept(alice: Device, old: Any, new: Any, kept: str) -> None:
    await make(alice)
    assert await put(alice, "s", old) == {"etag": "1", "count": 1}
    # The etag moves with every change, and only then.
    assert await put(alice, "s", new) == {"etag": "2" if kept == "new" else "1", "count": 1}
    stored = await alice.ok("GET", f"/room_keys/keys/{ROOM}/s?version=1")
    assert stored["session_data"] == {"ciphertext": kept}


async def test_only_the_current_version_is_written(alice: Device) -> None:
    assert await refused(alice, "PUT", f"/room_keys/keys/{ROOM}/s?version=1", key()) == (404, "M_NOT_FOUND")
    await make(alice)
    await make(alice)
    response = await alice.ask("PUT", f"/room_keys/keys/{ROOM}/s?version=1", key())
    assert (response.status, response.errcode) == (403, "M_WRONG_ROOM_KEYS_VERSION")
    assert response.json["current_version"] == "2"
    assert await refused(alice, "PUT", f"/room_keys/keys/{ROOM}/s?version=3", key()) == (404, "M_NOT_FOUND")


async def test_keys_are_deleted_by_session_by_room_and_all(alice: Device) -> None:
    await make(alice)
    rooms = {ROOM: {"sessions": {name: key() for name in "abc"}}, OTHER_ROOM: {"sessions": {"d": key(), "e": key()}}}
    await alice.ok("PUT", "/room_keys/keys?version=1", {"rooms": rooms})
    deleted = [
        await alice.ok("DELETE", f"/room_keys/keys{path}?version=1")
        for path in (f"/{ROOM}/a", f"/{ROOM}/a", f"/{ROOM}", "")
    ]
    assert deleted == [
        {"etag": "2", "count": 4},
        {"etag": "2", "count": 4},
        {"etag": "3", "count": 2},
        {"etag": "4", "count": 0},
    ]
    assert await refused(alice, "DELETE", "/room_keys/keys?version=2") == (404, "M_NOT_FOUND")


@pytest.mark.parametrize(
    ("fault", "errcode"),
    [
        ({"is_verified": 1}, "M_INVALID_PARAM"),
        ({"first_message_index": "1"}, "M_BAD_JSON"),
        ({"first_message_index": -1}, "M_BAD_JSON"),
        ({"forwarded_count": 1.5}, "M_BAD_JSON"),
        ({"forwarded_count": 2**60}, "M_BAD_JSON"),
        ({"session_data": None}, "M_BAD_JSON"),
    ],
)
async def test_a_malformed_key_is_refused(alice: Device, fault: Any, errcode: str) -> None:
    await make(alice)
    assert await refused(alice, "PUT", f"/room_keys/keys/{ROOM}/s?version=1", key() | fault) == (400, errcode)


async def test_a_malformed_body_is_refused(alice: Device) -> None:
    await make(alice)
    for path, body in (
        ("", {"rooms": {ROOM: []}}),
        ("", {"rooms": {ROOM: {}}}),
        ("", {"rooms": {ROOM: {"sessions": []}}}),
        (f"/{ROOM}", {"sessions": []}),
        (f"/{ROOM}", {"sessions": {"s": 1}}),
    ):
        assert await refused(alice, "PUT", f"/room_keys/keys{path}?version=1", body) == (400, "M_BAD_JSON")
    body = {"sessions": {"\x00": key()}}
    assert await refused(alice, "PUT", f"/room_keys/keys/{ROOM}?version=1", body) == (400, "M_INVALID_PARAM")


async def test_a_closed_account_keeps_no_backups(server: E2eeServer, alice: Device) -> None:
    await make(alice)
    await put(alice, "s", key())
    await Backups(database=server.storage.database).delete_all(ALICE)
    assert server.sql("SELECT 1 FROM key_backups UNION ALL SELECT 1 FROM key_backup_sessions") == []


async def test_old_clients_ask_at_r0_and_unstable(alice: Device) -> None:
    await make(alice)
    for prefix in ("/_matrix/client/r0", "/_matrix/client/unstable"):
        assert (await alice.ask("GET", "/room_keys/version", prefix=prefix)).status == 200
