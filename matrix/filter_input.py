"""Typed readers of the parts of a filter. A wrong type is M_BAD_JSON, a wrong value M_INVALID_PARAM.

Source: client-server API, "Filtering".
"""

from collections.abc import Callable
from typing import Any, Literal, cast

from matrix.errors import BadRequest, InvalidParam
from matrix.ids import BadIdentifier, RoomId, UserId

Json = dict[str, Any]

# Each is held in memory for each waiting sync of the client.
MAX_ENTRIES = 5000
# Patterns are tried one after the other for each event.
MAX_TEXT = 255
MAX_TEXTS = 500


def parse_object(value: Any, name: str) -> Json:
    if not isinstance(value, dict):
        raise BadRequest(f"{name} must be an object")
    return value


def parse_bool(parts: Json, key: str) -> bool | None:
    value = parts.get(key)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{key} must be a boolean")
    return value


def parse_limit(parts: Json) -> int | None:
    """As in Synapse any number will do: it is clamped when it is used."""
    value = parts.get("limit")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest("limit must be a number")
    try:
        return int(value)
    except (OverflowError, ValueError) as e:
        raise InvalidParam("limit must be an integer") from e


def parse_event_format(parts: Json) -> Literal["client", "federation"]:
    value = parts.get("event_format", "client")
    if value not in ("client", "federation"):
        raise InvalidParam("event_format must be client or federation")
    return cast(Literal["client", "federation"], value)


def parse_texts(parts: Json, key: str) -> tuple[str, ...] | None:
    texts = _parse_list(parts, key, MAX_TEXTS)
    if texts is not None and any(len(text) > MAX_TEXT for text in texts):
        raise InvalidParam(f"{key} has an entry of more than {MAX_TEXT} characters")
    return texts


def parse_user_ids(parts: Json, key: str) -> frozenset[str] | None:
    return _parse_ids(parts, key, UserId.parse)


def parse_room_ids(parts: Json, key: str) -> frozenset[str] | None:
    return _parse_ids(parts, key, RoomId.parse)


def _parse_ids(parts: Json, key: str, parse: Callable[[str], str]) -> frozenset[str] | None:
    texts = _parse_list(parts, key, MAX_ENTRIES)
    try:
        return None if texts is None else frozenset(str(parse(text)) for text in texts)
    except BadIdentifier as e:
        raise InvalidParam(f"{key}: {e}") from e


def _parse_list(parts: Json, key: str, most: int) -> tuple[str, ...] | None:
    value = parts.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise BadRequest(f"{key} must be a list of strings")
    if len(value) > most:
        raise InvalidParam(f"{key} has more than {most} entries")
    return tuple(value)
