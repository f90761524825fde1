"""From plans to ready JSON: loads what the plans speak of, all at once, and writes them out.

Writing gives way to others every few milliseconds: an initial sync of a thousand rooms blocks nobody.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import orjson
from attrs import frozen

from homeserver.runtime.clock import Clock
from homeserver.services.rooms.sent_ids import transaction_ids
from homeserver.services.rooms.serialise import Around, event_bytes, event_json, load_around
from homeserver.services.sync.answer import RoomAnswer
from homeserver.services.sync.moved import receipts_content
from homeserver.services.sync.plan import MEMBER, Plan, is_wanted
from homeserver.services.sync.request import Window
from homeserver.services.sync.slices import Slices
from matrix.events import Json
from matrix.filters import EventFields
from matrix.ids import UserId
from matrix.tokens import SyncToken
from storage.database import Database
from storage.events import Events, StoredEvent


class Bundles(Protocol):
    """Bundled aggregations, by event number, of those of the events that have any."""

    def __call__(self, user_id: UserId, events: Sequence[StoredEvent]) -> Awaitable[Mapping[int, Json]]: ...


class UnreadCounts(Protocol):
    """The members `unread_notifications` and, if asked for by thread, `unread_thread_notifications`."""

    def __call__(
        self, user_id: UserId, room_nids: Sequence[int], *, by_thread: bool
    ) -> Awaitable[Mapping[int, dict[str, Any]]]: ...


class Typing(Protocol):
    """Who is typing in a room now."""

    def __call__(self, room_nid: int) -> Sequence[str]: ...


class Receipts(Protocol):
    """All receipts of rooms that have any, for a client that knows none: (user id, body) by room number."""

    def __call__(self, room_nids: Sequence[int]) -> Awaitable[Mapping[int, list[tuple[str, dict[str, Any]]]]]: ...


@frozen(kw_only=True)
class RoomSources:
    """What stands in a room's part beside its events."""

    bundles: Bundles
    unread: UnreadCounts
    typing: Typing
    receipts: Receipts


class RoomWriter:
    def __init__(self, *, events: Events, database: Database, clock: Clock, sources: RoomSources) -> None:
        self._events = events
        self._database = database
        self._clock = clock
        self._sources = sources

    async def write(
        self, window: Window, plans: Sequence[Plan], account_data: Mapping[str, list[bytes]], *, joined: bool
    ) -> dict[str, bytes]:
        """The plans' parts of the answer by room id, without those that have nothing to tell."""
        loaded = await self._load(window, plans)
        nids = [plan.room_nid for plan in plans]
        by_thread = window.request.filter.room.timeline.unread_thread_notifications
        unread = await self._sources.unread(window.user_id, nids, by_thread=by_thread) if joined and nids else {}
        whole = [plan.room_nid for plan in plans if plan.whole]
        receipts = await self._sources.receipts(whole) if joined and whole else {}
        written: dict[str, bytes] = {}
        slices = Slices(self._clock)
        for plan in plans:
            answer = self._room(window, plan, loaded)
            answer.account_data = account_data.get(plan.room_id, [])
            answer.unread = unread.get(plan.room_nid, {})
            if joined:
                answer.ephemeral = self._ephemeral(window, plan, receipts.get(plan.room_nid, []))
                answer.summary = plan.summary
            # A receipt of one's own changes the counts, be it a private one that nobody is told of.
            has_read = any(user == window.user_id for user, _ in plan.moved.receipts)
            if answer.has_news or plan.whole or not joined or has_read:
                written[plan.room_id] = answer.encode(joined=joined)
            await slices.give_way()
        return written

    async def _load(self, window: Window, plans: Sequence[Plan]) -> "_Loaded":
        wanted = {nid for plan in plans for nid in plan.state.values()}
        state = await self._events.get(wanted)
        timeline = [stored for plan in plans for stored in plan.timeline]
        beside = await load_around(self._events, [*timeline, *state.values()])
        bundles = await self._sources.bundles(
            window.user_id, [one for one in timeline if one.has_children is not False]
        )
        device = window.request.device_key
        sent = await transaction_ids(self._database, window.user_id, device, timeline, window.now_ms)
        return _Loaded(state=state, beside=beside, bundles=bundles, sent=sent)

    def _room(self, window: Window, plan: Plan, loaded: "_Loaded") -> RoomAnswer:
        request = window.request
        around = Around(
            now_ms=window.now_ms,
            replaced=loaded.beside,
            redactions=loaded.beside,
            transaction_ids=loaded.sent,
            memberships=_memberships(window.user_id, plan),
            membership="join",
            bundles=loaded.bundles,
        )
        state_around = Around(now_ms=window.now_ms, replaced=loaded.beside, redactions=loaded.beside)
        wanted = request.filter.room.state
        state = [loaded.state[nid] for nid in plan.state.values() if nid in loaded.state]
        write = _writer(request.filter.event_fields)
        return RoomAnswer(
            timeline=[write(stored, around) for stored in plan.timeline],
            limited=plan.limited,
            prev_batch=_prev_batch(window, plan),
            state=[write(one, state_around) for one in state if is_wanted(one, wanted, window)],
            state_name=request.state_name,
        )

    def _ephemeral(self, window: Window, plan: Plan, receipts: list[tuple[str, dict[str, Any]]]) -> list[bytes]:
        wanted = window.request.filter.room.ephemeral
        is_asked = plan.whole or plan.moved.has_lost_typing
        typing = self._sources.typing(plan.room_nid) if is_asked else plan.moved.typing
        events = []
        if (typing or (typing is not None and not plan.whole)) and wanted.allows("m.typing", None, plan.room_id):
            others = [user for user in typing if user not in window.ignored]
            events.append(orjson.dumps({"type": "m.typing", "content": {"user_ids": others}}))
        told = [(user, body) for user, body in receipts or plan.moved.receipts if user not in window.ignored]
        content = receipts_content(told, window.user_id)
        if content is not None and wanted.allows("m.receipt", None, plan.room_id):
            events.append(content)
        return events


@frozen(kw_only=True)
class _Loaded:
    """By event number."""

    state: Mapping[int, StoredEvent]
    beside: Mapping[int, StoredEvent]
    bundles: Mapping[int, Json]
    sent: Mapping[int, str]


def _memberships(user_id: str, plan: Plan) -> Mapping[int, str]:
    """The reader's memberships at the events at which it was not "join"; at an own member event what that makes it."""
    own = {
        stored.nid: stored.event.membership or "leave"
        for stored in plan.timeline
        if stored.event.type == MEMBER and stored.event.state_key == user_id
    }
    return {**plan.memberships, **own} if own else plan.memberships


def _prev_batch(window: Window, plan: Plan) -> str:
    """Everything that came before. No place in the history: what came late to a fork may lie before what came first."""
    if plan.timeline:
        return str(SyncToken(plan.timeline[0].position - 1))
    # Of what came nothing passed the filter; or nothing came.
    return str(SyncToken(window.upto if plan.whole or plan.limited else window.since))


def _writer(event_fields: EventFields | None) -> Callable[[StoredEvent, Around], bytes]:
    """`event_bytes`, or with a filter by fields the slower way."""
    if event_fields is None:
        return event_bytes
    return lambda stored, around: orjson.dumps(event_fields.project(event_json(stored, around)))
