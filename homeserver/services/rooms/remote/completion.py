"""Makes rooms whole that were joined with most members left out, in the background.

Theory of operation. The state before the join is asked of the servers in the room, one after another, until one tells
a state that allows the join. Its members are filled in before everything (storage/partial_rooms.py), a few hundred at a
time. Then, under the room's lock, all that was judged by the partial state is judged again by the whole one
(replay.py), and one change puts right what that makes different (rewriting.py): the room is whole.

A restart begins again; nothing of it has to be undone. Of several processes one does it, another if that one ends.

Source: MSC3902; server-server API, PUT /send_join, `omit_members`.
"""

import logging
from collections.abc import Mapping, Sequence

from attrs import frozen

from federation.outbound.errors import BadAnswer, RemoteError
from homeserver.runtime.clock import Clock
from homeserver.runtime.slices import slices
from homeserver.runtime.tasks import Tasks
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.remote.gathering import Gathering
from homeserver.services.rooms.remote.judging import check_by_state, keys_judging
from homeserver.services.rooms.remote.replay import Whole
from homeserver.services.rooms.remote.rewriting import MEMBER, Rewriting
from homeserver.services.rooms.remote.state_before import StateBefore, difference, overlaid
from homeserver.services.rooms.restricted_joins import IsLocal
from matrix.auth_needs import CREATE
from matrix.errors import AuthRuleFailed, BadEvent, MatrixError
from matrix.events import StateKey
from matrix.ids import RoomId, ServerName, UserId
from matrix.room_versions import ROOM_VERSIONS
from storage import partial_rooms
from storage.change import HeadMoved
from storage.database import Database
from storage.events import Events
from storage.interning import StateKeys
from storage.leases import Leases
from storage.partial_rooms import PartialRow
from storage.rooms import RoomRow

logger = logging.getLogger(__name__)

# Between two rounds of all servers; doubled up to the longest.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 600.0
# How often a process looks whether a room that another completes was left alone.
LOOK_S = 30.0
# Servers that are asked in one round.
MAX_SERVERS = 20
ATTEMPTS = 5
# So long the answer to a join waits for the room to be whole: clients that want all members see it at once then.
MOMENT_S = 0.5
# Members that are loaded, and that are written, at once: a few milliseconds of everybody's time.
LOADED_AT_ONCE, FILLED_AT_ONCE = 250, 250


@frozen(kw_only=True)
class CompletionParts:
    heads: Heads
    members: Members
    events: Events
    database: Database
    state_keys: StateKeys
    partial: PartialRooms
    leases: Leases
    gathering: Gathering
    states: StateBefore
    rewriting: Rewriting
    is_local: IsLocal
    clock: Clock
    tasks: Tasks


class Completion:
    def __init__(self, parts: CompletionParts) -> None:
        self._parts = parts
        self._heads = parts.heads
        self._database = parts.database
        self._running: set[int] = set()

    async def resume(self) -> None:
        """Takes up what was begun before a restart, and later what other processes leave alone."""
        for row in await self._parts.partial.load():
            self._begin(row.room_nid)
        self._parts.tasks.repeat("partial_rooms.look", LOOK_S, self.look)

    async def look(self) -> None:
        for room_nid in self._parts.partial.all():
            self._begin(room_nid)

    async def begin(self, room_id: RoomId) -> None:
        """The room has just been joined. A small one is whole when this comes back."""
        room = await self._heads.find_room(room_id)
        if room is None or not self._parts.partial.is_partial(room.room_nid):
            return
        self._begin(room.room_nid)
        try:
            await self._parts.partial.whole(room.room_nid, MOMENT_S)
        except MatrixError:
            # All the more reason to let the user in now.
            return

    def _begin(self, room_nid: int) -> None:
        if room_nid not in self._running:
            self._running.add(room_nid)
            self._parts.tasks.background("rooms.complete_state", self._run(room_nid), endless=True)

    async def _run(self, room_nid: int) -> None:
        try:
            async with self._parts.leases.of(room_nid) as is_ours:
                if is_ours:
                    await self._in_rounds(room_nid)
        finally:
            self._running.discard(room_nid)

    async def _in_rounds(self, room_nid: int) -> None:
        pause_s = FIRST_PAUSE_S
        while self._parts.partial.is_partial(room_nid) and await self._are_in(room_nid):
            if await self._round(room_nid):
                return
            await self._parts.clock.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _are_in(self, room_nid: int) -> bool:
        """Who has left is told nothing any more; who comes back begins again."""
        joined = await self._parts.members.joined(room_nid)
        return any(self._parts.is_local(user_id.domain) for user_id in joined)

    async def _round(self, room_nid: int) -> bool:
        """Asks each server; True if the room is whole."""
        row = await self._database.read(partial_rooms.find, room_nid)
        room = (await self._heads.rooms([room_nid])).get(room_nid)
        if row is None or row.completed is not None or room is None:
            return True
        for server in [one for one in row.servers if not self._parts.is_local(one)][:MAX_SERVERS]:
            try:
                return await self._complete(row, room, server)
            except (RemoteError, MatrixError, AuthRuleFailed, BadEvent, HeadMoved) as error:
                logger.info("The state of %s was not completed by %s: %s", room.room_id, server, error)
        return False

    async def _complete(self, row: PartialRow, room: RoomRow, server: ServerName) -> bool:
        """Raises: RemoteError, MatrixError, HeadMoved, AuthRuleFailed."""
        state = await self._ask(row, room, server)
        await self._fill_in(row, state)
        for _ in range(ATTEMPTS):
            async with self._heads.linearizer.of(room.room_id):
                # Whoever has joined again meanwhile needs another state.
                if await self._database.read(partial_rooms.find, row.room_nid) != row:
                    return False
                if await self._parts.rewriting.commit(Whole(row, room, state)):
                    logger.info("The state of %s is complete: %d members and more", room.room_id, len(state))
                    return True
        raise HeadMoved

    async def _ask(self, row: PartialRow, room: RoomRow, server: ServerName) -> dict[StateKey, int]:
        """The state before the join, which it allows."""
        join = (await self._parts.events.get([row.join_nid]))[row.join_nid].event
        gathering = self._parts.gathering
        budget = gathering.budget(server, row.room_nid, room.room_id, ROOM_VERSIONS[room.version])
        states = [await gathering.state_after(event_id, budget) for event_id in join.prev_events]
        if not states:
            raise BadAnswer(server, "the join follows nothing")
        head = await self._heads.get(room.room_id)
        base, changes = states[0], [difference(states[0], other) for other in states[1:]]
        state = overlaid(base, await self._parts.states.resolve(head, base, [{}, *changes])) if changes else base
        if state.get(CREATE) != head.state.get(CREATE):
            raise BadAnswer(server, "it tells the state of another room")
        check_by_state(join, await self._parts.states.events_of(state, {}, keys_judging(join)))
        return state

    async def _fill_in(self, row: PartialRow, state: Mapping[StateKey, int]) -> None:
        """The members of other servers; ours are told in the end."""
        others: list[StateKey] = []
        async for keys in slices(list(state), self._parts.clock):
            others += [key for key in keys if key[0] == MEMBER and not self._parts.is_local(UserId(key[1]).domain)]
        for start in range(0, len(others), LOADED_AT_ONCE):
            keys = others[start : start + LOADED_AT_ONCE]
            members = await self._members(keys, state)
            for at in range(0, len(members), FILLED_AT_ONCE):
                part = members[at : at + FILLED_AT_ONCE]
                await self._database.run(partial_rooms.fill_in, row.room_nid, row.base, part)

    async def _members(
        self, keys: Sequence[StateKey], state: Mapping[StateKey, int]
    ) -> list[tuple[int, str, str, int]]:
        key_nids = await self._parts.state_keys.nids(keys)
        found = await self._parts.events.get(state[key] for key in keys)
        return [
            (key_nids[key], key[1], found[state[key]].event.membership or "leave", state[key])
            for key in keys
            if state[key] in found
        ]
