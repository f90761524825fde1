"""The Events API by HTTP: signed requests, tried again. Source: docs.slack.dev, "The Events API"."""

import asyncio
import hashlib
import hmac
import time
from urllib.parse import urlencode

import aiohttp
import orjson

from tests.support.fake_slack.grants import App
from tests.support.fake_slack.world import Json

ANSWER_S = 3.0


def signature(secret: str, stamp: str, body: bytes) -> str:
    return "v0=" + hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()


class HttpPush:
    """Slack's own times: again at once, after 1 and after 5 minutes."""

    def __init__(self) -> None:
        self.retry_after_s: tuple[float, ...] = (0.0, 60.0, 300.0)
        self.lost: list[Json] = []
        self.answers: list[int] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    def deliver(self, app: App, kind: str, payload: Json, *, double: bool = False) -> None:
        for _ in range(2 if double else 1):
            task = asyncio.get_running_loop().create_task(self._deliver(app, kind, payload))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def verify_url(self, app: App) -> bool:
        """As when the developer enters the address: it must give the challenge back."""
        body = orjson.dumps({"token": "legacy", "challenge": "3eZbrw1aB", "type": "url_verification"})
        status, answer, _ = await self._post(app, str(app.request_url), body, "application/json", {})
        return status == 200 and "3eZbrw1aB" in answer

    async def _deliver(self, app: App, kind: str, payload: Json) -> None:
        if kind == "interactive":
            url, form = app.interactivity_url, urlencode({"payload": orjson.dumps(payload).decode()}).encode()
            await self._post(app, str(url), form, "application/x-www-form-urlencoded", {})
            return
        body, retry = orjson.dumps(payload), {}
        for number, pause in enumerate((None, *self.retry_after_s)):
            if pause is not None:
                await asyncio.sleep(pause)
                retry = {"x-slack-retry-num": str(number), "x-slack-retry-reason": "http_error"}
            status, _, headers = await self._post(app, str(app.request_url), body, "application/json", retry)
            self.answers.append(status)
            if 200 <= status < 300 or headers.get("x-slack-no-retry") == "1":
                return
        self.lost.append(payload)

    async def _post(
        self, app: App, url: str, body: bytes, content_type: str, more: dict[str, str]
    ) -> tuple[int, str, dict[str, str]]:
        stamp = str(int(time.time()))
        headers = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature(app.signing_secret, stamp, body)}
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S))
        try:
            async with self._session.post(
                url, data=body, headers={**headers, "Content-Type": content_type, **more}
            ) as a:
                return a.status, await a.text(), {name.lower(): value for name, value in a.headers.items()}
        except (aiohttp.ClientError, TimeoutError):
            return 0, "", {}

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
