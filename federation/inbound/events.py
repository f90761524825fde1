"""Other servers ask for events of rooms that they are in.

Source: server-server API, "Backfilling and retrieving missing events", "Retrieving events", GET /event_auth.
"""

from federation.inbound.pdu_replies import body_reply, events_reply, transaction_reply
from federation.inbound.routes import V1, ServerApi, origin_of, server_route
from homeserver.runtime.clock import Clock
from homeserver.runtime.turns import Turns
from homeserver.services.rooms.for_servers.history import Gap, HistoryForServers
from homeserver.services.rooms.for_servers.pdu_lists import Body, PduLists
from homeserver.services.rooms.for_servers.states import States
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from matrix.ids import EventId, RoomId, ServerName

# Events that a request may name. A room of many forks has some hundred extremities.
MAX_NAMED = 1000


class EventsForServersApi(ServerApi):
    def __init__(
        self,
        *,
        turns: Turns,
        history: HistoryForServers,
        states: States,
        lists: PduLists,
        clock: Clock,
        server_name: ServerName,
    ) -> None:
        super().__init__(turns=turns)
        self._history = history
        self._states = states
        self._lists = lists
        self._clock = clock
        self._server_name = server_name

    @server_route("GET", f"{V1}/event/{{event_id}}")
    async def get_event(self, call: Call, event_id: EventId) -> Answer:
        event = await self._history.event(origin_of(call), event_id)
        return transaction_reply(self._server_name, self._clock.now_ms(), [event])

    @server_route("GET", f"{V1}/backfill/{{room_id}}")
    async def backfill(self, call: Call, room_id: RoomId) -> Answer:
        limit = call.query.integer("limit", minimum=1)
        event_ids = call.query.all_parsed("v", EventId, max_items=MAX_NAMED)
        events = await self._history.backfill(origin_of(call), room_id, event_ids, limit)
        return transaction_reply(self._server_name, self._clock.now_ms(), events)

    @server_route("POST", f"{V1}/get_missing_events/{{room_id}}")
    async def get_missing_events(self, call: Call, room_id: RoomId) -> Answer:
        body = call.json()
        gap = Gap(
            latest=body.all_parsed("latest_events", EventId, max_items=MAX_NAMED),
            earliest=body.all_parsed("earliest_events", EventId, max_items=MAX_NAMED),
            limit=body.integer("limit", 10, minimum=0),
            min_depth=body.integer("min_depth", 0),
        )
        return events_reply(await self._history.missing(origin_of(call), room_id, gap))

    @server_route("GET", f"{V1}/state/{{room_id}}")
    async def get_state(self, call: Call, room_id: RoomId) -> Answer:
        event_id = call.query.parsed("event_id", EventId)
        past = await self._states.at(origin_of(call), room_id, event_id)
        return await body_reply(self._lists, Body([("auth_chain", past.auth_chain), ("pdus", past.state)]))

    @server_route("GET", f"{V1}/state_ids/{{room_id}}")
    async def get_state_ids(self, call: Call, room_id: RoomId) -> Answer:
        event_id = call.query.parsed("event_id", EventId)
        past = await self._states.at(origin_of(call), room_id, event_id)
        return {
            "auth_chain_ids": await self._lists.ids(past.auth_chain),
            "pdu_ids": await self._lists.ids(past.state),
        }

    @server_route("GET", f"{V1}/event_auth/{{room_id}}/{{event_id}}")
    async def get_event_auth(self, call: Call, room_id: RoomId, event_id: EventId) -> Answer:
        chain = await self._states.auth_of(origin_of(call), room_id, event_id)
        return await body_reply(self._lists, Body([("auth_chain", chain)]))

    @server_route("GET", f"{V1}/timestamp_to_event/{{room_id}}")
    async def timestamp_to_event(self, call: Call, room_id: RoomId) -> Answer:
        forward = call.query.choice("dir", ("f", "b")) == "f"
        stored = await self._history.nearest(origin_of(call), room_id, call.query.integer("ts"), forward=forward)
        return {"event_id": stored.event_id, "origin_server_ts": stored.event.origin_server_ts}
