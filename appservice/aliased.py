"""Which rooms have an alias in a service's namespace, at one position of the stream."""

from collections.abc import Callable, Iterable

from storage.appservice_reading import AliasChange


class AliasedRooms:
    """A fold of what the stream tells of aliases; those that `owns` says no to are left out."""

    def __init__(self, owns: Callable[[str], bool], aliases: Iterable[tuple[int, str]] = ()) -> None:
        self._owns = owns
        self._rooms: dict[int, set[str]] = {}
        for room_nid, alias in aliases:
            self._add(room_nid, alias)

    def __contains__(self, room_nid: int) -> bool:
        return room_nid in self._rooms

    def apply(self, change: AliasChange) -> None:
        if change.moved_from is not None:
            self._move(change.moved_from, change.room_nid)
        if change.added is not None:
            self._add(change.room_nid, change.added)
        if change.removed is not None:
            self._remove(change.room_nid, change.removed)

    def _add(self, room_nid: int, alias: str) -> None:
        if self._owns(alias):
            self._rooms.setdefault(room_nid, set()).add(alias)

    def _remove(self, room_nid: int, alias: str) -> None:
        aliases = self._rooms.get(room_nid, set())
        aliases.discard(alias)
        if not aliases:
            self._rooms.pop(room_nid, None)

    def _move(self, old: int, new: int) -> None:
        if aliases := self._rooms.pop(old, None):
            self._rooms.setdefault(new, set()).update(aliases)
