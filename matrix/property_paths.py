r"""Dot-separated paths to a property of an event: `content.m\.relates_to.rel_type`.

Source: appendices, "Dot-separated property paths".
"""

import re
from collections.abc import Mapping
from typing import Any, Final

Path = tuple[str, ...]

# No property is there. None is the JSON null.
ABSENT: Final = object()

# A run of what is neither dot nor backslash, an escaped dot or backslash, or a backslash that stands for itself.
_PART = re.compile(r"[^.\\]+|\\[.\\]|\\|(\.)")


def parse_path(text: str) -> Path:
    """The names along the path. Any text is one; `""` is the path of one empty name."""
    names = [""]
    for part in _PART.finditer(text):
        if part[1]:
            names.append("")
        else:
            names[-1] += part[0][1:] if len(part[0]) == 2 and part[0][0] == "\\" else part[0]
    return tuple(names)


def find(event: Mapping[str, Any], path: Path) -> Any:
    """The value there, or ABSENT."""
    value: Any = event
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return ABSENT
        value = value[name]
    return value
