"""Answers that hold PDUs."""

from collections.abc import AsyncIterator, Sequence

import orjson

from homeserver.services.rooms.for_servers.pdu_lists import SLICE, Body, PduLists
from homeserver.web.replies import RawJson, StreamReply
from matrix.events import Event
from matrix.ids import ServerName


def events_reply(events: Sequence[Event], name: str = "events", begin: bytes = b"{") -> RawJson:
    """An object with the events under a name; `begin` is how it begins."""
    return RawJson([begin, orjson.dumps(name), b":[", b",".join(event.canonical for event in events), b"]}"])


def transaction_reply(server_name: ServerName, now_ms: int, events: Sequence[Event]) -> RawJson:
    """The events as a transaction has them. Source: server-server API, GET /event, GET /backfill."""
    begin = b'{"origin":' + orjson.dumps(str(server_name)) + b',"origin_server_ts":%d,' % now_ms
    return events_reply(events, "pdus", begin)


async def body_reply(lists: PduLists, body: Body, *, is_v1: bool = False) -> RawJson | StreamReply:
    """The object, whole if it is small. The first version of some endpoints answered with a pair of status and object.

    Source: server-server API, PUT /send_join (v1).
    """
    pieces = lists.written(body)
    if is_v1:
        pieces = _paired(pieces)
    if body.size > SLICE:
        return StreamReply(pieces, content_type="application/json")
    return RawJson([piece async for piece in pieces])


async def _paired(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield b"[200,"
    async for piece in pieces:
        yield piece
    yield b"]"
