"""What passes: typing, presence, receipts. Nothing of it is kept, and what fails is forgotten."""

import logging
from collections.abc import Coroutine
from typing import Any

from appservice.bridges.core.authors import Authors
from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import NetworkError
from appservice.bridges.core.ids import ChannelId, PersonId
from appservice.bridges.core.logins import Logins
from appservice.bridges.core.matrix_client import HomeserverDown, MatrixRefused
from appservice.bridges.core.message_map import MessageMap
from appservice.bridges.core.outgoing import Presence
from appservice.bridges.core.people import People
from appservice.bridges.core.portals import Portals
from homeserver.runtime.caches import Lru

JsonDict = dict[str, Any]
_PRESENCES: dict[str, Presence] = {"online": "online", "unavailable": "unavailable", "offline": "offline"}
# More at a time is dropped: it would be late.
_MAX_RUNNING = 64
_REMEMBERED = 10_000
_TIMEOUT_S = 15.0

logger = logging.getLogger(__name__)


class Passing:
    """Both ways."""

    def __init__(
        self, *, context: Context, portals: Portals, people: People, logins: Logins, authors: Authors,
        message_map: MessageMap,
    ) -> None:  # fmt: skip
        self._context, self._portals, self._people = context, portals, people
        self._logins, self._authors, self._map = logins, authors, message_map
        self._typing: dict[str, set[str]] = {}
        self._present: Lru[str, tuple[str, str | None]] = Lru("bridge_presence", _REMEMBERED)
        self._running = 0

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        if self._running >= _MAX_RUNNING:
            coroutine.close()
            return
        self._running += 1
        self._context.tasks.background("bridge.passing", self._guarded(coroutine))

    async def _guarded(self, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await self._context.clock.timeout(coroutine, _TIMEOUT_S)
        except (NetworkError, MatrixRefused, HomeserverDown, TimeoutError) as error:
            logger.debug("What passes has passed: %s", error)
        finally:
            self._running -= 1

    # --- of the network

    def typing(self, channel: ChannelId, person: PersonId, is_typing: bool) -> None:
        portal = self._portals.of_channel(channel)
        if portal is not None:
            self._start(self._show_typing(portal.room_id, person, is_typing))

    async def _show_typing(self, room_id: str, person: PersonId, is_typing: bool) -> None:
        if await self._people.is_ours(person):
            return
        actor = self._people.ghost(person)
        # A user who has signed in types in Matrix by themselves.
        if self._logins.puppet(person) is None and self._portals.is_inside(room_id, actor.user_id):
            await self._context.matrix.typing(actor, room_id, is_typing)

    def presence(self, person: PersonId, presence: Presence, status: str | None) -> None:
        if self._present.get(person) != (presence, status):
            self._present.set(person, (presence, status))
            self._start(self._show_presence(person, presence, status))

    async def _show_presence(self, person: PersonId, presence: Presence, status: str | None) -> None:
        if self._logins.puppet(person) is None and await self._people.is_known(person):
            await self._context.matrix.set_presence(self._people.ghost(person), presence, status)

    # --- of Matrix

    def take(self, event: JsonDict) -> None:
        """An ephemeral event of a transaction."""
        content, room_id = event.get("content"), event.get("room_id")
        if not isinstance(content, dict):
            return
        if event.get("type") == "m.presence":
            self._presence_of(event, content)
            return
        portal = self._portals.of_room(room_id) if isinstance(room_id, str) else None
        if portal is None or not isinstance(room_id, str):
            return
        if event.get("type") == "m.typing":
            self._typing_in(room_id, ChannelId(portal.channel_id), content)
        elif event.get("type") == "m.receipt":
            self._receipts(content)

    def _typing_in(self, room_id: str, channel: ChannelId, content: JsonDict) -> None:
        told = content.get("user_ids")
        users = {user for user in told if isinstance(user, str)} if isinstance(told, list) else set()
        now = {user for user in users if not self._context.is_own(user)}
        before = self._typing.pop(room_id, set())
        if now:
            self._typing[room_id] = now
        for user in now | before:
            self._start(self._send_typing(room_id, channel, user, user in now))

    async def _send_typing(self, room_id: str, channel: ChannelId, user: str, is_typing: bool) -> None:
        await self._context.network.typing(await self._authors.of(user, room_id), channel, is_typing)

    def _receipts(self, content: JsonDict) -> None:
        for event_id, kinds in content.items():
            for kind in ("m.read", "m.read.private"):
                readers = kinds.get(kind) if isinstance(kinds, dict) else None
                for user in readers if isinstance(readers, dict) else ():
                    if self._logins.working(user) is not None:
                        self._start(self._send_receipt(user, event_id))

    async def _send_receipt(self, user: str, event_id: str) -> None:
        login, ref = self._logins.working(user), await self._map.ref_of_event(event_id)
        if login is not None and ref is not None:
            await self._context.network.mark_read(login, ref)

    def _presence_of(self, event: JsonDict, content: JsonDict) -> None:
        user, presence = event.get("sender"), content.get("presence")
        login = self._logins.working(user) if isinstance(user, str) else None
        if login is None or not isinstance(presence, str) or presence not in _PRESENCES:
            return
        status = content.get("status_msg")
        status = status if isinstance(status, str) else None
        key = f"@{login.id}"
        if self._present.get(key) != (presence, status):
            self._present.set(key, (presence, status))
            self._start(self._context.network.set_presence(login, _PRESENCES[presence], status))
