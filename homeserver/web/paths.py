"""From a request's path to its routes: a trie of segments, so that the cost is the path's length, not the table's.

A pattern is made of literal segments, `{name}` for one segment that is not empty, and at the end `{name...}` for the
rest of the path. A literal goes before a parameter. Segments are split before they are percent-decoded, so that a
`%2F` stays inside its segment.
"""

from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

from attrs import Factory, define, frozen

from matrix.errors import InvalidParam

R = TypeVar("R")


@frozen
class Endpoint(Generic[R]):
    """What stands at the end of a pattern: the names of its parameters, and the route."""

    names: tuple[str, ...]
    route: R


@define
class _Node(Generic[R]):
    literals: "dict[bytes, _Node[R]]" = Factory(dict)
    parameter: "_Node[R] | None" = None
    rest: dict[str, Endpoint[R]] = Factory(dict)
    by_method: dict[str, Endpoint[R]] = Factory(dict)


class Paths(Generic[R]):
    """Routes by path and method."""

    def __init__(self) -> None:
        self._root: _Node[R] = _Node()
        # Paths without parameters are found by one look-up.
        self._fixed: dict[bytes, dict[str, Endpoint[R]]] = {}

    def add(self, method: str, pattern: str, route: R) -> tuple[str, ...]:
        """Takes up a pattern; gives the names of its parameters. Raises: ValueError if it is malformed or taken."""
        if not pattern.startswith("/"):
            raise ValueError(f"{pattern} does not start with a slash")
        node = self._root
        names: list[str] = []
        segments = pattern[1:].split("/")
        for at, segment in enumerate(segments):
            name = _parameter(segment)
            if name is None:
                node = node.literals.setdefault(segment.encode(), _Node())
                continue
            names.append(name.removesuffix("..."))
            if name.endswith("..."):
                if at != len(segments) - 1:
                    raise ValueError(f"{pattern} goes on after its rest")
                return self._put(node.rest, method, pattern, Endpoint(tuple(names), route))
            if node.parameter is None:
                node.parameter = _Node()
            node = node.parameter
        if not names:
            self._fixed[pattern.encode()] = node.by_method
        return self._put(node.by_method, method, pattern, Endpoint(tuple(names), route))

    @staticmethod
    def _put(by_method: dict[str, Endpoint[R]], method: str, pattern: str, endpoint: Endpoint[R]) -> tuple[str, ...]:
        if method in by_method:
            raise ValueError(f"{method} {pattern} is already routed")
        by_method[method] = endpoint
        return endpoint.names

    def find(self, method: str, path: bytes) -> tuple[Endpoint[R] | None, list[bytes], bool]:
        """The endpoint, the raw values of its parameters, and whether the path is known at all."""
        by_method = self._fixed.get(path)
        if by_method is not None:
            endpoint = by_method.get(method)
            if endpoint is not None:
                return endpoint, [], True
        if path[:1] != b"/":
            return None, [], False
        values: list[bytes] = []
        known, endpoint = self._descend(self._root, method, path[1:].split(b"/"), 0, values)
        return endpoint, values, known

    def _descend(
        self, node: _Node[R], method: str, segments: list[bytes], at: int, values: list[bytes]
    ) -> tuple[bool, Endpoint[R] | None]:
        """Whether the path is known from here on, and its endpoint. Recursion ends with the deepest pattern."""
        known = False
        if at == len(segments):
            if node.by_method:
                return True, node.by_method.get(method)
            return False, None
        segment = segments[at]
        child = node.literals.get(segment)
        if child is None and b"%" in segment:
            child = node.literals.get(unquote_to_bytes(segment))
        if child is not None:
            known, endpoint = self._descend(child, method, segments, at + 1, values)
            if endpoint is not None:
                return True, endpoint
        if node.parameter is not None and segment:
            values.append(segment)
            also_known, endpoint = self._descend(node.parameter, method, segments, at + 1, values)
            known = known or also_known
            if endpoint is not None:
                return True, endpoint
            values.pop()
        if node.rest:
            values.append(b"/".join(segments[at:]))
            return True, node.rest.get(method)
        return known, None


def _parameter(segment: str) -> str | None:
    """The name in `{name}` or `{name...}`; None for a literal."""
    if not (segment.startswith("{") and segment.endswith("}")):
        return None
    name = segment[1:-1]
    if not name.removesuffix("...").isidentifier():
        raise ValueError(f"{segment} is no parameter")
    return name


def decode_segment(segment: bytes) -> str:
    """A path segment percent-decoded. Raises: InvalidParam for bad UTF-8, and for NUL, which no column can hold."""
    try:
        text = (unquote_to_bytes(segment) if b"%" in segment else segment).decode()
    except UnicodeDecodeError as error:
        raise InvalidParam("The path is not UTF-8") from error
    if "\x00" in text:
        raise InvalidParam("The path contains NUL")
    return text
