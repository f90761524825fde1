"""What a user says of being invited: which invites are refused, and which are made but not shown.

Source: client-server API, "Invite permission"; MSC4155 for the lists of users and servers.
"""

import enum
from collections.abc import Mapping
from typing import Any

from matrix import globs
from matrix.events import Json
from matrix.ids import UserId

# The account data that says it, and the names that it had before.
CONFIGS = ("m.invite_permission_config", "org.matrix.msc4380.invite_permission_config")
LISTS = "org.matrix.msc4155.invite_permission_config"
# Whoever has more rules than this has the first of them.
MAX_PATTERNS = 500
MAX_PATTERN_CHARACTERS = 255


class Verdict(enum.Enum):
    ALLOW = "allow"
    IGNORE = "ignore"
    BLOCK = "block"


# The first list that the inviter is in decides.
_ORDER = (
    ("allowed_users", Verdict.ALLOW),
    ("ignored_users", Verdict.IGNORE),
    ("blocked_users", Verdict.BLOCK),
    ("allowed_servers", Verdict.ALLOW),
    ("ignored_servers", Verdict.IGNORE),
    ("blocked_servers", Verdict.BLOCK),
)


def judge(contents: Mapping[str, Json], sender: UserId) -> Verdict:
    """`contents` are the user's account data by type. What is in no shape that we know says nothing."""
    if any(contents.get(kind, {}).get("default_action") == "block" for kind in CONFIGS):
        return Verdict.BLOCK
    lists = contents.get(LISTS, {})
    if lists.get("enabled") is False:
        return Verdict.ALLOW
    for name, verdict in _ORDER:
        subject = sender if name.endswith("_users") else sender.domain
        if _has(lists.get(name), subject.lower()):
            return verdict
    return Verdict.ALLOW


def _has(patterns: Any, subject: str) -> bool:
    if not isinstance(patterns, list):
        return False
    return any(
        globs.whole(pattern)(subject)
        for pattern in patterns[:MAX_PATTERNS]
        if isinstance(pattern, str) and len(pattern) <= MAX_PATTERN_CHARACTERS
    )
