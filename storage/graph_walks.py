"""Walks along the graph of a room's events, towards the past: never more than some hundred events at once.

Most of a graph is a line: the events that a walk will come by are read beforehand with one statement, and only what
was not among them is looked up.
"""

from collections.abc import Collection, Iterable, Sequence
from heapq import heappop, heappush

from attrs import define, field, frozen
from psycopg2.extensions import cursor as Cursor

from storage.events import Flags
from storage.history import IN_ORDER

# Beyond what was asked for so many are read, for forks.
SPARE = 20
# So often what was not read beforehand is looked up, before a walk ends where it is.
MAX_LOOKUPS = 200
# Rejected and soft-failed events have no position, and others may follow them all the same.
_COLUMNS = "SELECT event_nid, depth, coalesce(position, 0), flags, prev_nids FROM events"
_OUTLIER = Flags.OUTLIER


@frozen
class _Node:
    nid: int
    depth: int
    position: int
    flags: int
    prev_nids: Sequence[int]

    @property
    def is_shown(self) -> bool:
        """Rejected events are in the graph, and not for others."""
        return not self.flags & Flags.REJECTED


@define
class _Graph:
    """The room's events with a place in its graph, read when they are come by."""

    cur: Cursor
    room_nid: int
    nodes: dict[int, _Node] = field(factory=dict)
    lookups: int = 0

    def start(self, nids: Collection[int], count: int) -> list[_Node]:
        """The nodes to begin with; `count` of those below them are read too."""
        self._look_up(nids)
        starts = [self.nodes[nid] for nid in nids if nid in self.nodes]
        if starts:
            deepest = max((node.depth, node.position) for node in starts)
            self.cur.execute(
                f"{IN_ORDER}{_COLUMNS} WHERE room_nid = %s AND position IS NOT NULL AND (depth, position) <= (%s, %s)"
                " ORDER BY depth DESC, position DESC LIMIT %s",
                (self.room_nid, *deepest, count + SPARE),
            )
            self._keep()
        return starts

    def aside(self) -> list[_Node]:
        """Of what was read to begin with the history that was put beside the graph: no walk comes by it.

        Imported events (services/history_import): nothing follows them, and they follow what the walk comes by.
        """
        followed = {nid for node in self.nodes.values() for nid in node.prev_nids}
        return [node for node in self.nodes.values() if node.position < 0 and node.nid not in followed]

    def before(self, nodes: Iterable[_Node]) -> list[_Node]:
        """The events that the nodes follow, as far as they are known, each once."""
        nids = list(dict.fromkeys(nid for node in nodes for nid in node.prev_nids))
        missing = [nid for nid in nids if nid not in self.nodes]
        if missing and self.lookups < MAX_LOOKUPS:
            self._look_up(missing)
        return [self.nodes[nid] for nid in nids if nid in self.nodes]

    def _look_up(self, nids: Collection[int]) -> None:
        self.lookups += 1
        self.cur.execute(
            f"{_COLUMNS} WHERE event_nid = ANY(%s) AND room_nid = %s AND flags & {_OUTLIER} = 0",
            (list(nids), self.room_nid),
        )
        self._keep()

    def _keep(self) -> None:
        self.nodes.update((row[0], _Node(*row)) for row in self.cur)


def back_from(cur: Cursor, room_nid: int, nids: Collection[int], limit: int) -> list[int]:
    """The events and those that they follow, the deepest first; with what was put beside those later."""
    graph = _Graph(cur, room_nid)
    waiting: list[tuple[int, int, int]] = []
    seen: set[int] = set()
    found: list[int] = []

    def add(nodes: Iterable[_Node]) -> None:
        for node in nodes:
            if node.nid not in seen:
                seen.add(node.nid)
                heappush(waiting, (-node.depth, -node.position, node.nid))

    add(graph.start(nids, limit))
    add(graph.aside())
    while waiting and len(found) < limit:
        node = graph.nodes[heappop(waiting)[2]]
        if node.is_shown:
            found.append(node.nid)
        add(graph.before([node]))
    return found


def missing_between(
    cur: Cursor, room_nid: int, latest: Collection[int], earliest: Collection[int], limit: int, min_depth: int
) -> list[int]:
    """What lies before the latest, breadth first, without passing the earliest. Neither of both is among it."""
    graph = _Graph(cur, room_nid)
    level = [node for node in graph.start(latest, limit) if node.nid not in earliest]
    seen = {*latest, *earliest}
    found: list[int] = []
    while level and len(found) < limit:
        level = [node for node in graph.before(level) if node.nid not in seen and node.depth >= min_depth]
        seen.update(node.nid for node in level)
        found += [node.nid for node in level if node.is_shown]
    return found[:limit]
