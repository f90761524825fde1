"""/keys/device_signing/upload and /keys/signatures/upload."""

from collections.abc import Iterator

import pytest

from homeserver.services.e2ee.cross_signing import CHECKS_AT_ONCE
from matrix.signing import sign_json
from storage.change import Kind
from storage.device_lists import changed, told_to
from tests.integration.client_api.e2ee_server import ALICE, BOB, CAROL, Device, E2eeServer, e2ee_server
from tests.unit.e2ee.made_keys import device_key, device_keys, identity, public_of

UPLOAD, SIGN = "/keys/device_signing/upload", "/keys/signatures/upload"


@pytest.fixture
def server(dsn: str) -> Iterator[E2eeServer]:
    with e2ee_server(dsn) as running:
        yield running


async def with_identity(server: E2eeServer, user_id: str, device_id: str) -> Device:
    """A device with keys, of a user with cross-signing keys."""
    device = server.device(user_id, device_id)
    await device.upload(device_keys=device_keys(user_id, device_id))
    await device.ok("POST", UPLOAD, identity(user_id).uploaded())
    return device


async def test_the_first_upload_needs_no_authentication_and_is_seen_by_others(server: E2eeServer) -> None:
    await with_identity(server, ALICE, "A")
    uploaded = identity(ALICE).uploaded()
    answer = await server.device(BOB, "B").query(ALICE)
    assert answer["master_keys"] == {ALICE: uploaded["master_key"]}
    assert answer["self_signing_keys"] == {ALICE: uploaded["self_signing_key"]}


async def test_a_user_signing_key_goes_to_its_owner_only(server: E2eeServer) -> None:
    alice = await with_identity(server, ALICE, "A")
    assert (await alice.query(ALICE))["user_signing_keys"] == {ALICE: identity(ALICE).uploaded()["user_signing_key"]}
    assert (await server.device(BOB, "B").query(ALICE))["user_signing_keys"] == {}


async def test_the_same_keys_may_be_uploaded_again(server: E2eeServer) -> None:
    alice = await with_identity(server, ALICE, "A")
    before = server.token()
    await alice.ok("POST", UPLOAD, identity(ALICE).uploaded())
    await alice.ok("POST", UPLOAD, {})
    assert server.token() == before


async def test_replacing_keys_needs_authentication(server: E2eeServer) -> None:
    alice = await with_identity(server, ALICE, "A")
    other = identity(ALICE, "other").uploaded()
    assert (await alice.ask("POST", UPLOAD, other)).status == 401
    assert (await alice.query(ALICE))["master_keys"] == {ALICE: identity(ALICE).uploaded()["master_key"]}
    server.confirmed = True
    await alice.ok("POST", UPLOAD, other)
    assert (await alice.query(ALICE))["master_keys"] == {ALICE: other["master_key"]}


async def test_adding_a_key_to_a_master_key_needs_authentication(server: E2eeServer) -> None:
    alice = server.device(ALICE, "A")
    uploaded = identity(ALICE).uploaded()
    await alice.ok("POST", UPLOAD, {"master_key": uploaded["master_key"]})
    body = {"self_signing_key": uploaded["self_signing_key"]}
    assert (await alice.ask("POST", UPLOAD, body)).status == 401
    server.confirmed = True
    await alice.ok("POST", UPLOAD, body)


async def test_keys_not_signed_by_the_master_key_are_refused(server: E2eeServer) -> None:
    alice = server.device(ALICE, "A")
    body = identity(ALICE).uploaded() | {"self_signing_key": identity(ALICE, "other").uploaded()["self_signing_key"]}
    response = await alice.ask("POST", UPLOAD, body)
    assert (response.status, response.errcode) == (400, "M_INVALID_SIGNATURE")


async def test_without_a_master_key_no_other_can_be_uploaded(server: E2eeServer) -> None:
    body = {"self_signing_key": identity(ALICE).uploaded()["self_signing_key"]}
    response = await server.device(ALICE, "A").ask("POST", UPLOAD, body)
    assert (response.status, response.errcode) == (400, "M_MISSING_PARAM")


@pytest.mark.parametrize(
    "fault",
    [
        {"user_id": BOB},
        {"usage": ["self_signing"]},
        {"usage": "master"},
        {"usage": 1},
        {"keys": {}},
        {"keys": {"ed25519:a": "a", "ed25519:b": "b"}},
        {"keys": {"ed25519:AAAA": "AAAA"}},
        {"keys": ["ed25519:AAAA"]},
        {"keys": {"ed25519:x": public_of(identity(ALICE).master)}},
        {"signatures": []},
        {"signatures": {ALICE: {"ed25519:A": 1}}},
    ],
)
async def test_a_malformed_key_is_refused(server: E2eeServer, fault: dict[str, object]) -> None:
    body = {"master_key": identity(ALICE).public("master") | fault}
    response = await server.device(ALICE, "A").ask("POST", UPLOAD, body)
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_a_key_named_like_a_device_is_refused(server: E2eeServer) -> None:
    alice = server.device(ALICE, public_of(identity(ALICE).master))
    response = await alice.ask("POST", UPLOAD, identity(ALICE).uploaded())
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_a_device_signed_by_the_self_signing_key_shows_the_signature_to_everyone(server: E2eeServer) -> None:
    alice = await with_identity(server, ALICE, "A")
    signed = identity(ALICE).sign("self_signing", device_keys(ALICE, "A"))
    assert await alice.ok("POST", SIGN, {ALICE: {"A": signed}}) == {"failures": {}}
    shown = (await server.device(BOB, "B").query(ALICE))["device_keys"][ALICE]["A"]["signatures"][ALICE]
    assert shown == device_keys(ALICE, "A")["signatures"][ALICE] | signed["signatures"][ALICE]


async def test_new_device_keys_lose_the_signatures_of_the_old(server: E2eeServer) -> None:
    alice = await with_identity(server, ALICE, "A")
    signed = identity(ALICE).sign("self_signing", device_keys(ALICE, "A"))
    await alice.ok("POST", SIGN, {ALICE: {"A": signed}})
    await alice.upload(device_keys=device_keys(ALICE, "A", algorithms=[]))
    shown = (await alice.query(ALICE))["device_keys"][ALICE]["A"]["signatures"][ALICE]
    assert list(shown) == ["ed25519:A"]


async def test_the_master_key_may_be_signed_by_a_device(server: E2eeServer) -> None:
    alice = await with_identity(server, ALICE, "A")
    master = identity(ALICE).public("master")
    signed = sign_json(master, ALICE, device_key(ALICE, "A"))
    assert await alice.ok("POST", SIGN, {ALICE: {public_of(identity(ALICE).master): signed}}) == {"failures": {}}
    for reader in (alice, server.device(BOB, "B")):
        assert (await reader.query(ALICE))["master_keys"][ALICE]["signatures"] == signed["signatures"]


async def test_a_signature_of_another_user_is_seen_by_the_signer_only(server: E2eeServer) -> None:
    alice, bob = await with_identity(server, ALICE, "A"), await with_identity(server, BOB, "B")
    master = identity(BOB).public("master")
    signed = identity(ALICE).sign("user_signing", master)
    since = int(server.token()[1:])
    assert await alice.ok("POST", SIGN, {BOB: {public_of(identity(BOB).master): signed}}) == {"failures": {}}
    assert (await alice.query(BOB))["master_keys"] == {BOB: signed}
    for reader in (bob, server.device(CAROL, "C")):
        assert (await reader.query(BOB))["master_keys"] == {BOB: master}
    entries = server.storage.stream.entries(since, server.storage.stream.position)
    assert (told_to(ALICE, entries), told_to(BOB, entries), told_to(CAROL, entries)) == ({BOB}, set(), set())
    upto = server.storage.stream.position
    for reader, heard in ((ALICE, [BOB]), (BOB, []), (CAROL, [])):
        assert await server.storage.database.read(changed, since, upto, reader) == heard


async def test_what_is_wrong_with_a_signature_is_told_for_each(server: E2eeServer) -> None:
    alice, _ = await with_identity(server, ALICE, "A"), await with_identity(server, BOB, "B")
    keys = device_keys(ALICE, "A")
    good = identity(ALICE).sign("self_signing", keys)
    body = {
        ALICE: {
            "A": identity(ALICE, "other").sign("self_signing", keys),
            "unknown": {**good, "device_id": "unknown"},
            public_of(identity(ALICE).master): {"signatures": {ALICE: {"ed25519:A": "AAAA"}}},
        },
        BOB: {
            "B": identity(ALICE).sign("user_signing", device_keys(BOB, "B")),
            public_of(identity(BOB).master): {**identity(BOB).public("master"), "signatures": 1},
        },
        CAROL: {"C": good},
        "@dora:elsewhere.example": {"D": good},
    }
    failures = (await alice.ok("POST", SIGN, body))["failures"]
    assert {user_id: {key: error["errcode"] for key, error in keys.items()} for user_id, keys in failures.items()} == {
        ALICE: {
            "A": "M_INVALID_SIGNATURE",
            "unknown": "M_NOT_FOUND",
            public_of(identity(ALICE).master): "M_UNKNOWN",
        },
        BOB: {"B": "M_NOT_FOUND", public_of(identity(BOB).master): "M_INVALID_SIGNATURE"},
        CAROL: {"C": "M_NOT_FOUND"},
        "@dora:elsewhere.example": {"D": "M_NOT_FOUND"},
    }


async def test_a_good_signature_is_kept_beside_a_bad_one(server: E2eeServer) -> None:
    alice = await with_identity(server, ALICE, "A")
    good = identity(ALICE).sign("self_signing", device_keys(ALICE, "A"))
    answer = await alice.ok("POST", SIGN, {ALICE: {"A": good, "X": good}})
    assert list(answer["failures"][ALICE]) == ["X"]
    assert len((await alice.query(ALICE))["device_keys"][ALICE]["A"]["signatures"][ALICE]) == 2


async def test_many_signatures_are_checked_on_a_thread(server: E2eeServer) -> None:
    alice = await with_identity(server, ALICE, "A")
    good = identity(ALICE).sign("self_signing", device_keys(ALICE, "A"))
    answer = await alice.ok("POST", SIGN, {ALICE: {"A": good, **{f"X{n}": good for n in range(CHECKS_AT_ONCE)}}})
    assert len(answer["failures"][ALICE]) == CHECKS_AT_ONCE
    assert server.in_thread == 1


async def test_signatures_that_are_no_map_of_objects_are_refused(server: E2eeServer) -> None:
    alice = await with_identity(server, ALICE, "A")
    for body in ({ALICE: []}, {ALICE: {"A": 1}}, {"alice": {}}):
        response = await alice.ask("POST", SIGN, body)
        assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_everybody_hears_of_a_new_master_key_but_only_the_user_of_a_user_signing_key(server: E2eeServer) -> None:
    alice = server.device(ALICE, "A")
    uploaded = identity(ALICE).uploaded()
    server.confirmed = True
    since = server.storage.stream.position
    await alice.ok("POST", UPLOAD, {"master_key": uploaded["master_key"]})
    middle = server.storage.stream.position
    await alice.ok("POST", UPLOAD, {"user_signing_key": uploaded["user_signing_key"]})
    upto = server.storage.stream.position
    stream = server.storage.stream
    assert told_to(BOB, stream.entries(since, middle)) == {ALICE}
    assert told_to(BOB, stream.entries(middle, upto)) == set()
    assert told_to(ALICE, stream.entries(middle, upto)) == {ALICE}
    assert {entry.kind for entry in stream.entries(since, upto)} == {Kind.DEVICE_LIST}
