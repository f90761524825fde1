"""GET /sync.

Source: client-server API, "Syncing".
"""

import orjson
from attrs import evolve, frozen

from homeserver.runtime.caches import Lru
from homeserver.services.sync.request import SyncRequest
from homeserver.services.sync.seams import FilterOf, SetPresence
from homeserver.services.sync.service import Sync
from homeserver.web.call import Call
from homeserver.web.params import Fields
from homeserver.web.replies import Answer, RawJson
from homeserver.web.router import Access, client, route
from matrix.errors import BadRequest, InvalidParam, NotFound
from matrix.filters import EMPTY, MAX_LIMIT, Filter, parse_filter
from matrix.ids import UserId
from matrix.tokens import BadToken, SyncToken

MAX_INLINE_FILTERS = 1_000
# Of queries up to this length so many are remembered.
MAX_QUERIES = 1_000
MAX_REMEMBERED = 1_024

PRESENCES = ("offline", "online", "unavailable")


@frozen(kw_only=True)
class _Asked:
    """What the query says. `filter_text` is an id, JSON, or nothing."""

    presence: str
    since: int | None
    filter_text: str
    full_state: bool
    state_name: str
    timeout_ms: int

    @classmethod
    def read(cls, query: Fields) -> "_Asked":
        return cls(
            presence=query.choice("set_presence", PRESENCES, "online"),
            since=_position(query.optional_text("since")),
            filter_text=query.text("filter", ""),
            full_state=query.boolean("full_state", False),
            state_name=_state_name(query),
            timeout_ms=query.integer("timeout", 0, minimum=0),
        )


class SyncApi:
    """`max_timeline`: the most events of a room that one answer gives."""

    def __init__(
        self, *, sync: Sync, filter_of: FilterOf, set_presence: SetPresence, max_timeline: int = MAX_LIMIT
    ) -> None:
        self._max_timeline = max_timeline
        self._sync = sync
        self._filter_of = filter_of
        self._set_presence = set_presence
        # A client sends the same one with every request; parsing costs more than all the rest of the query.
        self._inline_filters: Lru[str, Filter] = Lru("inline_filters", MAX_INLINE_FILTERS)
        # Who were woken by one event come back from the same position, and ask the same.
        self._asked: Lru[str, _Asked] = Lru("sync_queries", MAX_QUERIES)

    @route("GET", *client("/sync"), access=Access.GUEST)
    async def get_sync(self, call: Call) -> Answer:
        user, asked = call.user, self._asked.get(call.target)
        if asked is None:
            asked = _Asked.read(call.query)
            if len(call.target) <= MAX_REMEMBERED:
                self._asked.set(call.target, asked)
        request = SyncRequest(
            user_id=user.user_id,
            device_id=user.device_id,
            device_key=user.device_id or f"token {user.token_id}",
            since=asked.since,
            filter=self._bounded(await self._filter(user.user_id, asked.filter_text)),
            full_state=asked.full_state,
            state_name=asked.state_name,
        )
        await self._set_presence(user.user_id, request.device_key, asked.presence)
        return RawJson(await self._sync.answer(request, asked.timeout_ms))

    def _bounded(self, wanted: Filter) -> Filter:
        return wanted if wanted.most == self._max_timeline else evolve(wanted, most=self._max_timeline)

    async def _filter(self, user_id: UserId, text: str) -> Filter:
        """The filter that was uploaded, or stands in the query itself."""
        if not text:
            return EMPTY
        if not text.startswith("{"):
            try:
                return await self._filter_of(user_id, text)
            except NotFound as error:
                # As Synapse: what was not found is no /sync, which a 404 would say.
                raise InvalidParam("No such filter") from error
        parsed = self._inline_filters.get(text)
        if parsed is None:
            parsed = _parse_inline(text)
            self._inline_filters.set(text, parsed)
        return parsed


def _parse_inline(text: str) -> Filter:
    try:
        return parse_filter(orjson.loads(text))
    except orjson.JSONDecodeError as error:
        raise BadRequest("The filter is not JSON", "M_NOT_JSON") from error


def _position(since: str | None) -> int | None:
    if not since:
        return None
    try:
        return SyncToken.parse(since).position
    except BadToken as error:
        raise InvalidParam(str(error)) from error


def _state_name(query: Fields) -> str:
    for prefix in ("", "org.matrix.msc4222."):
        if query.boolean(f"{prefix}use_state_after", False):
            return f"{prefix}state_after"
    return "state"
