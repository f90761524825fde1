"""A commented homeserver.yaml, made from the declarations of the options.

Every option stands there with its default, commented out; what is given is not. So the file says what there is, and an
operator who changes nothing gets what the defaults will be.
"""

import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs
import yaml

from matrix.ids import ServerName
from synapse_like_config.config import Sections
from synapse_like_config.units import Bytes, Milliseconds, show_duration, show_size

_WIDTH = 118

_HEADER = """\
# The configuration of Hearth, a Matrix homeserver.
#
# Options have the names and meanings that they have in Synapse. Each stands here with its default: take away the `#` in
# front of it to change it. Sizes are written 500K, 50M, 10G; durations 30s, 5m, 1h, 7d, 2w, 1y.
#
# The environment overrides this file: HEARTH_SERVER_NAME=example.org, HEARTH_DATABASE__ARGS__HOST=db.example.org
"""


def sample(server_name: str, *, data_directory: Path | None = None, **values: Any) -> str:
    """The text of a configuration file. `values`: options at its top that are given, as they stand in YAML.

    With a data directory the files below it are named, so that they stay there wherever the server is started.
    """
    given: dict[str, Any] = {"server_name": ServerName.parse(server_name)}
    if data_directory is not None:
        directory = data_directory.absolute()
        given["signing_key_path"] = str(directory / f"{server_name}.signing.key")
        given["media_store_path"] = str(directory / "media")
    given |= values
    lines = [*_HEADER.splitlines()]
    for field in attrs.fields(Sections):
        lines += ["", "", f"### {field.metadata['doc']}"]
        lines += _section(field.metadata["of"], given)
    return "\n".join(lines) + "\n"


def _section(cls: type, given: dict[str, Any]) -> Iterator[str]:
    hints, defaults = get_type_hints(cls), cls()
    for field in attrs.fields(cls):
        key = field.name
        yield ""
        yield from _comment(field, "")
        if key in given:
            yield from _lines(key, str(given[key]) if isinstance(given[key], str) else given[key])
        else:
            yield from _option(key, getattr(defaults, field.name), hints[field.name], "")


def _option(key: str, value: Any, hint: Any, indent: str) -> Iterator[str]:
    """The option with its default, commented out; a class of options as a block, each of them explained."""
    if attrs.has(type(value)) and _is_documented(type(value)):
        yield f"#{indent}{key}:"
        hints = get_type_hints(type(value))
        for field in attrs.fields(type(value)):
            yield from _comment(field, indent + "  ")
            yield from _option(field.name, getattr(value, field.name), hints[field.name], indent + "  ")
        return
    for line in _lines(key, _plain(value, hint)):
        yield f"#{indent}{line}"


def _is_documented(cls: type) -> bool:
    return all(field.metadata.get("doc") for field in attrs.fields(cls))


def _comment(field: "attrs.Attribute[Any]", indent: str) -> Iterator[str]:
    doc = field.metadata["doc"]
    if field.metadata.get("secret"):
        doc += f" Or {field.name}_path: a file with it."
    # Two marks, so that taking away one from every line gives a file that is still good.
    yield from textwrap.wrap(doc, _WIDTH, initial_indent=f"{indent}## ", subsequent_indent=f"{indent}## ")


def _plain(value: Any, hint: Any) -> Any:
    """The value as YAML would have it."""
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(inner for inner in get_args(hint) if inner is not type(None))
    if value is None:
        return None
    if hint is Milliseconds:
        return show_duration(value)
    if hint is Bytes:
        return show_size(value)
    if isinstance(value, tuple):
        return [_plain(each, (get_args(hint) or (None,))[0]) for each in value]
    if attrs.has(type(value)):
        return _plain_class(value)
    return str(value) if isinstance(value, str | Path) else value


def _plain_class(value: Any) -> dict[str, Any]:
    """Only what differs from the defaults, and what has none."""
    hints = get_type_hints(type(value))
    plain = {}
    for field in attrs.fields(type(value)):
        mine = getattr(value, field.name)
        if field.default is attrs.NOTHING or mine != field.default:
            plain[field.name] = _plain(mine, hints[field.name])
    return plain


def _lines(key: str, value: Any) -> Iterator[str]:
    """The option on one line; a list that is long, or of mappings, on a line for each element."""
    inline = f"{key}: {_flow(value)}"
    if isinstance(value, list) and (len(inline) > _WIDTH or any(isinstance(each, dict) for each in value)):
        yield f"{key}:"
        yield from (f"  - {_flow(each)}" for each in value)
    else:
        yield inline


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    # YAML marks the end of a document that is a bare scalar.
    return text.removesuffix("...\n").strip()
