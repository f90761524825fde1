"""Rooms as other servers describe them to those who are not in them: summaries, and the children of spaces.

Source: server-server API, GET /hierarchy/{roomId}; client-server API, "Spaces".
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from attrs import field, frozen

from federation.outbound.errors import RemoteError
from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock
from homeserver.services.rooms.restricted_joins import IsLocal
from matrix.events import Json
from matrix.ids import BadIdentifier, RoomId, ServerName

KEEP_S, KEPT = 300.0, 2_000
# Of the servers that may know a room so many are asked.
MAX_ASKED = 3
MAX_CHILDREN = 1_000
_TEXTS = ("name", "topic", "canonical_alias", "avatar_url", "join_rule", "room_type", "room_version", "encryption")
MAX_TEXT_BYTES = 65_536


class RoomsElsewhere(Protocol):
    """Raises: RemoteError."""

    async def hierarchy(self, server: ServerName, room_id: RoomId, *, suggested_only: bool = False) -> Json: ...


@frozen
class RemoteRoom:
    """`entry` is the summary; `children_state` is stripped, of a space; `children` are summaries by room id."""

    entry: Json
    children_state: Sequence[Json] = ()
    children: Mapping[str, Json] = field(factory=dict)

    @property
    def is_space(self) -> bool:
        return self.entry.get("room_type") == "m.space"


class RemoteRooms:
    def __init__(self, *, elsewhere: RoomsElsewhere, is_local: IsLocal, clock: Clock) -> None:
        self._elsewhere = elsewhere
        self._is_local = is_local
        self._known: Lru[tuple[str, bool], RemoteRoom] = Lru("remote_rooms", KEPT, clock, KEEP_S)

    async def find(
        self, room_id: RoomId, via: Sequence[ServerName], *, suggested_only: bool = False
    ) -> RemoteRoom | None:
        """The first answer that another server gives; None if none knows the room, or will tell of it."""
        known = self._known.get((room_id, suggested_only))
        if known is not None:
            return known
        servers = [server for server in dict.fromkeys(via) if not self._is_local(server)]
        for server in servers[:MAX_ASKED]:
            try:
                told = await self._elsewhere.hierarchy(server, room_id, suggested_only=suggested_only)
            except RemoteError:
                continue
            found = _read(told, room_id)
            if found is not None:
                self._known.set((room_id, suggested_only), found)
                return found
        return None


def room_entry(value: Any) -> Json | None:
    """The summary of a room as another server wrote it, without what does not belong there; None if it is none."""
    if not isinstance(value, dict) or not isinstance(value.get("room_id"), str):
        return None
    try:
        entry: Json = {"room_id": RoomId.parse(value["room_id"])}
    except BadIdentifier:
        return None
    members = value.get("num_joined_members")
    entry["num_joined_members"] = members if type(members) is int and members >= 0 else 0
    for name in ("world_readable", "guest_can_join"):
        entry[name] = value.get(name) is True
    for name in _TEXTS:
        if isinstance(value.get(name), str) and value[name] and len(value[name]) <= MAX_TEXT_BYTES:
            entry[name] = value[name]
    allowed = value.get("allowed_room_ids")
    if isinstance(allowed, list):
        entry["allowed_room_ids"] = [one for one in allowed[:100] if isinstance(one, str)]
    return entry


def servers_of(child: Json) -> list[ServerName]:
    """Who knows a child room, as the event in its space says."""
    via = child.get("content", {}).get("via")
    found = []
    for name in via[:MAX_ASKED] if isinstance(via, list) else ():
        try:
            found.append(ServerName.parse(name if isinstance(name, str) else ""))
        except BadIdentifier:
            continue
    return found


def _read(told: Json, room_id: RoomId) -> RemoteRoom | None:
    entry = room_entry(told["room"])
    if entry is None or entry["room_id"] != room_id:
        return None
    children = [one for one in map(room_entry, told["children"][:MAX_CHILDREN]) if one is not None]
    return RemoteRoom(
        entry,
        _child_states(told["room"].get("children_state")),
        {child["room_id"]: child for child in children if child["room_id"] != room_id},
    )


def _child_states(value: Any) -> list[Json]:
    found = []
    for event in value[:MAX_CHILDREN] if isinstance(value, list) else ():
        if isinstance(event, dict) and event.get("type") == "m.space.child" and _is_child(event):
            kept = ("type", "state_key", "content", "sender", "origin_server_ts")
            found.append({name: event[name] for name in kept if name in event})
    return found


def _is_child(event: Json) -> bool:
    room_id, content = event.get("state_key"), event.get("content")
    return (
        isinstance(room_id, str)
        and room_id.startswith("!")
        and len(room_id) <= 255
        and "\x00" not in room_id
        and isinstance(content, dict)
        and isinstance(event.get("sender"), str)
        and bool(servers_of(event))
    )
