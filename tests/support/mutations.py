"""Bad input: bodies that are no JSON objects, identifiers that are none, and a good body with one fault in it."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from attrs import frozen

from matrix.ids import DeviceId, EventId, RoomAlias, RoomId, ServerName, UserId

MIB = 1024 * 1024

# What is no JSON: 400 M_NOT_JSON.
NOT_JSON = {
    "no JSON": b"m.room.message",
    "cut off": b'{"a": [1, 2',
    "not UTF-8": b'{"a": "\xff\xfe"}',
    "NaN": b'{"a": NaN}',
    "infinity": b'{"a": -Infinity}',
    "a lone surrogate": b'{"a": "\\ud800"}',
    "a raw control character": b'{"a": "\x01"}',
    "single quotes": b"{'a': 1}",
    "a BOM": b"\xef\xbb\xbf{}",
    "two values": b"{}{}",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
}
# JSON, but no object that we take: 400 M_BAD_JSON.
NO_OBJECT = {
    "a list": b"[]",
    "a list of objects": b"[{}]",
    "a number": b"17",
    "a text": b'"text"',
    "true": b"true",
    "null": b"null",
    "101 levels": b'{"a":' + b"[" * 100 + b"]" * 100 + b"}",
}
# Whether they are JSON is a matter of taste: any 4xx.
EXTREME = {
    "a hundred thousand levels": b'{"a":' * 100_000,
    "an endless number": b'{"a": ' + b"9" * 5000 + b"}",
    "a huge float": b'{"a": 1e999}',
    "a huge exponent": b'{"a": 1E-99999999999}',
    "nothing": b"",
    "NUL alone": b"\x00",
}

# By the type that the router parses a parameter of the path into: what is none. Percent-encoded.
MALFORMED: Mapping[type, list[str]] = {
    UserId: ["alice", "%21alice%3Ahearth.test", "%40alice", "%40alice%3A", "%40a%3Ab%20c", "%40" + "a" * 300 + "%3Ab"],
    RoomId: ["room", "%23room%3Ahearth.test", "%21", "%21" + "a" * 300 + "%3Ahearth.test"],
    EventId: ["event", "%21event%3Ahearth.test", "%24", "%24" + "a" * 300],
    RoomAlias: ["alias", "%21alias%3Ahearth.test", "%23", "%23alias", "%23%3Ahearth.test", "%23a%3Ab%2Fc"],
    DeviceId: ["D" * 300],
    ServerName: ["a%20b", "a%2Fb", "a" * 300, "%C3%A9.example", "%5B%3A%3A1", "host%3A999999"],
}
# What no parameter of a path may hold.
NEVER_IN_PATH = ["%00", "a%00b", "%FF", "%C3%28", "%ED%A0%80"]
# What a parameter of any type may be tried with. The answer is success or a 4xx.
ODD_IN_PATH = [
    "..", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "%F0%9F%94%A5", "a" * 4000, "%0d%0aSet-Cookie%3A%20a", "%25s", "%20",
    "'%3B--", "-1", "99999999999999999999", "null", "%5Cu0000", "%E2%80%AE", "*", "a.b.c", "m.room.member",
]  # fmt: skip
# Well formed, but of nobody and nowhere: here and elsewhere.
UNKNOWN: Mapping[type, list[str]] = {
    UserId: ["@nobody:hearth.test", "@nobody:elsewhere.invalid", "@:hearth.test"],
    RoomId: ["!nowhere:hearth.test", "!nowhere:elsewhere.invalid", "!" + "A" * 43],
    EventId: ["$" + "A" * 43, "$old:elsewhere.invalid"],
    RoomAlias: ["#nowhere:hearth.test", "#nowhere:elsewhere.invalid"],
    DeviceId: ["NOWHERE", "ё"],
    ServerName: ["elsewhere.invalid", "127.0.0.1", "[::1]:8448"],
}

# A value of each JSON type.
_VALUES: Mapping[str, list[Any]] = {
    "string": ["text", ""],
    "integer": [17],
    "number": [1.5],
    "boolean": [True],
    "array": [[], [17]],
    "object": [{}, {"a": 17}],
}
_HOSTILE_TEXTS = ["", "\x00", "a\x00b", "x" * 70_000, "@a:b\x00", "\U0001f525", "../../etc/passwd", "%s%n", "-1", " "]
_HOSTILE_INTEGERS = [-1, 0, 2**31, 2**53, 2**63 - 1, -(2**63)]
_HOSTILE_NUMBERS = [-1.5, 1e300, -0.0, 2**63]


@frozen
class Mutation:
    """A body with one fault. `is_certain`: by the spec it is a fault, so that success would be wrong."""

    where: str
    what: str
    body: Any
    is_certain: bool


def mutations(schema: Mapping[str, Any], base: Any) -> Iterator[Mutation]:
    """The base body with one fault at a time, at each place that the schema names."""
    for path, here in _places(schema, base, ()):
        where = ".".join(map(str, path))
        if path[-1] in _at(base, path[:-1], schema)[1].get("required", ()):
            yield Mutation(where, "missing", _without(base, path), True)
        for kind, values in _VALUES.items():
            if not _is_of(kind, here):
                for value in values:
                    yield Mutation(where, f"= {value!r}", _with(base, path, value), True)
        for value in _hostile(here):
            yield Mutation(where, f"= {repr(value)[:60]}", _with(base, path, value), False)


def schema_of(value: Any) -> dict[str, Any]:
    """The schema that an example makes likely."""
    if isinstance(value, dict):
        return {"type": ["object"], "properties": {name: schema_of(child) for name, child in value.items()}}
    if isinstance(value, list):
        return {"type": ["array"], **({"items": schema_of(value[0])} if value else {})}
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
    return {"type": [kinds[type(value)]]}


def _is_of(kind: str, schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type") or list(_VALUES)
    return kind in kinds or (kind == "integer" and "number" in kinds)


def _hostile(schema: Mapping[str, Any]) -> Iterator[Any]:
    """Values of the right type that may be too much."""
    for kind in schema.get("type") or ["object"]:
        if kind == "string":
            yield from _HOSTILE_TEXTS
        elif kind == "integer":
            yield from _HOSTILE_INTEGERS
        elif kind == "number":
            yield from (*_HOSTILE_INTEGERS, *_HOSTILE_NUMBERS)
        elif kind == "array":
            yield from ([None], [[]], [{}], ["\x00"], [0] * 5000, ["a"] * 5000, [{"a\x00": 1}])
        elif kind == "object":
            yield from ({"\x00": {}}, {"a\x00b": "\x00"}, {"": 1}, {"a": {"b": {"c": []}}}, {"a": None})
            yield {"@u:hearth.test": {"*": {"\x00": 1}}}
            yield {f"k{number}": {} for number in range(2000)}


def _places(schema: Mapping[str, Any], value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """The paths into the body that the schema names, whether the base has them or not."""
    for name, child in _children(schema, value):
        yield (*path, name), child
        inner = value.get(name) if isinstance(value, dict) else value[name]
        if isinstance(inner, dict | list):
            yield from _places(child, inner, (*path, name))


def _children(schema: Mapping[str, Any], value: Any) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    if isinstance(value, list):
        if value and "items" in schema:
            yield 0, schema["items"]
        return
    properties = schema.get("properties", {})
    yield from properties.items()
    if "additional" in schema:
        for name in value:
            if name not in properties:
                yield name, schema["additional"]


def _at(value: Any, path: tuple[Any, ...], schema: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    for step in path:
        schema = dict(_children(schema, value))[step]
        value = value[step]
    return value, schema


def _with(base: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = orjson.loads(orjson.dumps(base))
    inner = changed
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return changed


def _without(base: Any, path: tuple[Any, ...]) -> Any:
    changed = _with(base, path, None)
    inner = changed
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return changed
