"""What clients send about push rules, checked.

Conditions of an unknown kind, or without what their kind needs, are kept: they never match, and another version of the
server may know them. Nothing else unknown is kept.

Source: client-server API, "Push Rules: API".
"""

from typing import Any

from matrix import canonical_json
from matrix.errors import BadRequest, InvalidParam, MissingParam, NotCanonical
from matrix.push_default_rules import KINDS, Action, Json, Kind
from matrix.push_rules import Rule

# A rule id can be a room id or a user id, of at most 255 bytes.
MAX_RULE_ID_BYTES = 255
# Each condition is tried for each message: those of one rule are few in practice, below ten.
MAX_CONDITIONS = 50
MAX_RULE_BYTES = 8192


def parse_kind(text: str) -> Kind:
    """Raises: InvalidParam, 400 as in Synapse."""
    if text not in KINDS:
        raise InvalidParam(f"Unknown kind of push rule: {text[:80]!r}")
    return text


def parse_rule(kind: Kind, rule_id: str, body: Any) -> Rule:
    """The rule that a client puts. Raises: BadRequest."""
    _check_rule_id(rule_id)
    if not isinstance(body, dict):
        raise BadRequest("the rule must be an object")
    rule = Rule(
        kind=kind,
        rule_id=rule_id,
        actions=parse_actions(body),
        conditions=_parse_conditions(body) if kind in ("override", "underride") else (),
        pattern=_parse_pattern(body) if kind == "content" else None,
    )
    _check_size([list(rule.actions), list(rule.conditions), rule.pattern])
    return rule


def parse_enabled(body: Any) -> bool:
    """`{"enabled": bool}`, or, as Synapse takes it from old clients, the bare bool. Raises: BadRequest."""
    if isinstance(body, dict) and "enabled" not in body:
        raise MissingParam("enabled")
    value = body["enabled"] if isinstance(body, dict) else body
    if not isinstance(value, bool):
        raise InvalidParam("'enabled' must be a boolean")
    return value


def parse_actions(body: Any) -> tuple[Action, ...]:
    """`{"actions": [...]}`. The historical actions are kept for the client's eyes: evaluation ignores them.

    Raises: BadRequest. Source: client-server API, "Historical Actions".
    """
    if not isinstance(body, dict):
        raise BadRequest("the body must be an object")
    if "actions" not in body:
        raise MissingParam("actions")
    actions = body["actions"]
    if not isinstance(actions, list):
        raise InvalidParam("'actions' must be a list")
    for action in actions:
        known = action in ("notify", "dont_notify", "coalesce") if isinstance(action, str) else _is_tweak(action)
        if not known:
            raise InvalidParam(f"Unrecognised action {str(action)[:80]}")
    _check_size(actions)
    return tuple(actions)


def _check_rule_id(rule_id: str) -> None:
    if rule_id.startswith("."):
        raise InvalidParam("rule ids that start with '.' are the server's")
    if "/" in rule_id or "\\" in rule_id:
        raise InvalidParam("a rule id has no slashes and backslashes")
    if not rule_id or len(rule_id.encode("utf-8", "surrogatepass")) > MAX_RULE_ID_BYTES:
        raise InvalidParam(f"a rule id has 1 to {MAX_RULE_ID_BYTES} bytes")


def _is_tweak(action: Any) -> bool:
    return isinstance(action, dict) and isinstance(action.get("set_tweak"), str)


def _parse_conditions(body: Json) -> tuple[Json, ...]:
    # Synapse asks for conditions; by the specification "rules MAY have a list of 'conditions'".
    conditions = body.get("conditions", [])
    if not isinstance(conditions, list) or len(conditions) > MAX_CONDITIONS:
        raise InvalidParam(f"'conditions' must be a list of at most {MAX_CONDITIONS}")
    for condition in conditions:
        if not isinstance(condition, dict) or not isinstance(condition.get("kind"), str):
            raise InvalidParam("Condition without 'kind'")
    return tuple(conditions)


def _parse_pattern(body: Json) -> str:
    if "pattern" not in body:
        raise MissingParam("pattern")
    pattern = body["pattern"]
    if not isinstance(pattern, str):
        raise InvalidParam("'pattern' must be a string")
    return pattern


def _check_size(value: Any) -> None:
    try:
        size = len(canonical_json.encode(value))
    except NotCanonical as e:
        raise BadRequest(str(e)) from e
    if size > MAX_RULE_BYTES:
        raise InvalidParam(f"a rule has at most {MAX_RULE_BYTES} bytes")
