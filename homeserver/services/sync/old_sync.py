"""What clients asked before there was /sync: one list of events, and a snapshot of all rooms.

Both are sync in another shape, so that what is seen, and when, is decided in one place. Nobody who counts asks for
them any more: that the answer of sync is read again costs nothing that matters.

Source: client-server API, GET /events, GET /initialSync.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import orjson
from attrs import evolve

from homeserver.services.sync.request import SyncRequest
from homeserver.services.sync.service import Sync
from matrix.events import Json
from matrix.filters import Filter, parse_filter
from matrix.tokens import SyncToken
from storage.stream import Stream

MEMBER = "m.room.member"
# Of one room; older ones are fetched with /messages.
MAX_EVENTS = 1_000

# Those of the rooms that the directory shows.
Published = Callable[[Sequence[str]], Awaitable[set[str]]]


class OldSync:
    def __init__(self, *, sync: Sync, stream: Stream, published: Published) -> None:
        self._sync = sync
        self._stream = stream
        self._published = published

    async def snapshot(self, request: SyncRequest, limit: int, *, archived: bool) -> Json:
        """All rooms of the user with their state and their newest `limit` events."""
        wanted = _filter(limit, archived=archived)
        told = await self._ask(evolve(request, since=None, filter=wanted, state_name="state_after"), 0)
        rooms = told.get("rooms", {})
        invites = [_invite(request.user_id, room_id, part) for room_id, part in rooms.get("invite", {}).items()]
        parts = {**rooms.get("join", {}), **(rooms.get("leave", {}) if archived else {})}
        found = invites + [_room(request.user_id, room_id, part, told) for room_id, part in parts.items()]
        published = await self._published([room["room_id"] for room in found])
        for room in found:
            room["visibility"] = "public" if room["room_id"] in published else "private"
        return {
            "end": told["next_batch"],
            "rooms": found,
            "presence": _events(told, "presence"),
            "account_data": _events(told, "account_data"),
            "receipts": [
                {**event, "room_id": room_id}
                for room_id, part in rooms.get("join", {}).items()
                for event in _events(part, "ephemeral")
                if event["type"] == "m.receipt"
            ],
        }

    async def events(self, request: SyncRequest, timeout_ms: int) -> Json:
        """What came since, in one list, as soon as there is something; without `since` from now on."""
        since = request.since if request.since is not None else self._stream.position
        told = await self._ask(evolve(request, since=since, filter=_filter(MAX_EVENTS, archived=False)), timeout_ms)
        rooms = told.get("rooms", {})
        chunk = [_invite(request.user_id, *item)["invite"] for item in rooms.get("invite", {}).items()]
        for room_id, part in [*rooms.get("join", {}).items(), *rooms.get("leave", {}).items()]:
            chunk += _named(room_id, [*_events(part, "state"), *_events(part, "timeline")])
            chunk += _named(room_id, _events(part, "ephemeral"))
        chunk += _events(told, "presence")
        return {"start": str(SyncToken(since)), "end": told["next_batch"], "chunk": chunk}

    async def _ask(self, request: SyncRequest, timeout_ms: int) -> Json:
        told: Json = orjson.loads(b"".join(await self._sync.answer(request, timeout_ms)))
        return told


def _filter(limit: int, *, archived: bool) -> Filter:
    return parse_filter({"room": {"timeline": {"limit": limit}, "include_leave": archived}})


def _events(part: Json, name: str) -> list[Json]:
    events: list[Json] = part.get(name, {}).get("events", [])
    return events


def _named(room_id: str, events: Iterable[Json]) -> list[Json]:
    return [{**event, "room_id": room_id} for event in events]


def _invite(user_id: str, room_id: str, part: Json) -> Json:
    own = _own(user_id, _events(part, "invite_state"))
    return {
        "room_id": room_id,
        "membership": "invite",
        "inviter": own.get("sender"),
        "invite": {**own, "room_id": room_id},
    }


def _room(user_id: str, room_id: str, part: Json, told: Json) -> Json:
    state = _events(part, "state_after")
    content: dict[str, Any] = _own(user_id, state).get("content", {})
    return {
        "room_id": room_id,
        "membership": content.get("membership", "leave"),
        "messages": {
            "start": part["timeline"]["prev_batch"],
            "end": told["next_batch"],
            "chunk": _named(room_id, _events(part, "timeline")),
        },
        "state": _named(room_id, state),
        "account_data": _events(part, "account_data"),
    }


def _own(user_id: str, events: Iterable[Json]) -> Json:
    own = (event for event in events if event.get("type") == MEMBER and event.get("state_key") == user_id)
    return next(own, {})
