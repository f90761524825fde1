"""Events that make nothing unread: history that a bridge has imported.

The event says so itself, so that every process and every later look agrees. Anybody can write it, as anybody can send
an `m.notice`, of which nobody is notified either.
"""

from collections.abc import Mapping
from typing import Any

QUIET = "org.hearth.imported"


def is_quiet(content: Mapping[str, Any]) -> bool:
    return content.get(QUIET) is True
