"""Devices."""

from typing import Any

from matrix.ids import UserId
from storage.change import Entry, Kind
from storage.devices import forget_addresses
from tests.integration.client_api.accounts_server import Server, Settings, make_server, server

__all__ = ["make_server", "server"]


async def test_devices_are_listed_with_when_they_were_seen(server: Server) -> None:
    alice = await server.register(device_id="PHONE", initial_device_display_name="My phone")
    await alice.log_in_again(device_id="LAPTOP")
    server.clock.advance(1)
    devices = (await alice.get("/devices")).json["devices"]
    now_ms = 1_700_000_001_000
    assert devices == [
        {
            "device_id": "LAPTOP",
            "user_id": alice.user_id,
            "display_name": None,
            "last_seen_ts": None,
            "last_seen_ip": None,
        },
        {
            "device_id": "PHONE",
            "user_id": alice.user_id,
            "display_name": "My phone",
            "last_seen_ts": now_ms,
            "last_seen_ip": "127.0.0.1",
        },
    ]


async def test_what_was_seen_is_written_once_a_minute(server: Server) -> None:
    alice = await server.register()
    await alice.is_logged_in()
    server.clock.advance(30)
    await alice.is_logged_in()
    await server.last_seen.flush()
    assert server.rows("SELECT last_seen_ms FROM devices") == [(1_700_000_000_000,)]
    server.clock.advance(30)
    await alice.is_logged_in()
    await server.last_seen.flush()
    assert server.rows("SELECT last_seen_ms, last_seen_ip FROM devices") == [(1_700_000_060_000, "127.0.0.1")]
    await server.last_seen.flush()


async def test_a_device_is_renamed(server: Server) -> None:
    alice = await server.register()
    path = f"/devices/{alice.device_id}"
    assert (await alice.ask("PUT", path, {"display_name": "New"})).status == 200
    assert (await alice.ask("PUT", path, {})).status == 200
    assert (await alice.get(path)).json["display_name"] == "New"
    too_long = await alice.ask("PUT", path, {"display_name": "x" * 101})
    assert (too_long.status, too_long.errcode) == (400, "M_TOO_LARGE")


async def test_an_unknown_device_is_not_found(server: Server) -> None:
    alice, bob = await server.register(), await server.register("bob")
    for path in ("/devices/NONE", f"/devices/{bob.device_id}"):
        assert (await alice.get(path)).status == 404
        assert (await alice.ask("PUT", path, {"display_name": "x"})).errcode == "M_NOT_FOUND"


async def test_deleting_a_device_asks_for_the_password_and_ends_its_session(server: Server) -> None:
    alice = await server.register()
    other = await alice.log_in_again()
    assert await other.is_logged_in()
    path = f"/devices/{other.device_id}"
    session = (await alice.ask("DELETE", path)).json["session"]
    assert (await alice.ask("DELETE", path, {"auth": {**alice.auth, "session": session}})).status == 200
    assert not await other.is_logged_in()
    assert (await alice.get(path)).status == 404
    assert (await alice.ask("DELETE", path, {"auth": alice.auth})).status == 200


async def test_a_session_for_one_device_deletes_no_other(server: Server) -> None:
    alice = await server.register()
    first, second = await alice.log_in_again(), await alice.log_in_again()
    session = (await alice.ask("DELETE", f"/devices/{first.device_id}")).json["session"]
    body = {"auth": {**alice.auth, "session": session}}
    response = await alice.ask("DELETE", f"/devices/{second.device_id}", body)
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")
    assert await second.is_logged_in()


async def test_many_devices_are_deleted_at_once(server: Server) -> None:
    alice = await server.register()
    others = [await alice.log_in_again() for _ in range(2)]
    devices = [other.device_id for other in others]
    assert (await alice.ask("POST", "/delete_devices", {"devices": devices})).status == 401
    body = {"devices": [*devices, "NONE"], "auth": alice.auth}
    assert (await alice.ask("POST", "/delete_devices", body)).status == 200
    assert [await other.is_logged_in() for other in others] == [False, False]
    assert await alice.is_logged_in()


async def test_a_fresh_session_is_not_asked_again_within_the_time_out(make_server: Any) -> None:
    server = make_server(Settings(ui_auth_timeout_ms=15_000))
    alice = await server.register()
    other, third = await alice.log_in_again(), await alice.log_in_again()
    assert (await alice.ask("DELETE", f"/devices/{other.device_id}")).status == 200
    server.clock.advance(16)
    assert (await alice.ask("DELETE", f"/devices/{third.device_id}")).status == 401
    assert (await alice.ask("DELETE", f"/devices/{third.device_id}", {"auth": alice.auth})).status == 200
    assert (await alice.ask("DELETE", "/devices/ANY")).status == 200


async def test_coming_going_and_renaming_is_announced(server: Server) -> None:
    told: list[Entry] = []
    server.stream.read_by(told.extend)
    alice = await server.register(device_id="A")
    await alice.log_in_again(device_id="A")
    alice = await alice.log_in_again(device_id="B")
    await alice.ask("PUT", "/devices/B", {"display_name": "x"})
    await alice.ask("POST", "/logout")
    lists = [(entry.user_id, entry.body) for entry in told if entry.kind is Kind.DEVICE_LIST]
    assert lists == [
        (alice.user_id, {"device_id": "A"}),
        (alice.user_id, {"device_id": "B"}),
        (alice.user_id, {"device_id": "B"}),
        (alice.user_id, {"device_id": "B", "deleted": True}),
    ]


async def test_the_keys_of_a_deleted_device_go_with_it(server: Server) -> None:
    alice = await server.register()
    server.rows(f"INSERT INTO device_keys VALUES ('{alice.user_id}', '{alice.device_id}', '{{}}')")
    await alice.ask("POST", "/logout")
    assert server.rows("SELECT count(*) FROM device_keys") == [(0,)]


async def test_a_bridge_makes_and_deletes_devices_without_a_password(server: Server) -> None:
    async def ask(method: str, json: Any = None) -> int:
        return (await server.ask(method, "/devices/NEW", json, token="as_token")).status

    assert await ask("PUT", {"display_name": "Bridge"}) == 201
    assert await ask("PUT", {"display_name": "Bridge"}) == 200
    assert await ask("GET") == 200
    assert await ask("DELETE") == 200
    assert await ask("GET") == 404


async def test_devices_not_seen_for_long_are_deleted(server: Server) -> None:
    alice = await server.register()
    old = await alice.log_in_again()
    assert await old.is_logged_in()
    server.clock.advance(1000)
    assert await alice.is_logged_in()
    await server.last_seen.flush()
    before_ms = 1_700_000_500_000
    assert await server.devices.delete_stale(before_ms) == 1
    assert await server.devices.delete_stale(before_ms) == 0
    assert not await old.is_logged_in()
    assert await alice.is_logged_in()


async def test_addresses_are_forgotten_in_time(server: Server) -> None:
    alice = await server.register()
    await alice.is_logged_in()
    await server.last_seen.flush()
    server.clock.advance(1000)
    assert await server.db.run(forget_addresses, 1_700_000_500_000) == 1
    device = (await server.devices.list_of(UserId(alice.user_id)))[0]
    assert (device.last_seen_ip, device.last_seen_user_agent) == (None, None)
    assert device.last_seen_ms == 1_700_000_000_000
