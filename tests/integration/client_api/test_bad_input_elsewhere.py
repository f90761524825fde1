"""Bad input at the routes that the other tests of it leave out: those for application services, keys, pages for people.

Which these are comes from the router too: all that `test_bad_input` and the one for other servers do not drive.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import pytest_twisted
from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import TimeoutError as NoAnswer

from homeserver.web.router import Access, Body, Route, Router
from tests.support.attacker import PATIENCE_S, errors_logged
from tests.support.endpoints import PAGES, endpoints_of
from tests.support.homeserver import Homeserver
from tests.support.http import MemoryClient, Response
from tests.support.mutations import EXTREME, MALFORMED, NEVER_IN_PATH, NO_OBJECT, NOT_JSON, ODD_IN_PATH

TOKEN = "as-token-of-the-test"
REGISTRATION = f"""
id: bridge
url: null
as_token: {TOKEN}
hs_token: hs-token-of-the-test
sender_localpart: bridge
namespaces: {{}}
"""
PEOPLE = ("/_hearth/setup", *PAGES)
# Words that these routes look for in a query, in a form or in JSON.
WORDS = ("token", "session", "response", "localpart", "password", "access_token", "transaction_id", "server_keys",
         "url", "ts", "minimum_valid_until_ts", "visibility", "prev_event_id", "events")  # fmt: skip
ODD = ("", "\x00", "🔥", "x" * 5000, "-1", "9" * 30, "null", "[]", "{}", "http://[", "file:///etc/passwd")
_PARAMETER = re.compile(r"\{(\w+)(?:\.\.\.)?\}")
GOOD = {"room_id": "!room:hearth.test", "key_id": "ed25519:a", "stage": "m.login.recaptcha", "appservice_id": "bridge"}

Place = tuple[str, str, Route]


@define(eq=False)
class Visit:
    router: Router
    places: list[Place]
    logged: list[str]
    faults: list[str] = field(factory=list)

    async def ask(self, place: Place, url: str, what: str, body: bytes | None = None) -> Response:
        method, path, route = place
        if body is None and method in ("POST", "PUT"):
            body = b"{}"
        client = MemoryClient(self.router, reactor=reactor)
        token = TOKEN if route.access is Access.APPSERVICE else None
        where = f"{method} {path} [{what}]"
        answer = client.request(method, url, body=body, token=token)
        try:
            response = await answer.addTimeout(PATIENCE_S, reactor)
        except NoAnswer:
            raise AssertionError(f"{where}: no answer") from None
        if response.status >= 500 and response.status not in (502, 504):
            self.faults.append(f"{where}: {response.status} {response.body[:200]!r}")
        if (
            response.status in range(400, 500)
            and not path.startswith("/_matrix/client/v3/auth/")
            and path not in PEOPLE
        ):
            told = orjson.loads(response.body)
            if not (str(told.get("errcode")).startswith("M_") and isinstance(told.get("error"), str)):
                self.faults.append(f"{where}: {response.body[:200]!r} is no standard error")
        self.faults += [f"{where}: logged {each}" for each in self.logged]
        self.logged.clear()
        return response

    def check(self) -> None:
        assert not self.faults, "\n".join(self.faults)


def url(path: str, **raw: str) -> str:
    return _PARAMETER.sub(lambda match: raw.get(match[1], quote(GOOD.get(match[1], "x"), safe="")), path)


def left_out(hs: Homeserver, router: Router) -> list[Place]:
    """The routes, once each, that neither of the other two tests asks as somebody who may."""
    driven = {id(each.route) for each in endpoints_of(hs.server.router) if each.route.access is not Access.APPSERVICE}
    told = {(method, path) for method, path, route in hs.server.router.routes() if id(route) in driven}
    found: dict[int, Place] = {}
    for method, path, route in router.routes():
        if (method, path) not in told and route.access is not Access.SERVER:
            found.setdefault(id(route), (method, path, route))
    return list(found.values())


@pytest_twisted.async_yield_fixture
async def visit(start_homeserver: Any, tmp_path: Path) -> Iterator[Visit]:
    registration = tmp_path / "registration.yaml"
    registration.write_text(REGISTRATION)
    hs = await start_homeserver(
        f"app_service_config_files: [{registration}]\nurl_preview_enabled: true\nserve_server_wellknown: true\n"
    )
    router = hs.server.router_of(frozenset({"client", "federation"}))
    with errors_logged() as logged:
        yield Visit(router, left_out(hs, router), logged)


async def test_there_are_such_routes(visit: Visit) -> None:
    paths = {path for _, path, _ in visit.places}
    assert len(paths) > 12
    assert {"/_hearth/setup", "/_matrix/key/v2/query", "/.well-known/matrix/server"} <= paths


async def test_paths_that_are_odd_or_of_another_kind(visit: Visit) -> None:
    for place in visit.places:
        for name, parse in place[2].parsers.items():
            kind = getattr(parse, "__self__", str)
            for raw in [*NEVER_IN_PATH, *MALFORMED.get(kind, []), *ODD_IN_PATH]:
                await visit.ask(place, url(place[1], **{name: raw}), f"{name}={raw[:40]}")
    visit.check()


async def test_odd_queries(visit: Visit) -> None:
    for place in visit.places:
        for word in WORDS:
            for odd in ODD:
                await visit.ask(place, url(place[1]) + "?" + urlencode({word: odd}), f"?{word}={odd[:20]!r}")
        await visit.ask(place, url(place[1]) + "?a=%FF&%C3=1&=&&a", "not UTF-8")
    visit.check()


async def test_bodies_that_are_none(visit: Visit) -> None:
    for place in visit.places:
        if place[0] in ("POST", "PUT"):
            for what, body in {**NOT_JSON, **NO_OBJECT, **EXTREME}.items():
                await visit.ask(place, url(place[1]), what, body)
            if place[2].body is Body.JSON:
                huge = b'{"a": "' + b"x" * place[2].max_body_bytes + b'"}'
                response = await visit.ask(place, url(place[1]), "too large", huge)
                assert response.status == 413, place[:2]
    visit.check()


async def test_bodies_with_one_odd_value(visit: Visit) -> None:
    values: tuple[Any, ...] = (*ODD, 17, -1.5, True, None, [], [17], {}, {"a": {"b": {"c": 1}}})
    for place in visit.places:
        if place[0] in ("POST", "PUT"):
            for word in WORDS:
                for value in values:
                    await visit.ask(place, url(place[1]), f"{word}: {value!r:.30}", orjson.dumps({word: value}))
                for odd in ODD:
                    await visit.ask(place, url(place[1]), f"{word}={odd[:20]!r}", urlencode({word: odd}).encode())
    visit.check()
