"""What a client of ours may not say, though the authorization rules would let it: checks of content before sending.

Events of other servers are not checked so. Source: client-server API, "Server behaviour" of "Event annotations and
reactions", "Threading", "Server Access Control Lists"; PUT /rooms/{roomId}/state, on `m.room.canonical_alias`.
"""

from homeserver.services.rooms.canonical_alias import CANONICAL
from homeserver.services.rooms.heads import Head, Heads
from homeserver.services.rooms.intake import NewEvent
from homeserver.services.rooms.room_names import RoomNames
from matrix import server_acl
from matrix.errors import BadRequest, Forbidden
from matrix.events import Event
from matrix.ids import RoomId, ServerName
from matrix.power_levels import PowerLevels, creators
from matrix.relations import ANNOTATION, THREAD, Relation, relation
from storage.database import Database
from storage.events import Events, StoredEvent
from storage.relations import has_annotated

SERVER_ACL = "m.room.server_acl"
REDACTION = "m.room.redaction"
CREATE, LEVELS = ("m.room.create", ""), ("m.room.power_levels", "")
# As Synapse.
MAX_ANNOTATION_KEY = 500


class ContentChecks:
    def __init__(
        self, *, heads: Heads, events: Events, database: Database, names: RoomNames, server_name: ServerName
    ) -> None:
        self._heads = heads
        self._events = events
        self._database = database
        self._names = names
        self._server_name = server_name

    async def look_up(self, room_id: RoomId, new: NewEvent) -> None:
        """What `check_state` will want of other servers, asked for while the room need not wait. Raises: BadRequest."""
        if new.type == CANONICAL and new.state_key == "" and await self._heads.find_room(room_id) is not None:
            old = await self._heads.state_event(await self._heads.get(room_id), CANONICAL)
            await self._names.look_up(new.content, {} if old is None else old.event.content)

    async def check_state(self, head: Head, new: NewEvent) -> None:
        """Raises: BadRequest."""
        if (new.type, new.state_key) == CREATE:
            raise BadRequest("A room is created once", "M_UNKNOWN")
        if new.type == SERVER_ACL and new.state_key == "" and not server_acl.allowed(new.content, self._server_name):
            raise BadRequest("Can't create an ACL event that denies the local server", "M_UNKNOWN")
        if new.type == CANONICAL and new.state_key == "":
            old = await self._heads.state_event(head, CANONICAL)
            await self._names.check_canonical(head.room_id, new.content, {} if old is None else old.event.content)
        if (new.type, new.state_key) == LEVELS and head.version.creators_have_infinite_power:
            await self._check_levels(head, new)

    async def _check_levels(self, head: Head, new: NewEvent) -> None:
        """The room would refuse it as forbidden; but it is no matter of who says it."""
        create, users = await self._heads.state_event(head, *CREATE), new.content.get("users")
        named = creators(head.version, None if create is None else create.event)
        if isinstance(users, dict) and not named.isdisjoint(users):
            raise BadRequest("The level of a room's creators cannot be set", "M_UNKNOWN")

    async def check_message(self, head: Head, new: NewEvent) -> None:
        """Raises: BadRequest."""
        to = relation(new.content) if "m.relates_to" in new.content else None
        if to is None or to.event_id is None:
            return
        parent = await self._events.find(to.event_id)
        if parent is None:
            # It may be there all the same, on another server.
            return
        if parent.room_nid != head.room_nid:
            raise BadRequest("Relations must be in the same room", "M_UNKNOWN")
        if to.rel_type == THREAD and _relates(parent.event):
            raise BadRequest("Cannot start threads from an event with a relation", "M_UNKNOWN")
        if to.rel_type == ANNOTATION:
            await self._check_annotation(new, to)

    async def _check_annotation(self, new: NewEvent, to: Relation) -> None:
        if to.key is None:
            raise BadRequest("Missing aggregation key", "M_MISSING_PARAM")
        if len(to.key) > MAX_ANNOTATION_KEY or "\x00" in to.key:
            raise BadRequest("Aggregation key is too long", "M_INVALID_PARAM")
        assert to.event_id is not None
        if await self._database.read(has_annotated, to.event_id, new.sender, new.type, to.key):
            raise BadRequest("Can't send same reaction twice", "M_DUPLICATE_ANNOTATION")

    async def check_redaction(self, head: Head, new: NewEvent) -> StoredEvent | None:
        """The event that is to be redacted; None if it is not here: it may be, on other servers, and may come later.

        Raises: Forbidden, BadRequest.
        """
        target = None if new.redacts is None else await self._events.find(new.redacts)
        if target is None or (target.room_nid == head.room_nid and target.flags):
            return None
        if target.room_nid != head.room_nid:
            raise BadRequest("Cannot redact event from a different room", "M_UNKNOWN")
        if target.event.type in ("m.room.create", SERVER_ACL):
            raise Forbidden(f"Redacting {target.event.type} events is not permitted")
        if target.event.sender != new.sender and not await self._may_redact(head, new.sender):
            raise Forbidden("You don't have permission to redact events")
        return target

    async def _may_redact(self, head: Head, user_id: str) -> bool:
        state = await self._heads.state_events(head, [CREATE, LEVELS])
        levels_event = state.get(LEVELS)
        levels = PowerLevels.of(head.version, state[CREATE].event, levels_event.event if levels_event else None)
        return levels.of_user(user_id) >= levels.redact


def _relates(event: Event) -> bool:
    found = relation(event.content)
    return found is not None and found.rel_type is not None
