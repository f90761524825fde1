"""What a sync tells beside rooms: account data, presence, device lists and key counts.

Source: client-server API, GET /sync; "End-to-End Encryption", "Extensions to /sync".
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

import orjson

from homeserver.services.e2ee.device_lists import DeviceLists
from homeserver.services.e2ee.keys import Keys
from homeserver.services.rooms.members import Members, RoomsOfUser
from homeserver.services.sync.answer import Answer
from homeserver.services.sync.digest import Digest, may_move
from homeserver.services.sync.request import Window
from matrix.filters import EventFilter
from matrix.ids import UserId
from storage import account_data
from storage.change import Entry, Kind
from storage.database import Database
from storage.stream import Stream

_ACCOUNT_DATA = frozenset((Kind.ACCOUNT_DATA, Kind.PUSH_RULES))


class PushRulesOf(Protocol):
    """The content of the user's m.push_rules account data."""

    def __call__(self, user_id: UserId) -> Awaitable[Mapping[str, Any]]: ...


class AccountDataSource:
    """All of a user's account data with one look."""

    def __init__(self, *, database: Database, stream: Stream, push_rules_of: PushRulesOf) -> None:
        self._database = database
        self._stream = stream
        self._push_rules_of = push_rules_of

    async def add(self, window: Window, answer: Answer) -> dict[str, list[bytes]]:
        """Puts the global ones into the answer, and gives those of rooms, as ready events by room id."""
        by_room: dict[str, list[bytes]] = {}
        of_rooms, wanted = window.request.filter.room.account_data, window.request.filter.account_data
        for room_id, event_type, content in await self._changed(window):
            if room_id and of_rooms.allows(event_type, None, room_id):
                by_room.setdefault(room_id, []).append(_event(event_type, content))
            elif not room_id and wanted.allows(event_type, None):
                answer.account_data.append(_event(event_type, content))
        await self._add_push_rules(window, answer)
        return by_room

    async def _add_push_rules(self, window: Window, answer: Answer) -> None:
        wanted = window.request.filter.account_data
        if wanted.allows("m.push_rules", None) and self._has_entry(window, Kind.PUSH_RULES):
            rules = orjson.dumps(await self._push_rules_of(window.user_id)).decode()
            answer.account_data.append(_event("m.push_rules", rules))

    async def _changed(self, window: Window) -> Sequence[tuple[str, str, str]]:
        """(room id or "", type, content as JSON)"""
        if window.is_initial or window.request.full_state:
            return await self._database.read(account_data.all_of, window.user_id)
        if not self._has_entry(window, Kind.ACCOUNT_DATA):
            return []
        return await self._database.read(account_data.changed_since, window.user_id, window.since, window.upto)

    def _has_entry(self, window: Window, kind: Kind) -> bool:
        """May there be something? For sure not, if the window is in memory and has no such entry."""
        if window.digest is not None:
            return window.digest.names(window.user_id, kind)
        if window.is_initial or window.request.full_state or window.since < self._stream.floor:
            return True
        entries = self._stream.user_entries(window.user_id, window.since, window.upto)
        return any(entry.kind is kind for entry in entries)


def _event(event_type: str, content: str) -> bytes:
    return b'{"type":' + orjson.dumps(event_type) + b',"content":' + content.encode() + b"}"


class DevicesSource:
    """Device lists of others, and the counts of the device's own keys."""

    def __init__(self, *, device_lists: DeviceLists, keys: Keys, stream: Stream) -> None:
        self._device_lists = device_lists
        self._keys = keys
        self._stream = stream

    async def add(self, window: Window, rooms: RoomsOfUser, answer: Answer) -> None:
        if not window.is_initial:
            changed, left = await self._changes(window, rooms)
            if changed or left:
                answer.device_lists = {"changed": sorted(changed), "left": sorted(left)}
        await self.add_counts(window, answer)

    async def add_counts(self, window: Window, answer: Answer) -> None:
        device_id = window.request.device_id
        if device_id is None:
            return
        counts, unused = await self._keys.counts(window.user_id, device_id)
        answer.key_counts = {
            "device_one_time_keys_count": counts,
            "device_unused_fallback_key_types": unused,
            # Clients older than the specification's text read this name.
            "org.matrix.msc2732.device_unused_fallback_key_types": unused,
        }
        answer.key_counts_changed = self._have_counts_changed(window)

    async def _changes(self, window: Window, rooms: RoomsOfUser) -> tuple[set[str], set[str]]:
        if window.digest is not None and not self._has_news(window.digest, rooms):
            return set(), set()
        if self._may_members_have_moved(window, rooms):
            return await self._device_lists.changes(window.user_id, window.since, window.upto)
        return await self._device_lists.changed(window.user_id, window.since, window.upto), set()

    @staticmethod
    def _has_news(digest: Digest, rooms: RoomsOfUser) -> bool:
        return Kind.DEVICE_LIST in digest.users_by_kind or not digest.rooms_with_moves.isdisjoint(rooms)

    def _may_members_have_moved(self, window: Window, rooms: RoomsOfUser) -> bool:
        """Has anyone come into or gone out of a room of the user?"""
        if window.since < self._stream.floor:
            return True
        return any(
            may_move(entry) and entry.room_nid in rooms for entry in self._stream.entries(window.since, window.upto)
        )

    def _have_counts_changed(self, window: Window) -> bool:
        """Those of this device: what another one uploads, or is robbed of, is no news to it."""
        if window.is_initial or window.since < self._stream.floor:
            return False
        if window.digest is not None and not window.digest.names(window.user_id, Kind.KEY_COUNTS):
            return False
        entries = self._stream.user_entries(window.user_id, window.since, window.upto)
        device_id = window.request.device_id
        return any(entry.kind is Kind.KEY_COUNTS and device_id in entry.body["device_ids"] for entry in entries)


class PresenceOf(Protocol):
    """The m.presence events (as JSON values) of those of the users whose presence is known and not hidden."""

    def __call__(self, user_ids: set[str]) -> Awaitable[Sequence[dict[str, Any]]]: ...


class PresenceSource:
    """Presence of who shares a room with the reader: all in an initial sync, later what changed, and of who is new."""

    def __init__(self, *, stream: Stream, members: Members, presence_of: PresenceOf, enabled: bool) -> None:
        self._stream = stream
        self._members = members
        self._presence_of = presence_of
        self._enabled = enabled

    async def add(self, window: Window, rooms: RoomsOfUser, answer: Answer) -> None:
        wanted = window.request.filter.presence
        if not self._enabled or wanted.blocks_all:
            return
        users = await self._whose(window, rooms)
        if users:
            events = await self._presence_of({user for user in users if user not in window.ignored})
            answer.presence = [orjson.dumps(event) for event in events if _passes(event, wanted)]

    async def _whose(self, window: Window, rooms: RoomsOfUser) -> set[str]:
        """All, or those whose presence changed, and those whom a join brought together with the reader."""
        if window.is_initial or window.since < self._stream.floor:
            return {window.user_id, *await self._members.sharing_a_room(window.user_id)}
        digest = window.digest
        if digest is not None and Kind.PRESENCE not in digest.users_by_kind and not digest.rooms_with_moves:
            return set()
        changed: set[str] = set()
        met: set[str] = set()
        for entry in self._stream.entries(window.since, window.upto):
            if entry.kind is Kind.PRESENCE and entry.user_id is not None:
                changed.add(entry.user_id)
            elif entry.room_nid in rooms and _is_join(entry) and rooms[entry.room_nid].membership == "join":
                own = entry.user_id == window.user_id
                met.update(await self._members.joined(entry.room_nid) if own else [str(entry.user_id)])
        if changed:
            changed &= {window.user_id, *await self._members.sharing_a_room(window.user_id)}
        return changed | (met - {window.user_id})


def _is_join(entry: Entry) -> bool:
    if entry.kind is not Kind.EVENT or entry.user_id is None or entry.body.flags:
        return False
    joins: bool = entry.body.event.membership == "join"
    return joins


def _passes(event: dict[str, Any], wanted: EventFilter) -> bool:
    return wanted.allows("m.presence", event["sender"])
