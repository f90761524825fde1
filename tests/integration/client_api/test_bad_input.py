"""Every route of the assembled server with bad input: refused in the spec's words, and nothing has changed.

The routes come from the router, so that a new one is tried without a word here; what their bodies and queries are
called comes from the spec's OpenAPI.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import pytest
import pytest_twisted

from homeserver.web.router import Access, Body
from tests.support.attacker import Attacker, attacking
from tests.support.endpoints import Endpoint, endpoints_of, unserved
from tests.support.furnished import Furnished
from tests.support.homeserver import Homeserver
from tests.support.http import Response
from tests.support.mutations import (
    EXTREME,
    MALFORMED,
    MIB,
    NEVER_IN_PATH,
    NO_OBJECT,
    NOT_JSON,
    ODD_IN_PATH,
    UNKNOWN,
    Mutation,
    mutations,
)

MISSING_TOKEN = (401, "M_MISSING_TOKEN")
UNKNOWN_TOKEN = (401, "M_UNKNOWN_TOKEN")
# As Synapse, these take the value itself too, without an object around it.
BARE_VALUES = ("/pushrules/{scope}/{kind}/{rule_id}/{attribute}",)
ODD_IN_QUERY = ("", "\x00", "%", "\U0001f525", "x" * 5000, "null", "-0", "s0_0", "t1-1_0", "{", "[]", "{}")
# As Synapse: without it, forwards.
OPTIONAL_HERE = ("dir",)
# Parameters that say what we never do: send elsewhere.
UNREAD = ("allow_redirect",)
# A mail server or an identity server, which the tests' homeserver has not.
NEEDS_OTHERS = re.compile(r"/3pid|/requestToken")
# Wrong types that are borne, for what clients have sent for years. By the path below v3 and the place in the body.
TOLERATED = {
    ("/user/{userId}/filter", "presence.limit"): "whole numbers as floats",
    ("/user/{userId}/filter", "room.ephemeral.limit"): "",
    ("/user/{userId}/filter", "room.state.limit"): "",
    ("/user/{userId}/filter", "room.timeline.limit"): "",
    ("/pushrules/global/{kind}/{ruleId}", "conditions"): "a content rule has none: they are not looked at",
    ("/user/{userId}/rooms/{roomId}/tags/{tag}", "order"): "texts, of old",
    ("/keys/upload", "device_keys.signatures"): "none: whether a device is signed is the clients' to check",
    ("/room_keys/keys", "rooms.!room:example.org.sessions.sessionid1.session_data"): "texts, as Synapse",
    ("/room_keys/keys/{roomId}", "sessions.sessionid1.session_data"): "",
    ("/room_keys/keys/{roomId}/{sessionId}", "session_data"): "",
    ("/login", "address"): "not of this kind of login",
    ("/login", "medium"): "",
    ("/login", "token"): "",
    ("/login", "user"): "",
}
NEEDS_TOKEN = (Access.USER, Access.GUEST, Access.ADMIN, Access.APPSERVICE)


@pytest_twisted.async_yield_fixture
async def world(hs: Homeserver) -> Iterator[Furnished]:
    yield await Furnished.make(hs)


@pytest.fixture
def attacker(hs: Homeserver, world: Furnished) -> Iterator[Attacker]:
    with attacking(hs) as attacker:
        yield attacker


def every(hs: Homeserver) -> list[Endpoint]:
    """All that the admin may ask."""
    return [
        each for each in endpoints_of(hs.server.router) if each.route.access not in (Access.APPSERVICE, Access.SERVER)
    ]


async def test_without_a_valid_token_nothing_is_done(hs: Homeserver, world: Furnished, attacker: Attacker) -> None:
    for endpoint in every(hs):
        url, needed = world.url(endpoint), endpoint.route.access in NEEDS_TOKEN
        response = await attacker.ask(endpoint, url, what="no token")
        if needed:
            attacker.expect(f"{endpoint} [no token]", response, MISSING_TOKEN)
        for what, token in (("garbage", "garbage"), ("a long token", "x" * 4000), ("no ASCII", "\u00e9\u00ff")):
            response = await attacker.ask(endpoint, url, what=what, token=token)
            if needed or endpoint.route.access is Access.OPTIONAL:
                attacker.expect(f"{endpoint} [{what}]", response, UNKNOWN_TOKEN)
        response = await attacker.ask(
            endpoint, url + "?access_token=syt%00%F0%9F%94%A5", what="a bad token in the query"
        )
        if needed:
            attacker.expect(f"{endpoint} [a bad token in the query]", response, UNKNOWN_TOKEN, (400, "M_INVALID_PARAM"))
    assert not attacker.faults, "\n".join(attacker.faults)


async def test_what_is_not_there_is_unrecognized(hs: Homeserver, world: Furnished, attacker: Attacker) -> None:
    missing = [tuple(each.split()) for each in unserved(hs.server.router)]
    paths = {world.url(endpoint) for endpoint in every(hs)}
    for method, path in [
        *missing,
        *(("PATCH", path) for path in paths),
        *(("GET", path + "/and/so/on/x") for path in paths),
    ]:
        response = await attacker.send(method, path, what=f"{method} {path}", token=world.admin.token)
        if response is not None and response.status != 400:
            attacker.expect(f"{method} {path}", response, (404, "M_UNRECOGNIZED"), (405, "M_UNRECOGNIZED"))
    assert not attacker.faults, "\n".join(attacker.faults)


async def test_a_browser_may_ask_before_every_request(hs: Homeserver, world: Furnished, attacker: Attacker) -> None:
    for endpoint in endpoints_of(hs.server.router):
        response = await attacker.send("OPTIONS", world.url(endpoint), what=f"OPTIONS {endpoint}", token="garbage")
        assert response is not None
        assert (response.status, response.body) == (204, b"")
        assert endpoint.method in response.headers["access-control-allow-methods"]
        assert "Authorization" in response.headers["access-control-allow-headers"]
    assert not attacker.faults, "\n".join(attacker.faults)


async def test_a_path_parameter_that_is_none_of_its_kind(hs: Homeserver, world: Furnished, attacker: Attacker) -> None:
    for endpoint in every(hs):
        await world.heal()
        for name in endpoint.names:
            for raw in NEVER_IN_PATH + MALFORMED.get(endpoint.kind(name), []):
                url, what = world.url(endpoint, **{name: raw}), f"{name} = {raw[:60]}"
                response = await attacker.ask(endpoint, url, what=what, token=world.admin.token)
                attacker.expect(f"{endpoint} [{what}]", response, (400, "M_INVALID_PARAM"))
    assert not attacker.faults, "\n".join(attacker.faults)


async def test_a_path_parameter_that_is_odd_or_names_nobody(
    hs: Homeserver, world: Furnished, attacker: Attacker
) -> None:
    for endpoint in every(hs):
        await world.heal()
        for name in endpoint.names:
            unknown = [quote(text, safe="") for text in UNKNOWN.get(endpoint.kind(name), [])]
            for raw in ODD_IN_PATH + unknown:
                url = world.url(endpoint, **{name: raw})
                await attacker.ask(endpoint, url, what=f"{name} = {raw[:60]}", token=world.admin.token)
    assert not attacker.faults, "\n".join(attacker.faults)


async def test_a_body_that_is_no_json_object(hs: Homeserver, world: Furnished, attacker: Attacker) -> None:
    for endpoint in every(hs):
        if endpoint.route.body is not Body.JSON:
            continue
        await world.heal()
        certain = (
            endpoint.body is not None and endpoint.said["body_required"] and not endpoint.path.endswith(BARE_VALUES)
        )
        for bodies, errcode in ((NOT_JSON, "M_NOT_JSON"), (NO_OBJECT, "M_BAD_JSON"), (EXTREME, None)):
            for what, body in bodies.items():
                url = world.good_url(endpoint)
                response = await attacker.ask(endpoint, url, what=what, body=body, token=world.admin.token)
                if certain and errcode is not None:
                    attacker.expect(f"{endpoint} [{what}]", response, (400, errcode))
    assert not attacker.faults, "\n".join(attacker.faults)


async def test_a_body_that_is_too_large(hs: Homeserver, world: Furnished, attacker: Attacker) -> None:
    huge = b'{"a": "' + b"x" * MIB + b'"}'
    for endpoint in every(hs):
        if endpoint.route.max_body_bytes <= MIB:
            response = await attacker.ask(
                endpoint, world.good_url(endpoint), what="1 MiB", body=huge, token=world.admin.token
            )
            attacker.expect(f"{endpoint} [1 MiB]", response, (413, "M_TOO_LARGE"))
    assert not attacker.faults, "\n".join(attacker.faults)


async def test_a_query_parameter_out_of_its_range(hs: Homeserver, world: Furnished, attacker: Attacker) -> None:
    for endpoint in every(hs):
        if endpoint.method != "GET":
            await world.furnish()
        good = world.good_query(endpoint)
        for name, schema in endpoint.query.items():
            if name in UNREAD:
                continue
            if schema.get("required") and name not in OPTIONAL_HERE:
                rest = {other: value for other, value in good.items() if other != name}
                response = await _query(attacker, world, endpoint, rest, f"without {name}")
                attacker.expect(f"{endpoint} [without {name}]", response, (400, "M_MISSING_PARAM"))
            for value in _wrong(schema):
                response = await _query(attacker, world, endpoint, {**good, name: value}, f"{name} = {value!r}")
                attacker.expect(f"{endpoint} [{name} = {value!r}]", response, (400, "M_INVALID_PARAM"))
            for odd in ODD_IN_QUERY:
                await _query(attacker, world, endpoint, {**good, name: odd}, f"{name} = {odd[:20]!r}")
        url = world.url(endpoint) + "?a=%FF&%C3=1&=&&a"
        await attacker.ask(endpoint, url, what="a query not in UTF-8", token=world.admin.token)
        await world.heal()
    assert not attacker.faults, "\n".join(attacker.faults)


async def _query(
    attacker: Attacker, world: Furnished, endpoint: Endpoint, query: dict[str, str], what: str
) -> Response | None:
    body = orjson.dumps(world.good_body(endpoint)) if endpoint.body is not None else None
    url = world.url(endpoint) + "?" + urlencode(query)
    return await attacker.ask(endpoint, url, what=what, body=body, token=world.admin.token)


async def test_a_good_body_with_one_fault_in_it(hs: Homeserver, world: Furnished, attacker: Attacker) -> None:
    taken = []
    for endpoint in every(hs):
        if endpoint.body is not None:
            await world.furnish()
            base = world.good_body(endpoint)
            is_good = await _mutated(world, attacker, endpoint, Mutation("", "no fault", base, False))
            if NEEDS_OTHERS.search(endpoint.path) is None:
                taken.append(is_good)
            for mutation in mutations(endpoint.body, base):
                is_taken = await _mutated(world, attacker, endpoint, mutation)
                if is_taken and mutation.is_certain and (_below_v3(endpoint), mutation.where) not in TOLERATED:
                    attacker.fault(f"{endpoint} [{mutation.where} {mutation.what}]", "is taken")
    assert not attacker.faults, "\n".join(attacker.faults)
    # Of bodies that would be refused anyway this test says nothing.
    assert sum(taken) > 0.8 * len(taken)


async def _mutated(world: Furnished, attacker: Attacker, endpoint: Endpoint, mutation: Mutation) -> bool:
    """Is the body taken?"""
    body, what = orjson.dumps(mutation.body), f"{mutation.where} {mutation.what}"
    token = world.asking(endpoint).token
    response = await attacker.ask(endpoint, world.good_url(endpoint), what=what, body=body, token=token)
    is_taken = response is not None and response.status < 400
    if is_taken:
        await world.heal()
    return is_taken


def _below_v3(endpoint: Endpoint) -> str:
    return str(endpoint).rpartition("/v3")[2]


def _wrong(schema: Mapping[str, Any]) -> list[str]:
    """Texts that are certainly no value of the schema."""
    kinds = schema["type"]
    if "integer" in kinds:
        return ["a", "1.5", "-", "1e3", "９", "9" * 30, "0x10", "true"]
    if "boolean" in kinds:
        return ["yes", "1", "TRUE ", "maybe"]
    return ["nonsense", "F", "B "] if "enum" in schema else []
