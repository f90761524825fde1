"""Readers of single values, by their types. Each raises BadValue."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml

from matrix.ids import BadIdentifier, RoomAlias, ServerName
from synapse_like_config.units import (
    BadValue,
    BaseUrl,
    Bytes,
    Milliseconds,
    Network,
    parse_base_url,
    parse_duration,
    parse_network,
    parse_size,
)

T = TypeVar("T")


def from_yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadValue(f"{text!r} is no YAML") from error


def choice(choices: tuple[Any, ...], raw: Any) -> Any:
    for each in choices:
        if type(raw) is type(each) and raw == each:
            return each
    raise BadValue(f"must be one of {', '.join(str(_shown(each)) for each in choices)}, not {raw!r}")


def _shown(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


def kind(raw: object) -> str:
    names = {
        dict: "a mapping",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(raw), "nothing" if raw is None else repr(raw))


def _bool(raw: object) -> bool:
    if not isinstance(raw, bool):
        raise BadValue(f"must be true or false, not {raw!r}")
    return raw


def _int(raw: object) -> int:
    if not isinstance(raw, int) or isinstance(raw, bool):
        raise BadValue(f"must be a whole number, not {raw!r}")
    return raw


def _float(raw: object) -> float:
    if not isinstance(raw, int | float) or isinstance(raw, bool):
        raise BadValue(f"must be a number, not {raw!r}")
    return float(raw)


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise BadValue(f"must be a text, not {kind(raw)}; put it in quotes")
    return raw


def _path(raw: object) -> Path:
    # As in Synapse from the directory in which the server is started.
    return Path(_text(raw)).absolute()


def _server_name(raw: object) -> ServerName:
    return _identifier(ServerName.parse, raw)


def _room_alias(raw: object) -> RoomAlias:
    return _identifier(RoomAlias.parse, raw)


def _identifier(parse: Callable[[str], T], raw: object) -> T:
    try:
        return parse(_text(raw))
    except BadIdentifier as error:
        raise BadValue(str(error)) from error


LEAVES: dict[Any, Callable[[Any], Any]] = {
    bool: _bool,
    int: _int,
    float: _float,
    str: _text,
    Path: _path,
    ServerName: _server_name,
    RoomAlias: _room_alias,
    Milliseconds: parse_duration,
    Bytes: parse_size,
    Network: parse_network,
    BaseUrl: parse_base_url,
}
