"""Pushers: what clients set, and when they are removed."""

from typing import Any

import pytest

from tests.support.homeserver import PASSWORD, Client, Homeserver

PUSHER = {
    "kind": "http",
    "app_id": "org.example.app",
    "pushkey": "a key",
    "app_display_name": "Example",
    "device_display_name": "Phone",
    "profile_tag": "tag",
    "lang": "en",
    "data": {"url": "https://push.example.org/_matrix/push/v1/notify", "format": "event_id_only", "own": 1},
}


async def put(client: Client, **changes: Any) -> None:
    await client.ok("POST", "/pushers/set", {**PUSHER, **changes})


async def keys(client: Client) -> list[str]:
    return [pusher["pushkey"] for pusher in (await client.get("/pushers"))["pushers"]]


async def test_a_pusher_is_set_replaced_and_removed(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    assert await alice.get("/pushers") == {"pushers": []}
    await put(alice)
    (pusher,) = (await alice.get("/pushers"))["pushers"]
    assert {name: pusher[name] for name in PUSHER} == PUSHER
    assert pusher["org.matrix.msc3881.enabled"] is True
    assert pusher["org.matrix.msc3881.device_id"] == alice.device_id
    await put(alice, lang="de", **{"org.matrix.msc3881.enabled": False})
    (pusher,) = (await alice.get("/pushers"))["pushers"]
    assert (pusher["lang"], pusher["org.matrix.msc3881.enabled"]) == ("de", False)
    await alice.ok("POST", "/pushers/set", {"kind": None, "app_id": "org.example.app", "pushkey": "a key"})
    await alice.ok("POST", "/pushers/set", {"kind": None, "app_id": "org.example.app", "pushkey": "a key"})
    assert await keys(alice) == []


async def test_a_device_belongs_to_its_last_user_unless_it_says_otherwise(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    await put(alice)
    await put(bob, append=True)
    assert (await keys(alice), await keys(bob)) == (["a key"], ["a key"])
    await put(bob)
    assert (await keys(alice), await keys(bob)) == ([], ["a key"])


async def test_a_pusher_goes_with_the_device_that_set_it(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    phone = await hs.log_in("alice")
    await put(alice, pushkey="first")
    await put(phone, pushkey="second")
    await phone.ok("POST", "/logout", {})
    assert await keys(alice) == ["first"]


@pytest.mark.parametrize(("logout_devices", "left"), [(True, ["own"]), (False, ["own", "other"])])
async def test_a_new_password_ends_the_pushers_of_the_sessions_that_it_ends(
    hs: Homeserver, logout_devices: bool, left: list[str]
) -> None:
    alice = await hs.register("alice")
    phone = await hs.log_in("alice")
    await put(alice, pushkey="own")
    await put(phone, pushkey="other")
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
    body = {"new_password": "another fine password", "logout_devices": logout_devices, "auth": auth}
    await alice.ok("POST", "/account/password", body)
    assert await keys(alice) == left


async def test_all_that_is_missing_is_named(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    body = {name: value for name, value in PUSHER.items() if name not in ("lang", "data")}
    response = await alice.ask("POST", "/pushers/set", body)
    assert (response.status, response.errcode) == (400, "M_MISSING_PARAM")
    assert response.json["error"] == "Missing parameters: lang, data"


@pytest.mark.parametrize("missing", ["kind", "app_id", "pushkey", "app_display_name", "device_display_name", "data"])
async def test_each_parameter_is_required(hs: Homeserver, missing: str) -> None:
    alice = await hs.register("alice")
    body = {name: value for name, value in PUSHER.items() if name != missing}
    assert (await alice.ask("POST", "/pushers/set", body)).errcode == "M_MISSING_PARAM"


@pytest.mark.parametrize(
    ("changes", "errcode"),
    [
        ({"kind": "pigeon"}, "M_INVALID_PARAM"),
        ({"kind": 1}, "M_BAD_JSON"),
        ({"app_id": "x" * 65}, "M_INVALID_PARAM"),
        ({"pushkey": "x" * 513}, "M_INVALID_PARAM"),
        ({"lang": []}, "M_BAD_JSON"),
        ({"data": "x"}, "M_BAD_JSON"),
        ({"data": {}}, "M_INVALID_PARAM"),
        ({"data": {"url": 1}}, "M_BAD_JSON"),
        ({"data": {**PUSHER["data"], "format": 1}}, "M_BAD_JSON"),  # type: ignore[dict-item]
        ({"data": {"url": "https://push.example.org/elsewhere"}}, "M_INVALID_PARAM"),
        ({"data": {"url": "ftp://push.example.org/_matrix/push/v1/notify"}}, "M_INVALID_PARAM"),
        ({"data": {"url": "https:///_matrix/push/v1/notify"}}, "M_INVALID_PARAM"),
        ({"data": {"url": "https://[/_matrix/push/v1/notify"}}, "M_INVALID_PARAM"),
        ({"data": {**PUSHER["data"], "x": "x" * 20_000}}, "M_INVALID_PARAM"),  # type: ignore[dict-item]
    ],
)
async def test_what_no_pusher_can_be_is_refused(hs: Homeserver, changes: Any, errcode: str) -> None:
    alice = await hs.register("alice")
    response = await alice.ask("POST", "/pushers/set", {**PUSHER, **changes})
    assert (response.status, response.errcode) == (400, errcode)
    assert await keys(alice) == []


async def test_a_user_has_a_bounded_number_of_pushers(hs: Homeserver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homeserver.services.push.pushers.MAX_PUSHERS", 2)
    alice = await hs.register("alice")
    await put(alice, pushkey="1")
    await put(alice, pushkey="2")
    assert (await alice.ask("POST", "/pushers/set", {**PUSHER, "pushkey": "3"})).status == 400
    await put(alice, pushkey="2")
