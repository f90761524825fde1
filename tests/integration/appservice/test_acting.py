"""What an application service may do that others may not: act as its users, at other times, without limits."""

from pathlib import Path

from tests.integration.appservice.bridge import BOT, GHOST, IRC, Bridge, Start, refusal, write
from tests.support.homeserver import q


async def start(start_homeserver: Start, directory: Path, text: str = IRC, more: str = "") -> Bridge:
    return Bridge(await start_homeserver(write(directory, text) + more))


async def test_a_service_is_its_own_user_without_registering(start_homeserver: Start, tmp_path: Path) -> None:
    bridge = await start(start_homeserver, tmp_path)
    assert (await bridge.ok("GET", "/account/whoami"))["user_id"] == BOT
    assert (await bridge.ok("GET", f"/profile/{q(BOT)}"))["displayname"] == "_irc_bot"
    assert refusal(await bridge.register("_irc_bot")) == (400, "M_USER_IN_USE")


async def test_a_ghost_must_be_registered_and_of_the_namespace(start_homeserver: Start, tmp_path: Path) -> None:
    bridge = await start(start_homeserver, tmp_path)
    assert refusal(await bridge.ask("GET", "/account/whoami", user_id=GHOST)) == (403, "M_FORBIDDEN")
    await bridge.ghost()
    assert (await bridge.ok("GET", "/account/whoami", user_id=GHOST))["user_id"] == GHOST
    alice = await bridge.hs.register("alice")
    assert refusal(await bridge.ask("GET", "/account/whoami", user_id=alice.user_id)) == (403, "M_FORBIDDEN")


async def test_a_device_is_asserted_by_either_name_with_or_without_a_user(
    start_homeserver: Start, tmp_path: Path
) -> None:
    bridge = await start(start_homeserver, tmp_path)
    await bridge.ghost()
    assert (await bridge.ask("PUT", "/devices/GHOST", {}, user_id=GHOST)).status == 201
    assert (await bridge.ask("PUT", "/devices/BOT", {})).status == 201
    asserted = {"org.matrix.msc3202.device_id": "GHOST"}
    assert (await bridge.ok("GET", "/account/whoami", user_id=GHOST, **asserted))["device_id"] == "GHOST"
    assert (await bridge.ok("GET", "/account/whoami", user_id=GHOST, device_id="GHOST"))["device_id"] == "GHOST"
    assert (await bridge.ok("GET", "/account/whoami", device_id="BOT"))["device_id"] == "BOT"
    assert refusal(await bridge.ask("GET", "/account/whoami", device_id="GHOST")) == (400, "M_UNKNOWN_DEVICE")


async def test_ghosts_keep_what_users_keep(start_homeserver: Start, tmp_path: Path) -> None:
    bridge = await start(start_homeserver, tmp_path)
    await bridge.ghost()
    data = f"/user/{q(GHOST)}/account_data/org.example"
    await bridge.ok("PUT", data, {"a": 1}, user_id=GHOST)
    assert await bridge.ok("GET", data, user_id=GHOST) == {"a": 1}
    await bridge.ok("PUT", f"/presence/{q(GHOST)}/status", {"presence": "online"}, user_id=GHOST)
    assert (await bridge.ok("GET", f"/presence/{q(GHOST)}/status", user_id=GHOST))["presence"] == "online"
    assert "global" in await bridge.ok("GET", "/pushrules/", user_id=GHOST)
    await bridge.ok("PUT", f"/profile/{q(GHOST)}/displayname", {"displayname": "Ann (IRC)"}, user_id=GHOST)
    assert (await bridge.ok("GET", f"/profile/{q(GHOST)}/displayname"))["displayname"] == "Ann (IRC)"


async def test_a_service_says_when_its_events_were(start_homeserver: Start, tmp_path: Path) -> None:
    bridge = await start(start_homeserver, tmp_path)
    room = (await bridge.ok("POST", "/createRoom", {"preset": "public_chat"}))["room_id"]
    ghost = await bridge.ghost()
    path = f"/rooms/{q(room)}/state/m.room.member/{q(ghost)}"
    ids = [
        (await bridge.ok("PUT", path, {"membership": "join"}, user_id=ghost, ts=1000))["event_id"],
        await bridge.send(room, ghost, "hello", ts=2000),
        (await bridge.ok("PUT", f"/rooms/{q(room)}/state/m.room.topic", {"topic": "x"}, ts=3000))["event_id"],
    ]
    ids.append((await bridge.ok("PUT", f"/rooms/{q(room)}/redact/{q(ids[1])}/r", {}, ts=4000))["event_id"])
    times = [(await bridge.ok("GET", f"/rooms/{q(room)}/event/{q(one)}"))["origin_server_ts"] for one in ids]
    assert times == [1000, 2000, 3000, 4000]
    for ts in ("-1", "soon", str(2**53)):
        response = await bridge.ask("PUT", f"/rooms/{q(room)}/send/m.room.message/{ts}", {}, ts=ts)
        assert refusal(response) == (400, "M_INVALID_PARAM")


async def test_nobody_else_says_when_their_events_were(start_homeserver: Start, tmp_path: Path) -> None:
    bridge = await start(start_homeserver, tmp_path)
    alice = await bridge.hs.register("alice")
    room = await alice.create_room()
    sent = await alice.ok("PUT", f"/rooms/{q(room)}/send/m.room.message/1", {"body": "x"}, ts=1000)
    assert (await alice.get(f"/rooms/{q(room)}/event/{q(sent['event_id'])}"))["origin_server_ts"] > 10**12


async def test_only_a_service_without_limits_is_not_limited(start_homeserver: Start, tmp_path: Path) -> None:
    limits = (
        "rc_message: {per_second: 0.001, burst_count: 2}\nrc_presence: {per_user: {per_second: 0, burst_count: 1}}\n"
    )
    limits += "rc_registration: {per_second: 0, burst_count: 1}\nrc_user_directory: {per_second: 0, burst_count: 1}\n"
    limits += "rc_login: {address: &one {per_second: 0, burst_count: 1}, account: *one}\nrc_reports: *one\n"
    free = await start(start_homeserver, tmp_path, IRC + "rate_limited: false\n", limits)
    ghost = await free.ghost()
    room = (await free.ok("POST", "/createRoom", {"preset": "public_chat"}, user_id=ghost))["room_id"]
    for number in range(5):
        await free.send(room, ghost, f"{number}")
        status = {"presence": "online", "status_msg": f"{number}"}
        await free.ok("PUT", f"/presence/{q(ghost)}/status", status, user_id=ghost)
        await free.ghost(f"_irc_{number}")
        identifier = {"type": "m.id.user", "user": ghost}
        await free.ok("POST", "/login", {"type": "m.login.application_service", "identifier": identifier})
        await free.ok("POST", "/user_directory/search", {"search_term": "x"}, user_id=ghost)
        await free.ok("POST", f"/rooms/{q(room)}/report", {"reason": "x"}, user_id=ghost)


async def test_of_a_limited_service_the_ghosts_are_limited_and_its_own_user_is_not(
    start_homeserver: Start, tmp_path: Path
) -> None:
    bridge = await start(start_homeserver, tmp_path, more="rc_message: {per_second: 0.001, burst_count: 2}\n")
    ghost = await bridge.ghost()
    room = (await bridge.ok("POST", "/createRoom", {"preset": "public_chat"}))["room_id"]
    await bridge.ok("POST", f"/join/{q(room)}", {}, user_id=ghost)
    for number in range(4):
        await bridge.send(room, BOT, f"{number}")
    path = f"/rooms/{q(room)}/send/m.room.message"
    statuses = [(await bridge.ask("PUT", f"{path}/{n}", {"body": "x"}, user_id=ghost)).status for n in range(3)]
    assert statuses == [200, 200, 429]


async def test_a_service_may_be_bound_to_addresses(start_homeserver: Start, tmp_path: Path) -> None:
    bridge = await start(start_homeserver, tmp_path, IRC + "ip_range_whitelist: [10.1.0.0/16]\n")
    assert refusal(await bridge.ask("GET", "/account/whoami")) == (401, "M_UNKNOWN_TOKEN")
    bridge.hs.http.client_ip = "10.1.2.3"
    assert (await bridge.ok("GET", "/account/whoami"))["user_id"] == BOT
