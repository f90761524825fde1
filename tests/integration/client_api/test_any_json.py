"""Any JSON object of the names that the spec has, to any route: an answer of the spec's form, never a fault of ours."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import pytest_twisted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.attacker import Attacker, attacking
from tests.support.endpoints import Endpoint, endpoints_of, said
from tests.support.furnished import Furnished
from tests.support.homeserver import Homeserver

EXAMPLES = 400
# What ends the sessions of all further examples, or waits.
ENDING = (
    "/logout",
    "/logout/all",
    "/account/deactivate",
    "/account/password",
    "/delete_devices",
    "/devices/{device_id}",
)


def _names(schema: Mapping[str, Any]) -> Iterator[str]:
    for name, child in schema.get("properties", {}).items():
        yield name
        yield from _names(child)
    for key in ("items", "additional"):
        if key in schema:
            yield from _names(schema[key])


NAMES = sorted({name for each in said() for name in (*_names(each.get("body", {})), *each.get("query", {}))})
TEXTS = st.sampled_from([
    "", "\x00", "@admin:hearth.test", "@member:hearth.test", "@x:elsewhere.invalid", "!x:hearth.test", "$x", "12", "f",
    "#a:hearth.test", "m.room.member", "join", "ed25519:A", "signed_curve25519:A", "m.login.password", "m.id.user",
    "m.login.dummy", "http", "mxc://a/b", "11", "public", "global", "\U0001f525", "a" * 300,
]) | st.text(max_size=20)  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | TEXTS, inner, max_size=4),
    max_leaves=12,
)


@pytest_twisted.async_yield_fixture
async def world(hs: Homeserver) -> Iterator[Furnished]:
    yield await Furnished.make(hs)


@pytest.fixture
def attacker(hs: Homeserver, world: Furnished) -> Iterator[Attacker]:
    with attacking(hs) as attacker:
        yield attacker


# The same examples in every run: what fails here fails for everybody. More of them by EXAMPLES, others by a seed.
@settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(data=st.data())
async def test_any_object_has_an_answer(world: Furnished, attacker: Attacker, data: st.DataObject) -> None:
    endpoint = data.draw(st.sampled_from(attackable(world.hs)), label="endpoint")
    known = sorted((endpoint.body or {}).get("properties", {})) or NAMES
    names = st.sampled_from(known) | st.sampled_from(NAMES)
    body = orjson.dumps(data.draw(st.dictionaries(names, VALUES, max_size=6), label="body"))
    query = data.draw(
        st.dictionaries(st.sampled_from(sorted(endpoint.query) or ["a"]), TEXTS, max_size=3), label="query"
    )
    segments = data.draw(st.dictionaries(st.sampled_from(endpoint.names or ["a"]), TEXTS, max_size=1), label="path")
    url = world.url(endpoint, **{name: quote(text, safe="") or "x" for name, text in segments.items()})
    url += "?" + "&".join(f"{name}={quote(text)}" for name, text in query.items())
    await attacker.ask(endpoint, url, what=f"{url} {body!r}", body=body, token=world.admin.token)
    faults, attacker.faults = attacker.faults, []
    assert not faults, "\n".join(faults)


@cache
def attackable(hs: Homeserver) -> list[Endpoint]:
    return [each for each in endpoints_of(hs.server.router) if not each.path.endswith(ENDING)]
