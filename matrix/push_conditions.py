"""The conditions of push rules, as functions of an event, and of a user where they ask who it is for.

Source: client-server API, "Push Rules", "Conditions".
"""

import re
from collections.abc import Callable, Hashable
from operator import eq, ge, gt, le, lt
from typing import Any

from attrs import frozen

from matrix import globs
from matrix.property_paths import ABSENT, Path, find, parse_path
from matrix.push_default_rules import USER_ID, Json

_NO_LEVEL = -(1 << 63)
_BODY: Path = ("content", "body")
_COUNT = re.compile(r"(==|<=|>=|<|>)?([0-9]{1,15})")
_COMPARE: dict[str | None, Callable[[int, int], bool]] = {None: eq, "==": eq, "<": lt, ">": gt, "<=": le, ">=": ge}


class PushEvent:
    """The facts of an event, shared by all the users for whom it is judged. Lives as long as that takes.

    `event` has the event's keys as clients see them (`client_format`), `room_id` among them; `sender_level` is None
    where the power levels are not known, and then gives no permission; `required_level` is `PowerLevels.notification`.
    """

    __slots__ = (
        "_body", "_strings", "candidates", "event", "member_count", "passed", "required_level", "room_id", "room_key",
        "sender", "sender_level", "type_key",
    )  # fmt: skip

    def __init__(
        self, event: Json, *, member_count: int, sender_level: int | None, required_level: Callable[[str], int]
    ) -> None:
        self.event = event
        self.sender: str = event["sender"]
        self.room_id: str = event["room_id"]
        self.room_key = self.room_id.lower()
        self.type_key = str(event["type"]).lower()
        self.member_count = member_count
        self.sender_level = _NO_LEVEL if sender_level is None else sender_level
        self.required_level = required_level
        # What `push_eval` has found out: candidates by evaluator, and whether a rule may match, by rule.
        self.candidates: dict[Hashable, Any] = {}
        self.passed: dict[Hashable, bool] = {}
        self._body: str | None = None
        self._strings: dict[Path, frozenset[str]] = {}

    def text(self, path: Path) -> str | None:
        """The text there in lower case; None if there is none."""
        if path == _BODY:
            return self._lower_body()
        value = find(self.event, path)
        return value.lower() if isinstance(value, str) else None

    def texts(self, path: Path) -> frozenset[str]:
        """The texts of the list there; empty if there is none."""
        found = self._strings.get(path)
        if found is None:
            value = find(self.event, path)
            found = frozenset(v for v in value if isinstance(v, str)) if isinstance(value, list) else frozenset()
            self._strings[path] = found
        return found

    def contains_name(self, name: str) -> bool:
        """Is it in the body, as a word?"""
        body = self._lower_body()
        return body is not None and globs.contains_word(body, name.lower())

    def _lower_body(self) -> str | None:
        if self._body is None:
            value = find(self.event, _BODY)
            if not isinstance(value, str):
                return None
            self._body = value.lower()
        return self._body


EventTest = Callable[[PushEvent], bool]
UserTest = Callable[[PushEvent, str, str | None], bool]


@frozen
class Tests:
    """A condition: what the event alone decides, and what depends on the user (id, display name) too."""

    event: EventTest | None = None
    user: UserTest | None = None


def compile_condition(condition: Json) -> Tests | None:
    """The tests of a condition; None if it is of an unknown kind or malformed, and so never matches."""
    kind = condition.get("kind")
    compiler = _COMPILERS.get(kind) if isinstance(kind, str) else None
    return compiler(condition) if compiler else None


def only(condition: Json, key: str) -> str | None:
    """The one value of this key, in lower case, with which the condition can match; None if there is no such bound."""
    pattern = condition.get("pattern")
    if condition.get("kind") != "event_match" or condition.get("key") != key or not isinstance(pattern, str):
        return None
    return None if "*" in pattern or "?" in pattern else pattern.lower()


def _event_match(condition: Json) -> Tests | None:
    key, pattern = condition.get("key"), condition.get("pattern")
    if not isinstance(key, str) or not isinstance(pattern, str):
        return None
    path = parse_path(key)
    if pattern == USER_ID:
        return Tests(
            event=lambda event: event.text(path) is not None,
            user=lambda event, user_id, name: event.text(path) == user_id.lower(),
        )
    matches = globs.words(pattern) if path == _BODY else globs.whole(pattern)

    def test(event: PushEvent) -> bool:
        text = event.text(path)
        return text is not None and matches(text)

    return Tests(event=test)


def _event_property_is(condition: Json) -> Tests | None:
    key, value = condition.get("key"), condition.get("value", ABSENT)
    if not isinstance(key, str) or not _is_simple(value):
        return None
    path = parse_path(key)
    return Tests(event=lambda event: _same(find(event.event, path), value))


def _event_property_contains(condition: Json) -> Tests | None:
    key, value = condition.get("key"), condition.get("value", ABSENT)
    if not isinstance(key, str) or not _is_simple(value):
        return None
    path = parse_path(key)
    if value == USER_ID:
        return Tests(
            event=lambda event: bool(event.texts(path)),
            user=lambda event, user_id, name: user_id in event.texts(path),
        )
    if isinstance(value, str):
        return Tests(event=lambda event: value in event.texts(path))

    def test(event: PushEvent) -> bool:
        found = find(event.event, path)
        return isinstance(found, list) and any(_same(each, value) for each in found)

    return Tests(event=test)


def _contains_display_name(condition: Json) -> Tests:
    # An empty display name would be in every body.
    return Tests(
        event=lambda event: event.text(_BODY) is not None,
        user=lambda event, user_id, name: bool(name) and event.contains_name(name or ""),
    )


def _room_member_count(condition: Json) -> Tests | None:
    bound = condition.get("is")
    parsed = _COUNT.fullmatch(bound) if isinstance(bound, str) else None
    if parsed is None:
        return None
    compare, count = _COMPARE[parsed[1]], int(parsed[2])
    return Tests(event=lambda event: compare(event.member_count, count))


def _sender_notification_permission(condition: Json) -> Tests | None:
    key = condition.get("key")
    if not isinstance(key, str):
        return None
    return Tests(event=lambda event: event.sender_level >= event.required_level(key))


_COMPILERS: dict[str, Callable[[Json], Tests | None]] = {
    "event_match": _event_match,
    "event_property_is": _event_property_is,
    "event_property_contains": _event_property_contains,
    "contains_display_name": _contains_display_name,
    "room_member_count": _room_member_count,
    "sender_notification_permission": _sender_notification_permission,
}


def _is_simple(value: Any) -> bool:
    return value is None or type(value) in (str, int, bool)


def _same(found: Any, value: Any) -> bool:
    """Equal, and of one type: True is not 1."""
    return type(found) is type(value) and bool(found == value)
