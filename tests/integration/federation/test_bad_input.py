"""Nonsense at every route for other servers: always an answer of the spec's form, never a 5xx, nothing logged.

The routes are those of the router: one that is added is tested without a word here.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
import pytest_twisted
from attrs import define, field

from homeserver.web.router import Access, Body, Route
from matrix.errors import CoreError
from matrix.events import Json
from matrix.ids import EventId, RoomId, ServerName, UserId
from tests.integration.federation.visiting import ALL_VERSIONS, Visitor
from tests.support.attacker import errors_logged
from tests.support.fake_server import event_id_of
from tests.support.homeserver import Client, Homeserver, q
from tests.support.http import Response
from tests.support.mutations import (
    EXTREME,
    MALFORMED,
    NEVER_IN_PATH,
    NO_OBJECT,
    NOT_JSON,
    ODD_IN_PATH,
    UNKNOWN,
    mutations,
    schema_of,
)

QUERY_NAMES = (
    "ver", "v", "limit", "event_id", "ts", "dir", "room_alias", "user_id", "field", "suggested_only", "omit_members",
    "since", "include_all_networks", "third_party_instance_id", "timeout_ms", "width", "height", "method", "animated",
)  # fmt: skip
ODD_IN_QUERY = (
    "",
    "nonsense",
    "-1",
    "9" * 30,
    "1.5",
    "\x00",
    "a\x00b",
    "🔥",
    "x" * 5000,
    "[]",
    "true",
    "$a",
    "@a:b",
    "#a:b",
)


@define(eq=False)
class Attack:
    """`visitor` is in its room; `event_id` is an event there. Gathers `faults`."""

    visitor: Visitor
    event_id: str
    routes: list[tuple[str, str, Route]]
    logged: list[str]
    faults: list[str] = field(factory=list)

    def signed(self) -> list[tuple[str, str, Route]]:
        """The routes that want a signature."""
        return [each for each in self.routes if each[2].access is Access.SERVER]

    def path(self, pattern: str, **given: str) -> str:
        """The pattern with what fits, or what is given, already encoded."""
        good = {
            "room_id": q(self.visitor.room),
            "event_id": q(self.event_id),
            "user_id": q(self.visitor.user_id),
            "transaction_id": "nonsense",
            "query_type": "profile",
            "media_id": "nothing",
            **given,
        }
        for name, value in good.items():
            pattern = pattern.replace(f"{{{name}}}", value)
        return pattern

    async def ask(self, method: str, target: str, what: str, json: Any = None, **sent: Any) -> Response:
        response = await self.visitor.server.ask("one.test", method, target, json, **sent)
        where = f"{method} {target[:120]} [{what}]"
        if response.status >= 500:
            self.faults.append(f"{where}: {response.status} {response.body[:200]!r}")
        elif response.status >= 400 and not (response.json.get("errcode") and response.json.get("error")):
            self.faults.append(f"{where}: {response.body[:200]!r} is no standard error")
        self.faults += [f"{where}: logged {each}" for each in self.logged]
        self.logged.clear()
        return response

    def expect(self, response: Response, what: str, *wanted: tuple[int, str]) -> None:
        if (response.status, response.errcode) not in wanted:
            self.faults.append(f"{what}: {response.status} {response.body[:200]!r}, not {wanted}")


@pytest_twisted.async_yield_fixture
async def attack(host: Homeserver, alice: Client, visitor: Visitor) -> Iterator[Attack]:
    await visitor.join()
    event_id = await alice.send(visitor.room)
    routes = [each for each in host.server.router_of(frozenset({"federation"})).routes() if "/federation/" in each[1]]
    with errors_logged() as logged:
        yield Attack(visitor, event_id, routes, logged)


def check(attack: Attack) -> None:
    assert not attack.faults, "\n".join(attack.faults)


def kinds(route: Route) -> dict[str, type]:
    """What each parameter of the path is parsed into."""
    found = {}
    for name, parse in route.parsers.items():
        found[name] = getattr(parse, "__self__", str)
    return found


async def test_without_a_signature_nothing_is_told(attack: Attack) -> None:
    for method, pattern, _ in attack.signed():
        for headers in ({"Authorization": ""}, {"Authorization": "X-Matrix origin=two.test"}, {"Authorization": "x"}):
            json = None if method == "GET" else {}
            response = await attack.ask(method, attack.path(pattern), "unsigned", json, headers=headers)
            attack.expect(response, pattern, (401, "M_UNAUTHORIZED"))
    check(attack)


async def test_a_path_parameter_that_is_none_of_its_kind(attack: Attack) -> None:
    for method, pattern, route in attack.signed():
        for name, kind in kinds(route).items():
            for raw in NEVER_IN_PATH + MALFORMED.get(kind, []):
                json = None if method == "GET" else {}
                response = await attack.ask(method, attack.path(pattern, **{name: raw}), name, json)
                attack.expect(response, f"{pattern} {name}={raw[:40]}", (400, "M_INVALID_PARAM"))
    check(attack)


async def test_a_path_parameter_that_is_odd_or_names_nobody(attack: Attack) -> None:
    for method, pattern, route in attack.signed():
        for name, kind in kinds(route).items():
            for raw in [*ODD_IN_PATH, *(q(text) for text in UNKNOWN.get(kind, []))]:
                await attack.ask(method, attack.path(pattern, **{name: raw}), name, None if method == "GET" else {})
    check(attack)


async def test_a_body_that_is_no_json_object(attack: Attack) -> None:
    for method, pattern, route in attack.signed():
        if route.body is not Body.JSON:
            continue
        for what, body in {**NOT_JSON, **EXTREME}.items():
            response = await attack.ask(method, attack.path(pattern), what, body=body)
            # What is extreme may be where nobody looks: of a transaction each part is judged for itself.
            assert response.status >= 400 or what in EXTREME, (pattern, what)
        for what, body in NO_OBJECT.items():
            if what in ("null", "101 levels"):
                continue  # to the test's server no body at all; events may nest more deeply than that
            response = await attack.ask(method, attack.path(pattern), what, orjson.loads(body))
            attack.expect(response, f"{pattern} {what}", (400, "M_BAD_JSON"))
    check(attack)


async def test_a_body_that_is_too_large(attack: Attack) -> None:
    for method, pattern, route in attack.signed():
        if route.body is Body.JSON and route.max_body_bytes <= 1 << 21:
            body = b'{"a": "' + b"x" * route.max_body_bytes + b'"}'
            response = await attack.ask(method, attack.path(pattern), "large", body=body)
            attack.expect(response, pattern, (413, "M_TOO_LARGE"))
    check(attack)


async def test_odd_queries(attack: Attack) -> None:
    for method, pattern, _ in attack.routes:
        if method != "GET":
            continue
        for name in QUERY_NAMES:
            for odd in ODD_IN_QUERY:
                target = attack.path(pattern) + "?" + urlencode({name: odd})
                await attack.ask(method, target, f"{name}={odd[:20]!r}")
        await attack.ask(method, attack.path(pattern) + "?a=%FF&%C3=1&=&&a", "not UTF-8")
    check(attack)


async def test_a_good_query_with_one_odd_value(attack: Attack) -> None:
    good = {
        "backfill": {"v": attack.event_id, "limit": "5"},
        "state": {"event_id": attack.event_id},
        "state_ids": {"event_id": attack.event_id},
        "timestamp_to_event": {"ts": "1", "dir": "f"},
    }
    for name, query in good.items():
        for key in query:
            for odd in ODD_IN_QUERY:
                target = f"/_matrix/federation/v1/{name}/{q(attack.visitor.room)}?" + urlencode({**query, key: odd})
                await attack.ask("GET", target, f"{key}={odd[:20]!r}")
    check(attack)


@pytest.mark.parametrize("what", ["join", "leave"])
async def test_a_good_membership_with_one_fault_in_it(attack: Attack, what: str) -> None:
    """Once signed as it is, and once as it was before the fault."""
    visitor = attack.visitor
    template = await visitor.template(what)
    base = _plain(visitor.signed(template))
    path = f"/_matrix/federation/v2/send_{what}/{q(visitor.room)}/"
    for mutation in mutations(schema_of(base), base):
        where = f"{mutation.where} {mutation.what}"
        await attack.ask("PUT", path + q(event_id_of(base, "12")), where, mutation.body)
        for again in _signed_again(visitor, mutation.body):
            await attack.ask("PUT", path + q(event_id_of(again, "12")), where + ", signed", again)
    check(attack)


def _plain(json: Json) -> Json:
    """With keys that are plain text."""
    plain: Json = orjson.loads(orjson.dumps(json, option=orjson.OPT_NON_STR_KEYS))
    return plain


def _signed_again(visitor: Visitor, pdu: Any) -> list[Json]:
    """The PDU with signatures and hashes that are good, if it can have any."""
    if not isinstance(pdu, dict):
        return []
    try:
        return [visitor.signed({key: value for key, value in pdu.items() if key not in ("hashes", "signatures")})]
    except (CoreError, KeyError, TypeError, AttributeError, ValueError):
        return []


async def test_an_invite_with_one_fault_in_it(attack: Attack, alice: Client) -> None:
    server = attack.visitor.server
    create = server.pdu("12", type="m.room.create", state_key="", content={"room_version": "12"})
    room = "!" + event_id_of(create, "12")[1:]
    content = {"membership": "invite"}
    event = server.pdu("12", type="m.room.member", state_key=alice.user_id, room_id=room, content=content)
    base = _plain({"event": event, "room_version": "12", "invite_room_state": [create]})
    path = f"/invite/{q(room)}/{q(event_id_of(event, '12'))}"
    for mutation in mutations(schema_of(base), base):
        where = f"{mutation.where} {mutation.what}"
        await attack.ask("PUT", "/_matrix/federation/v2" + path, where, mutation.body)
    for mutation in mutations(schema_of(base["event"]), base["event"]):
        await attack.ask("PUT", "/_matrix/federation/v1" + path, f"v1 {mutation.where}", mutation.body)
    check(attack)


async def test_other_bodies_with_one_fault_in_them(attack: Attack) -> None:
    room, event_id = attack.visitor.room, attack.event_id
    signed = {"mxid": attack.visitor.user_id, "token": "t", "signatures": {"id.test": {"ed25519:0": "abc"}}}
    invite = {"membership": "invite", "third_party_invite": {"display_name": "a", "signed": signed}}
    bodies: list[tuple[str, str, Json]] = [
        (
            "POST",
            f"/get_missing_events/{q(room)}",
            {"latest_events": [event_id], "earliest_events": [event_id], "limit": 3, "min_depth": 1},
        ),
        (
            "PUT",
            f"/exchange_third_party_invite/{q(room)}",
            {
                "type": "m.room.member",
                "room_id": room,
                "sender": "@alice:one.test",
                "state_key": attack.visitor.user_id,
                "content": invite,
            },
        ),
        ("POST", "/publicRooms", {"limit": 1, "since": "a", "filter": {"generic_search_term": "a", "room_types": []}}),
        ("POST", "/user/keys/query", {"device_keys": {"@alice:one.test": []}}),
        ("POST", "/user/keys/claim", {"one_time_keys": {"@alice:one.test": {"D": "signed_curve25519"}}}),
        ("PUT", "/send/t1", {"origin": "two.test", "origin_server_ts": 1, "pdus": [{}], "edus": [{"edu_type": "a"}]}),
    ]
    for method, path, base in bodies:
        for mutation in mutations(schema_of(base), base):
            where = f"{mutation.where} {mutation.what}"
            await attack.ask(method, "/_matrix/federation/v1" + path, where, mutation.body)
    check(attack)


async def test_what_is_not_there_is_unrecognized(attack: Attack) -> None:
    for method, pattern, _ in attack.routes:
        response = await attack.ask("PATCH", attack.path(pattern), "another method", {})
        attack.expect(response, f"PATCH {pattern}", (405, "M_UNRECOGNIZED"))
        response = await attack.ask(method, attack.path(pattern) + "/and/so/on/x", "a longer path")
        attack.expect(response, f"{method} {pattern}/...", (404, "M_UNRECOGNIZED"), (405, "M_UNRECOGNIZED"))
    check(attack)


async def test_rooms_users_and_events_of_any_kind(attack: Attack, alice: Client) -> None:
    """Each route with identifiers that are there, but not where they belong."""
    secret = await alice.create_room(preset="private_chat")
    foreign = {
        RoomId: [secret, "!" + "A" * 43],
        EventId: [await alice.send(secret), "$" + "A" * 43],
        UserId: [alice.user_id, "@visitor:three.test", "@nobody:two.test"],
        ServerName: ["three.test"],
    }
    query = urlencode({"ver": ALL_VERSIONS, "event_id": attack.event_id, "v": attack.event_id, "limit": 3}, doseq=True)
    for method, pattern, route in attack.signed():
        for name, kind in kinds(route).items():
            for text in foreign.get(kind, []):
                target = attack.path(pattern, **{name: q(text)})
                response = await attack.ask(
                    method, target + (f"?{query}" if method == "GET" else ""), name, None if method == "GET" else {}
                )
                if text == secret:
                    assert response.status >= 400, target
    check(attack)
