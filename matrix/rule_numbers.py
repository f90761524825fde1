"""The numbers of the authorization rules, for every room version.

The rules of the versions are much the same, but their numbers move as rules come and go. So the code names a rule by
its path ("member/join/banned"), and the number is its place among the rules that its version has. A path is looked up
only when an event is refused.

The numbers are those of the rendered page, which counts on: the source of room version 12 skips 3.4 and has 10.10
twice.

Source: specification, "Room Versions", "Authorisation rules" of each.
"""

from collections.abc import Callable
from functools import cache

from attrs import frozen

from matrix.errors import AuthRuleFailed
from matrix.room_versions import RoomVersion


def _always(_: RoomVersion) -> bool:
    return True


@frozen
class _Rule:
    name: str
    rules: tuple["_Rule", ...] = ()
    present: Callable[[RoomVersion], bool] = _always


def _rules(names: str) -> tuple[_Rule, ...]:
    return tuple(map(_Rule, names.split()))


_CREATE = (
    *_rules("prev_events room_id room_version"),
    _Rule("creator", present=lambda v: not v.creator_is_sender),
    _Rule("additional_creators", present=lambda v: v.creators_have_infinite_power),
)
_AUTH_EVENTS = (
    *_rules("duplicate unexpected rejected"),
    _Rule("no_create", present=lambda v: not v.room_id_is_create_hash),
    _Rule("room_id"),
)
_JOIN = (
    *_rules("creator sender banned invite"),
    _Rule("restricted", _rules("member authorised"), present=lambda v: v.restricted_joins),
    *_rules("public otherwise"),
)
_INVITE = (
    _Rule("third_party", _rules("banned signed properties mxid token sender signature otherwise")),
    *_rules("sender target level otherwise"),
)
_MEMBER = (
    _Rule("properties"),
    _Rule("authorised", _rules("signature"), present=lambda v: v.restricted_joins),
    _Rule("join", _JOIN),
    _Rule("invite", _INVITE),
    _Rule("leave", _rules("self sender banned level otherwise")),
    _Rule("ban", _rules("sender level otherwise")),
    _Rule("knock", _rules("join_rule sender membership otherwise"), present=lambda v: v.knocking),
    _Rule("unknown"),
)
_POWER_LEVELS = (
    _Rule("integers", present=lambda v: v.integer_power_levels_only),
    _Rule("entries", present=lambda v: v.integer_power_levels_only),
    _Rule("users"),
    _Rule("creators", present=lambda v: v.creators_have_infinite_power),
    _Rule("first"),
    _Rule("properties", _rules("current new")),
    _Rule("changed_entries", _rules("current")),
    _Rule("new_entries", _rules("new")),
    _Rule("changed_users", _rules("current")),
    _Rule("new_users", _rules("new")),
    _Rule("otherwise"),
)
_ALL = (
    _Rule("create", _CREATE),
    _Rule("room_id", present=lambda v: v.room_id_is_create_hash),
    _Rule("auth_events", _AUTH_EVENTS),
    _Rule("federate"),
    _Rule("aliases", _rules("state_key domain otherwise"), present=lambda v: v.aliases_have_auth_rule),
    _Rule("member", _MEMBER),
    _Rule("joined"),
    _Rule("third_party_invite", _rules("level")),
    _Rule("level"),
    _Rule("state_key"),
    _Rule("power_levels", _POWER_LEVELS),
    _Rule("redaction", _rules("level domain otherwise"), present=lambda v: v.redaction_has_auth_rule),
    _Rule("otherwise"),
)


@cache
def number(version: RoomVersion, path: str) -> str:
    """The number of a rule, such as "5.3.3".

    Raises: LookupError for a rule that the version does not have.
    """
    rules: tuple[_Rule, ...] = _ALL
    numbers: list[str] = []
    for name in path.split("/"):
        present = [rule for rule in rules if rule.present(version)]
        names = [rule.name for rule in present]
        if name not in names:
            raise LookupError(f"room version {version.id} has no rule {path}")
        place = names.index(name)
        rules = present[place].rules
        numbers.append(str(place + 1))
    return ".".join(numbers)


def refusal(version: RoomVersion, path: str, reason: str) -> AuthRuleFailed:
    """What to raise when the rule refuses an event."""
    return AuthRuleFailed(number(version, path), reason)
