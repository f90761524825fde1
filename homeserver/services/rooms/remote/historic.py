"""Puts one event of the past into its place: judged by the state before it, and of no effect on the room as it is.

Source: server-server API, "Checks performed on receipt of a PDU", 4 and 5.
"""

from attrs import frozen

from federation.outbound.errors import RemoteError
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.remote.arrival import ACCEPTED, Arrival, Verdict, of_one_room, rejected
from homeserver.services.rooms.remote.claims import Claims
from homeserver.services.rooms.remote.gathering import Budget, Gathering
from homeserver.services.rooms.remote.judging import (
    check_by_auth_events,
    check_by_state,
    is_outlier,
    keys_judging,
)
from homeserver.services.rooms.remote.rows import Placed, Rows
from homeserver.services.rooms.remote.state_before import StateBefore, difference
from matrix.errors import AuthRuleFailed
from matrix.events import Event
from storage.change import AlreadyThere, Change
from storage.commit import Committer
from storage.database import Database
from storage.events import Events, Flags, StoredEvent
from storage.extremities import referrers_of
from storage.interning import Nids


@frozen(kw_only=True)
class HistoricParts:
    heads: Heads
    events: Events
    database: Database
    committer: Committer
    event_nids: Nids
    states: StateBefore
    gathering: Gathering
    rows: Rows
    claims: Claims


class Historic:
    def __init__(self, parts: HistoricParts) -> None:
        self._parts = parts
        self._events = parts.events

    async def place(self, event: Event, budget: Budget, position: int | None) -> bool:
        """False if the event was here. Without a position it is shown to nobody: later events stand on it.

        Raises: RemoteError, if what it needs is not to be had.
        """
        known = await self._events.find(event.event_id)
        if known is not None and not is_outlier(known):
            return False
        gathering = self._parts.gathering
        # The state first: it brings auth events along.
        told = {one: await gathering.state_after(one, budget) for one in await gathering.missing(event.prev_events)}
        needs = await gathering.needs(event, budget)
        if len(needs.auth) < len(event.auth_events):
            raise RemoteError(budget.origin, "its auth events are not to be had")
        arrival = Arrival(event=event, auth=needs.auth, create=needs.create, told=told)
        known = await self._events.find(event.event_id)
        try:
            await self._store(arrival, known, budget, position)
        except AlreadyThere:
            return False
        return True

    async def _store(self, arrival: Arrival, known: StoredEvent | None, budget: Budget, position: int | None) -> None:
        event, parts = arrival.event, self._parts
        async with parts.heads.linearizer.of(event.room_id):
            settled = await parts.states.settled(event.room_id)
            base = dict(settled.head.state)
        prev = await self._events.by_id([one for one in event.prev_events if one not in arrival.told])
        followed_by = await parts.database.read(referrers_of, budget.room_nid, event.event_id)
        graph = await parts.states.graph(settled, [*(one.nid for one in prev.values()), *followed_by])
        after_prev = [graph.after(one.nid) for one in prev.values() if one.nid in graph.standings]
        states = [*after_prev, *(difference(base, state) for state in arrival.told.values())]
        before = await parts.states.resolve(settled.head, base, states or [difference(base, {})])
        before = (await parts.claims.add(settled.head, base, arrival, before)).before
        judged_by = await parts.states.events_of(base, before, keys_judging(event))
        verdict = of_one_room(prev.values(), budget.room_nid)
        if verdict is ACCEPTED:
            verdict = _judge(arrival, judged_by)
        nid = known.nid if known is not None else await self._number(arrival)
        placed = Placed(
            arrival=arrival,
            known=known,
            nid=nid,
            room_nid=budget.room_nid,
            prev_nids=[prev[one].nid for one in event.prev_events if one in prev],
            judged_by=judged_by,
            before=before,
            bases={settled.position: {}, **graph.bases},
        )
        await self._commit(placed, base, verdict, position)

    async def _commit(
        self, placed: Placed, base: dict[tuple[str, str], int], verdict: Verdict, position: int | None
    ) -> None:
        change, is_shown = Change(), verdict is ACCEPTED and position is not None
        flags = verdict.flags if is_shown or verdict is not ACCEPTED else Flags.SOFT_FAILED
        stored = await self._parts.rows.keep(change, placed, base, flags, position if is_shown else None)
        if is_shown and position is not None:
            await self._parts.rows.add_effects(change, placed, stored, position)
        await self._parts.committer(change)
        # Memory may have it as an outlier.
        self._events.forget(stored)
        if stored.redacted is not None and (target := self._events.known(stored.redacted)) is not None:
            target.redact(stored.nid)

    async def _number(self, arrival: Arrival) -> int:
        [nid] = await self._parts.event_nids.take(1, above=max((one.nid for one in arrival.auth), default=0))
        return nid


def _judge(arrival: Arrival, judged_by: dict[tuple[str, str], StoredEvent]) -> Verdict:
    try:
        check_by_auth_events(arrival.event, arrival.auth, arrival.create)
        check_by_state(arrival.event, judged_by)
    except AuthRuleFailed as error:
        return rejected(error)
    return ACCEPTED
