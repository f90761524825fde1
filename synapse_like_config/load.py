"""Files and the environment as one tree of options.

Files are laid over one another, the later one winning, key by key at the top as Synapse does it. Over them goes the
environment: `HEARTH_SERVER_NAME=example.org`, `HEARTH_DATABASE__ARGS__HOST=db`, two underscores for each step down. Its
values are YAML (`HEARTH_AUTO_JOIN_ROOMS='["#a:example.org"]'`), but for options that are a text.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from synapse_like_config.reading import FromEnvironment, Json

_PREFIX = "HEARTH_"
# Not options: the command line reads them itself.
_NO_OPTIONS = frozenset({"HEARTH_DATA"})


class ConfigFault(Exception):
    """The configuration will not do. The text names every fault with its key path."""

    def __init__(self, faults: Sequence[str]) -> None:
        count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n".join([f"The configuration has {count}:", *(f"  {fault}" for fault in faults)]))
        self.faults = tuple(faults)


def read_tree(files: Sequence[Path], environ: Mapping[str, str]) -> tuple[Json, dict[str, str]]:
    """The options as one tree, and which environment variable each key path came from, if from one.

    Raises: ConfigFault.
    """
    tree = _merged(files)
    return tree, _overlay(tree, environ)


def _merged(files: Sequence[Path]) -> Json:
    tree: Json = {}
    faults: list[str] = []
    for file in _expanded(files):
        try:
            tree.update(_mapping(yaml.safe_load(file.read_text(encoding="utf-8"))))
        except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
            faults.append(f"{file}: {error}")
    if faults:
        raise ConfigFault(faults)
    return tree


def _expanded(files: Iterable[Path]) -> Iterable[Path]:
    for file in files:
        yield from sorted(file.glob("*.yaml")) if file.is_dir() else (file,)


def _mapping(tree: Any) -> Json:
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ValueError("not a mapping of keys to values")
    return {str(key): value for key, value in tree.items()}


def _overlay(tree: Json, environ: Mapping[str, str]) -> dict[str, str]:
    """Lays the environment over the tree, in place."""
    origins: dict[str, str] = {}
    for name in sorted(environ):
        if not name.startswith(_PREFIX) or name in _NO_OPTIONS:
            continue
        *parents, last = name.removeprefix(_PREFIX).lower().split("__")
        branch = tree
        for parent in parents:
            below = branch.get(parent)
            # A copy: YAML's anchors may have put one mapping in two places.
            branch[parent] = dict(below) if isinstance(below, dict) else {}
            branch = branch[parent]
        branch[last] = FromEnvironment(environ[name])
        origins[".".join([*parents, last])] = name
    return origins
