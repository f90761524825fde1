"""The server-default push rules, as data, most important first within each kind.

The rules that looked for mentions in the body (`.m.rule.contains_display_name`, `.m.rule.roomnotif`,
`.m.rule.contains_user_name`) left the specification with version 1.17, and are not here.

Source: client-server API, "Push Rules", "Predefined Rules".
"""

from collections.abc import Mapping
from typing import Any, Literal

from attrs import frozen

Json = dict[str, Any]
Kind = Literal["override", "content", "room", "sender", "underride"]
Action = str | Json

# In the order in which they are checked.
KINDS: tuple[Kind, ...] = ("override", "content", "room", "sender", "underride")

# Stands in a default rule for the id of the user whose rules they are.
USER_ID = "[the user's Matrix ID]"

MASTER = ".m.rule.master"


@frozen
class DefaultRule:
    rule_id: str
    kind: Kind
    conditions: tuple[Json, ...]
    actions: tuple[Action, ...]
    enabled: bool = True


def _match(key: str, pattern: str) -> Json:
    return {"kind": "event_match", "key": key, "pattern": pattern}


def _sound(value: str) -> Json:
    return {"set_tweak": "sound", "value": value}


_HIGHLIGHT: Json = {"set_tweak": "highlight"}
_TWO_MEMBERS: Json = {"kind": "room_member_count", "is": "2"}


def _override(rule_id: str, *conditions: Json, actions: tuple[Action, ...] = (), enabled: bool = True) -> DefaultRule:
    return DefaultRule(rule_id, "override", conditions, actions, enabled)


def _underride(rule_id: str, *conditions: Json, actions: tuple[Action, ...]) -> DefaultRule:
    return DefaultRule(rule_id, "underride", conditions, actions)


# MSC3930: polls are no part of the specification yet, and so the rules have no other names.
_POLLS = ".org.matrix.msc3930.rule"


def _poll_rules(what: str) -> tuple[DefaultRule, DefaultRule]:
    event_type = _match("type", f"org.matrix.msc3381.poll.{what}")
    return (
        _underride(f"{_POLLS}.poll_{what}_one_to_one", _TWO_MEMBERS, event_type, actions=("notify", _sound("default"))),
        _underride(f"{_POLLS}.poll_{what}", event_type, actions=("notify",)),
    )


DEFAULT_RULES: tuple[DefaultRule, ...] = (
    _override(MASTER, enabled=False),
    _override(".m.rule.suppress_notices", _match("content.msgtype", "m.notice")),
    _override(
        ".m.rule.invite_for_me",
        _match("type", "m.room.member"),
        _match("content.membership", "invite"),
        _match("state_key", USER_ID),
        actions=("notify", _sound("default")),
    ),
    _override(".m.rule.member_event", _match("type", "m.room.member")),
    _override(
        ".m.rule.is_user_mention",
        {"kind": "event_property_contains", "key": r"content.m\.mentions.user_ids", "value": USER_ID},
        actions=("notify", _sound("default"), _HIGHLIGHT),
    ),
    _override(
        ".m.rule.is_room_mention",
        {"kind": "event_property_is", "key": r"content.m\.mentions.room", "value": True},
        {"kind": "sender_notification_permission", "key": "room"},
        actions=("notify", _HIGHLIGHT),
    ),
    _override(
        ".m.rule.tombstone",
        _match("type", "m.room.tombstone"),
        _match("state_key", ""),
        actions=("notify", _HIGHLIGHT),
    ),
    _override(".m.rule.reaction", _match("type", "m.reaction")),
    _override(".m.rule.room.server_acl", _match("type", "m.room.server_acl"), _match("state_key", "")),
    _override(
        ".m.rule.suppress_edits",
        {"kind": "event_property_is", "key": r"content.m\.relates_to.rel_type", "value": "m.replace"},
    ),
    _override(f"{_POLLS}.poll_response", _match("type", "org.matrix.msc3381.poll.response")),
    _underride(".m.rule.call", _match("type", "m.call.invite"), actions=("notify", _sound("ring"))),
    _underride(
        ".m.rule.encrypted_room_one_to_one",
        _TWO_MEMBERS,
        _match("type", "m.room.encrypted"),
        actions=("notify", _sound("default")),
    ),
    _underride(
        ".m.rule.room_one_to_one",
        _TWO_MEMBERS,
        _match("type", "m.room.message"),
        actions=("notify", _sound("default")),
    ),
    _underride(".m.rule.message", _match("type", "m.room.message"), actions=("notify",)),
    _underride(".m.rule.encrypted", _match("type", "m.room.encrypted"), actions=("notify",)),
    *_poll_rules("start"),
    *_poll_rules("end"),
)

DEFAULT_RULES_BY_ID: Mapping[str, DefaultRule] = {rule.rule_id: rule for rule in DEFAULT_RULES}
