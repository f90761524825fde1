"""Walks over the graph that events make by their auth events.

A node is an event id or, in what is fast, the integer that stands for it; `auth_of` gives a node's auth events.
No walk recurses, and none runs for ever should the graph have a ring.

Where `smaller` is in a function's name, the auth events of a node must have smaller numbers than it. So it is if
numbers are given as events are stored, since an event's auth events are stored before it.

Source: specification, "Room Version 2" and "Room Version 12", "State resolution", "Definitions".
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T", bound=int | str)
Rank = tuple[int, int, str]
AuthOf = Callable[[T], Iterable[T]]


def auth_chain(nodes: Iterable[T], auth_of: AuthOf[T]) -> set[T]:
    """The nodes and all that is reached from them by auth events."""
    found = set(nodes)
    stack = list(found)
    while stack:
        for parent in auth_of(stack.pop()):
            if parent not in found:
                found.add(parent)
                stack.append(parent)
    return found


def auth_difference(conflicted: Sequence[Collection[T]], unconflicted: Collection[T], auth_of: AuthOf[T]) -> set[T]:
    """What is in the auth chain of one state but not of all.

    `conflicted` has each state's events in conflict, `unconflicted` the events that all have. As in Synapse, but not
    to the letter of the specification, a state's events count as part of its auth chain: an event that all the states
    have is never in the difference.

    Walks the auth chains of `unconflicted` too, unless the conflicted events' own do not differ:
    `auth_difference_smaller` is for large rooms.
    """
    chains = [auth_chain(part, auth_of) for part in conflicted]
    if not chains:
        return set()
    difference = chains[0].union(*chains[1:]) - chains[0].intersection(*chains[1:])
    difference.difference_update(unconflicted)
    if difference:
        difference.difference_update(auth_chain(unconflicted, auth_of))
    return difference


def auth_difference_smaller(
    conflicted: Sequence[Collection[int]], unconflicted: Collection[int], auth_of: AuthOf[int]
) -> set[int]:
    """`auth_difference` by one walk from the largest number down, which ends where all the states are at one.

    Asks `auth_of` for conflicted events, for what differs, and for the unconflicted events above the lowest of those.
    """
    everyone = (1 << len(conflicted)) - 1
    reached_by: dict[int, int] = {}
    for place, part in enumerate(conflicted):
        for node in part:
            reached_by[node] = reached_by.get(node, 0) | 1 << place
    heap = [-node for node in reached_by]
    heapify(heap)
    rest = _Descending(unconflicted)
    shared = unconflicted if isinstance(unconflicted, set | frozenset | dict) else frozenset(unconflicted)
    open_nodes = sum(1 for reached in reached_by.values() if reached != everyone)
    difference: set[int] = set()
    while open_nodes:
        if rest.top > -heap[0]:
            node, reached = rest.pop(), everyone
        else:
            node = -heappop(heap)
            reached = reached_by[node]
            if reached != everyone:
                open_nodes -= 1
                difference.add(node)
        for parent in auth_of(node):
            before = reached_by.get(parent)
            after = everyone if parent in shared else reached | (before or 0)
            if before is None:
                heappush(heap, -parent)
                open_nodes += after != everyone
            elif before != everyone and after == everyone:
                open_nodes -= 1
            reached_by[parent] = after
    return difference


class _Descending:
    """Numbers, the largest first, made a heap only when first asked."""

    def __init__(self, numbers: Collection[int]) -> None:
        self._heap = [-number for number in numbers]
        heapify(self._heap)

    @property
    def top(self) -> int:
        """The largest, or a number below all if there is none left."""
        return -self._heap[0] if self._heap else -1

    def pop(self) -> int:
        return -heappop(self._heap)


def conflicted_subgraph(conflicted: Collection[T], auth_of: AuthOf[T]) -> set[T]:
    """The nodes on all ways along auth events from one of the conflicted nodes to another, and those nodes."""
    named_by: dict[T, list[T]] = {}
    for node in auth_chain(conflicted, auth_of):
        for parent in auth_of(node):
            named_by.setdefault(parent, []).append(node)
    return auth_chain(conflicted, lambda node: named_by.get(node, ()))


def topological_order(auth_within: Mapping[T, Collection[T]], rank: Callable[[T], Rank]) -> list[T]:
    """The nodes, each after its auth events, the lowest rank first where there is a choice. No two ranks are equal.

    `auth_within` has for each node those of its auth events that are nodes too. This is Kahn's algorithm; the nodes
    of a ring, and what rests on them, are left out.
    """
    ranks = {node: rank(node) for node in auth_within}
    node_by_rank = {node_rank: node for node, node_rank in ranks.items()}
    named_by: dict[T, list[T]] = {node: [] for node in auth_within}
    for node, parents in auth_within.items():
        for parent in set(parents):
            named_by[parent].append(node)
    missing = {node: len(set(parents)) for node, parents in auth_within.items()}
    heap = [ranks[node] for node, count in missing.items() if not count]
    heapify(heap)
    order: list[T] = []
    while heap:
        node = node_by_rank[heappop(heap)]
        order.append(node)
        for child in named_by[node]:
            missing[child] -= 1
            if not missing[child]:
                heappush(heap, ranks[child])
    return order


def chain_of(start: T | None, previous: Callable[[T], T | None]) -> Iterator[T]:
    """`start`, what precedes it, and so on: the mainline of a power levels event."""
    seen: set[T] = set()
    while start is not None and start not in seen:
        yield start
        seen.add(start)
        start = previous(start)


class Mainline(Generic[T]):
    """Positions on the mainline of a power levels event: how far back in its history an event's own levels lie."""

    def __init__(self, power_levels: T | None, power_levels_of: Callable[[T], T | None]) -> None:
        self._power_levels_of = power_levels_of
        self._positions: dict[T, int] = {}
        self._positions.update((node, place) for place, node in enumerate(chain_of(power_levels, power_levels_of)))
        # "Infinite": further back than all.
        self._nowhere = len(self._positions)

    def position(self, node: T) -> int:
        """The place on the mainline of the nearest power levels that the node rests on."""
        walked: list[T] = []
        found = self._nowhere
        for levels in chain_of(self._power_levels_of(node), self._power_levels_of):
            if levels in self._positions:
                found = self._positions[levels]
                break
            walked.append(levels)
        for levels in walked:
            self._positions[levels] = found
        return found
