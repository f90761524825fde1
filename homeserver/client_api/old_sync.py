"""Deprecated, and still in the specification: /initialSync, /events; and looking into a room that anyone may read.

Source: client-server API, GET /initialSync, GET /rooms/{roomId}/initialSync, GET /events, GET /events/{eventId},
"Room Previews".
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
from attrs import evolve, frozen

from homeserver.client_api.history_query import token
from homeserver.services.rooms.client_events import ClientEvents, Reader
from homeserver.services.rooms.room_state import RoomState
from homeserver.services.rooms.timeline import DEFAULT_LIMIT, Timeline
from homeserver.services.sync.old_sync import OldSync
from homeserver.services.sync.peeking import MAX_EVENTS, Peeking
from homeserver.services.sync.request import SyncRequest
from homeserver.web.call import Call
from homeserver.web.replies import Answer, RawJson
from homeserver.web.router import Access, client, route
from matrix.errors import InvalidParam
from matrix.filters import EMPTY
from matrix.ids import EventId, RoomId, UserId
from matrix.tokens import SyncToken

# As Synapse: who does not say how long waits so long.
DEFAULT_TIMEOUT_MS = 30_000


@frozen(kw_only=True)
class Beside:
    """What a snapshot tells of a room beside its events. `account_data` is a list of ready events."""

    account_data: Callable[[UserId, RoomId], Awaitable[Sequence[bytes]]]
    presence: Callable[[UserId, RoomId], Awaitable[Sequence[Any]]]
    receipts: Callable[[UserId, RoomId], Awaitable[Sequence[bytes]]]
    is_published: Callable[[RoomId], Awaitable[bool]]
    # Of the event with this id. Raises: NotFound.
    room_of: Callable[[EventId], Awaitable[RoomId]]


class OldSyncApi:
    def __init__(
        self,
        *,
        old_sync: OldSync,
        peeking: Peeking,
        timeline: Timeline,
        room_state: RoomState,
        client_events: ClientEvents,
        beside: Beside,
    ) -> None:
        self._old_sync = old_sync
        self._peeking = peeking
        self._timeline = timeline
        self._room_state = room_state
        self._client_events = client_events
        self._beside = beside

    @route("GET", *client("/initialSync"), access=Access.GUEST)
    async def get_snapshot(self, call: Call) -> Answer:
        limit = call.query.integer("limit", DEFAULT_LIMIT, minimum=0, clamp=MAX_EVENTS)
        archived = call.query.boolean("archived", False)
        return await self._old_sync.snapshot(_request(call), limit, archived=archived)

    @route("GET", *client("/rooms/{room_id}/initialSync"), access=Access.GUEST)
    async def get_room_snapshot(self, call: Call, room_id: RoomId) -> Answer:
        user_id = call.user.user_id
        limit = call.query.integer("limit", DEFAULT_LIMIT, minimum=0, clamp=MAX_EVENTS)
        snapshot = await self._peeking.snapshot(user_id, room_id, limit)
        page = snapshot.page
        chunk = await self._client_events.write(Reader.of(call.user), page.seen)
        head = {
            "room_id": room_id,
            "visibility": "public" if await self._beside.is_published(room_id) else "private",
            "presence": list(await self._beside.presence(user_id, room_id)),
            **({} if snapshot.membership is None else {"membership": snapshot.membership}),
        }
        start = b"" if page.end is None else b'"start":' + orjson.dumps(str(page.end)) + b","
        messages = [b'{"chunk":[', b",".join(reversed(chunk)), b"],", start, b'"end":', _text(snapshot.end), b"}"]
        return RawJson(
            [
                orjson.dumps(head)[:-1],
                b',"messages":',
                *messages,
                b',"state":',
                *await self._room_state.all(user_id, room_id),
                b',"account_data":[',
                b",".join(await self._beside.account_data(user_id, room_id)),
                b'],"receipts":[',
                b",".join(await self._beside.receipts(user_id, room_id)),
                b"]}",
            ]
        )

    @route("GET", *client("/events"), access=Access.GUEST)
    async def get_events(self, call: Call) -> Answer:
        """With a room's id only what comes in it, which is how rooms are watched by who is not in them."""
        timeout_ms = call.query.integer("timeout", DEFAULT_TIMEOUT_MS, minimum=0)
        since = token(call, "from")
        if since is None:
            # Where to begin is all that can be told.
            timeout_ms = 0
        room_id = call.query.optional_parsed("room_id", RoomId)
        if room_id is not None:
            return await self._events_of_room(call, room_id, timeout_ms)
        if since is not None and not isinstance(since, SyncToken):
            raise InvalidParam("from is no token of /events")
        request = evolve(_request(call), since=None if since is None else since.position)
        return await self._old_sync.events(request, timeout_ms)

    @route("GET", *client("/events/{event_id}"), access=Access.GUEST)
    async def get_event(self, call: Call, event_id: EventId) -> Answer:
        room_id = await self._beside.room_of(event_id)
        seen = await self._timeline.event(call.user.user_id, room_id, event_id)
        return RawJson(await self._client_events.write(Reader.of(call.user), seen))

    async def _events_of_room(self, call: Call, room_id: RoomId, timeout_ms: int) -> Answer:
        page, end = await self._peeking.events(call.user.user_id, room_id, token(call, "from"), timeout_ms)
        chunk = await self._client_events.write(Reader.of(call.user), page.seen)
        start = [b'{"start":', _text(page.start), b',"end":', _text(end)]
        return RawJson([*start, b',"chunk":[', b",".join(chunk), b"]}"])


def _request(call: Call) -> SyncRequest:
    """Without a device: messages to it are for its next /sync."""
    user = call.user
    return SyncRequest(
        user_id=user.user_id,
        device_id=None,
        device_key=user.device_id or f"token {user.token_id}",
        since=None,
        filter=EMPTY,
    )


def _text(value: object) -> bytes:
    return orjson.dumps(str(value))
