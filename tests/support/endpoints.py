"""The routes of an assembled router, each beside what the spec says of its input.

`tests/fixtures/endpoints.json` is made from the spec's OpenAPI by `scripts/endpoints_of_spec.py`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from attrs import Factory, frozen

from homeserver.web.router import Route, Router

FIXTURE = Path(__file__).parent.parent / "fixtures/endpoints.json"
# What clients may ask; the setup page speaks HTML, and other servers sign what they ask.
PREFIXES = ("/_matrix/client/", "/_matrix/media/", "/_synapse/")
# Pages for people, also where they refuse; they have tests of their own.
PAGES = ("/fallback/web",)
_NOTHING: Mapping[str, Any] = {}
_PARAMETER = re.compile(r"\{(\w+)(?:\.\.\.)?\}")


@frozen
class Endpoint:
    """A route under one of its paths. `said` is the spec's word on it, empty for one that the spec does not have.

    `fixed`: parameters of ours that are words of the spec's path. A route that serves several of the spec's endpoints
    stands for each of them.
    """

    method: str
    path: str
    route: Route
    said: Mapping[str, Any] = _NOTHING
    fixed: Mapping[str, str] = Factory(dict)

    def __str__(self) -> str:
        return f"{self.method} {self.said.get('path', self.path)}"

    @property
    def names(self) -> list[str]:
        """The parameters of the path."""
        return _PARAMETER.findall(self.path)

    @property
    def body(self) -> Mapping[str, Any] | None:
        """The schema of the body; None where the spec has none."""
        return self.said.get("body")

    @property
    def query(self) -> Mapping[str, Any]:
        """The schemas of the query's parameters by name."""
        return self.said.get("query", _NOTHING)

    def kind(self, name: str) -> type:
        """What a parameter of the path is read as: UserId, RoomId, ... or str."""
        kind = getattr(self.route.parsers[name], "__self__", str)
        return kind if isinstance(kind, type) else str

    def url(self, values: Mapping[str, str], **raw: str) -> str:
        """The path with its parameters; `raw` are percent-encoded already."""
        given = {**values, **self.fixed}
        encoded = {name: quote(given.get(name, "x"), safe="") for name in self.names} | raw
        return _PARAMETER.sub(lambda match: encoded[match[1]], self.path)


def endpoints_of(router: Router) -> list[Endpoint]:
    """All that the router serves, aliases left out, in the order of their paths."""
    found: dict[tuple[int, str], Endpoint] = {}
    told: set[int] = set()
    for each in said():
        served = next(_serving(router, each), None)
        if served is not None:
            found[id(served.route), each["path"]] = served
            told.add(id(served.route))
    for method, path, route in router.routes():
        if path.startswith(PREFIXES) and id(route) not in told:
            found.setdefault((id(route), ""), Endpoint(method, path, route))
    return sorted((each for each in found.values() if not each.path.endswith(PAGES)), key=str)


def unserved(router: Router) -> list[str]:
    """The spec's endpoints that the router does not have."""
    return [f"{each['method']} {each['path']}" for each in said() if next(_serving(router, each), None) is None]


def said() -> list[Any]:
    """Of two that differ in their body only, the first."""
    said: list[Any] = json.loads(FIXTURE.read_text())
    return list({(each["method"], each["path"]): each for each in reversed(said)}.values())


def _serving(router: Router, said: Mapping[str, Any]) -> Iterator[Endpoint]:
    """The route for an endpoint of the spec: the one that has most words in common with it."""
    found = []
    for method, path, route in router.routes():
        fixed = _fixed(path, said["path"]) if method == said["method"] else None
        if fixed is not None:
            found.append(Endpoint(method, path, route, said, fixed))
    yield from sorted(found, key=lambda endpoint: len(endpoint.fixed))


def _fixed(path: str, said: str) -> dict[str, str] | None:
    """The parameters of ours that the spec's path has a word for; None if the paths differ."""
    ours, theirs = path.rstrip("/").split("/"), said.rstrip("/").split("/")
    if len(ours) != len(theirs):
        return None
    fixed = {}
    for mine, their in zip(ours, theirs, strict=True):
        name, is_parameter = _PARAMETER.fullmatch(mine), _PARAMETER.fullmatch(their)
        if name is not None and is_parameter is None:
            fixed[name[1]] = their
        elif (name is None or is_parameter is None) and mine != their:
            return None
    return fixed
