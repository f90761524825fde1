"""GET /sync.

Source: client-server API, "Syncing".
"""

import orjson
from attrs import evolve

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
from matrix.tokens import BadToken, SyncToken

MAX_INLINE_FILTERS = 1_000

PRESENCES = ("offline", "online", "unavailable")


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

    @route("GET", *client("/sync"), access=Access.GUEST)
    async def get_sync(self, call: Call) -> Answer:
        query, user = call.query, call.user
        presence = query.choice("set_presence", PRESENCES, "online")
        request = SyncRequest(
            user_id=user.user_id,
            device_id=user.device_id,
            device_key=user.device_id or f"token {user.token_id}",
            since=_position(query.optional_text("since")),
            filter=self._bounded(await self._filter(call)),
            full_state=query.boolean("full_state", False),
            state_name=_state_name(query),
        )
        timeout_ms = query.integer("timeout", 0, minimum=0)
        await self._set_presence(user.user_id, request.device_key, presence)
        return RawJson(await self._sync.answer(request, timeout_ms))

    def _bounded(self, wanted: Filter) -> Filter:
        return wanted if wanted.most == self._max_timeline else evolve(wanted, most=self._max_timeline)

    async def _filter(self, call: Call) -> Filter:
        """The filter that was uploaded, or stands in the query itself."""
        text = call.query.optional_text("filter")
        if not text:
            return EMPTY
        if not text.startswith("{"):
            try:
                return await self._filter_of(call.user.user_id, text)
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
