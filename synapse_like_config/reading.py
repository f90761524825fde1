"""From the tree of a YAML file to a frozen class, by the types of its fields.

A section declares each option once: `enable_registration: bool = option(False, "Whether ...")`. This reader knows the
types; nothing is written by hand for an option. What is wrong is collected, so that all of it is told at once; for an
option that cannot be read its default stands, so that reading goes on.

An option without a value (`password_config:` with all below it commented out) is as good as absent, except where None
is among the values it may have.
"""

import difflib
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import attrs

from synapse_like_config.leaves import LEAVES, choice, from_yaml, kind
from synapse_like_config.synapse_options import is_synapse_option
from synapse_like_config.units import BadValue

T = TypeVar("T")
Json = dict[str, Any]

_SECRET_BYTES = 65536


class FromEnvironment(str):
    """The text of an environment variable: YAML, unless the option is a text."""

    __slots__ = ()


def option(
    default: Any, doc: str, *, secret: bool = False, hidden: bool = False, read: Callable[[Any], Any] | None = None
) -> Any:
    """A field of a section.

    `secret`: it may also be given as `<key>_path`, the name of a file. Neither it nor what is `hidden` is in the repr.
    `read` makes the value in place of the type; it raises BadValue.
    """
    metadata = {"doc": doc, "secret": secret, "read": read}
    return attrs.field(default=default, repr=not (secret or hidden), metadata=metadata)


def required(doc: str) -> Any:
    """A field that must be given."""
    return attrs.field(metadata={"doc": doc})


def section(factory: Callable[[], Any], doc: str) -> Any:
    """A field that is a class of options itself."""
    return attrs.field(factory=factory, metadata={"doc": doc, "of": factory})


def keys_of(cls: type) -> list[str]:
    """All keys that the class reads."""
    fields = attrs.fields(cls)
    return [f.name for f in fields] + [f"{f.name}_path" for f in fields if f.metadata.get("secret")]


class Report:
    """What is wrong with a configuration. `origins` says which environment variable a key path came from."""

    def __init__(self, origins: Mapping[str, str]) -> None:
        self.faults: list[str] = []
        self.warnings: list[str] = []
        self._origins = origins
        self._at: set[str] = set()

    def fault(self, path: str, message: str) -> None:
        """Of two at one path the first: the second may be a consequence."""
        if path not in self._at:
            self._at.add(path)
            self.faults.append(f"{self._name(path)}: {message}")

    def warn(self, path: str, message: str) -> None:
        self.warnings.append(f"{self._name(path)}: {message}")

    def unknown(self, path: str, key: object, known: Iterable[str]) -> None:
        """Warns of a key that Hearth does not read; what Synapse has is no mistake of the operator."""
        full = _join(path, str(key))
        if is_synapse_option(full):
            self.warn(full, "Synapse has this option, Hearth does not; it is ignored")
            return
        near = difflib.get_close_matches(str(key), list(known), n=1, cutoff=0.75)
        self.warn(full, "there is no such option; it is ignored" + (f" (did you mean {near[0]}?)" if near else ""))

    def _name(self, path: str) -> str:
        origin = self._origins.get(path)
        return f"{path} ({origin})" if origin else path


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def read_class(cls: type[T], raw: Any, path: str, report: Report, base: T | None = None) -> T:
    """An instance from the mapping; what it does not say is as in `base`, else as the class's defaults.

    Raises: BadValue if it is no mapping, or lacks what is required. Other faults are in the report.
    """
    if not isinstance(raw, dict):
        raise BadValue(f"must be a mapping of keys to values, not {kind(raw)}")
    adapt = getattr(cls, "adapt", None)
    if adapt is not None:
        raw = adapt(raw)
    known = keys_of(cls)
    for key in raw:
        if key not in known:
            report.unknown(path, key, known)
    return _build(cls, _read_fields(cls, raw, path, report), path, report, base)


def read_section(cls: type[T], raw: Json, report: Report) -> T:
    """A section whose options stand at the top of the file, among those of others."""
    return _build(cls, _read_fields(cls, raw, "", report), "", report, None)


def _build(cls: type[T], values: Json, path: str, report: Report, base: T | None) -> T:
    if base is not None:
        built: T = attrs.evolve(cast(Any, base), **values)
    else:
        fields = attrs.fields(cast(Any, cls))
        missing = [f.name for f in fields if f.default is attrs.NOTHING and f.name not in values]
        if missing:
            raise BadValue(f"{', '.join(missing)} must be given")
        built = cls(**values)
    check = getattr(built, "check", None)
    if check is not None:
        try:
            check()
        except BadValue as error:
            report.fault(_join(path, error.key) if error.key else path, str(error))
    return built


def _read_fields(cls: type, raw: Json, path: str, report: Report) -> Json:
    hints = get_type_hints(cls)
    values: Json = {}
    for field in attrs.fields(cls):
        key = field.name
        if field.metadata.get("secret") and raw.get(key + "_path") is not None:
            _read_secret(field, raw, path, report, values)
        elif key in raw:
            at = _join(path, key)
            try:
                _read_field(field, hints[field.name], raw[key], at, report, values)
            except BadValue as error:
                report.fault(at, str(error))
    return values


def _read_field(field: "attrs.Attribute[Any]", hint: Any, raw: Any, at: str, report: Report, values: Json) -> None:
    if raw is None:
        if _may_be_none(hint):
            values[field.name] = None
        return
    read = field.metadata.get("read")
    if read is not None:
        values[field.name] = read(from_yaml(raw) if isinstance(raw, FromEnvironment) else raw)
    else:
        values[field.name] = read_value(hint, raw, at, report, _default_of(field))


def _read_secret(field: "attrs.Attribute[Any]", raw: Json, path: str, report: Report, values: Json) -> None:
    key = field.name
    at = _join(path, key + "_path")
    if raw.get(key) is not None:
        report.fault(at, f"give this or {key}, not both")
        return
    try:
        with Path(str(raw[key + "_path"])).open(encoding="utf-8") as file:
            values[field.name] = file.read(_SECRET_BYTES).strip()
    except (OSError, UnicodeDecodeError) as error:
        report.fault(at, f"the file cannot be read: {getattr(error, 'strerror', None) or error}")


def _default_of(field: "attrs.Attribute[Any]") -> Any:
    of = field.metadata.get("of")
    return of() if of is not None else None


def _may_be_none(hint: Any) -> bool:
    return type(None) in get_args(hint) and get_origin(hint) in (Union, types.UnionType)


def read_value(hint: Any, raw: Any, at: str, report: Report, base: Any = None) -> Any:
    """The value of this type. Raises: BadValue."""
    if _may_be_none(hint):
        if raw is None:
            return None
        (hint,) = (inner for inner in get_args(hint) if inner is not type(None))
    if isinstance(raw, FromEnvironment):
        raw = str(raw) if hint in (str, Any) else from_yaml(raw)
    if hint in LEAVES:
        return LEAVES[hint](raw)
    if attrs.has(hint):
        return read_class(hint, raw, at, report, base)
    return _read_generic(hint, raw, at, report)


def _read_generic(hint: Any, raw: Any, at: str, report: Report) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return choice(arguments, raw)
    if origin is tuple:
        if not isinstance(raw, list):
            raise BadValue(f"must be a list, not {kind(raw)}")
        return tuple(_read_items(arguments[0], ((f"{at}[{i}]", each) for i, each in enumerate(raw)), report))
    if origin is dict:
        if not isinstance(raw, dict):
            raise BadValue(f"must be a mapping of keys to values, not {kind(raw)}")
        values = _read_items(arguments[1], ((_join(at, str(key)), each) for key, each in raw.items()), report)
        return dict(zip(map(str, raw), values, strict=False))
    if hint is Any:
        return raw
    raise TypeError(f"{at}: no reader for {hint}")


def _read_items(hint: Any, items: Iterable[tuple[str, Any]], report: Report) -> list[Any]:
    values = []
    for at, raw in items:
        try:
            values.append(read_value(hint, raw, at, report))
        except BadValue as error:
            report.fault(at, str(error))
    return values
