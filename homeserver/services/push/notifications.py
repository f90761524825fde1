"""The list of what a user was told of, or would have been.

Nothing of it is kept: events are judged anew, newest first, as far as the page reaches (see docs/decisions/0001).

Source: client-server API, "Listing Notifications".
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from attrs import field, frozen

from homeserver.services.push.judging import Judging
from homeserver.services.push.unread import Unread
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.visibility import Seen, Visibility
from matrix.ids import UserId
from matrix.push_eval import Actions
from storage import unread as rows
from storage.database import Database
from storage.events import Events, StoredEvent

# Looked at with one query, and for one page: of a user who is seldom told of anything a page may be empty and yet not
# the last.
BATCH, BATCHES = 200, 10


@frozen(kw_only=True)
class ListQuery:
    """`before`: a position, None for the newest."""

    before: int | None
    limit: int
    highlights_only: bool = False


@frozen(kw_only=True)
class Listed:
    """Events, newest first, with what was to be done for each, and the user's own membership at them."""

    seen: Seen
    actions: Sequence[Actions]
    unread: Collection[int]  # positions
    next_before: int | None


@frozen
class _Told:
    stored: StoredEvent
    actions: Actions
    membership: str | None = field(default=None)


class NotificationList:
    def __init__(
        self,
        *,
        members: Members,
        judging: Judging,
        unread: Unread,
        visibility: Visibility,
        events: Events,
        database: Database,
        ignored: Callable[[str], Awaitable[Collection[str]]],
    ) -> None:
        self._members = members
        self._judging = judging
        self._unread = unread
        self._visibility = visibility
        self._events = events
        self._database = database
        self._ignored = ignored

    async def page(self, user_id: UserId, query: ListQuery) -> Listed:
        rooms = await self._members.joined_rooms(user_id)
        before = 2**62 if query.before is None else query.before
        told: list[_Told] = []
        for _ in range(BATCHES):
            found = await self._database.read(rows.find_before, user_id, rooms, before, BATCH)
            stored = await self._events.get(nid for _, nid in found)
            told += await self._told(user_id, [stored[nid] for _, nid in found if nid in stored], query)
            if len(found) < BATCH:
                return await self._listed(user_id, told, query.limit, None)
            before = found[-1][0]
            if len(told) >= query.limit:
                break
        return await self._listed(user_id, told, query.limit, before)

    async def _told(self, user_id: UserId, events: Sequence[StoredEvent], query: ListQuery) -> list[_Told]:
        ignored = await self._ignored(user_id)
        by_room: dict[int, list[StoredEvent]] = {}
        for stored in events:
            if stored.event.sender not in ignored:
                by_room.setdefault(stored.room_nid, []).append(stored)
        told = []
        for room_nid, of_room in by_room.items():
            seen = await self._visibility.look(user_id, room_nid, of_room)
            judged = await self._judging.judge(user_id, room_nid, seen.events)
            for stored, actions in zip(seen.events, judged, strict=True):
                if actions.notify and (actions.highlight or not query.highlights_only):
                    told.append(_Told(stored, actions, seen.memberships.get(stored.nid, seen.membership)))
        return sorted(told, key=lambda one: -one.stored.position)

    async def _listed(self, user_id: UserId, told: list[_Told], limit: int, next_before: int | None) -> Listed:
        if len(told) > limit:
            told = told[:limit]
            next_before = told[-1].stored.position
        rooms = sorted({one.stored.room_nid for one in told})
        unread = await self._unread.notices(user_id, rooms)
        memberships: Mapping[int, str] = {one.stored.nid: one.membership for one in told if one.membership is not None}
        return Listed(
            seen=Seen(events=[one.stored for one in told], memberships=memberships),
            actions=[one.actions for one in told],
            unread={notice.position for notices in unread.values() for notice in notices},
            next_before=next_before,
        )
