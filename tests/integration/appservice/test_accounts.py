"""Accounts, devices and sessions of a service's users."""

from pathlib import Path

from tests.integration.appservice.bridge import BOT, GHOST, IRC, Bridge, Start, refusal, write
from tests.support.homeserver import q

LOGIN = {"type": "m.login.application_service", "identifier": {"type": "m.id.user", "user": GHOST}}
WITHOUT_LOGIN = IRC + "io.element.msc4190: true\n"


async def start(start_homeserver: Start, directory: Path, text: str = IRC, more: str = "") -> Bridge:
    return Bridge(await start_homeserver(write(directory, text) + more))


async def test_registering_and_logging_in_need_the_token_of_a_service(start_homeserver: Start, tmp_path: Path) -> None:
    bridge = await start(start_homeserver, tmp_path)
    alice = await bridge.hs.register("alice")
    for token, errcode in ((None, "M_MISSING_TOKEN"), ("nothing", "M_UNKNOWN_TOKEN"), (alice.token, "M_UNKNOWN_TOKEN")):
        register = {"type": "m.login.application_service", "username": "_irc_x"}
        assert refusal(await bridge.hs.ask("POST", "/register", register, token)) == (401, errcode)
        assert refusal(await bridge.hs.ask("POST", "/login", LOGIN, token)) == (401, errcode)


async def test_a_service_logs_in_as_its_users_and_as_itself(start_homeserver: Start, tmp_path: Path) -> None:
    bridge = await start(start_homeserver, tmp_path)
    await bridge.ghost()
    for user_id in (GHOST, BOT):
        body = {**LOGIN, "identifier": {"type": "m.id.user", "user": user_id}}
        session = await bridge.ok("POST", "/login", body)
        whoami = await bridge.hs.ask("GET", "/account/whoami", token=session["access_token"])
        assert whoami.json["user_id"] == user_id


async def test_what_lies_outside_its_namespace_is_not_a_services(start_homeserver: Start, tmp_path: Path) -> None:
    bridge = await start(start_homeserver, tmp_path)
    await bridge.hs.register("alice")
    assert refusal(await bridge.register("bob")) == (400, "M_EXCLUSIVE")
    body = {**LOGIN, "identifier": {"type": "m.id.user", "user": "alice"}}
    assert refusal(await bridge.ask("POST", "/login", body)) == (403, "M_EXCLUSIVE")


async def test_a_service_that_manages_devices_cannot_log_in(start_homeserver: Start, tmp_path: Path) -> None:
    bridge = await start(start_homeserver, tmp_path, WITHOUT_LOGIN)
    refused = await bridge.register("_irc_ann", inhibit_login=False)
    assert refusal(refused) == (400, "M_APPSERVICE_LOGIN_UNSUPPORTED")
    # Nothing has happened: the same again succeeds as it should.
    await bridge.ghost()
    assert refusal(await bridge.ask("POST", "/login", LOGIN)) == (400, "M_APPSERVICE_LOGIN_UNSUPPORTED")


async def test_a_service_makes_and_deletes_devices_without_a_password(start_homeserver: Start, tmp_path: Path) -> None:
    bridge = await start(start_homeserver, tmp_path, WITHOUT_LOGIN)
    await bridge.ghost()
    assert (await bridge.ask("PUT", "/devices/A", {"display_name": "one"}, user_id=GHOST)).status == 201
    assert (await bridge.ask("PUT", "/devices/A", {"display_name": "two"}, user_id=GHOST)).status == 200
    assert (await bridge.ok("GET", "/devices/A", user_id=GHOST))["display_name"] == "two"
    assert (await bridge.ask("PUT", "/devices/B", {}, user_id=GHOST)).status == 201
    await bridge.ok("DELETE", "/devices/A", user_id=GHOST)
    await bridge.ok("POST", "/delete_devices", {"devices": ["B"]}, user_id=GHOST)
    assert (await bridge.ok("GET", "/devices", user_id=GHOST))["devices"] == []


async def test_ordinary_users_have_to_prove_who_they_are(start_homeserver: Start, tmp_path: Path) -> None:
    bridge = await start(start_homeserver, tmp_path)
    alice = await bridge.hs.register("alice")
    await bridge.hs.log_in("alice", device_id="OTHER")
    assert (await alice.ask("PUT", "/devices/NEW", {"display_name": "x"})).status == 404
    assert (await alice.ask("POST", "/delete_devices", {"devices": ["OTHER"]})).status == 401


async def test_exclusive_names_are_closed_to_people(start_homeserver: Start, tmp_path: Path) -> None:
    bridge = await start(start_homeserver, tmp_path)
    body = {"username": "_irc_ann", "password": "long enough", "auth": {"type": "m.login.dummy"}}
    for more in ("", "allow_underscore_prefixed_registration: true\n"):
        hs = await start_homeserver(write(tmp_path, IRC.replace("_irc", "irc")) + more)
        taken = {**body, "username": "irc_ann"}
        assert refusal(await hs.ask("POST", "/register", taken)) == (400, "M_EXCLUSIVE")
        assert refusal(await hs.ask("GET", "/register/available?username=irc_ann")) == (400, "M_EXCLUSIVE")
        assert refusal(await hs.ask("GET", "/register/available?username=irc_bot")) == (400, "M_EXCLUSIVE")
        assert (await hs.ask("GET", "/register/available?username=ann")).status == 200
    assert refusal(await bridge.hs.ask("POST", "/register", body))[0] == 400


async def test_who_was_there_before_a_namespace_still_logs_in(start_homeserver: Start, tmp_path: Path) -> None:
    before = await start_homeserver("")
    await before.register("irc_fan")
    bridge = await start(start_homeserver, tmp_path, IRC.replace("@_irc_", "@irc_"))
    alice = await bridge.hs.log_in("irc_fan")
    assert (await alice.get("/account/whoami"))["user_id"] == "@irc_fan:hearth.test"


async def test_one_service_has_no_right_to_the_names_of_another(start_homeserver: Start, tmp_path: Path) -> None:
    puppets = IRC.replace("irc", "all").replace('"@_all_"', '"@.*"').replace("exclusive: true", "exclusive: false")
    for name, text in (("irc.yaml", IRC), ("all.yaml", puppets)):
        (tmp_path / name).write_text(text)
    files = f"app_service_config_files: [{tmp_path / 'irc.yaml'}, {tmp_path / 'all.yaml'}]"
    all_of_them = Bridge(await start_homeserver(files), token="as-all")
    assert refusal(await all_of_them.register("_irc_ann")) == (400, "M_EXCLUSIVE")
    assert (await all_of_them.register("anybody")).status == 200


async def test_cross_signing_keys_are_replaced_without_a_password(start_homeserver: Start, tmp_path: Path) -> None:
    bridge = await start(start_homeserver, tmp_path, WITHOUT_LOGIN)
    await bridge.ghost()
    for letter in "ab":
        key = {"user_id": GHOST, "usage": ["master"], "keys": {f"ed25519:{letter * 43}": letter * 43}}
        await bridge.ok("POST", "/keys/device_signing/upload", {"master_key": key}, user_id=GHOST)
    keys = await bridge.ok("POST", "/keys/query", {"device_keys": {GHOST: []}}, user_id=GHOST)
    assert list(keys["master_keys"][GHOST]["keys"].values()) == ["b" * 43]


async def test_a_service_deactivates_its_users(start_homeserver: Start, tmp_path: Path) -> None:
    bridge = await start(start_homeserver, tmp_path)
    await bridge.ghost()
    await bridge.ok("POST", "/account/deactivate", {}, user_id=GHOST)
    assert refusal(await bridge.ask("GET", "/account/whoami", user_id=GHOST)) == (403, "M_FORBIDDEN")
    assert refusal(await bridge.ask("GET", f"/profile/{q(GHOST)}"))[0] in (200, 404)
