"""Publication: which rooms the directory shows, and who decides.

Source: client-server API, "Published room directory"; application service API, "Application service room directories".
"""

from collections.abc import Callable, Collection

from attrs import frozen

from homeserver.services.rooms.aliases import Aliases, may_name
from homeserver.services.rooms.heads import Heads
from homeserver.web.call import Requester
from matrix.errors import Forbidden
from matrix.ids import RoomId
from storage import published_rooms as rows
from storage.change import Change, Entry, Kind
from storage.commit import Committer
from storage.database import Database
from storage.published_rooms import RoomList

OWN = RoomList()
# What tells the lists' readers, in every process, that a list has changed.
CHANGED = {"directory": True}


@frozen(kw_only=True)
class DirectoryRules:
    """`may_publish(user_id, room_id, aliases)`: the configuration's room_list_publication_rules.

    `is_enabled`: enable_room_list_search.
    """

    may_publish: Callable[[str, str, Collection[str]], bool]
    is_enabled: bool = True


class Directory:
    def __init__(
        self, *, database: Database, committer: Committer, heads: Heads, aliases: Aliases, rules: DirectoryRules
    ) -> None:
        self._database = database
        self._committer = committer
        self._heads = heads
        self._aliases = aliases
        self._rules = rules

    async def is_published(self, room_id: RoomId) -> bool:
        """Raises: NotFound."""
        room = await self._heads.room(room_id)
        return await self._database.read(rows.is_published, room.room_nid)

    async def set_published(self, requester: Requester, room_id: RoomId, published: bool) -> None:
        """In the server's own list. Raises: NotFound, Forbidden."""
        head = await self._heads.get(room_id)
        if not requester.is_admin and not await may_name(self._heads, head, requester.user_id):
            raise Forbidden("This server requires you to be a moderator in the room to edit its room list entry")
        if published:
            self._check_may_publish(requester, room_id, await self._aliases.of_room(head.room_nid))
        await self._put(head.room_nid, OWN, published)

    async def set_listed(self, of: RoomList, room_id: RoomId, listed: bool) -> None:
        """In an application service's list. Raises: NotFound."""
        room = await self._heads.room(room_id)
        await self._put(room.room_nid, of, listed)

    def check_may_publish_new(self, requester: Requester, aliases: Collection[str]) -> None:
        """May the requester make a room that is published? Raises: Forbidden.

        Synapse makes the room and publishes it silently not.
        """
        self._check_may_publish(requester, "", aliases)

    def publish_new(self, change: Change, room_nid: int) -> None:
        """Publishes a room with the change that makes it."""
        _put(change, room_nid, OWN, published=True)

    def _check_may_publish(self, requester: Requester, room_id: str, aliases: Collection[str]) -> None:
        if not self._rules.is_enabled or not self._rules.may_publish(requester.user_id, room_id, aliases):
            raise Forbidden("Not allowed to publish room")

    async def _put(self, room_nid: int, of: RoomList, published: bool) -> None:
        change = Change()
        _put(change, room_nid, of, published=published)
        await self._committer(change)


def _put(change: Change, room_nid: int, of: RoomList, *, published: bool) -> None:
    row = (room_nid, of.appservice_id, of.network_id)
    change.put(rows.PUBLISH if published else rows.WITHDRAW, row)
    announce(change)


def announce(change: Change) -> None:
    """The change concerns the lists."""
    change.announce(Entry(Kind.CACHE, body=CHANGED))
