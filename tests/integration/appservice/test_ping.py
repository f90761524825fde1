"""A service asks whether it can be reached."""

import pytest

from tests.integration.appservice.asked import Services
from tests.integration.appservice.bridge import refusal

PING = "/_matrix/client/v1/appservice/irc/ping"


@pytest.mark.parametrize("path", [PING, "/_matrix/client/unstable/fi.mau.msc2659/appservice/irc/ping"])
async def test_a_service_that_answers_hears_how_long_it_took(services: Services, path: str) -> None:
    service = services.add()
    bridge = await services.start()
    service.answer = lambda asked: (200, {})
    assert (await bridge.ok("POST", path, {"transaction_id": "meow"}))["duration_ms"] >= 0
    await bridge.ok("POST", path, {})
    assert [(asked.method, asked.path, asked.json) for asked in service.asked] == [
        ("POST", "/_matrix/app/v1/ping", {"transaction_id": "meow"}),
        ("POST", "/_matrix/app/v1/ping", {}),
    ]
    assert service.asked[0].authorization == "Bearer hs-irc"


async def test_a_bad_status_is_told_with_the_body(services: Services) -> None:
    service = services.add()
    bridge = await services.start()
    service.answer = lambda asked: (403, {"errcode": "M_FORBIDDEN"})
    response = await bridge.ask("POST", PING, {"transaction_id": "meow"})
    assert refusal(response) == (502, "M_BAD_STATUS")
    assert (response.json["status"], response.json["body"]) == (403, '{"errcode":"M_FORBIDDEN"}')


async def test_a_service_that_is_not_there_is_told_so(services: Services) -> None:
    services.add(url="http://127.0.0.1:1")
    bridge = await services.start()
    assert refusal(await bridge.ask("POST", PING, {})) == (502, "M_CONNECTION_FAILED")


async def test_a_service_without_url_is_told_so(services: Services) -> None:
    services.add(url="null")
    bridge = await services.start()
    assert refusal(await bridge.ask("POST", PING, {})) == (400, "M_URL_NOT_SET")


async def test_nobody_pings_for_another(services: Services) -> None:
    services.add()
    services.add("two", space="two")
    bridge = await services.start(id="two")
    alice = await bridge.hs.register("alice")
    assert refusal(await bridge.ask("POST", PING, {})) == (403, "M_FORBIDDEN")
    assert refusal(await alice.ask("POST", PING, {})) == (403, "M_FORBIDDEN")
    assert refusal(await bridge.hs.ask("POST", PING, {})) == (401, "M_MISSING_TOKEN")
    unknown = await bridge.ask("POST", "/_matrix/client/v1/appservice/three/ping", {})
    assert refusal(unknown) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize("body", [{"transaction_id": 1}, {"transaction_id": "x" * 300}, []])
async def test_nonsense_is_refused(services: Services, body: object) -> None:
    services.add()
    bridge = await services.start()
    assert (await bridge.ask("POST", PING, body)).status == 400


# What mautrix-go and mautrix-python look for before they use it.
FEATURES = (
    "fi.mau.msc2659",
    "fi.mau.msc2659.stable",
    "fi.mau.msc2246.stable",
    "org.matrix.msc3916.stable",
    "uk.tcpip.msc4133",
    "uk.tcpip.msc4133.stable",
    "com.beeper.msc4169",
    "com.beeper.batch_sending",
)


async def test_what_bridges_look_for_is_announced(services: Services) -> None:
    bridge = await services.start()
    told = (await bridge.hs.ask("GET", "/_matrix/client/versions")).json
    assert {name: told["unstable_features"].get(name) for name in FEATURES} == dict.fromkeys(FEATURES, True)
    # Every version stands there: bridges look for "v1.11" literally.
    assert {"v1.1", "v1.4", "v1.7", "v1.11"} <= set(told["versions"])
