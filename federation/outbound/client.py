"""The endpoints of other servers, one method each: paths and limits, and the outermost shape of what they answer.

What is inside (PDUs, keys, profiles) is as the other server wrote it; whoever uses it checks it. Everything raises
Unreachable, Refused or BadAnswer.

Source: server-server API.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from federation.outbound.errors import BadAnswer, Refused
from federation.outbound.transport import MAX_EVENT_DEPTH, Query, Terms, Transport
from federation.outbound.wire import WireStream
from matrix.events import Json
from matrix.ids import EventId, RoomAlias, RoomId, ServerName, UserId

V1, V2 = "/_matrix/federation/v1", "/_matrix/federation/v2"

# The state of a room with 50,000 members is some 60 MB; a server that sends more means harm.
MAX_STATE_BYTES = 200 << 20
# 100 events of 64 kB, and what is around them.
MAX_EVENTS_BYTES = 10 << 20
MAX_EVENT_BYTES = 256 * 1024

EVENT = Terms(timeout_s=20.0, max_bytes=MAX_EVENT_BYTES, max_depth=MAX_EVENT_DEPTH)
EVENTS = Terms(timeout_s=30.0, max_bytes=MAX_EVENTS_BYTES, max_depth=MAX_EVENT_DEPTH)
# A large state takes the other server minutes to gather.
STATE = Terms(timeout_s=300.0, max_bytes=MAX_STATE_BYTES, max_depth=MAX_EVENT_DEPTH)
# What a user waits for, of a server that may not have answered of late: it is tried all the same.
ASKED_BY_USER = Terms(timeout_s=30.0, even_if_backing_off=True)
# Joining and being invited: the other side may have to ask others.
MEMBERSHIP = Terms(timeout_s=60.0, max_bytes=MAX_EVENTS_BYTES, max_depth=MAX_EVENT_DEPTH, even_if_backing_off=True)
SEND = Terms(timeout_s=60.0, retries=0)
QUERY = Terms(timeout_s=30.0)
KEYS = Terms(timeout_s=30.0, max_bytes=50 << 20, is_repeatable=True)


class FederationClient:
    """Paths and shapes over a `Transport`."""

    def __init__(self, *, transport: Transport) -> None:
        self._transport = transport

    async def version(self, server: ServerName, terms: Terms = QUERY) -> Json:
        """`{"server": {"name": ..., "version": ...}}`, each of which may be missing."""
        return _object(server, await self._transport.get(server, f"{V1}/version", terms=terms))

    async def send_transaction(
        self, server: ServerName, transaction_id: str, body: Json | bytes, terms: Terms = SEND
    ) -> Json:
        """Sends PDUs and EDUs; `pdus` of the answer maps event ids to `{}` or `{"error": ...}`.

        `body`: a value, or its canonical JSON. It may be repeated, with the same id and the same body.
        """
        answer = _object(
            server, await self._transport.put(server, f"{V1}/send/{_q(transaction_id)}", body, terms=terms)
        )
        return _check(server, answer, {"pdus": dict}, optional=True)

    async def policy_sign(self, server: ServerName, pdu: Json, *, by_user: bool = False) -> Json:
        """Signatures by server and key id. `by_user`: somebody waits, who would send the event."""
        terms = ASKED_BY_USER if by_user else QUERY
        try:
            return _object(server, await self._transport.post(server, "/_matrix/policy/v1/sign", pdu, terms=terms))
        except Refused as error:
            if not error.is_unsupported:
                raise
        # By the name of MSC4284, as policy servers had it before the specification.
        path = "/_matrix/policy/unstable/org.matrix.msc4284/sign"
        return _object(server, await self._transport.post(server, path, pdu, terms=terms))

    async def room_complexity(self, server: ServerName, room_id: RoomId) -> float:
        """How large the room is: 1 for 500 state events. Synapse's, of rooms that anyone may join."""
        path = f"/_matrix/federation/unstable/rooms/{_q(room_id)}/complexity"
        answer = _object(server, await self._transport.get(server, path, terms=ASKED_BY_USER))
        complexity = answer.get("v1")
        if isinstance(complexity, bool) or not isinstance(complexity, int | float):
            raise BadAnswer(server, "it tells no complexity")
        return float(complexity)

    # Membership

    async def make_join(self, server: ServerName, room_id: RoomId, user_id: UserId, versions: Collection[str]) -> Json:
        """`{"event": template, "room_version": ...}`; without a version it is 1."""
        query = [("ver", version) for version in versions]
        return await self._template(server, f"make_join/{_q(room_id)}/{_q(user_id)}", query)

    async def send_join(
        self,
        server: ServerName,
        room_id: RoomId,
        event_id: EventId,
        pdu: Json,
        *,
        omit_members: bool = False,
        terms: Terms = STATE,
    ) -> Json:
        """`state`, `auth_chain` (lists of PDUs), perhaps `event`, `members_omitted`, `servers_in_room`.

        Version 2 of the endpoint, or 1 of a server that has no other.
        """
        path = f"send_join/{_q(room_id)}/{_q(event_id)}"
        query = [("omit_members", "true" if omit_members else "false")]
        try:
            answer = await self._transport.put(server, f"{V2}/{path}", pdu, query, terms)
        except Refused as refused:
            if not refused.is_unsupported:
                raise
            answer = _of_pair(server, await self._transport.put(server, f"{V1}/{path}", pdu, terms=terms))
        answer = _check(server, _object(server, answer), {"state": list, "auth_chain": list})
        return _check(server, answer, {"event": dict, "members_omitted": bool, "servers_in_room": list}, optional=True)

    async def make_knock(self, server: ServerName, room_id: RoomId, user_id: UserId, versions: Collection[str]) -> Json:
        query = [("ver", version) for version in versions]
        return await self._template(server, f"make_knock/{_q(room_id)}/{_q(user_id)}", query)

    async def send_knock(self, server: ServerName, room_id: RoomId, event_id: EventId, pdu: Json) -> Json:
        """`{"knock_room_state": [stripped state]}`."""
        path = f"{V1}/send_knock/{_q(room_id)}/{_q(event_id)}"
        answer = _object(server, await self._transport.put(server, path, pdu, terms=MEMBERSHIP))
        if "knock_room_state" not in answer and isinstance(answer.get("knock_state_events"), list):
            # Synapse's name for it, before knocking was specified.
            answer = {**answer, "knock_room_state": answer["knock_state_events"]}
        return _check(server, answer, {"knock_room_state": list})

    async def make_leave(self, server: ServerName, room_id: RoomId, user_id: UserId) -> Json:
        return await self._template(server, f"make_leave/{_q(room_id)}/{_q(user_id)}", ())

    async def send_leave(self, server: ServerName, room_id: RoomId, event_id: EventId, pdu: Json) -> None:
        path = f"send_leave/{_q(room_id)}/{_q(event_id)}"
        try:
            await self._transport.put(server, f"{V2}/{path}", pdu, terms=MEMBERSHIP)
        except Refused as refused:
            if not refused.is_unsupported:
                raise
            await self._transport.put(server, f"{V1}/{path}", pdu, terms=MEMBERSHIP)

    async def invite(
        self, server: ServerName, room_id: RoomId, event_id: EventId, pdu: Json, *, version: str, room_state: list[Json]
    ) -> Json:
        """The invite with the other server's signature. Version 2 of the endpoint, or 1 where that can do."""
        path = f"invite/{_q(room_id)}/{_q(event_id)}"
        body: Json = {"event": pdu, "room_version": version, "invite_room_state": room_state}
        try:
            answer = await self._transport.put(server, f"{V2}/{path}", body, terms=MEMBERSHIP)
        except Refused as refused:
            # Only rooms of versions 1 and 2 can be invited to by version 1, which does not say which version it is.
            if version not in ("1", "2") or not (refused.is_unsupported or refused.status in (400, 404)):
                raise
            answer = await self._invite_of_old(server, path, pdu, room_state, refused)
        signed: Json = _check(server, _object(server, answer), {"event": dict})["event"]
        return signed

    async def _invite_of_old(
        self, server: ServerName, path: str, pdu: Json, room_state: list[Json], refused: Refused
    ) -> Any:
        """Whatever 400 or 404 was meant by `refused`, version 1 is to be tried. Where there is none, that was meant."""
        unsigned = {**pdu.get("unsigned", {}), "invite_room_state": room_state}
        try:
            answer = await self._transport.put(server, f"{V1}/{path}", {**pdu, "unsigned": unsigned}, terms=MEMBERSHIP)
        except Refused as again:
            raise (refused if again.is_unsupported else again) from None
        return _of_pair(server, answer)

    async def exchange_third_party_invite(self, server: ServerName, room_id: RoomId, body: Json) -> None:
        await self._transport.put(server, f"{V1}/exchange_third_party_invite/{_q(room_id)}", body, terms=MEMBERSHIP)

    async def _template(self, server: ServerName, path: str, query: Query) -> Json:
        answer = _object(server, await self._transport.get(server, f"{V1}/{path}", query, MEMBERSHIP))
        answer = _check(server, answer, {"event": dict})
        return _check(server, answer, {"room_version": str}, optional=True)

    # Events

    async def event(self, server: ServerName, event_id: EventId) -> Json:
        """The PDU."""
        answer = _object(server, await self._transport.get(server, f"{V1}/event/{_q(event_id)}", terms=EVENT))
        pdus = _check(server, answer, {"pdus": list})["pdus"]
        if len(pdus) != 1 or not isinstance(pdus[0], dict):
            raise BadAnswer(server, "it answered with other than one event")
        pdu: Json = pdus[0]
        return pdu

    async def state(self, server: ServerName, room_id: RoomId, event_id: EventId) -> Json:
        """`pdus` and `auth_chain`: the state before the event."""
        path, query = f"{V1}/state/{_q(room_id)}", [("event_id", event_id)]
        answer = _object(server, await self._transport.get(server, path, query, STATE))
        return _check(server, answer, {"pdus": list, "auth_chain": list})

    async def state_ids(self, server: ServerName, room_id: RoomId, event_id: EventId) -> Json:
        """`pdu_ids` and `auth_chain_ids`: texts."""
        path, query = f"{V1}/state_ids/{_q(room_id)}", [("event_id", event_id)]
        answer = _object(server, await self._transport.get(server, path, query, STATE))
        return _texts(server, _texts(server, answer, "pdu_ids"), "auth_chain_ids")

    async def backfill(
        self, server: ServerName, room_id: RoomId, event_ids: Collection[EventId], limit: int
    ) -> list[Json]:
        """These events and what is before them, at most `limit`. Of a server that sends more the rest is dropped."""
        query = [*(("v", event_id) for event_id in event_ids), ("limit", str(limit))]
        answer = await self._transport.get(server, f"{V1}/backfill/{_q(room_id)}", query, EVENTS)
        return _pdus(server, answer, "pdus")[:limit]

    async def missing_events(
        self,
        server: ServerName,
        room_id: RoomId,
        *,
        earliest: Collection[EventId],
        latest: Collection[EventId],
        limit: int,
        min_depth: int = 0,
    ) -> list[Json]:
        """What lies between events that we have and events that we have just heard of, at most `limit`."""
        body: Json = {
            "earliest_events": list(earliest), "latest_events": list(latest), "limit": limit, "min_depth": min_depth,
        }  # fmt: skip
        terms = Terms(timeout_s=20.0, max_bytes=MAX_EVENTS_BYTES, max_depth=MAX_EVENT_DEPTH, is_repeatable=True)
        answer = await self._transport.post(server, f"{V1}/get_missing_events/{_q(room_id)}", body, terms=terms)
        return _pdus(server, answer, "events")[:limit]

    async def event_auth(self, server: ServerName, room_id: RoomId, event_id: EventId) -> list[Json]:
        """The whole auth chain of an event."""
        answer = await self._transport.get(server, f"{V1}/event_auth/{_q(room_id)}/{_q(event_id)}", terms=STATE)
        return _pdus(server, answer, "auth_chain")

    async def timestamp_to_event(self, server: ServerName, room_id: RoomId, at_ms: int, direction: str) -> Json:
        """`event_id` and `origin_server_ts` of the nearest event."""
        path, query = f"{V1}/timestamp_to_event/{_q(room_id)}", [("ts", str(at_ms)), ("dir", direction)]
        answer = _object(server, await self._transport.get(server, path, query, QUERY))
        return _check(server, answer, {"event_id": str, "origin_server_ts": int})

    # Queries

    async def directory(self, server: ServerName, alias: RoomAlias) -> Json:
        """`room_id` and `servers` of an alias."""
        query = [("room_alias", alias)]
        answer = _object(server, await self._transport.get(server, f"{V1}/query/directory", query, ASKED_BY_USER))
        return _texts(server, _check(server, answer, {"room_id": str}), "servers")

    async def profile(self, server: ServerName, user_id: UserId, field: str | None = None) -> Json:
        query = [("user_id", str(user_id)), *([("field", field)] if field is not None else [])]
        return _object(server, await self._transport.get(server, f"{V1}/query/profile", query, QUERY))

    async def public_rooms(self, server: ServerName, body: Json) -> Json:
        """`chunk`, `next_batch`, ... `body`: `limit`, `since`, `filter`, `include_all_networks`, ..."""
        terms = Terms(timeout_s=30.0, is_repeatable=True, even_if_backing_off=True)
        answer = _object(server, await self._transport.post(server, f"{V1}/publicRooms", body, terms=terms))
        answer = _check(server, answer, {"chunk": list})
        return _check(
            server, answer, {"next_batch": str, "prev_batch": str, "total_room_count_estimate": int}, optional=True
        )

    async def hierarchy(self, server: ServerName, room_id: RoomId, *, suggested_only: bool = False) -> Json:
        """`room`, `children` (objects) and `inaccessible_children` (room ids)."""
        query = [("suggested_only", "true" if suggested_only else "false")]
        path = f"{V1}/hierarchy/{_q(room_id)}"
        answer = _object(server, await self._transport.get(server, path, query, QUERY))
        answer = _check(server, answer, {"room": dict, "children": list})
        return _check(server, answer, {"inaccessible_children": list}, optional=True)

    async def openid_userinfo(self, server: ServerName, token: str) -> Json:
        """`{"sub": user id}`."""
        terms = Terms(timeout_s=20.0, is_signed=False)
        path = f"{V1}/openid/userinfo"
        answer = _object(server, await self._transport.get(server, path, [("access_token", token)], terms))
        return _check(server, answer, {"sub": str})

    # Devices and keys

    async def user_devices(self, server: ServerName, user_id: UserId) -> Json:
        """`stream_id`, `devices`, perhaps `master_key` and `self_signing_key`."""
        answer = _object(server, await self._transport.get(server, f"{V1}/user/devices/{_q(user_id)}", terms=KEYS))
        answer = _check(server, answer, {"user_id": str, "stream_id": int, "devices": list})
        return _check(server, answer, {"master_key": dict, "self_signing_key": dict}, optional=True)

    async def query_keys(
        self, server: ServerName, device_keys: Mapping[str, Sequence[str]], timeout_s: float = 30.0
    ) -> Json:
        """`device_keys`, perhaps `master_keys` and `self_signing_keys`, by user id."""
        body = {"device_keys": {user_id: list(devices) for user_id, devices in device_keys.items()}}
        terms = Terms(timeout_s=timeout_s, max_bytes=KEYS.max_bytes, is_repeatable=True)
        answer = _object(server, await self._transport.post(server, f"{V1}/user/keys/query", body, terms=terms))
        answer = _check(server, answer, {"device_keys": dict})
        return _check(server, answer, {"master_keys": dict, "self_signing_keys": dict}, optional=True)

    async def claim_keys(self, server: ServerName, one_time_keys: Json, timeout_s: float = 30.0) -> Json:
        """`one_time_keys`: user id -> device id -> key id -> key. `one_time_keys` asked: ... device id -> algorithm."""
        terms = Terms(timeout_s=timeout_s, max_bytes=KEYS.max_bytes)
        body = {"one_time_keys": one_time_keys}
        answer = _object(server, await self._transport.post(server, f"{V1}/user/keys/claim", body, terms=terms))
        return _check(server, answer, {"one_time_keys": dict})

    # Media

    async def download_media(self, server: ServerName, media_id: str, *, timeout_ms: int, max_bytes: int) -> WireStream:
        """The multipart answer as it comes: metadata as JSON, then the file or where it is."""
        query = [("timeout_ms", str(timeout_ms))]
        terms = Terms(timeout_s=timeout_ms / 1000 + 10, max_bytes=max_bytes, has_own_50x=True)
        return await self._transport.stream(server, f"{V1}/media/download/{_q(media_id)}", query, terms)

    async def download_media_of_old(
        self, server: ServerName, media_id: str, *, timeout_ms: int, max_bytes: int
    ) -> WireStream:
        """The file itself, of a server that does not have `download_media`: from the endpoint that clients used.

        Source: client-server API, GET /_matrix/media/v3/download, deprecated.
        """
        path = f"/_matrix/media/v3/download/{_q(server)}/{_q(media_id)}"
        query = [("allow_remote", "false"), ("timeout_ms", str(timeout_ms))]
        terms = Terms(timeout_s=timeout_ms / 1000 + 10, max_bytes=max_bytes, has_own_50x=True, is_signed=False)
        return await self._transport.stream(server, path, query, terms)

    async def thumbnail_media(
        self, server: ServerName, media_id: str, query: Query, *, timeout_ms: int, max_bytes: int
    ) -> WireStream:
        """As `download_media`. `query`: width, height, method, animated."""
        query = [*query, ("timeout_ms", str(timeout_ms))]
        terms = Terms(timeout_s=timeout_ms / 1000 + 10, max_bytes=max_bytes, has_own_50x=True)
        return await self._transport.stream(server, f"{V1}/media/thumbnail/{_q(media_id)}", query, terms)


def _q(text: str) -> str:
    """A segment of a path."""
    return quote(text, safe="")


def _object(server: ServerName, value: Any) -> Json:
    if not isinstance(value, dict):
        raise BadAnswer(server, "its answer is no object")
    return value


def _of_pair(server: ServerName, value: Any) -> Any:
    """What version 1 of some endpoints wraps as `[200, {...}]`."""
    if not isinstance(value, list) or len(value) != 2:
        raise BadAnswer(server, "its answer is no pair of a status and an object")
    return value[1]


def _check(server: ServerName, answer: Json, kinds: Mapping[str, type], *, optional: bool = False) -> Json:
    """The answer, if its members are of these kinds. Those that may be missing and are null or wrong are left out."""
    wrong = [name for name, kind in kinds.items() if type(answer.get(name)) is not kind]
    if wrong and not optional:
        raise BadAnswer(server, f"its answer lacks {wrong[0]}")
    return {name: value for name, value in answer.items() if name not in wrong} if wrong else answer


def _texts(server: ServerName, answer: Json, name: str) -> Json:
    answer = _check(server, answer, {name: list})
    if not all(isinstance(text, str) for text in answer[name]):
        raise BadAnswer(server, f"{name} of its answer has other than texts")
    return answer


def _pdus(server: ServerName, answer: Any, name: str) -> list[Json]:
    """A list of objects; what else is in it is dropped."""
    items = _check(server, _object(server, answer), {name: list})[name]
    return [item for item in items if isinstance(item, dict)]
