"""The endpoints of other servers: their paths, what is made of what they answer, and servers of old."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from federation.outbound.client import FederationClient
from federation.outbound.errors import BadAnswer, Refused
from matrix.ids import EventId, RoomAlias, RoomId, ServerName, UserId

TWO = ServerName("two.test")
ROOM, EVENT, USER = RoomId("!r/oom:two.test"), EventId("$ev/ent"), UserId("@u/ser:two.test")
ALIAS = RoomAlias("#a:two.test")
R, E, U = "%21r%2Foom%3Atwo.test", "%24ev%2Fent", "%40u%2Fser%3Atwo.test"
PDU = {"type": "m.test"}
UNKNOWN = Refused(TWO, 404, {"errcode": "M_UNRECOGNIZED"})


class Transport:
    """Says what a test tells it to, one after the other. `asked`: method, path, query."""

    def __init__(self, *said: Any) -> None:
        self.said = list(said)
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[Any] = []

    async def get(self, destination: ServerName, path: str, query: Any = (), terms: Any = None) -> Any:
        return self._say("GET", path, query, None)

    async def put(self, destination: ServerName, path: str, body: Any, query: Any = (), terms: Any = None) -> Any:
        return self._say("PUT", path, query, body)

    async def post(self, destination: ServerName, path: str, body: Any, query: Any = (), terms: Any = None) -> Any:
        return self._say("POST", path, query, body)

    def _say(self, method: str, path: str, query: Any, body: Any) -> Any:
        self.asked.append((method, path.removeprefix("/_matrix/federation"), dict(query)))
        self.bodies.append(body)
        said = self.said.pop(0)
        if isinstance(said, Exception):
            raise said
        return said


Ask = Callable[[FederationClient], Awaitable[Any]]
# How it is asked; method, path and query; an answer that will do; one that will not.
ENDPOINTS: list[tuple[Ask, str, str, dict[str, str], Any, Any]] = [
    (lambda c: c.version(TWO), "GET", "/v1/version", {}, {}, []),
    (lambda c: c.send_transaction(TWO, "t/1", {}), "PUT", "/v1/send/t%2F1", {}, {"pdus": {}}, []),
    (
        lambda c: c.make_join(TWO, ROOM, USER, ["12"]),
        "GET",
        f"/v1/make_join/{R}/{U}",
        {"ver": "12"},
        {"event": PDU},
        {},
    ),
    (
        lambda c: c.send_join(TWO, ROOM, EVENT, PDU),
        "PUT",
        f"/v2/send_join/{R}/{E}",
        {"omit_members": "false"},
        {"state": [], "auth_chain": []},
        {"state": []},
    ),
    (
        lambda c: c.make_knock(TWO, ROOM, USER, ["7"]),
        "GET",
        f"/v1/make_knock/{R}/{U}",
        {"ver": "7"},
        {"event": PDU},
        {"event": 1},
    ),
    (
        lambda c: c.send_knock(TWO, ROOM, EVENT, PDU),
        "PUT",
        f"/v1/send_knock/{R}/{E}",
        {},
        {"knock_room_state": []},
        {"knock_room_state": {}},
    ),
    (lambda c: c.make_leave(TWO, ROOM, USER), "GET", f"/v1/make_leave/{R}/{U}", {}, {"event": PDU}, {"event": []}),
    (lambda c: c.event(TWO, EVENT), "GET", f"/v1/event/{E}", {}, {"pdus": [PDU]}, {"pdus": []}),
    (
        lambda c: c.state(TWO, ROOM, EVENT),
        "GET",
        f"/v1/state/{R}",
        {"event_id": EVENT},
        {"pdus": [], "auth_chain": []},
        {"pdus": []},
    ),
    (
        lambda c: c.state_ids(TWO, ROOM, EVENT),
        "GET",
        f"/v1/state_ids/{R}",
        {"event_id": EVENT},
        {"pdu_ids": ["$a"], "auth_chain_ids": []},
        {"pdu_ids": [5], "auth_chain_ids": []},
    ),
    (
        lambda c: c.backfill(TWO, ROOM, [EVENT], 5),
        "GET",
        f"/v1/backfill/{R}",
        {"v": EVENT, "limit": "5"},
        {"pdus": []},
        {},
    ),
    (
        lambda c: c.missing_events(TWO, ROOM, earliest=[], latest=[EVENT], limit=5),
        "POST",
        f"/v1/get_missing_events/{R}",
        {},
        {"events": []},
        {"events": 5},
    ),
    (lambda c: c.event_auth(TWO, ROOM, EVENT), "GET", f"/v1/event_auth/{R}/{E}", {}, {"auth_chain": []}, None),
    (
        lambda c: c.timestamp_to_event(TWO, ROOM, 5, "f"),
        "GET",
        f"/v1/timestamp_to_event/{R}",
        {"ts": "5", "dir": "f"},
        {"event_id": "$a", "origin_server_ts": 5},
        {"event_id": "$a", "origin_server_ts": True},
    ),
    (
        lambda c: c.directory(TWO, ALIAS),
        "GET",
        "/v1/query/directory",
        {"room_alias": ALIAS},
        {"room_id": "!a", "servers": ["a"]},
        {"room_id": "!a", "servers": [None]},
    ),
    (
        lambda c: c.profile(TWO, USER, "displayname"),
        "GET",
        "/v1/query/profile",
        {"user_id": USER, "field": "displayname"},
        {},
        5,
    ),
    (lambda c: c.public_rooms(TWO, {}), "POST", "/v1/publicRooms", {}, {"chunk": []}, {"chunk": {}}),
    (
        lambda c: c.hierarchy(TWO, ROOM),
        "GET",
        f"/v1/hierarchy/{R}",
        {"suggested_only": "false"},
        {"room": {}, "children": []},
        {"room": {}},
    ),
    (
        lambda c: c.openid_userinfo(TWO, "t"),
        "GET",
        "/v1/openid/userinfo",
        {"access_token": "t"},
        {"sub": "@a:b"},
        {"sub": 5},
    ),
    (
        lambda c: c.user_devices(TWO, USER),
        "GET",
        f"/v1/user/devices/{U}",
        {},
        {"user_id": str(USER), "stream_id": 5, "devices": []},
        {"user_id": str(USER), "stream_id": "5", "devices": []},
    ),
    (
        lambda c: c.query_keys(TWO, {USER: []}),
        "POST",
        "/v1/user/keys/query",
        {},
        {"device_keys": {}},
        {"device_keys": []},
    ),
    (lambda c: c.claim_keys(TWO, {}), "POST", "/v1/user/keys/claim", {}, {"one_time_keys": {}}, {}),
]


@pytest.mark.parametrize(("ask", "method", "path", "query", "good", "bad"), ENDPOINTS)
async def test_every_endpoint_has_its_path_and_shape(
    ask: Ask, method: str, path: str, query: dict[str, str], good: Any, bad: Any
) -> None:
    transport = Transport(good, bad)
    client = FederationClient(transport=transport)  # type: ignore[arg-type]
    await ask(client)
    assert transport.asked == [(method, path, query)]
    with pytest.raises(BadAnswer):
        await ask(client)


async def _ask(ask: Ask, *said: Any) -> tuple[Any, Transport]:
    transport = Transport(*said)
    return await ask(FederationClient(transport=transport)), transport  # type: ignore[arg-type]


async def test_servers_of_old_take_joins_by_the_first_version() -> None:
    answer = {"state": [PDU], "auth_chain": []}
    joined, transport = await _ask(lambda c: c.send_join(TWO, ROOM, EVENT, PDU), UNKNOWN, [200, answer])
    assert joined == answer
    assert [path[:3] for _, path, _ in transport.asked] == ["/v2", "/v1"]


async def test_servers_of_old_take_leaves_by_the_first_version() -> None:
    _, transport = await _ask(lambda c: c.send_leave(TWO, ROOM, EVENT, PDU), UNKNOWN, [200, {}])
    assert [path[:3] for _, path, _ in transport.asked] == ["/v2", "/v1"]


async def test_servers_of_old_take_invites_to_old_rooms() -> None:
    def invite(version: str) -> Ask:
        return lambda c: c.invite(TWO, ROOM, EVENT, PDU, version=version, room_state=[{"type": "x"}])

    signed, transport = await _ask(invite("1"), UNKNOWN, [200, {"event": {"a": 1}}])
    assert signed == {"a": 1}
    assert transport.bodies[1] == {**PDU, "unsigned": {"invite_room_state": [{"type": "x"}]}}
    with pytest.raises(Refused):
        await _ask(invite("10"), UNKNOWN)


async def test_a_refusal_is_not_taken_for_age() -> None:
    refusal = Refused(TWO, 403, {"errcode": "M_FORBIDDEN"})
    with pytest.raises(Refused):
        await _ask(lambda c: c.send_join(TWO, ROOM, EVENT, PDU), refusal)


async def test_of_more_events_than_were_asked_for_the_rest_is_dropped() -> None:
    events, _ = await _ask(lambda c: c.backfill(TWO, ROOM, [EVENT], 2), {"pdus": [PDU, 5, None, PDU, PDU, PDU]})
    assert events == [PDU, PDU]


async def test_what_may_be_missing_is_left_out_where_it_is_wrong() -> None:
    answer = {"state": [], "auth_chain": [], "servers_in_room": "all", "members_omitted": True}
    joined, _ = await _ask(lambda c: c.send_join(TWO, ROOM, EVENT, PDU), answer)
    assert joined == {"state": [], "auth_chain": [], "members_omitted": True}
