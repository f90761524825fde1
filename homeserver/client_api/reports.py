"""Reports to the server's administrators.

Source: client-server API, "Reporting Content".
"""

from homeserver.services.reports import Reports
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import client, route
from matrix.ids import EventId, RoomId, UserId

# Synapse takes 1,000 characters of a report of a user, and any number elsewhere.
MAX_REASON_BYTES = 10_000


class ReportsApi:
    def __init__(self, *, reports: Reports) -> None:
        self._reports = reports

    @route("POST", *client("/rooms/{room_id}/report/{event_id}"))
    async def report_event(self, call: Call, room_id: RoomId, event_id: EventId) -> Answer:
        """`score` is of older versions of the specification."""
        body = call.json(empty_ok=True)
        reason = body.optional_text("reason", max_bytes=MAX_REASON_BYTES)
        score = body.optional_integer("score", minimum=-(2**31), maximum=2**31 - 1)
        await self._reports.event(call.user, room_id, event_id, reason, score)
        return {}

    @route("POST", *client("/rooms/{room_id}/report", unstable="org.matrix.msc4151"))
    async def report_room(self, call: Call, room_id: RoomId) -> Answer:
        reason = call.json().text("reason", max_bytes=MAX_REASON_BYTES)
        await self._reports.room(call.user, room_id, reason)
        return {}

    @route("POST", *client("/users/{user_id}/report", unstable="org.matrix.msc4260"))
    async def report_user(self, call: Call, user_id: UserId) -> Answer:
        reason = call.json().text("reason", max_bytes=MAX_REASON_BYTES)
        await self._reports.user(call.user, user_id, reason)
        return {}
