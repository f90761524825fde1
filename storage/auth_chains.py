"""Auth chains over numbers: what rests on what.

An event's number is above those of its auth events, in every process, so that a walk downwards can stop at a number.
"""

from collections.abc import Collection

from psycopg2.extensions import cursor as Cursor

from storage.prepared import Often

AuthGraph = dict[int, list[int]]  # the auth events of each


# Each event by its number: who plans this as joins, knowing little of the tables, reads through all events each time.
_AUTHS = "CROSS JOIN LATERAL (SELECT auth_nids FROM events WHERE event_nid = c.nid OFFSET 0) e"
_AUTH_GRAPH = Often(
    "WITH RECURSIVE chain (nid) AS (SELECT unnest(%s::bigint[]) UNION"
    f" SELECT a.nid FROM chain c {_AUTHS} CROSS JOIN LATERAL unnest(e.auth_nids) AS a (nid) WHERE a.nid > %s::bigint)"
    f" SELECT c.nid, e.auth_nids FROM chain c {_AUTHS}"
)


def auth_graph(cur: Cursor, nids: Collection[int], *, above: int = 0) -> AuthGraph:
    """These events, and of what they rest on all whose numbers are above `above`, each with all its auth events."""
    if not nids:
        return {}
    cur.execute(_AUTH_GRAPH, (list(nids), above))
    return dict(cur.fetchall())


def auth_chain(cur: Cursor, nids: Collection[int]) -> set[int]:
    """What these events rest on, without themselves unless one rests on another."""
    graph = auth_graph(cur, nids)
    return {auth for auths in graph.values() for auth in auths}


def auth_difference(cur: Cursor, states: Collection[Collection[int]]) -> set[int]:
    """What is in the auth chain of one of these sets of events but not of all; the events count as part of it."""
    chains = [set(auth_graph(cur, state)) for state in states]
    return chains[0].union(*chains) - chains[0].intersection(*chains) if chains else set()
