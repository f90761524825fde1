"""Walks over the auth graph, and finding conflicts: each against a form that is slow and plain."""

from array import array
from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.conflicts import conflicts, conflicts_over_base, differing_positions
from matrix.dag import (
    Mainline,
    auth_chain,
    auth_difference,
    auth_difference_smaller,
    chain_of,
    conflicted_subgraph,
    topological_order,
)

Graph = dict[int, list[int]]


@st.composite
def graphs(draw: st.DrawFn, size: int = 12) -> Graph:
    """Every node's auth events have smaller numbers."""
    return {
        node: sorted(draw(st.sets(st.integers(0, node - 1), max_size=3))) if node else []
        for node in range(draw(st.integers(1, size)))
    }


@st.composite
def graphs_with_states(draw: st.DrawFn) -> tuple[Graph, list[set[int]]]:
    graph = draw(graphs())
    nodes = st.sets(st.integers(0, len(graph) - 1))
    return graph, draw(st.lists(nodes, min_size=1, max_size=4))


def split(states: Sequence[set[int]]) -> tuple[list[set[int]], set[int]]:
    shared = set.intersection(*states)
    return [state - shared for state in states], shared


def reaches(graph: Graph, node: int, target: int) -> bool:
    return node == target or any(reaches(graph, parent, target) for parent in graph[node])


@given(graphs_with_states())
def test_the_auth_chain_is_all_that_is_reached(case: tuple[Graph, list[set[int]]]) -> None:
    graph, (nodes, *_) = case
    assert auth_chain(nodes, graph.__getitem__) == {n for n in graph if any(reaches(graph, m, n) for m in nodes)}


def test_a_ring_ends_no_walk_late() -> None:
    ring = {"a": ["b"], "b": ["a"], "c": []}
    assert auth_chain(["a"], ring.__getitem__) == {"a", "b"}
    assert topological_order(ring, lambda node: (0, 0, node)) == ["c"]
    assert list(chain_of("a", lambda node: ring[node][0])) == ["a", "b"]


@given(graphs_with_states())
def test_the_auth_difference_is_what_not_all_chains_have(case: tuple[Graph, list[set[int]]]) -> None:
    graph, states = case
    chains = [auth_chain(state, graph.__getitem__) for state in states]
    expected = chains[0].union(*chains) - chains[0].intersection(*chains)
    conflicted, unconflicted = split(states)
    assert auth_difference(conflicted, unconflicted, graph.__getitem__) == expected
    assert auth_difference_smaller(conflicted, unconflicted, graph.__getitem__) == expected


def test_the_fast_auth_difference_asks_for_nothing_below_what_differs() -> None:
    graph = {node: [node - 1] for node in range(1, 1000)}
    asked: list[int] = []
    difference = auth_difference_smaller([[999], [998]], range(990), lambda node: asked.append(node) or graph[node])  # type: ignore[func-returns-value]
    assert difference == {999}
    assert asked == [999]


def test_without_states_nothing_differs() -> None:
    assert auth_difference([], [], lambda _: []) == auth_difference_smaller([], [], lambda _: []) == set()


@given(graphs_with_states())
def test_the_conflicted_subgraph_is_on_the_ways_between_conflicted_nodes(case: tuple[Graph, list[set[int]]]) -> None:
    graph, (conflicted, *_) = case
    between = {
        node
        for node in graph
        if any(reaches(graph, start, node) for start in conflicted)
        and any(reaches(graph, node, end) for end in conflicted)
    }
    assert conflicted_subgraph(conflicted, graph.__getitem__) == between


@given(graphs(size=6))
def test_the_topological_order_is_the_lowest_of_all(graph: Graph) -> None:
    ranks = {node: (-(node * 7 % 5), node % 2, str(node)) for node in graph}

    def is_topological(order: tuple[int, ...]) -> bool:
        return all(order.index(parent) < order.index(node) for node in graph for parent in graph[node])

    lowest = min(filter(is_topological, permutations(graph)), key=lambda order: [ranks[node] for node in order])
    assert topological_order(graph, ranks.__getitem__) == list(lowest)


def test_the_mainline_position_is_that_of_the_nearest_levels() -> None:
    # levels: 1 <- 2 <- 3 is the mainline of 3; 4 forks off from 2; 5 has no levels at all
    before = {1: None, 2: 1, 3: 2, 4: 2, 5: None, 10: 3, 11: 2, 12: 4, 13: 5, 14: None, 15: 1}
    mainline = Mainline(3, before.__getitem__)
    assert [mainline.position(node) for node in (10, 11, 12, 13, 14, 15)] == [0, 1, 1, 3, 3, 2]


def test_an_event_is_not_its_own_place_on_the_mainline() -> None:
    assert Mainline(2, {1: None, 2: 1}.__getitem__).position(2) == 1


def test_without_levels_every_event_is_nowhere() -> None:
    assert Mainline[int](None, {1: None, 2: 1}.__getitem__).position(2) == 0


states = st.dictionaries(st.integers(0, 30), st.integers(1, 3))


@given(st.lists(states, max_size=5))
def test_an_entry_is_unconflicted_if_all_have_it(maps: list[dict[int, int]]) -> None:
    unconflicted, conflicted = conflicts(maps)
    keys = {key for one in maps for key in one}
    same = {key for key in keys if all(one.get(key) == maps[0].get(key) for one in maps)}
    assert unconflicted == {key: maps[0][key] for key in same}
    assert conflicted == [{key: value for key, value in one.items() if key not in same} for one in maps]


@given(states, st.lists(st.dictionaries(st.integers(0, 40), st.none() | st.integers(1, 3)), min_size=1, max_size=4))
def test_conflicts_over_a_base_are_those_of_the_whole_maps(
    base: dict[int, int], changes: list[dict[int, int | None]]
) -> None:
    whole = [{key: value for key, value in {**base, **change}.items() if value is not None} for change in changes]
    unconflicted, lacking, conflicted = conflicts_over_base(base, changes)
    shared = {key: value for key, value in {**base, **unconflicted}.items() if key not in lacking}
    assert (shared, conflicted) == conflicts(whole)


@given(st.integers(1, 300), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 299)), max_size=8))
def test_differing_positions_are_found_in_arrays(length: int, changes: list[tuple[int, int]]) -> None:
    arrays = [array("q", range(length)) for _ in range(4)]
    for state, position in changes:
        arrays[state][position % length] = -1
    expected = [at for at in range(length) if len({state[at] for state in arrays}) > 1]
    assert differing_positions(arrays) == expected


def test_arrays_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        differing_positions([array("q", [1, 2]), array("q", [1])])


def test_a_single_state_has_no_conflicts() -> None:
    assert differing_positions([array("q", [1])]) == differing_positions([]) == []
    assert conflicts([{1: 1}]) == ({1: 1}, [{}])
