"""The invites that a user is to be told of, to rooms of this server and of others."""

from collections.abc import Awaitable, Callable, Collection, Sequence

from attrs import frozen

from homeserver.services.push.judging import Judging
from matrix.ids import UserId
from matrix.push_eval import Actions
from storage import out_of_band
from storage.database import Database
from storage.events import Events, StoredEvent
from storage.memberships import Membership

# Those of the inviters whose invites the user does not want to see.
HiddenFrom = Callable[[UserId, Collection[UserId]], Awaitable[Collection[str]]]


@frozen
class Due:
    """`position` is that of the stream: an event of a room that this server is not in has none of its own."""

    stored: StoredEvent
    position: int
    actions: Actions


class DueInvites:
    def __init__(self, *, judging: Judging, events: Events, database: Database, hidden_from: HiddenFrom) -> None:
        self._judging = judging
        self._events = events
        self._database = database
        self._hidden_from = hidden_from

    async def find(self, user_id: UserId, rows: Sequence[Membership]) -> list[Due]:
        """Of a room that this server is not in, the invite is kept elsewhere."""
        stored = await self._events.get(row.event_nid for row in rows)
        if lacking := [row.event_nid for row in rows if row.event_nid not in stored]:
            outside = await self._database.read(out_of_band.find, lacking)
            stored |= {nid: found.event for nid, found in outside.items()}
        hidden = await self._hidden_from(user_id, {one.event.sender for one in stored.values()}) if stored else ()
        due = []
        for row in rows:
            invite = stored.get(row.event_nid)
            if invite is not None and invite.event.sender not in hidden:
                actions = await self._judging.judge_invite(user_id, invite)
                if actions.notify:
                    due.append(Due(invite, row.position, actions))
        return due
