"""MSC3814 dehydrated devices."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.client_api.e2ee_server import ALICE, BOB, Device, E2eeServer, e2ee_server
from tests.support.http import Response
from tests.unit.e2ee.made_keys import device_keys, one_time_keys

PREFIX = "/_matrix/client/unstable/org.matrix.msc3814.v1"
DATA = {"algorithm": "m.dehydration.v2", "device_pickle": "abc"}


@pytest.fixture
def server(dsn: str) -> Iterator[E2eeServer]:
    with e2ee_server(dsn) as running:
        yield running


async def ask(device: Device, method: str, path: str = "", json: Any = None) -> Response:
    return await device.ask(method, f"/dehydrated_device{path}", json, prefix=PREFIX)


def dehydrated(device_id: str) -> dict[str, Any]:
    return {
        "device_id": device_id,
        "device_data": DATA,
        "initial_device_display_name": "Dehydrated",
        "device_keys": device_keys(ALICE, device_id, dehydrated=True),
        "one_time_keys": one_time_keys(ALICE, device_id, "1"),
    }


async def test_a_dehydrated_device_is_shown_with_its_keys(server: E2eeServer) -> None:
    alice, bob = server.device(ALICE, "A"), server.device(BOB, "B")
    assert (await ask(alice, "GET")).errcode == "M_NOT_FOUND"
    assert (await ask(alice, "PUT", json=dehydrated("D"))).json == {"device_id": "D"}
    assert (await ask(alice, "GET")).json == {"device_id": "D", "device_data": DATA}
    assert (await bob.query(ALICE))["device_keys"][ALICE]["D"]["dehydrated"] is True
    assert await bob.claim(ALICE, "D") == one_time_keys(ALICE, "D", "1")


async def test_a_new_one_replaces_the_one_before(server: E2eeServer) -> None:
    alice = server.device(ALICE, "A")
    for device_id in ("D1", "D2", "D2"):
        assert (await ask(alice, "PUT", json=dehydrated(device_id))).status == 200
    assert list((await alice.query(ALICE))["device_keys"][ALICE]) == ["D2"]


async def test_its_messages_are_read_in_pages_and_may_be_read_again(server: E2eeServer) -> None:
    alice, bob = server.device(ALICE, "A"), server.device(BOB, "B")
    await ask(alice, "PUT", json=dehydrated("D"))
    for n in range(3):
        await bob.ok("PUT", f"/sendToDevice/m.test/{n}", {"messages": {ALICE: {"D": {"n": n}}}})
    for _ in range(2):
        read: list[int] = []
        token = ""
        for _ in range(3):
            page = (await ask(alice, "POST", "/D/events?limit=2", {"next_batch": token})).json
            read += [message["content"]["n"] for message in page["events"]]
            token = page["next_batch"]
        assert read == [0, 1, 2]
    first = (await ask(alice, "GET", "/D/events?limit=2")).json
    last = (await ask(alice, "GET", f"/D/events?from={first['next_batch']}")).json
    assert [message["content"]["n"] for message in last["events"]] == [2]
    assert "next_batch" not in last


async def test_only_the_messages_of_the_dehydrated_device_are_told(server: E2eeServer) -> None:
    alice = server.device(ALICE, "A")
    assert (await ask(alice, "GET", "/A/events")).status == 403
    await ask(alice, "PUT", json=dehydrated("D"))
    assert (await ask(alice, "GET", "/A/events")).status == 403
    assert (await ask(alice, "GET", "/D/events?from=bogus")).errcode == "M_INVALID_PARAM"


async def test_it_can_be_deleted(server: E2eeServer) -> None:
    alice = server.device(ALICE, "A")
    await ask(alice, "PUT", json=dehydrated("D"))
    assert (await ask(alice, "DELETE")).json == {"device_id": "D"}
    assert (await ask(alice, "DELETE")).errcode == "M_NOT_FOUND"
    assert (await alice.query(ALICE))["device_keys"] == {ALICE: {}}


async def test_a_device_in_use_cannot_be_made_one(server: E2eeServer) -> None:
    alice = server.device(ALICE, "A")
    response = await ask(alice, "PUT", json=dehydrated("A"))
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_a_malformed_one_is_refused(server: E2eeServer) -> None:
    alice = server.device(ALICE, "A")
    for fault, errcode in (
        ({"device_keys": None}, "M_MISSING_PARAM"),
        ({"device_keys": device_keys(ALICE, "other")}, "M_BAD_JSON"),
        ({"device_data": {}}, "M_MISSING_PARAM"),
        ({"device_id": ""}, "M_INVALID_PARAM"),
    ):
        response = await ask(alice, "PUT", json=dehydrated("D") | fault)
        assert (response.status, response.errcode) == (400, errcode)
    assert (await ask(alice, "GET")).status == 404
