"""Bundled aggregations: what the children of an event come to, told with the event itself.

Theory of operation. Of most events it is known from memory that they have no children: they cost nothing. For all
others of an answer together one query sums up their edits, threads and references; the newest edits and thread events
that it names are mostly in memory. Thread events have bundles of their own, by a second such query.

Source: client-server API, "Aggregations of child events", "Server-side aggregation of m.replace relationships",
"Server-side aggregation of m.thread relationships", "Server-side aggregation of m.reference".
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

from homeserver.runtime.clock import Clock
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.serialise import Around, event_json
from homeserver.services.rooms.visibility import Visibility
from matrix.events import Json
from matrix.ids import UserId
from matrix.relations import ANNOTATION, REFERENCE, REPLACE, THREAD, relation
from storage import related
from storage.database import Database
from storage.events import Events, StoredEvent
from storage.related import Children, Parent

Ignored = Callable[[str], Awaitable[frozenset[str]]]
ENCRYPTED = "m.room.encrypted"
_LEFT = frozenset(("leave", "ban"))
_FOREVER = 2**62


class Bundles:
    """`await bundles(user_id, events)` gives `m.relations` by event number, of those events that have any."""

    def __init__(
        self,
        *,
        database: Database,
        events: Events,
        members: Members,
        visibility: Visibility,
        ignored: Ignored,
        clock: Clock,
    ) -> None:
        self._database = database
        self._events = events
        self._members = members
        self._visibility = visibility
        self._ignored = ignored
        self._clock = clock

    async def __call__(self, user_id: UserId, events: Sequence[StoredEvent]) -> Mapping[int, Json]:
        return await self._of(user_id, events, threads=True)

    async def _of(self, user_id: UserId, events: Sequence[StoredEvent], *, threads: bool) -> dict[int, Json]:
        parents = {stored.nid: stored for stored in events if _may_have_children(stored)}
        if not parents:
            return {}
        found = await self._sum_up(user_id, parents.values())
        told = await self._children(user_id, found)
        latest = [told[one.latest] for one in found if one.latest in told]
        inner = await self._of(user_id, latest, threads=False) if threads and latest else {}
        bundles: dict[int, Json] = {}
        for children in found:
            parent = parents[children.nid]
            if children.rel_type == THREAD and not threads:
                continue
            value = self._aggregate(user_id, parent, children, told, inner)
            if value is not None:
                bundles.setdefault(parent.nid, {})[children.rel_type] = value
        return bundles

    async def _sum_up(self, user_id: UserId, parents: Collection[StoredEvent]) -> list[Children]:
        own = await self._members.rooms_of(user_id)
        ignored = await self._ignored(user_id)
        asked = []
        for stored in parents:
            row = own.get(stored.room_nid)
            until = row.position if row is not None and row.membership in _LEFT else _FOREVER
            event = stored.event
            asked.append(Parent(stored.nid, stored.room_nid, stored.event_id, event.sender, event.type, until))
        found = await self._database.read(related.sum_up, asked, user_id, ignored)
        if not ignored and all(one.until == _FOREVER for one in asked):
            have_some = {children.nid for children in found}
            for stored in parents:
                # A child that came meanwhile has made it True.
                if stored.has_children is None:
                    stored.has_children = stored.nid in have_some
        return found

    async def _children(self, user_id: UserId, found: Iterable[Children]) -> dict[int, StoredEvent]:
        """The edits and thread events that are spoken of and that the user may see."""
        nids = {children.latest for children in found if children.latest is not None}
        nids.update(nid for children in found for nid in children.edits or ())
        by_room: dict[int, list[StoredEvent]] = {}
        for stored in (await self._events.get(nids)).values():
            by_room.setdefault(stored.room_nid, []).append(stored)
        seen: dict[int, StoredEvent] = {}
        for room_nid, children in by_room.items():
            seen |= {one.nid: one for one in await self._visibility.filter(user_id, room_nid, children)}
        return seen

    def _aggregate(
        self,
        user_id: UserId,
        parent: StoredEvent,
        children: Children,
        told: Mapping[int, StoredEvent],
        inner: Mapping[int, Json],
    ) -> Json | None:
        around = Around(now_ms=self._clock.now_ms(), with_room_id=True, bundles=inner)
        if children.rel_type == REFERENCE:
            return {"chunk": [{"event_id": event_id} for event_id in children.references or ()]}
        if children.rel_type == REPLACE:
            if parent.redacted_by is not None:
                return None
            edits = (told[nid] for nid in children.edits or () if nid in told)
            edit = next((one for one in edits if is_valid_edit(one, parent)), None)
            return None if edit is None else event_json(edit, around)
        latest = None if children.latest is None else told.get(children.latest)
        if latest is None or is_child(parent):
            return None
        return {
            "latest_event": event_json(latest, around),
            "count": children.count,
            "current_user_participated": children.participated or parent.event.sender == user_id,
        }


def is_valid_edit(edit: StoredEvent, parent: StoredEvent) -> bool:
    """Source: "Validity of replacement events". What is encrypted has its new content inside."""
    if edit.event.is_state or parent.event.is_state or edit.redacted_by is not None or not edit.visible:
        return False
    same = (edit.room_nid, edit.event.sender, edit.event.type) == (
        parent.room_nid,
        parent.event.sender,
        parent.event.type,
    )
    return same and (edit.event.type == ENCRYPTED or isinstance(edit.event.content.get("m.new_content"), dict))


def is_child(stored: StoredEvent) -> bool:
    """Does the event relate to another? Then no thread can begin at it."""
    to = relation(stored.event.content) if "m.relates_to" in stored.event.content else None
    return to is not None and to.rel_type is not None


def _may_have_children(stored: StoredEvent) -> bool:
    """Not state events; and what is itself an edit or an annotation has no children that count."""
    if stored.has_children is False or stored.event.is_state:
        return False
    to = relation(stored.event.content) if "m.relates_to" in stored.event.content else None
    return to is None or to.rel_type not in (REPLACE, ANNOTATION)
