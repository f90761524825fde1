"""What a client wants to see: its filter, checked and compiled.

A frozen `Filter` answers by `allows` whether to show something. Most filters of most clients are empty in most of their
parts, and an empty part says yes at once.

Source: client-server API, "Filtering".
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from attrs import field, frozen

from matrix import globs
from matrix.filter_input import (
    parse_bool,
    parse_event_format,
    parse_limit,
    parse_object,
    parse_room_ids,
    parse_texts,
    parse_user_ids,
)
from matrix.property_paths import parse_path
from matrix.relations import relation

Json = dict[str, Any]

# As Synapse: 10 if the client says nothing, and at most 100 (its `filter_timeline_limit`).
DEFAULT_LIMIT, MAX_LIMIT = 10, 100


def clamp_limit(limit: int | None, *, default: int = DEFAULT_LIMIT, most: int = MAX_LIMIT) -> int:
    """How many events to give: 1 to `most`."""
    return default if limit is None else max(1, min(limit, most))


@frozen
class TypePatterns:
    """Event types, with `*` for any characters. Source: client-server API, "EventFilter"."""

    exact: frozenset[str]
    patterns: tuple[Callable[[str], bool], ...] = field(eq=False)

    @classmethod
    def of(cls, types: Iterable[str]) -> "TypePatterns":
        types = set(types)
        wild = sorted(each for each in types if "*" in each)
        return cls(exact=frozenset(types.difference(wild)), patterns=tuple(map(globs.stars, wild)))

    def matches(self, event_type: str) -> bool:
        return event_type in self.exact or any(matches(event_type) for matches in self.patterns)

    @property
    def is_none(self) -> bool:
        return not self.exact and not self.patterns


@frozen
class Chosen:
    """Some identifiers: these only (None: all), but not those."""

    only: frozenset[str] | None = None
    never: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        return self.only is None and not self.never

    @property
    def blocks_all(self) -> bool:
        return self.only is not None and not self.only - self.never

    def allows(self, identifier: str | None) -> bool:
        if identifier is None:
            return self.only is None
        return identifier not in self.never and (self.only is None or identifier in self.only)


@frozen
class EventFilter:
    """A filter of events, or of what is like them: presence and account data. `limit` is as the client said it.

    `related_by_*` ask for what the events themselves do not say: an event passes if others relate to it so (None: not
    asked for). Whoever reads events must look at them; `allows` does not.
    """

    limit: int | None = None
    types: TypePatterns | None = None
    not_types: TypePatterns | None = None
    senders: Chosen = Chosen()
    rooms: Chosen = Chosen()
    contains_url: bool | None = None
    # How the events themselves relate to others: MSC3874.
    rel_types: Chosen = Chosen()
    lazy_load_members: bool = False
    include_redundant_members: bool = False
    unread_thread_notifications: bool = False
    related_by_rel_types: frozenset[str] | None = None
    related_by_senders: frozenset[str] | None = None
    # Nothing is refused by what an event says of itself.
    is_empty: bool = field(init=False, eq=False)

    @is_empty.default
    def _says_nothing(self) -> bool:
        types = self.types is None and self.not_types is None
        identifiers = self.senders.is_empty and self.rooms.is_empty and self.rel_types.is_empty
        return types and identifiers and self.contains_url is None

    def allows(
        self, event_type: str, sender: str | None, room_id: str | None = None, content: Mapping[str, Any] | None = None
    ) -> bool:
        """May this be shown? `sender` is None of account data and of ephemeral events, which have none."""
        return self.is_empty or (
            self._allows_type(event_type)
            and self.senders.allows(sender)
            and self.rooms.allows(room_id)
            and self._allows_content(content or {})
        )

    def allows_room(self, room_id: str) -> bool:
        return self.rooms.allows(room_id)

    @property
    def asks_relations(self) -> bool:
        return self.related_by_rel_types is not None or self.related_by_senders is not None

    @property
    def blocks_all(self) -> bool:
        """Can nothing pass? Then nothing needs to be read."""
        if self.types is not None and self.types.is_none:
            return True
        refused = self.not_types is not None and any(matches("") for matches in self.not_types.patterns)
        return refused or self.senders.blocks_all or self.rooms.blocks_all

    def _allows_type(self, event_type: str) -> bool:
        if self.not_types is not None and self.not_types.matches(event_type):
            return False
        return self.types is None or self.types.matches(event_type)

    def _allows_content(self, content: Mapping[str, Any]) -> bool:
        if self.contains_url is not None and isinstance(content.get("url"), str) != self.contains_url:
            return False
        if self.rel_types.is_empty:
            return True
        related = relation(content)
        return self.rel_types.allows(None if related is None else related.rel_type)


@frozen
class RoomFilter:
    """`rooms` holds for all the rest, and comes first."""

    rooms: Chosen = Chosen()
    include_leave: bool = False
    timeline: EventFilter = EventFilter()
    state: EventFilter = EventFilter()
    ephemeral: EventFilter = EventFilter()
    account_data: EventFilter = EventFilter()


@frozen
class Filter:
    """A filter of a sync. `event_fields` is None if all are wanted."""

    room: RoomFilter = RoomFilter()
    presence: EventFilter = EventFilter()
    account_data: EventFilter = EventFilter()
    event_fields: "EventFields | None" = None
    event_format: Literal["client", "federation"] = "client"
    # The operator's bound of the timeline.
    most: int = MAX_LIMIT

    @property
    def timeline_limit(self) -> int:
        """As in Synapse 0 is a limit too: of who wants to hear of state alone."""
        return 0 if self.room.timeline.limit == 0 else clamp_limit(self.room.timeline.limit, most=self.most)

    @property
    def lazy_load_members(self) -> bool:
        """As in Synapse the part for state decides, for the timeline too."""
        return self.room.state.lazy_load_members


EMPTY = Filter()


@frozen
class EventFields:
    """The fields of an event that a client wants, as a tree: a name leads to a subtree, or to None for all below."""

    tree: Mapping[str, Any]

    @classmethod
    def of(cls, paths: Iterable[str]) -> "EventFields":
        tree: dict[str, Any] = {}
        for path in map(parse_path, paths):
            *parents, last = path
            branch: dict[str, Any] | None = tree
            for name in parents:
                branch = branch.setdefault(name, {}) if branch is not None else None
            if branch is not None:
                branch[last] = None
        return cls(tree)

    def project(self, event: Mapping[str, Any]) -> Json:
        """A new event with these fields only. Objects in which no wanted field is are left out."""
        return _project(event, self.tree)


def _project(value: Mapping[str, Any], tree: Mapping[str, Any]) -> Json:
    kept: Json = {}
    for name, branch in tree.items():
        if name not in value:
            continue
        found = value[name]
        if branch is None:
            kept[name] = found
        elif isinstance(found, dict) and (inner := _project(found, branch)):
            kept[name] = inner
    return kept


def parse_filter(body: Any) -> Filter:
    """The filter of a sync. Unknown keys are ignored. Raises: BadRequest."""
    parts = parse_object(body, "the filter")
    fields = parse_texts(parts, "event_fields")
    return Filter(
        room=_parse_room_filter(parts.get("room", {})),
        presence=parse_event_filter(parts.get("presence", {}), "presence"),
        account_data=parse_event_filter(parts.get("account_data", {}), "account_data"),
        event_fields=EventFields.of(fields) if fields else None,
        event_format=parse_event_format(parts),
    )


def _parse_room_filter(body: Any) -> RoomFilter:
    parts = parse_object(body, "room")
    events = {
        name: parse_event_filter(parts.get(name, {}), f"room.{name}")
        for name in ("timeline", "state", "ephemeral", "account_data")
    }
    return RoomFilter(rooms=_parse_rooms(parts), include_leave=parse_bool(parts, "include_leave") or False, **events)


def parse_event_filter(body: Any, name: str = "the filter") -> EventFilter:
    """An EventFilter or a RoomEventFilter: what /messages, /context and /search take too. Raises: BadRequest."""
    parts = parse_object(body, name)
    types, not_types = parse_texts(parts, "types"), parse_texts(parts, "not_types")
    rel_types, related = parse_texts(parts, "related_by_rel_types"), parse_texts(parts, "related_by_senders")
    senders = parse_user_ids(parts, "senders")
    own, never = _parse_relations(parts, "rel_types"), _parse_relations(parts, "not_rel_types")
    return EventFilter(
        limit=parse_limit(parts),
        types=None if types is None else TypePatterns.of(types),
        not_types=TypePatterns.of(not_types) if not_types else None,
        senders=Chosen(senders, parse_user_ids(parts, "not_senders") or frozenset()),
        rooms=_parse_rooms(parts),
        contains_url=parse_bool(parts, "contains_url"),
        rel_types=Chosen(own or None, never),
        lazy_load_members=parse_bool(parts, "lazy_load_members") or False,
        include_redundant_members=parse_bool(parts, "include_redundant_members") or False,
        unread_thread_notifications=parse_bool(parts, "unread_thread_notifications") or False,
        # As in Synapse an empty list asks for nothing.
        related_by_rel_types=frozenset(rel_types) if rel_types else None,
        related_by_senders=frozenset(related) if related else None,
    )


def _parse_relations(parts: Json, name: str) -> frozenset[str]:
    """By MSC3874's name, or the one that it has until it is in the specification."""
    return frozenset(parse_texts(parts, name) or parse_texts(parts, f"org.matrix.msc3874.{name}") or ())


def _parse_rooms(parts: Json) -> Chosen:
    return Chosen(parse_room_ids(parts, "rooms"), parse_room_ids(parts, "not_rooms") or frozenset())
