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
        search = _Search[R](path[1:].split(b"/"))
        endpoint = search.run(self._root, method)
        return endpoint, search.values, search.is_known


class _Search(Generic[R]):
    """One walk through the trie. Where a literal is taken, the branches not taken are noted, to come back to."""

    __slots__ = ("_branches", "_segments", "is_known", "values")

    def __init__(self, segments: list[bytes]) -> None:
        self.values: list[bytes] = []
        self.is_known = False
        self._segments = segments
        # Node, depth, number of values at it, and whether it is its rest that is to be tried. Last in, first tried.
        self._branches: list[tuple[_Node[R], int, int, bool]] = []

    def run(self, root: _Node[R], method: str) -> Endpoint[R] | None:
        by_method = self._walk(root, 0)
        while True:
            if by_method:
                self.is_known = True
                if method in by_method:
                    return by_method[method]
            if not self._branches:
                return None
            node, at, value_count, is_rest = self._branches.pop()
            del self.values[value_count:]
            if is_rest:
                self.values.append(b"/".join(self._segments[at:]))
                by_method = node.rest
            else:
                assert node.parameter is not None, "only a parameter is noted as a branch"
                self.values.append(self._segments[at])
                by_method = self._walk(node.parameter, at + 1)

    def _walk(self, node: _Node[R], at: int) -> dict[str, Endpoint[R]] | None:
        """What stands at the end of the first way through; None if it leads nowhere."""
        segments, branches = self._segments, self._branches
        while at < len(segments):
            segment = segments[at]
            if node.rest:
                branches.append((node, at, len(self.values), True))
            child = node.literals.get(segment)
            if child is None and b"%" in segment:
                child = node.literals.get(unquote_to_bytes(segment))
            if child is None:
                if node.parameter is None or not segment:
                    return None
                self.values.append(segment)
                child = node.parameter
            elif node.parameter is not None and segment:
                branches.append((node, at, len(self.values), False))
            node = child
            at += 1
        return node.by_method


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
