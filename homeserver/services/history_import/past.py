"""Events put before a room's first message.

Theory of operation. What lies in the graph of a room cannot be changed, and nothing can be put between two events of
it. But an event may follow any other: an imported one follows what the first message follows, as a fork of the graph
that the room has never gone on from. It has the state of that place, is judged by it, and any server would judge it the
same. Its depth is that of the first message; its position is negative, so that it stands before that one in /messages,
in no sync, and is told no other server. No extremity comes of it: the room's state is not touched.

Whoever was not in the room at that place, as most ghosts were not, gets a membership that holds on the fork alone: an
event that no client is shown, which the imported events of its user follow. These have the depth of the others all the
same: depth is where an event stands.

Source: server-server API, "PDUs"; docs/decisions/0011.
"""

from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256

import orjson
from attrs import frozen

from homeserver.services.history_import.batch import OldEvent
from homeserver.services.rooms.intake import NewEvent, Signer, for_client
from homeserver.services.rooms.member_content import MEMBER, MemberContents
from homeserver.services.rooms.remote.gathering import Gathering
from homeserver.services.rooms.remote.historic import Historic
from homeserver.services.rooms.remote.state_before import StateBefore
from homeserver.web.call import Requester
from matrix import auth_rules
from matrix.auth_needs import CREATE, auth_keys
from matrix.building import Draft, build
from matrix.errors import AuthRuleFailed, BadEvent
from matrix.events import Event, Json, StateKey
from matrix.ids import EventId, ServerName, UserId
from matrix.room_versions import ROOM_VERSIONS, RoomVersion
from storage.events import Events, StoredEvent
from storage.rooms import RoomRow

JOIN_RULES: StateKey = ("m.room.join_rules", "")


@frozen(kw_only=True)
class PastParts:
    events: Events
    historic: Historic
    gathering: Gathering
    states: StateBefore
    contents: MemberContents
    signer: Signer


@frozen
class Place:
    """Where history is put: before which event, and the room's state there."""

    room: RoomRow
    version: RoomVersion
    first: Event
    state: Mapping[StateKey, int]


class Past:
    def __init__(self, parts: PastParts) -> None:
        self._parts = parts

    async def place_before(self, room: RoomRow, first: StoredEvent) -> Place:
        """Raises: NotFound, where the state is not known."""
        state = await self._parts.states.after_events(room.room_id, first.event.prev_events)
        return Place(room, ROOM_VERSIONS[room.version], first.event, state)

    async def make(self, requester: Requester, place: Place, old: Sequence[OldEvent]) -> "Making":
        """Everything that the authors of these events need to have been there. Raises: MatrixError."""
        making = Making(self._parts, place)
        for author in dict.fromkeys(event.sender for event in old):
            await making.admit(requester, author)
        return making

    async def put(self, place: Place, event: Event, position: int | None) -> None:
        """Stores it; without a position it is shown to nobody. What is there already stays as it is."""
        parts, room = self._parts, place.room
        budget = parts.gathering.budget(parts.signer.server_name, room.room_nid, room.room_id, place.version)
        await parts.historic.place(event, budget, position)


class Making:
    """Events at a place, built and judged before any is stored. `hidden`: memberships that hold on the fork alone."""

    def __init__(self, parts: PastParts, place: Place) -> None:
        self.hidden: list[Event] = []
        self._parts = parts
        self._place = place
        self._prev: dict[UserId, Event] = {}
        self._on_fork: dict[StateKey, Event] = {}

    async def admit(self, requester: Requester, author: UserId) -> None:
        """Sees to the author's membership, by the same events for each batch. Raises: MatrixError."""
        here = await self._state([(MEMBER, author), JOIN_RULES])
        member, rules = here.get((MEMBER, author)), here.get(JOIN_RULES)
        before = None if member is None else member.membership
        if before == "join":
            return
        is_open = rules is not None and rules.content.get("join_rule") == "public"
        if not is_open and before != "invite" and author != requester.user_id:
            await self._add_member(requester.user_id, author, "invite")
        await self._add_member(author, author, "join")

    async def event(self, old: OldEvent, content: Json) -> Event:
        """Raises: MatrixError."""
        return await self._build(
            NewEvent(type=old.type, sender=old.sender, content=content, origin_server_ts=old.origin_server_ts),
            author=old.sender,
        )

    async def _add_member(self, sender: UserId, author: UserId, membership: str) -> None:
        content = await self._parts.contents.of(author, membership, {})
        at_ms = self._place.first.origin_server_ts
        new = NewEvent(type=MEMBER, sender=sender, state_key=author, content=content, origin_server_ts=at_ms)
        event = await self._build(new, author)
        self._prev[author] = self._on_fork[event.key] = event
        self.hidden.append(event)

    async def _build(self, new: NewEvent, author: UserId) -> Event:
        version, signer = self._place.version, self._parts.signer
        named_by = auth_keys(version, new.type, new.sender, new.state_key, new.content)
        judged_by = await self._state(named_by if CREATE in named_by else [CREATE, *named_by])
        assert new.origin_server_ts is not None
        draft = Draft(
            type=new.type,
            sender=new.sender,
            content=new.content,
            room_id=self._place.room.room_id,
            origin_server_ts=new.origin_server_ts,
            depth=self._place.first.depth,
            prev_events=await self._references(author),
            auth_events=[judged_by[key] for key in named_by if key in judged_by],
            state_key=new.state_key,
            event_id=None if version.event_id_is_hash else _event_id(new, signer.server_name),
        )
        try:
            event = build(draft, version, signer.server_name, signer.key)
            auth_rules.check(event, judged_by)
        except (AuthRuleFailed, BadEvent) as error:
            raise for_client(error) from error
        return event

    async def _references(self, author: UserId) -> Sequence[Event | EventId]:
        """What the author's next event follows; the oldest room versions name it by its hash too."""
        is_id_enough = self._place.version.event_id_is_hash
        if (last := self._prev.get(author)) is not None:
            return [last.event_id if is_id_enough else last]
        ids = self._place.first.prev_events
        if is_id_enough:
            return list(ids)
        found = await self._parts.events.by_id(ids)
        return [found[one].event for one in ids]

    async def _state(self, keys: Sequence[StateKey]) -> dict[StateKey, Event]:
        """The state at the place, with what holds on the fork."""
        nids = {key: self._place.state[key] for key in keys if key in self._place.state}
        found = await self._parts.events.get(nids.values())
        state = {key: found[nid].event for key, nid in nids.items() if nid in found}
        return {**state, **{key: self._on_fork[key] for key in keys if key in self._on_fork}}


def _event_id(new: NewEvent, server_name: ServerName) -> EventId:
    """For room versions in which it is chosen: the same for the same event, so that nothing is imported twice."""
    told = orjson.dumps([new.type, new.sender, new.state_key, new.origin_server_ts, new.content])
    return EventId(f"${urlsafe_b64encode(sha256(told).digest()).decode().rstrip('=')}:{server_name}")
