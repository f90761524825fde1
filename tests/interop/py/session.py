"""One signed-in client of matrix-nio, and waiting for what its sync brings."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from nio import (
    AsyncClient,
    AsyncClientConfig,
    ErrorResponse,
    Event,
    KeyVerificationEvent,
    MegolmEvent,
    RedactionEvent,
    Response,
    ToDeviceEvent,
    UnknownToDeviceEvent,
)
from protocol import Refused

T = TypeVar("T")

PATIENCE_S = 30
LONG_POLL_MS = 10_000


def good(response: T) -> T:
    """The answer, if it is not an error. Raises: Refused."""
    if isinstance(response, ErrorResponse):
        raise Refused(response)
    return response


class Session:
    """A client that syncs in the background. Its methods may be called by name from outside: see client.py."""

    def __init__(self, url: str, store: str) -> None:
        self.url = url
        self.store = store
        config = AsyncClientConfig(encryption_enabled=True, max_timeouts=3)
        self.client = AsyncClient(url, store_path=store, config=config)
        self.events: dict[str, Event] = {}
        self.redactions: dict[str, RedactionEvent] = {}
        self.to_device: list[ToDeviceEvent] = []
        self._moved = asyncio.Event()
        self._syncing: asyncio.Task[None] | None = None

    async def register(self, user: str, password: str) -> None:
        """A new account. nio signs it in, on a device that is not used further."""
        client = AsyncClient(self.url)
        good(await client.register(user, password))
        await client.close()

    async def login(self, user: str, password: str) -> dict[str, str]:
        """The user signed in on a new device, with a crypto store of its own."""
        self.client.user = user
        good(await self.client.login(password, device_name="nio"))
        return {"user_id": self.client.user_id, "device_id": self.client.device_id}

    async def start(self, sync_filter: dict[str, Any] | None = None) -> None:
        """Starts to sync, by a filter kept on the server if one is given, until the first answer is there."""
        filter_id = None if sync_filter is None else good(await self.client.upload_filter(**sync_filter)).filter_id
        self.client.add_event_callback(self._on_event, Event)
        self.client.add_to_device_callback(self._on_to_device, (KeyVerificationEvent, UnknownToDeviceEvent))
        self.client.add_response_callback(self._on_response)
        syncing = self.client.sync_forever(timeout=LONG_POLL_MS, full_state=True, sync_filter=filter_id)
        self._syncing = asyncio.create_task(syncing)
        await self.until(lambda: self.client.next_batch, "the first sync")

    async def _on_event(self, room: Any, event: Event) -> None:
        self.events[event.event_id] = event
        if isinstance(event, RedactionEvent):
            self.redactions[event.redacts] = event

    async def _on_to_device(self, event: ToDeviceEvent) -> None:
        self.to_device.append(event)

    async def _on_response(self, response: Response) -> None:
        self._moved.set()

    async def until(self, find: Callable[[], T], what: str) -> T:
        """The first value of `find` that is true; asked again after each answer of the server."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not (found := find()):
                    self._look_at_the_sync()
                    self._moved.clear()
                    await self._moved.wait()
                return found
        except TimeoutError:
            raise AssertionError(f"waited in vain for {what}") from None

    def _look_at_the_sync(self) -> None:
        if self._syncing is not None and self._syncing.done():
            self._syncing.result()
            raise AssertionError("the sync has ended")

    def readable(self, event_id: str) -> Event | None:
        """The event, if it is there and could be decrypted, perhaps by a key that came later."""
        event = self.events.get(event_id)
        if not isinstance(event, MegolmEvent):
            return event
        if self.client.olm.inbound_group_store.get(event.room_id, event.sender_key, event.session_id) is None:
            return None
        self.events[event_id] = self.client.decrypt_event(event)
        return self.events[event_id]

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A request for which nio has no method. Raises: Refused."""
        headers = {"Authorization": f"Bearer {self.client.access_token}"}
        url = f"{self.url}/_matrix/client/v3{path}"
        async with self.client.client_session.request(method, url, json=body, headers=headers) as answer:
            content = await answer.json()
        if answer.status != 200:
            raise Refused(content)
        return content

    async def stop(self) -> None:
        if self._syncing is not None:
            self._syncing.cancel()
        await self.client.close()
