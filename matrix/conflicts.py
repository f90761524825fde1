"""Where do these states of a room differ?

To find out costs more than to resolve it: 50,000 entries in ten states are half a million look-ups. So there are three
ways, by what the caller has:

- `conflicts`: whole maps, entry by entry. Exact for anything, and slow for large rooms.
- `conflicts_over_base`: the states as a few changes each to one shared map. Its cost is that of the changes.
- `differing_positions`: the states as arrays of integers for the same list of keys. Compared block by block as bytes.

Source: specification, "Room Version 2", "State resolution": unconflicted state map, conflicted state set.
"""

from array import array
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)

# Below this many entries comparing one by one costs less than halving on.
_LEAF = 16


def conflicts(state_sets: Sequence[Mapping[K, V]]) -> tuple[dict[K, V], list[dict[K, V]]]:
    """The entries that all the states have, and for each state, in their order, its other entries.

    A key that is missing in one of the states is in conflict in the others.
    """
    if not state_sets:
        return {}, []
    first = state_sets[0]
    differing = {key for other in state_sets[1:] for key in _differing_keys(first, other)}
    unconflicted = {key: value for key, value in first.items() if key not in differing} if differing else dict(first)
    return unconflicted, [{key: state[key] for key in differing if key in state} for state in state_sets]


def _differing_keys(first: Mapping[K, V], other: Mapping[K, V]) -> list[K]:
    # A comprehension over one map is three times faster than the set operations of dict views.
    differing = [key for key, value in first.items() if other.get(key) != value]
    missing = sum(1 for key in differing if key not in other)
    if len(other) != len(first) - missing:
        differing += [key for key in other if key not in first]
    return differing


def conflicts_over_base(
    base: Mapping[K, V], changes: Sequence[Mapping[K, V | None]]
) -> tuple[dict[K, V], set[K], list[dict[K, V]]]:
    """The conflicts of states that are `base` with changes, None being an entry taken away; `base` is not copied.

    Gives, for the changed keys only: what all the states have in place of `base`'s entry; the keys that the
    unconflicted state lacks though `base` may have them; and for each state its entries in conflict.
    """
    unconflicted: dict[K, V] = {}
    lacking: set[K] = set()
    conflicted: list[dict[K, V]] = [{} for _ in changes]
    for key in dict.fromkeys(key for change in changes for key in change):
        values = [change[key] if key in change else base.get(key) for change in changes]
        first = values[0]
        if all(value == first for value in values):
            if first is None:
                lacking.add(key)
            else:
                unconflicted[key] = first
            continue
        lacking.add(key)
        for part, value in zip(conflicted, values, strict=True):
            if value is not None:
                part[key] = value
    return unconflicted, lacking, conflicted


def differing_positions(states: Sequence["array[int]"]) -> list[int]:
    """The positions at which the arrays, all of one type and length, do not all hold the same, ascending.

    The caller keeps the list of keys that the positions stand for, and a number for "no event".
    """
    if len(states) < 2:
        return []
    size = states[0].itemsize
    if len({(len(state), state.typecode) for state in states}) != 1:
        raise ValueError("the states are not of one shape")
    # Bytes are compared by one memcmp: ten times faster than arrays and memoryviews, even with the copies.
    whole = [state.tobytes() for state in states]
    found: list[int] = []
    stack = [(0, len(states[0]))]
    while stack:
        low, high = stack.pop()
        first = whole[0][low * size : high * size]
        if all(other[low * size : high * size] == first for other in whole[1:]):
            continue
        if high - low <= _LEAF:
            found += (at for at in range(low, high) if any(state[at] != states[0][at] for state in states))
        else:
            middle = (low + high) // 2
            stack += ((middle, high), (low, middle))
    return found
