"""The Events API over HTTP: what is signed is taken, once; what is not, is refused."""

import time
from urllib.parse import urlencode

import orjson
from attrs import evolve
from twisted.internet import reactor

from tests.integration.bridges.slack.town import SlackTown
from tests.support.fake_slack.http_push import signature
from tests.support.http import MemoryClient, Response


async def over_http(town: SlackTown) -> None:
    """The app has no socket any more: Slack calls the bridge."""
    await town.bridge.stop()
    base = f"http://127.0.0.1:{town.settings.appservice.port}"
    town.app.socket_mode = False
    town.app.request_url, town.app.interactivity_url = f"{base}/slack/events", f"{base}/slack/actions"
    town.slack_settings = evolve(town.slack_settings, app_token="")
    town.bridge = town._new()
    await town.bridge.start()
    await town.until(lambda: town.network_of_slack._teams[0].is_ready, "connected")


async def post(town: SlackTown, path: str, body: bytes, **headers: str) -> Response:
    client = MemoryClient(town.bridge.parts.router(), reactor=reactor)  # type: ignore[arg-type]
    return await client.request("POST", path, body=body, headers=headers)


def signed(town: SlackTown, body: bytes, age_s: int = 0) -> dict[str, str]:
    stamp = str(int(time.time()) - age_s)
    return {
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": signature(town.app.signing_secret, stamp, body),
        "Content-Type": "application/json",
    }


async def test_messages_come_by_signed_requests_and_doubled_ones_once(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    await over_http(town)
    town.slack.core.faults.doubled = 2
    town.maria.post(town.general, "one")
    town.maria.post(town.general, "two")
    await town.settle_slack(alice, room, town.general)
    bodies = [body.partition(": ")[2] for body in await town.messages(alice, room)]
    assert [body for body in bodies if not body.startswith("mark")] == ["one", "two"]


async def test_buttons_come_by_signed_requests(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    await over_http(town)
    text = "org.matrix.msc1767.text"
    start = {"question": {text: "Lunch?"}, "answers": [{"id": "a", text: "Pizza"}]}
    await alice.send_event(room, "org.matrix.msc3381.poll.start", {"org.matrix.msc3381.poll.start": start, text: "L"})
    message = await town.posted(town.general, "Lunch?")
    town.joe.click(town.general, message["ts"], "hearth_poll:a")
    vote = await town.find(alice, room, lambda e: e["content"]["org.matrix.msc3381.poll.response"], "a vote")
    assert vote["sender"] == town.ghost_of(town.joe)


async def test_the_address_is_verified_only_for_slack(town: SlackTown) -> None:
    await over_http(town)
    body = orjson.dumps({"type": "url_verification", "challenge": "abc"})
    assert (await post(town, "/slack/events", body, **signed(town, body))).body == b"abc"
    assert (await post(town, "/slack/events", body)).status == 401


async def test_what_is_not_signed_well_is_refused(town: SlackTown) -> None:
    await over_http(town)
    body = orjson.dumps({"type": "event_callback", "team_id": "T0HEARTH", "event": {"type": "message"}})
    good = signed(town, body)
    assert (await post(town, "/slack/events", body + b" ", **good)).status == 401
    assert (await post(town, "/slack/events", body, **signed(town, body, age_s=400))).status == 401
    assert (await post(town, "/slack/events", body, **{**good, "X-Slack-Request-Timestamp": "soon"})).status == 401
    assert (await post(town, "/slack/events", body, **{**good, "X-Slack-Request-Timestamp": "9" * 5000})).status == 401
    assert (await post(town, "/slack/events", body, **{**good, "X-Slack-Signature": "v0=ä"})).status == 401
    assert (await post(town, "/slack/events", b"\xff", **signed(town, b"\xff"))).status == 401
    for nonsense in (b"", b"[]", b"{", b'{"type": 7}', b"null"):
        assert (await post(town, "/slack/events", nonsense, **signed(town, nonsense))).status in (400, 404)
    form = urlencode({"payload": "no json"}).encode()
    assert (await post(town, "/slack/actions", form, **signed(town, form))).status == 400
    other = orjson.dumps({"type": "event_callback", "team_id": "T999", "event": {}})
    assert (await post(town, "/slack/events", other, **signed(town, other))).status == 404
