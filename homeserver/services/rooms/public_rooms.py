"""The room directory as users page through it and search it.

All entries are in memory, made when they are first asked for. The stream tells which of them an event has made
untrue; those are read again, all with one look-up, when somebody asks next.

Source: client-server API, GET and POST /publicRooms.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any

from attrs import frozen

from homeserver.runtime.linearizer import Linearizer
from homeserver.services.rooms.descriptions import content_of, directory_entry
from homeserver.services.rooms.directory import CHANGED, OWN
from matrix.errors import InvalidParam
from matrix.events import Json
from storage import published_rooms as rows
from storage.change import Entry, Kind
from storage.database import Database
from storage.published_rooms import FACTS, RoomFacts, RoomList

MAX_LIMIT = 500
_TYPES = frozenset(event_type for event_type, _ in FACTS) | {"m.room.member"}
_TOKEN = re.compile(r"([np])(\d{1,10})_(.{0,255})", re.DOTALL)

_Key = tuple[int, str]  # minus the joined members, room id: the order of the list


@frozen
class _Listed:
    """`words` is what is searched, `federates` is false for rooms of this server's users only."""

    key: _Key
    entry: Json
    words: str
    federates: bool


@frozen(kw_only=True)
class PageQuery:
    """`room_types` holds None for rooms without a type. `lists` None: all lists together."""

    limit: int = MAX_LIMIT
    since: str | None = None
    search: str = ""
    room_types: frozenset[str | None] | None = None
    of: RoomList | None = OWN
    for_servers: bool = False


class PublicRooms:
    def __init__(self, *, database: Database, is_enabled: bool = True) -> None:
        self._database = database
        self._is_enabled = is_enabled
        self._turns = Linearizer()
        self._lists: dict[RoomList, list[int]] | None = None
        self._rooms: dict[int, _Listed] = {}
        # Of these the entries are missing or untrue.
        self._stale: set[int] = set()
        self._published: set[int] = set()

    def read_stream(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.kind is Kind.CACHE and entry.body == CHANGED:
                self._lists = None
            elif entry.room_nid in self._published and _concerns(entry):
                assert entry.room_nid is not None
                self._stale.add(entry.room_nid)

    async def page(self, query: PageQuery) -> Json:
        """The body of the answer. Raises: InvalidParam."""
        if not self._is_enabled:
            return {"chunk": [], "total_room_count_estimate": 0}
        lists = await self._refreshed()
        nids = {nid for rooms in lists.values() for nid in rooms} if query.of is None else lists.get(query.of, ())
        found = [room for nid in nids if (room := self._rooms.get(nid)) is not None and _matches(room, query)]
        found.sort(key=lambda room: room.key)
        return _page(found, min(query.limit, MAX_LIMIT) or MAX_LIMIT, query.since)

    async def _refreshed(self) -> dict[RoomList, list[int]]:
        async with self._turns.of("lists"):
            while (lists := self._lists) is None:
                self._lists = {}
                loading = self._lists
                for of, room_nid in await self._load_lists():
                    loading.setdefault(of, []).append(room_nid)
                self._take(loading)
            await self._refresh()
            return lists

    async def _load_lists(self) -> list[tuple[RoomList, int]]:
        try:
            return await self._database.read(rows.published)
        except BaseException:
            self._lists = None
            raise

    def _take(self, lists: dict[RoomList, list[int]]) -> None:
        self._published = {nid for rooms in lists.values() for nid in rooms}
        self._rooms = {nid: room for nid, room in self._rooms.items() if nid in self._published}
        self._stale = {nid for nid in self._published if nid in self._stale or nid not in self._rooms}

    async def _refresh(self) -> None:
        stale, self._stale = self._stale, set()
        if not stale:
            return
        try:
            facts = await self._database.run(rows.find_facts, list(stale))
        except BaseException:
            self._stale |= stale
            raise
        for nid in stale:
            self._rooms.pop(nid, None)
        self._rooms.update((nid, _listed(one)) for nid, one in facts.items())


def _concerns(entry: Entry) -> bool:
    return entry.kind is Kind.ROOM or (entry.kind is Kind.EVENT and entry.body.event.type in _TYPES)


def _listed(facts: RoomFacts) -> _Listed:
    entry = directory_entry(facts)
    words = "\n".join(entry.get(name, "") for name in ("name", "topic", "canonical_alias", "room_id")).casefold()
    federates = content_of(facts, "m.room.create").get("m.federate") is not False
    return _Listed((-facts.joined_members, facts.room_id), entry, words, federates)


def _matches(room: _Listed, query: PageQuery) -> bool:
    if query.search and query.search.casefold() not in room.words:
        return False
    if query.room_types is not None and room.entry.get("room_type") not in query.room_types:
        return False
    return room.federates or not query.for_servers


def _page(found: Sequence[_Listed], limit: int, since: str | None) -> Json:
    first, last = 0, limit
    if since is not None:
        forward, key = _parse(since)
        keys = [room.key for room in found]
        if forward:
            first = bisect_right(keys, key)
            last = first + limit
        else:
            last = bisect_left(keys, key)
            first = max(0, last - limit)
    page = found[first:last]
    answer: dict[str, Any] = {"chunk": [room.entry for room in page], "total_room_count_estimate": len(found)}
    if page and last < len(found):
        answer["next_batch"] = _token("n", page[-1].key)
    if page and first > 0:
        answer["prev_batch"] = _token("p", page[0].key)
    return answer


def _token(direction: str, key: _Key) -> str:
    return f"{direction}{-key[0]}_{key[1]}"


def _parse(token: str) -> tuple[bool, _Key]:
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise InvalidParam("since is no token of this list")
    return match[1] == "n", (-int(match[2]), match[3])
