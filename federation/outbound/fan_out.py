"""From an entry of the stream to the servers that have to hear of it.

Events are ours to send if their sender is a user of ours, they were accepted, and this server was in the room already
(else another one helped, and passes them on), or if this server has to pass them on. They go to the servers that were
in the room before them, so that a server which is put out hears of that; who is asked in hears it by /invite, and by
the queue if the invite is withdrawn.

Source: server-server API, "PDUs", "EDUs"; where it is silent: Synapse's federation sender.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Protocol

from attrs import frozen

from federation.outbound.edus import Edu, Receipt, Waiting, presence, typing
from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock
from matrix.ids import RoomId, ServerName, UserId
from storage.change import Entry, Kind
from storage.database import Database
from storage.events import Events, StoredEvent
from storage.presence import find_in_room, find_many, find_not_offline
from storage.rooms import find_rooms

MAX_ROOM_IDS = 20_000
# Of so many users in a room a server that comes in hears who is there; of others when that changes.
MAX_PRESENT = 500
# Kinds that a server hears of much later are not worth telling any more.
PASSING = frozenset((Kind.TYPING, Kind.PRESENCE))


class Hosts(Protocol):
    """Which servers are in which rooms; in homeserver.services.rooms.hosts."""

    async def in_room(self, room_nid: int) -> Collection[ServerName]: ...

    async def before(self, room_nid: int, position: int) -> Collection[ServerName]: ...

    async def sharing_with(self, user_id: UserId) -> Collection[ServerName]: ...


@frozen
class Stored:
    """There is an EDU in the database."""

    position: int


@frozen
class Delivery:
    """`to` are servers, perhaps our own among them. `is_aside`: they were not in the event's room."""

    to: Collection[ServerName]
    what: StoredEvent | Waiting | Stored
    is_aside: bool = False


class FanOut:
    def __init__(
        self,
        *,
        hosts: Hosts,
        database: Database,
        events: Events,
        clock: Clock,
        server_name: ServerName,
        tells_presence: bool,
    ) -> None:
        self._hosts = hosts
        self._database = database
        self._events = events
        self._clock = clock
        self._server_name = server_name
        self._tells_presence = tells_presence
        self._room_ids: Lru[int, RoomId] = Lru("federation_room_ids", MAX_ROOM_IDS)
        self._typists: dict[int, list[str]] = {}
        self._by_kind: dict[Kind, Callable[[Entry], Awaitable[Sequence[Delivery]]]] = {
            Kind.EVENT: self._event,
            Kind.FEDERATION: self._federation,
            Kind.TYPING: self._typing,
            Kind.RECEIPT: self._receipt,
            Kind.PRESENCE: self._presence,
        }

    async def of(self, entry: Entry) -> Sequence[Delivery]:
        """Who has to hear what."""
        function = self._by_kind.get(entry.kind)
        return () if function is None else await function(entry)

    async def still_typing(self) -> Sequence[Delivery]:
        """Those of our users who type: other servers forget them unless they are told again."""
        found: list[Delivery] = []
        for room_nid, user_ids in list(self._typists.items()):
            found += await self._told_of_typing(room_nid, user_ids, is_typing=True)
        return found

    async def who_is_there(self) -> Sequence[Delivery]:
        """Those of our users who are not offline: other servers forget them unless they are told again."""
        rows = await self._database.read(find_not_offline) if self._tells_presence else {}
        found: list[Delivery] = []
        for name, row in rows.items():
            user_id = UserId(name)
            if self._is_local(user_id.domain):
                update = presence(user_id, row.body(), self._clock.now_ms())
                found.append(Delivery(frozenset(await self._hosts.sharing_with(user_id)), update))
        return found

    def _is_local(self, server: ServerName) -> bool:
        return server == self._server_name

    async def _event(self, entry: Entry) -> Sequence[Delivery]:
        stored: StoredEvent = entry.body
        event = stored.event
        if stored.flags or not self._is_local(event.sender.domain):
            return ()
        servers = await self._hosts.before(stored.room_nid, stored.position)
        if event.sender.domain not in servers:
            return ()
        if event.type == "m.room.member" and event.membership in ("leave", "ban"):
            target = UserId(event.state_key or "").domain
            if target not in servers and event.state_key != event.sender and await self._was(stored, "invite", "knock"):
                return (Delivery(servers, stored), Delivery((target,), stored, is_aside=True))
        return (Delivery(servers, stored),)

    def is_coming(self, entry: Entry) -> bool:
        """May there be something for `presence_at`?"""
        is_join = entry.kind is Kind.EVENT and entry.user_id is not None and entry.body.event.membership == "join"
        return is_join and self._tells_presence and not entry.body.flags

    async def presence_at(self, join: StoredEvent) -> Sequence[Delivery]:
        """Who comes in is shown to the servers in the room, and who is in it to a server that comes in."""
        user_id = UserId(join.event.state_key or "")
        if self._is_local(user_id.domain):
            if await self._was(join, "join"):
                return ()
            to: Collection[ServerName] = frozenset(await self._hosts.in_room(join.room_nid))
            if all(map(self._is_local, to)):
                return ()
            rows = await self._database.read(find_many, [user_id])
        else:
            to = (user_id.domain,)
            if user_id.domain in await self._hosts.before(join.room_nid, join.position):
                return ()
            rows = await self._database.read(find_in_room, join.room_nid, [self._server_name], MAX_PRESENT)
        now_ms = self._clock.now_ms()
        return [Delivery(to, presence(name, row.body(), now_ms)) for name, row in rows.items()]

    async def _was(self, stored: StoredEvent, *memberships: str) -> bool:
        """Was this the user's membership before the event?"""
        if not stored.replaces:
            return False
        before = (await self._events.get([stored.replaces])).get(stored.replaces)
        return before is not None and before.event.membership in memberships

    async def _federation(self, entry: Entry) -> Sequence[Delivery]:
        body: dict[str, Any] = entry.body
        if "destination" in body:
            return (Delivery((ServerName(body["destination"]),), Stored(entry.position)),)
        if "pass_on" in body:
            return await self._passed_on(body["pass_on"])
        user_id = body["user_id"]
        edu = Edu(body["edu_type"], body["content"], (user_id, body["key"]), entry.position)
        return (Delivery(await self._hosts.sharing_with(UserId(user_id)), edu),)

    async def _passed_on(self, event_nid: int) -> Sequence[Delivery]:
        stored = (await self._events.get([event_nid])).get(event_nid)
        if stored is None or stored.flags or stored.position <= 0:
            return ()
        servers = await self._hosts.before(stored.room_nid, stored.position)
        # Who comes or goes by our help has the event already; who is said to invite has not.
        made_it = None if stored.event.membership == "invite" else stored.event.sender.domain
        return (Delivery([name for name in servers if name != made_it], stored),)

    async def _typing(self, entry: Entry) -> Sequence[Delivery]:
        assert entry.room_nid is not None
        before = self._typists.pop(entry.room_nid, [])
        now = [user_id for user_id in entry.body["user_ids"] if self._is_local(UserId(user_id).domain)]
        if now:
            self._typists[entry.room_nid] = now
        stopped = [user_id for user_id in before if user_id not in now]
        begun = [user_id for user_id in now if user_id not in before]
        found = await self._told_of_typing(entry.room_nid, stopped, is_typing=False)
        return [*found, *await self._told_of_typing(entry.room_nid, begun, is_typing=True)]

    async def _told_of_typing(self, room_nid: int, user_ids: list[str], *, is_typing: bool) -> list[Delivery]:
        if not user_ids or (room_id := await self._room_id(room_nid)) is None:
            return []
        servers = await self._hosts.in_room(room_nid)
        return [Delivery(servers, typing(room_id, user_id, is_typing=is_typing)) for user_id in user_ids]

    async def _receipt(self, entry: Entry) -> Sequence[Delivery]:
        user_id = UserId(entry.user_id or "")
        if entry.body["type"] != "m.read" or not self._is_local(user_id.domain):
            return ()
        assert entry.room_nid is not None
        room_id = await self._room_id(entry.room_nid)
        if room_id is None:
            return ()
        return (Delivery(await self._hosts.in_room(entry.room_nid), Receipt(room_id, user_id, entry.body)),)

    async def _presence(self, entry: Entry) -> Sequence[Delivery]:
        user_id = UserId(entry.user_id or "")
        if not self._is_local(user_id.domain):
            return ()
        update = presence(user_id, entry.body, self._clock.now_ms())
        return (Delivery(await self._hosts.sharing_with(user_id), update),)

    async def _room_id(self, room_nid: int) -> RoomId | None:
        room_id = self._room_ids.get(room_nid)
        if room_id is None:
            row = (await self._database.read(find_rooms, [room_nid])).get(room_nid)
            if row is None:
                return None
            self._room_ids.set(room_nid, room_id := row.room_id)
        return room_id
