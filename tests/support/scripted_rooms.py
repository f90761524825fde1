"""What a server of scripted rooms answers to others, however their requests come."""

import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from matrix.event_format import parse_pdu
from matrix.ids import EventId, ServerName, UserId
from matrix.room_versions import RoomVersion
from matrix.server_keys import publish
from matrix.signing import SigningKey
from tests.support.scripted_room import ScriptedRoom, pdus

FAR_MS = 4_000_000_000_000
V1 = "/_matrix/federation/v1"
Json = dict[str, Any]
Query = dict[str, list[str]]


class ScriptedRooms:
    """All rooms of one server. Requests may come from several threads: one lock stands before the rooms."""

    def __init__(self, name: ServerName) -> None:
        self.name = name
        self.key = SigningKey.from_seed("scripted", b"s" * 32)
        self.lock = threading.RLock()
        self.rooms: dict[str, ScriptedRoom] = {}
        self._answers: dict[str, Callable[[list[str], Query, Json], tuple[int, Json]]] = {
            "version": self._version,
            "send": self._send,
            "make_join": self._make_join,
            "send_join": self._send_join,
            "event": self._event,
            "state": self._state,
            "state_ids": self._state_ids,
            "event_auth": self._event_auth,
            "get_missing_events": self._get_missing_events,
            "backfill": self._backfill,
        }

    def new_room(self, version: RoomVersion) -> ScriptedRoom:
        room = ScriptedRoom(version, self.name, self.key, len(self.rooms) + 1)
        room.begin()
        self.rooms[room.room_id] = room
        return room

    def answer(self, target: str, body: bytes) -> tuple[int, Json]:
        """Status and JSON."""
        parts = urlsplit(target)
        words = [unquote(word) for word in parts.path.split("/")[1:]]
        if words[:3] == ["_matrix", "key", "v2"]:
            return 200, publish(self.name, [self.key], {}, FAR_MS)
        found = self._answers.get(words[3]) if len(words) > 3 else None
        if found is None:
            return 404, {"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request"}
        with self.lock:
            return found(words[4:], parse_qs(parts.query), json.loads(body) if body else {})

    def _version(self, words: list[str], query: Query, body: Json) -> tuple[int, Json]:
        return 200, {"server": {"name": "Scripted", "version": "1"}}

    def _send(self, words: list[str], query: Query, body: Json) -> tuple[int, Json]:
        return 200, {"pdus": {}}

    def _make_join(self, words: list[str], query: Query, body: Json) -> tuple[int, Json]:
        room, user = self.rooms[words[0]], UserId(words[1])
        event = room.template("m.room.member", user, {"membership": "join"}, user)
        return 200, {"room_version": room.version.id, "event": event}

    def _send_join(self, words: list[str], query: Query, body: Json) -> tuple[int, Json]:
        room = self.rooms[words[0]]
        event = parse_pdu(body, room.version)
        room.take_in(event)
        state = [room.events[event_id] for event_id in room.before[event.event_id].values()]
        chain = room.auth_chain(each.event_id for each in [*state, event])
        return 200, {
            "origin": self.name,
            "members_omitted": False,
            "event": body,
            "state": pdus(state),
            "auth_chain": pdus(chain),
        }

    def _event(self, words: list[str], query: Query, body: Json) -> tuple[int, Json]:
        for room in self.rooms.values():
            if (event := room.events.get(EventId(words[0]))) is not None:
                return 200, {"origin": self.name, "origin_server_ts": FAR_MS, "pdus": [event.pdu]}
        return 404, {"errcode": "M_NOT_FOUND", "error": "No such event"}

    def _state_ids(self, words: list[str], query: Query, body: Json) -> tuple[int, Json]:
        room, event_id = self.rooms[words[0]], EventId(query["event_id"][0])
        state = list(room.before[event_id].values())
        chain = [each.event_id for each in room.auth_chain(state)]
        return 200, {"pdu_ids": state, "auth_chain_ids": chain}

    def _state(self, words: list[str], query: Query, body: Json) -> tuple[int, Json]:
        room, event_id = self.rooms[words[0]], EventId(query["event_id"][0])
        state = list(room.before[event_id].values())
        return 200, {
            "pdus": pdus(room.events[each] for each in state),
            "auth_chain": pdus(room.auth_chain(state)),
        }

    def _event_auth(self, words: list[str], query: Query, body: Json) -> tuple[int, Json]:
        room = self.rooms[words[0]]
        return 200, {"auth_chain": pdus(room.auth_chain([EventId(words[1])]))}

    def _get_missing_events(self, words: list[str], query: Query, body: Json) -> tuple[int, Json]:
        room = self.rooms[words[0]]
        latest = [EventId(event_id) for event_id in body["latest_events"]]
        found = room.missing(latest, body["earliest_events"], min(20, body.get("limit", 10)))
        return 200, {"events": pdus(found)}

    def _backfill(self, words: list[str], query: Query, body: Json) -> tuple[int, Json]:
        room = self.rooms[words[0]]
        wanted = [EventId(event_id) for event_id in query["v"]]
        found = [*room.missing(wanted, (), int(query["limit"][0])), *(room.events[each] for each in wanted)]
        return 200, {"origin": self.name, "origin_server_ts": FAR_MS, "pdus": pdus(found[::-1])}
