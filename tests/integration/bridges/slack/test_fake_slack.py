"""The fake against slack_sdk: what the library expects of Slack, it gets."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from tests.support.fake_slack import BOT_SCOPES, App, Channel, FakeSlack, Person, Token

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(coroutine, 20))


class FakeWorkspace:
    """An app, a person and a channel that both are in."""

    def __init__(self, slack: FakeSlack) -> None:
        self.slack = slack
        self.app: App = slack.add_app()
        self.maria: Person = slack.add_person("maria")
        self.general: Channel = slack.add_channel("general", self.maria, self.app)

    def client(self, token: Token | None = None, **more: Any) -> AsyncWebClient:
        token = token or self.slack.bot_token(self.app)
        return AsyncWebClient(token.text, base_url=self.slack.api_url, **more)

    async def post(self, text: str, **more: Any) -> str:
        return str((await self.client().chat_postMessage(channel=self.general.id, text=text, **more))["ts"])


@pytest.fixture
def work(slack: FakeSlack) -> Iterator[FakeWorkspace]:
    return FakeWorkspace(slack)


def error_of(coroutine: Coroutine[Any, Any, Any]) -> Any:
    with pytest.raises(SlackApiError) as raised:
        run(coroutine)
    return raised.value.response


def test_auth_test_tells_who_the_bot_is(work: FakeWorkspace) -> None:
    answer = run(work.client().auth_test())
    assert answer["bot_id"] == work.app.bot_id
    assert "chat:write" in answer.headers["x-oauth-scopes"]


def test_a_post_under_another_name_is_a_bot_message(work: FakeWorkspace) -> None:
    run(work.post("hello", username="Alice", icon_url="https://hearth.test/alice.png"))
    (message,) = work.slack.messages(work.general)
    assert (message["subtype"], message["username"], message["text"]) == ("bot_message", "Alice", "hello")
    assert "user" not in message


def test_another_name_needs_its_scope(slack: FakeSlack) -> None:
    app = slack.add_app(scopes=BOT_SCOPES - {"chat:write.customize"})
    channel = slack.add_channel("random", slack.add_person("joe"), app)
    client = AsyncWebClient(slack.bot_token(app).text, base_url=slack.api_url)
    refused = error_of(client.chat_postMessage(channel=channel.id, text="x", username="Alice"))
    assert (refused["error"], refused["needed"]) == ("missing_scope", "chat:write.customize")
    assert "chat:write" in refused["provided"]


def test_bad_and_revoked_tokens_are_told_apart(work: FakeWorkspace) -> None:
    assert error_of(AsyncWebClient("xoxb-wrong", base_url=work.slack.api_url).auth_test())["error"] == "invalid_auth"
    work.slack.revoke(work.slack.bot_token(work.app))
    assert error_of(work.client().auth_test())["error"] == "token_revoked"
    assert error_of(work.client(work.slack.app_token(work.app)).chat_postMessage(channel="C", text="x"))["error"] == (
        "not_allowed_token_type"
    )


def test_posting_is_held_to_one_a_second_and_the_library_can_wait(work: FakeWorkspace) -> None:
    work.slack.core.limits.post_burst = 1

    async def post_twice() -> None:
        await work.post("one")
        client = work.client(retry_handlers=[AsyncRateLimitErrorRetryHandler()])
        await client.chat_postMessage(channel=work.general.id, text="two")

    run(post_twice())
    assert work.slack.texts(work.general) == ["one", "two"]
    assert work.slack.core.limits.refused == 1


def test_a_tier_is_held_with_retry_after(work: FakeWorkspace) -> None:
    work.slack.core.limits.minute_s = 60.0

    async def list_often() -> None:
        for _ in range(21):
            await work.client().emoji_list()

    refused = error_of(list_often())
    assert (refused.status_code, refused["error"]) == (429, "ratelimited")
    assert 50 <= int(refused.headers["Retry-After"]) <= 60


def test_history_comes_in_pages_newest_first_without_replies(work: FakeWorkspace) -> None:
    stamps = [work.maria.post(work.general, f"m{number}") for number in range(5)]
    work.maria.post(work.general, "a reply", thread=stamps[0])

    async def read() -> list[str]:
        texts = []
        async for page in await work.client().conversations_history(channel=work.general.id, limit=2):
            texts += [message["text"] for message in page["messages"]]
        return texts

    assert run(read()) == ["m4", "m3", "m2", "m1", "m0"]
    replies = run(work.client().conversations_replies(channel=work.general.id, ts=stamps[0]))
    assert [message["text"] for message in replies["messages"]] == ["m0", "a reply"]


def test_history_for_apps_outside_the_marketplace_is_short(work: FakeWorkspace) -> None:
    work.slack.core.restricted_history = True
    work.slack.core.limits.minute_s = 60.0
    for number in range(20):
        work.maria.post(work.general, f"m{number}")
    page = run(work.client().conversations_history(channel=work.general.id, limit=100))
    assert len(page["messages"]) == 15
    assert error_of(work.client().conversations_history(channel=work.general.id))["error"] == "ratelimited"


def test_what_was_sent_along_is_given_to_those_who_ask(work: FakeWorkspace) -> None:
    metadata = {"event_type": "matrix", "event_payload": {"key": "k"}}
    run(work.post("x", metadata=metadata))
    plain = run(work.client().conversations_history(channel=work.general.id))
    asked = run(work.client().conversations_history(channel=work.general.id, include_all_metadata=True))
    assert "metadata" not in plain["messages"][0]
    assert asked["messages"][0]["metadata"] == metadata


def test_a_message_is_edited_deleted_and_linked_to(work: FakeWorkspace) -> None:
    async def live() -> str:
        ts = await work.post("one")
        await work.client().chat_update(channel=work.general.id, ts=ts, text="two")
        link = (await work.client().chat_getPermalink(channel=work.general.id, message_ts=ts))["permalink"]
        assert work.slack.texts(work.general) == ["two"]
        await work.client().chat_delete(channel=work.general.id, ts=ts)
        return str(link)

    assert f"/archives/{work.general.id}/p" in run(live())
    assert work.slack.texts(work.general) == []


def test_nobody_edits_what_others_wrote(work: FakeWorkspace) -> None:
    ts = work.maria.post(work.general, "mine")
    client = work.client()
    assert error_of(client.chat_update(channel=work.general.id, ts=ts, text="x"))["error"] == "cant_update_message"
    assert error_of(client.chat_delete(channel=work.general.id, ts=ts))["error"] == "cant_delete_message"


def test_a_long_edit_is_refused(work: FakeWorkspace) -> None:
    ts = run(work.post("x"))
    refused = error_of(work.client().chat_update(channel=work.general.id, ts=ts, text="x" * 4001))
    assert refused["error"] == "msg_too_long"


def test_reactions_and_pins(work: FakeWorkspace) -> None:
    async def mark() -> None:
        ts = await work.post("x")
        await work.client().reactions_add(channel=work.general.id, timestamp=ts, name="thumbsup")
        await work.client().pins_add(channel=work.general.id, timestamp=ts)
        pins = await work.client().pins_list(channel=work.general.id)
        assert [item["message"]["ts"] for item in pins["items"]] == [ts]
        await work.client().reactions_add(channel=work.general.id, timestamp=ts, name="thumbsup")

    assert error_of(mark())["error"] == "already_reacted"
    (message,) = work.slack.messages(work.general)
    assert message["reactions"] == [{"name": "thumbsup", "users": [work.app.bot_user_id], "count": 1}]


def test_a_file_goes_up_in_three_steps_and_comes_down_with_a_token(work: FakeWorkspace) -> None:
    async def both_ways() -> tuple[bytes, str]:
        await work.client().files_upload_v2(file=b"content", filename="a.txt", channel=work.general.id)
        (message,) = work.slack.messages(work.general)
        address = message["files"][0]["url_private"]
        headers = {"Authorization": f"Bearer {work.slack.bot_token(work.app).text}"}
        async with aiohttp.ClientSession() as session:
            async with session.get(address, headers=headers) as answer:
                content = await answer.read()
            async with session.get(address) as answer:
                return content, answer.content_type

    assert run(both_ways()) == (b"content", "text/html")


def test_a_link_to_an_own_file_shares_it_under_another_name(work: FakeWorkspace) -> None:
    async def share() -> None:
        done = await work.client().files_upload_v2(file=b"content", filename="a.txt")
        link = done["files"][0]["permalink"]
        await work.post(f"<{link}|a.txt>", username="Alice")

    run(share())
    (message,) = work.slack.messages(work.general)
    assert (message["username"], message["files"][0]["name"]) == ("Alice", "a.txt")


def test_direct_chats_are_opened_once(work: FakeWorkspace) -> None:
    async def open_twice() -> tuple[str, str]:
        first = await work.client().conversations_open(users=work.maria.id)
        again = await work.client().conversations_open(users=[work.maria.id])
        return first["channel"]["id"], again["channel"]["id"]

    first, again = run(open_twice())
    assert first == again and first.startswith("D")


def test_channels_are_listed_by_kind_and_in_pages(work: FakeWorkspace) -> None:
    work.slack.add_channel("secret", work.maria, kind="group")
    for number in range(3):
        work.slack.add_channel(f"room-{number}", work.maria)

    async def names() -> list[str]:
        found = []
        types = "public_channel,private_channel"
        async for page in await work.client().conversations_list(types=types, limit=2):
            found += [channel["name"] for channel in page["channels"]]
        return found

    assert run(names()) == ["general", "room-0", "room-1", "room-2"]


def test_what_a_deleted_channel_is_to_an_app(work: FakeWorkspace) -> None:
    work.slack.delete_channel(work.general, work.maria)
    assert error_of(work.post("x"))["error"] == "channel_not_found"


class Listening:
    """slack_sdk's client of Socket Mode; what it was told is in `got`."""

    def __init__(self, work: FakeWorkspace, *, acknowledges: bool = True) -> None:
        self.got: list[SocketModeRequest] = []
        self._acknowledges = acknowledges
        self._come = asyncio.Event()
        self.client = SocketModeClient(work.slack.app_token(work.app).text, web_client=work.client(), ping_interval=0.2)
        self.client.socket_mode_request_listeners.append(self._take)

    async def _take(self, client: Any, request: SocketModeRequest) -> None:
        self.got.append(request)
        self._come.set()
        if self._acknowledges:
            await client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))

    async def until(self, number: int) -> list[str]:
        """The texts, when so many messages have come."""
        while len(self.texts()) < number:
            self._come.clear()
            await self._come.wait()
        return self.texts()

    async def until_pressed(self) -> SocketModeRequest:
        while True:
            for request in self.got:
                if request.type == "interactive":
                    return request
            self._come.clear()
            await self._come.wait()

    def texts(self) -> list[str]:
        return [request.payload["event"].get("text") for request in self.got if request.type == "events_api"]


def test_socket_mode_tells_in_order_and_takes_acknowledgements(work: FakeWorkspace) -> None:
    async def listen() -> list[str]:
        listening = Listening(work)
        await listening.client.connect()
        for number in range(3):
            await asyncio.to_thread(work.maria.post, work.general, f"m{number}")
        texts = await listening.until(3)
        await listening.client.close()
        return texts

    assert run(listen()) == ["m0", "m1", "m2"]
    work.slack.wait(lambda: len(work.slack.server.sockets.acknowledged) == 3)


def test_what_is_not_acknowledged_comes_again_as_the_same_event(work: FakeWorkspace) -> None:
    sockets = work.slack.server.sockets
    sockets.acknowledge_s, sockets.retry_after_s = 0.1, (0.0, 0.1, 0.1)

    async def listen() -> list[SocketModeRequest]:
        listening = Listening(work, acknowledges=False)
        await listening.client.connect()
        await asyncio.to_thread(work.maria.post, work.general, "hello")
        await listening.until(4)
        await listening.client.close()
        return listening.got

    got = run(listen())
    assert [request.retry_attempt for request in got] == [0, 1, 2, 3]
    assert len({request.payload["event_id"] for request in got}) == 1
    work.slack.wait(lambda: len(sockets.lost) == 1)


def test_a_refreshed_and_a_cut_connection_come_back(work: FakeWorkspace) -> None:
    work.slack.server.sockets.retry_after_s = (0.2,) * 20

    async def listen() -> list[str]:
        listening = Listening(work)
        await listening.client.connect()
        await asyncio.to_thread(work.maria.post, work.general, "one")
        await listening.until(1)
        await asyncio.to_thread(work.slack.ask_to_reconnect, work.app)
        await asyncio.to_thread(work.maria.post, work.general, "two")
        await listening.until(2)
        await asyncio.to_thread(work.slack.cut_sockets)
        await asyncio.to_thread(work.maria.post, work.general, "three")
        texts = await listening.until(3)
        await listening.client.close()
        return texts

    assert run(listen()) == ["one", "two", "three"]


def test_events_go_only_to_who_may_read_them(work: FakeWorkspace) -> None:
    secret = work.slack.add_channel("secret", work.maria, kind="group")

    async def listen() -> list[str]:
        listening = Listening(work)
        await listening.client.connect()
        await asyncio.to_thread(work.maria.post, secret, "not for the app")
        await asyncio.to_thread(work.maria.post, work.general, "for the app")
        texts = await listening.until(1)
        await listening.client.close()
        return texts

    assert run(listen()) == ["for the app"]


def test_a_pressed_button_is_told_to_the_app_and_answered(work: FakeWorkspace) -> None:
    button = {"type": "button", "action_id": "yes", "value": "1", "text": {"type": "plain_text", "text": "Yes"}}

    async def play() -> None:
        listening = Listening(work)
        await listening.client.connect()
        ts = await work.post("Lunch?", blocks=[{"type": "actions", "elements": [button]}])
        await asyncio.to_thread(work.maria.click, work.general, ts, "yes", value="1")
        pressed = (await listening.until_pressed()).payload
        assert (pressed["user"]["id"], pressed["actions"][0]["value"]) == (work.maria.id, "1")
        async with aiohttp.ClientSession() as session:
            await session.post(pressed["response_url"], json={"replace_original": True, "text": "Lunch!"})
        await listening.client.close()

    run(play())
    assert work.slack.texts(work.general) == ["Lunch!"]


def test_faults_are_as_they_are_with_slack(work: FakeWorkspace) -> None:
    work.slack.fail("chat.postMessage", status=500)
    work.slack.fail("chat.postMessage", cut="after")
    with pytest.raises(SlackApiError):
        run(work.post("refused"))
    with pytest.raises(aiohttp.ClientError):
        run(work.client(retry_handlers=[]).chat_postMessage(channel=work.general.id, text="done, but not told"))
    assert work.slack.texts(work.general) == ["done, but not told"]
