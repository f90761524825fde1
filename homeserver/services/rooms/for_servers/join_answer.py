"""What a server is told of the room that it has just joined, or knocked at.

Source: server-server API, PUT /send_join (v2), PUT /send_knock.
"""

from collections.abc import Sequence

import orjson

from homeserver.services.rooms.for_servers.pdu_lists import Body, Member
from homeserver.services.rooms.for_servers.states import States
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.member_content import MEMBER
from homeserver.services.rooms.stripped import ShownState, room_state_pdus
from homeserver.services.rooms.summary import NAMES, Summaries
from matrix.events import Event, Json
from matrix.ids import ServerName
from storage.events import StoredEvent


class JoinAnswers:
    """`shown`: what is shown to who knocks."""

    def __init__(
        self, *, heads: Heads, states: States, summaries: Summaries, shown: ShownState, server_name: ServerName
    ) -> None:
        self._shown = shown
        self._heads = heads
        self._states = states
        self._summaries = summaries
        self._server_name = server_name

    async def of(self, join: StoredEvent, hosts: Sequence[ServerName], *, omit_members: bool) -> Body:
        """The state before the join, and what authorises both. `hosts` are the servers that were in the room."""
        if omit_members:
            nids, are_omitted = await self._without_members(join)
        else:
            nids, are_omitted = await self._states.numbers_before(join), False
        # Who takes an answer without the members needs nothing twice either.
        told = {join.nid, *(nids if omit_members else ())}
        members: list[tuple[str, Member]] = [
            ("origin", orjson.dumps(str(self._server_name))),
            ("event", join.event.canonical),
            ("members_omitted", b"true" if are_omitted else b"false"),
            ("auth_chain", [nid for nid in await self._states.chain_of([*nids, join.nid]) if nid not in told]),
            ("state", nids),
        ]
        if are_omitted:
            members.append(("servers_in_room", orjson.dumps(list(map(str, hosts)))))
        return Body(members)

    async def of_knock(self, knock: Event) -> list[Json]:
        """The PDUs that tell the user which room it is."""
        return await room_state_pdus(self._heads, await self._heads.get(knock.room_id), self._shown)

    async def _without_members(self, join: StoredEvent) -> tuple[list[int], bool]:
        """The state but for its members: only who joins, and who stands for the room's name if it has none.

        And whether that leaves anybody out: in a direct chat it does not, and who joins need not ask for the rest.
        """
        state = await self._states.before(join)
        kept = {str(join.event.sender)}
        if not any((event_type, "") in state for event_type, _ in NAMES):
            head = await self._heads.get(join.event.room_id)
            summary = await self._summaries.of(head, join.event.sender)
            kept.update(map(str, summary.get("m.heroes", ())))
        nids = [nid for key, nid in state.items() if key[0] != MEMBER or key[1] in kept]
        return nids, len(nids) < len(state)
