"""Reads the stream for a queue: judges entry by entry what concerns the service, and keeps its interest a true fold.

From memory where that reaches, else from the database, so many positions at a time that nobody else waits.
"""

from collections.abc import Sequence

from appservice.aliased import AliasedRooms
from appservice.encryption import Members, rooms_of
from appservice.interest import Interest, RoomsOf
from appservice.queue import Queue
from appservice.registration import Registration
from appservice.registry import Registry
from appservice.room_ids import RoomIds
from matrix.ids import ServerName
from storage import appservice_reading as rows
from storage.appservice_reading import Seen
from storage.change import Kind
from storage.database import Database
from storage.stream import Stream

# Some three milliseconds of judging.
MAX_POSITIONS = 2_000
_OF_NEIGHBOURS = (Kind.PRESENCE, Kind.DEVICE_LIST)


class Reader:
    def __init__(
        self,
        *,
        database: Database,
        stream: Stream,
        registry: Registry,
        room_ids: RoomIds,
        members: Members,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._stream = stream
        self._registry = registry
        self._room_ids = room_ids
        self._members = members
        self._server_name = server_name

    @property
    def head(self) -> int:
        return self._stream.position

    async def load(self, queue: Queue) -> None:
        """Reads from the database what the service is interested in, as of where its queue stands."""
        registration, position, server = queue.registration, queue.rewind(), self._server_name
        # Runs on another thread: no cache may be asked there.
        owns = registration.owns_user
        joined = await self._database.run(rows.joined_at, server, position, owns)
        aliased = await self._aliased(registration, position)
        with_devices: set[str] = set()
        if registration.wants_encryption:
            found = await self._database.read(rows.users_with_devices, server)
            with_devices = {user_id for user_id in found if owns(user_id)}
        if queue.registration is registration:
            queue.interest = Interest(
                registration,
                owns=lambda user_id: registration in self._registry.owners_of_user(user_id),
                room_id_of=self._room_ids.known,
                joined=joined,
                aliased=aliased,
                with_devices=with_devices,
            )

    async def read_on(self, queue: Queue) -> None:
        """Reads the next entries; what concerns the service is chosen. Not if the registration changes meanwhile."""
        interest, after = queue.interest, queue.seen
        assert interest is not None
        upto = min(self._stream.position, after + MAX_POSITIONS)
        entries = await self._entries(after, upto)
        if interest.registration.rooms:
            nids = {one.room_nid for one in entries if one.room_nid is not None}
            await self._room_ids.load(nid for nid in nids if interest.needs_room_id(nid))
        rooms = await self._rooms_of(interest, entries)
        for one in entries:
            if queue.interest is not interest:
                return
            is_told, was_in = interest.concerns(one, rooms), interest.is_in(one.room_nid)
            if (room_nid := interest.fold(one)) is not None:
                await self._reload(interest, room_nid, one.position)
            # Before the event: whoever goes on from between the two does not tell the event again.
            if (nearing := interest.nearing(one, was_in)) is not None:
                queue.chosen.append(nearing)
            if is_told:
                queue.chosen.append(one)
        if queue.interest is interest:
            queue.seen = upto
            if not queue.chosen:
                queue.position = upto

    async def _entries(self, after: int, upto: int) -> Sequence[Seen]:
        if after >= self._stream.floor:
            return rows.seen(self._stream.entries(after, upto))
        return await self._database.run(rows.read, after, upto)

    async def _rooms_of(self, interest: Interest, entries: Sequence[Seen]) -> RoomsOf:
        """The rooms of the users whose presence or devices the entries tell, as far as that matters."""
        users = {
            one.user_id
            for one in entries
            if one.kind in _OF_NEIGHBOURS and one.user_id is not None and interest.may_concern(one)
        }
        return await rooms_of(self._members, users)

    async def _reload(self, interest: Interest, room_nid: int, position: int) -> None:
        owns = interest.registration.owns_user
        found = await self._database.run(rows.joined_at, self._server_name, position, owns, room_nid)
        interest.joined.pop(room_nid, None)
        interest.joined.update(found)

    async def _aliased(self, registration: Registration, position: int) -> AliasedRooms:
        """As of the position: today's, without what has changed since."""
        if not registration.aliases:
            return AliasedRooms(registration.owns_alias)
        aliased = AliasedRooms(registration.owns_alias, await self._database.read(rows.aliases))
        for change in await self._database.read(rows.alias_changes, position):
            aliased.apply(change.inverse())
        return aliased
