"""What the endpoints of history take in their queries: tokens, limits, and filters as JSON."""

import orjson

from homeserver.runtime.caches import Lru
from homeserver.services.rooms.timeline import NO_FILTER
from homeserver.web.call import Call
from matrix.errors import BadRequest, InvalidParam
from matrix.filters import EventFilter, parse_event_filter
from matrix.tokens import BadToken, PageToken, SyncToken, parse_history_token

MAX_FILTERS = 1_000


def token(call: Call, name: str) -> SyncToken | PageToken | None:
    """Raises: InvalidParam. As Synapse, an empty one counts as none."""
    text = call.query.optional_text(name)
    if not text:
        return None
    try:
        return parse_history_token(text)
    except BadToken as error:
        raise InvalidParam(str(error)) from error


class EventFilters:
    """The filters that stand in queries: a client sends the same one with every request."""

    def __init__(self) -> None:
        self._parsed: Lru[str, EventFilter] = Lru("event_filters", MAX_FILTERS)

    def of(self, call: Call) -> EventFilter:
        """Raises: BadRequest, InvalidParam."""
        text = call.query.optional_text("filter")
        if not text:
            return NO_FILTER
        parsed = self._parsed.get(text)
        if parsed is None:
            parsed = parse_event_filter(_decoded(text))
            self._parsed.set(text, parsed)
        return parsed


def _decoded(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest("The filter is not JSON", "M_NOT_JSON") from error
