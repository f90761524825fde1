"""What users report to the server's administrators: events, rooms, users.

Source: client-server API, "Reporting Content".
"""

from collections.abc import Callable

from homeserver.runtime.clock import Clock
from homeserver.runtime.ratelimit import RateLimit
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.timeline import Timeline
from homeserver.web.call import Requester
from matrix.errors import NotFound
from matrix.ids import EventId, RoomId, UserId
from storage import reports as rows
from storage import users
from storage.database import Database
from storage.reports import Report

IsLocal = Callable[[str], bool]


class Reports:
    """`limit` is by reporter. Every method raises LimitExceeded."""

    def __init__(
        self,
        *,
        timeline: Timeline,
        heads: Heads,
        members: Members,
        database: Database,
        clock: Clock,
        limit: RateLimit,
        is_local: IsLocal,
    ) -> None:
        self._timeline = timeline
        self._heads = heads
        self._members = members
        self._database = database
        self._clock = clock
        self._limit = limit
        self._is_local = is_local

    async def event(
        self, reporter: Requester, room_id: RoomId, event_id: EventId, reason: str | None, score: int | None
    ) -> None:
        """Raises: NotFound if the reporter is not in the room, or does not see the event; also if it is redacted."""
        self._limit.take(reporter.limit_key)
        room = await self._heads.find_room(room_id)
        if room is None or not await self._members.is_joined(reporter.user_id, room.room_nid):
            raise NotFound("The event was not found or you are not joined to the room.")
        seen = await self._timeline.event(reporter.user_id, room_id, event_id)
        if seen.events[0].redacted_by is not None:
            raise NotFound("The event was not found or you are not joined to the room.")
        await self._add(
            Report(reporter=reporter.user_id, room_id=room_id, event_id=event_id, reason=reason, score=score)
        )

    async def room(self, reporter: Requester, room_id: RoomId, reason: str) -> None:
        """Whether or not the reporter is in the room. Raises: NotFound."""
        self._limit.take(reporter.limit_key)
        if await self._heads.find_room(room_id) is None:
            raise NotFound("The room was not found.")
        await self._add(Report(reporter=reporter.user_id, room_id=room_id, reason=reason))

    async def user(self, reporter: Requester, user_id: UserId, reason: str) -> None:
        """As Synapse, who asks does not learn whether a user of ours exists."""
        self._limit.take(reporter.limit_key)
        if self._is_local(user_id.domain) and not await self._database.read(users.find_user, user_id):
            return
        await self._add(Report(reporter=reporter.user_id, user_id=user_id, reason=reason))

    async def _add(self, report: Report) -> None:
        await self._database.run(rows.add_report, report, self._clock.now_ms())
