"""POST /search.

Source: client-server API, "Server Side Search".
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from attrs import frozen

from homeserver.services.rooms.client_events import ClientEvents, Reader
from homeserver.services.rooms.past_state import PastState
from homeserver.services.rooms.reading import View
from homeserver.services.rooms.search import TYPES, Hit, Neighbours, Results, Search, SearchQuery
from homeserver.services.rooms.search_token import SearchToken
from homeserver.services.rooms.visibility import Seen
from homeserver.web.call import Call
from homeserver.web.params import Fields
from homeserver.web.replies import Answer, RawJson
from homeserver.web.router import client, route
from matrix.errors import InvalidParam
from matrix.filters import parse_event_filter
from matrix.tokens import BadToken, PageToken

GROUPS = ("room_id", "sender")
DEFAULT_CONTEXT, MAX_CONTEXT = 5, 50
MAX_TERM_BYTES = 4_096
Json = dict[str, Any]


@frozen(kw_only=True)
class _Context:
    """What is wanted beside each result."""

    limits: tuple[int, int]
    with_profiles: bool


@frozen(kw_only=True)
class _Wanted:
    query: SearchQuery
    context: _Context | None
    with_state: bool
    groups: Sequence[str]


class SearchApi:
    def __init__(self, *, search: Search, past_state: PastState, client_events: ClientEvents) -> None:
        self._search = search
        self._past_state = past_state
        self._client_events = client_events

    @route("POST", *client("/search"))
    async def post_search(self, call: Call) -> Answer:
        token = _token(call)
        asked = call.json().object("search_categories").optional_object("room_events")
        if asked is None:
            return {"search_categories": {}}
        wanted = _wanted(asked, token)
        reader = Reader.of(call.user)
        results = await self._search.find(reader.user_id, wanted.query)
        written = await self._client_events.write(reader, results.seen)
        contexts = await self._contexts(reader, results, wanted.context)
        answer: Json = {
            "count": results.count,
            "highlights": results.highlights,
            "results": [
                {"rank": hit.rank, "result": orjson.Fragment(event), **contexts.get(hit.stored.nid, {})}
                for hit, event in zip(results.hits, written, strict=True)
            ],
        }
        if wanted.groups:
            answer["groups"] = {key: _group(key, results, wanted.query) for key in wanted.groups}
        if wanted.with_state:
            answer["state"] = await self._state(results)
        if results.next_page is not None:
            answer["next_batch"] = str(results.next_page)
        return RawJson([orjson.dumps({"search_categories": {"room_events": answer}})])

    async def _contexts(self, reader: Reader, results: Results, wanted: _Context | None) -> Mapping[int, Json]:
        """The member `context` of each result, by event number."""
        if wanted is None or not results.hits:
            return {}
        found = await self._search.neighbours(reader.user_id, results, wanted.limits)
        return {hit.stored.nid: {"context": await self._context(reader, hit, found, wanted)} for hit in results.hits}

    async def _context(self, reader: Reader, hit: Hit, found: Mapping[int, Neighbours], wanted: _Context) -> Json:
        beside = found[hit.stored.nid]
        chain = [*beside.before.events[::-1], hit.stored, *beside.after.events]
        context: Json = {
            "events_before": await self._fragments(reader, beside.before),
            "events_after": await self._fragments(reader, beside.after),
            "start": str(PageToken.before(chain[0].event.depth, chain[0].position)),
            "end": str(PageToken(chain[-1].event.depth, chain[-1].position)),
        }
        if wanted.with_profiles:
            view = View(hit.stored.room_nid, hit.stored.event.room_id)
            members = await self._past_state.senders(view, chain)
            context["profile_info"] = {one.event.state_key: _profile(one.event.content) for one in members}
        return context

    async def _fragments(self, reader: Reader, seen: Seen) -> list[orjson.Fragment]:
        return [orjson.Fragment(event) for event in await self._client_events.write(reader, seen)]

    async def _state(self, results: Results) -> Json:
        """The state of each room in the results, as the reader may know it, by room id."""
        state: Json = {}
        for hit in results.hits:
            room_id = str(hit.stored.event.room_id)
            if room_id not in state:
                until = results.untils[hit.stored.room_nid]
                events = await self._past_state.at(hit.stored.room_nid, until)
                state[room_id] = [orjson.Fragment(one) for one in await self._client_events.write_state(events)]
        return state


def _token(call: Call) -> SearchToken | None:
    text = call.query.optional_text("next_batch")
    if not text:
        return None
    try:
        return SearchToken.parse(text)
    except BadToken as error:
        raise InvalidParam(str(error)) from error


def _wanted(asked: Fields, token: SearchToken | None) -> _Wanted:
    keys = asked.texts("keys", list(TYPES), max_items=len(TYPES))
    if not set(keys) <= set(TYPES):
        raise InvalidParam(f"keys may be {', '.join(TYPES)}")
    filters = asked.optional_object("filter")
    query = SearchQuery(
        term=asked.text("search_term", max_bytes=MAX_TERM_BYTES),
        keys=keys,
        filter=parse_event_filter({} if filters is None else filters.raw),
        by_rank=asked.choice("order_by", ("rank", "recent"), "rank") == "rank",
        token=token,
    )
    groupings = asked.optional_object("groupings")
    groups = [] if groupings is None else groupings.objects("group_by", [], max_items=10)
    return _Wanted(
        query=query,
        context=_wanted_context(asked.optional_object("event_context")),
        with_state=asked.boolean("include_state", False),
        groups=list(dict.fromkeys(group.choice("key", GROUPS) for group in groups)),
    )


def _wanted_context(asked: Fields | None) -> _Context | None:
    if asked is None:
        return None
    limits = [
        asked.integer(f"{side}_limit", DEFAULT_CONTEXT, minimum=0, clamp=MAX_CONTEXT) for side in ("before", "after")
    ]
    return _Context(limits=(limits[0], limits[1]), with_profiles=asked.boolean("include_profile", False))


def _group(key: str, results: Results, query: SearchQuery) -> Json:
    """The results by room or by sender. A group can be gone on with alone where the order is that of time."""
    groups: dict[str, Json] = {}
    last: dict[str, int] = {}
    for order, hit in enumerate(results.hits):
        event = hit.stored.event
        value = str(event.room_id if key == "room_id" else event.sender)
        groups.setdefault(value, {"results": [], "order": order})["results"].append(event.event_id)
        last[value] = hit.position
    if results.next_page is not None and not query.by_rank:
        for value, group in groups.items():
            group["next_batch"] = str(SearchToken(last[value], (key, value)))
    return groups


def _profile(content: Mapping[str, Any]) -> Json:
    return {name: content[name] for name in ("displayname", "avatar_url") if isinstance(content.get(name), str)}
