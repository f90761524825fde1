"""A user's push rules: the rules of their own, in order, and what they changed of the server-default ones.

A `Ruleset` is a value; the operations give a new one. What clients see of it is `client_form`, what is stored is
`to_json`. What a client sends is read by `push_rule_input`.

Source: client-server API, "Push Rules", "Push Rules: API".
"""

from collections.abc import Mapping
from typing import Any, Self

from attrs import evolve, field, frozen

from matrix.errors import BadRequest, NotFound
from matrix.push_default_rules import (
    DEFAULT_RULES,
    DEFAULT_RULES_BY_ID,
    KINDS,
    MASTER,
    USER_ID,
    Action,
    DefaultRule,
    Json,
    Kind,
)

# Far above what people have (a rule for every room they muted), and small enough to be kept and compiled whole.
MAX_RULES = 5000


@frozen
class Rule:
    """A rule of the user's own. `conditions` only of override and underride rules, `pattern` only of content rules."""

    kind: Kind
    rule_id: str
    actions: tuple[Action, ...]
    conditions: tuple[Json, ...] = ()
    pattern: str | None = None
    enabled: bool = True

    def all_conditions(self) -> tuple[Json, ...]:
        """The conditions that must hold, those that the kind implies too, but for `sender` rules, which have none."""
        if self.kind == "content":
            return ({"kind": "event_match", "key": "content.body", "pattern": self.pattern},)
        return self.conditions


@frozen
class Override:
    """What a user changed of a server-default rule; None where the default holds."""

    enabled: bool | None = None
    actions: tuple[Action, ...] | None = None


@frozen
class Ruleset:
    """`rules`: most important first within each kind. `overrides`: by the id of the server-default rule."""

    rules: tuple[Rule, ...] = ()
    overrides: Mapping[str, Override] = field(factory=dict)

    def of_kind(self, kind: Kind) -> list[Rule]:
        return [rule for rule in self.rules if rule.kind == kind]

    def find(self, kind: Kind, rule_id: str) -> Rule | None:
        return next((rule for rule in self.rules if rule.rule_id == rule_id and rule.kind == kind), None)

    def default(self, default: DefaultRule) -> DefaultRule:
        """The server-default rule as this user has it."""
        override = self.overrides.get(default.rule_id)
        if override is None:
            return default
        return evolve(
            default,
            enabled=default.enabled if override.enabled is None else override.enabled,
            actions=default.actions if override.actions is None else override.actions,
        )

    def to_json(self) -> Json:
        return {
            "rules": [_rule_to_json(rule) for rule in self.rules],
            "overrides": {rule_id: _override_to_json(override) for rule_id, override in self.overrides.items()},
        }

    @classmethod
    def from_json(cls, stored: Json) -> Self:
        """What `to_json` gave; checks nothing."""
        return cls(
            rules=tuple(
                Rule(
                    kind=rule["kind"],
                    rule_id=rule["rule_id"],
                    actions=tuple(rule["actions"]),
                    conditions=tuple(rule.get("conditions", ())),
                    pattern=rule.get("pattern"),
                    enabled=rule.get("enabled", True),
                )
                for rule in stored.get("rules", ())
            ),
            overrides={
                rule_id: Override(
                    enabled=override.get("enabled"),
                    actions=None if override.get("actions") is None else tuple(override["actions"]),
                )
                for rule_id, override in stored.get("overrides", {}).items()
            },
        )


EMPTY = Ruleset()


def put_rule(ruleset: Ruleset, rule: Rule, *, before: str | None = None, after: str | None = None) -> Ruleset:
    """With the rule added, or replaced if there is one of its kind and id; `before` wins over `after`.

    Without either it becomes the most important one of its kind, as in Synapse also if it only replaces one.
    A replaced rule stays disabled if it was.

    Raises: BadRequest if the rule to stand beside is none of the user's, or there are too many rules.
    """
    old = ruleset.find(rule.kind, rule.rule_id)
    if old is not None:
        rule = evolve(rule, enabled=old.enabled)
    rest = [each for each in ruleset.rules if each is not old]
    if len(rest) >= MAX_RULES:
        raise BadRequest(f"there may be at most {MAX_RULES} push rules", "M_LIMIT_EXCEEDED")
    rest.insert(_place(rest, rule.kind, before, after), rule)
    return evolve(ruleset, rules=tuple(rest))


def _place(rules: list[Rule], kind: Kind, before: str | None, after: str | None) -> int:
    beside = before or after
    if not beside:
        return 0
    for index, rule in enumerate(rules):
        if rule.kind == kind and rule.rule_id == beside:
            return index if before else index + 1
    raise BadRequest(f"before/after rule not found: {beside}", "M_UNKNOWN")


def delete_rule(ruleset: Ruleset, kind: Kind, rule_id: str) -> Ruleset:
    """Raises: NotFound if the user has no such rule; a server-default rule cannot be deleted."""
    old = ruleset.find(kind, rule_id)
    if old is None:
        raise NotFound("The push rule was not found.")
    return evolve(ruleset, rules=tuple(rule for rule in ruleset.rules if rule is not old))


def set_enabled(ruleset: Ruleset, kind: Kind, rule_id: str, enabled: bool) -> Ruleset:
    """Raises: NotFound."""
    if _find_default(kind, rule_id):
        return _override(ruleset, rule_id, evolve(ruleset.overrides.get(rule_id, Override()), enabled=enabled))
    return _change(ruleset, kind, rule_id, enabled=enabled)


def set_actions(ruleset: Ruleset, kind: Kind, rule_id: str, actions: tuple[Action, ...]) -> Ruleset:
    """Raises: NotFound."""
    if _find_default(kind, rule_id):
        return _override(ruleset, rule_id, evolve(ruleset.overrides.get(rule_id, Override()), actions=actions))
    return _change(ruleset, kind, rule_id, actions=actions)


def follow_room(ruleset: Ruleset, old_room_id: str, new_room_id: str) -> Ruleset:
    """With the rules of a room copied for the one that replaces it, as Synapse does when a user joins that one.

    Source: client-server API, "Room Upgrades" (silent on push rules).
    """
    for rule in reversed(ruleset.rules):
        if rule.kind == "room" and rule.rule_id == old_room_id:
            copy = evolve(rule, rule_id=new_room_id)
        elif _names_room(rule, old_room_id):
            conditions = tuple(_renamed(condition, old_room_id, new_room_id) for condition in rule.conditions)
            rule_id = rule.rule_id.replace(old_room_id, new_room_id)
            copy = evolve(rule, rule_id=rule_id if rule_id != rule.rule_id else new_room_id, conditions=conditions)
        else:
            continue
        if ruleset.find(copy.kind, copy.rule_id) is None and len(ruleset.rules) < MAX_RULES:
            ruleset = evolve(ruleset, rules=(copy, *ruleset.rules))
    return ruleset


def _names_room(rule: Rule, room_id: str) -> bool:
    return any(c.get("key") == "room_id" and c.get("pattern") == room_id for c in rule.conditions)


def _renamed(condition: Json, old_room_id: str, new_room_id: str) -> Json:
    if condition.get("key") == "room_id" and condition.get("pattern") == old_room_id:
        return {**condition, "pattern": new_room_id}
    return condition


def get_rule(ruleset: Ruleset, kind: Kind, rule_id: str, user_id: str) -> Json:
    """The rule in the clients' shape. Raises: NotFound."""
    default = _find_default(kind, rule_id)
    if default is not None:
        return _default_form(ruleset.default(default), user_id)
    rule = ruleset.find(kind, rule_id)
    if rule is None:
        raise NotFound("The push rule was not found.")
    return _rule_form(rule)


def client_form(ruleset: Ruleset, user_id: str) -> Json:
    """`{"global": {kind: [rule, ...]}}`: of each kind the user's rules, then the server-default ones."""
    forms: dict[str, list[Json]] = {kind: [_rule_form(rule) for rule in ruleset.of_kind(kind)] for kind in KINDS}
    for default in map(ruleset.default, DEFAULT_RULES):
        # "Unlike other server-default rules, this one has always a higher priority than other rules".
        place = 0 if default.rule_id == MASTER else len(forms[default.kind])
        forms[default.kind].insert(place, _default_form(default, user_id))
    return {"global": forms}


def _find_default(kind: Kind, rule_id: str) -> DefaultRule | None:
    default = DEFAULT_RULES_BY_ID.get(rule_id)
    return default if default is not None and default.kind == kind else None


def _override(ruleset: Ruleset, rule_id: str, override: Override) -> Ruleset:
    return evolve(ruleset, overrides={**ruleset.overrides, rule_id: override})


def _change(ruleset: Ruleset, kind: Kind, rule_id: str, **changes: Any) -> Ruleset:
    old = ruleset.find(kind, rule_id)
    if old is None:
        raise NotFound("The push rule was not found.")
    return evolve(ruleset, rules=tuple(evolve(old, **changes) if rule is old else rule for rule in ruleset.rules))


def _default_form(rule: DefaultRule, user_id: str) -> Json:
    return {
        "rule_id": rule.rule_id,
        "default": True,
        "enabled": rule.enabled,
        "conditions": [
            {key: user_id if value == USER_ID else value for key, value in condition.items()}
            for condition in rule.conditions
        ],
        "actions": list(rule.actions),
    }


def _rule_form(rule: Rule) -> Json:
    form: Json = {
        "rule_id": rule.rule_id,
        "default": False,
        "enabled": rule.enabled,
        "actions": list(rule.actions),
    }
    if rule.kind == "content":
        form["pattern"] = rule.pattern
    elif rule.kind in ("override", "underride"):
        form["conditions"] = list(rule.conditions)
    return form


def _rule_to_json(rule: Rule) -> Json:
    stored: Json = {"kind": rule.kind, "rule_id": rule.rule_id, "actions": list(rule.actions)}
    if rule.conditions:
        stored["conditions"] = list(rule.conditions)
    if rule.pattern is not None:
        stored["pattern"] = rule.pattern
    if not rule.enabled:
        stored["enabled"] = False
    return stored


def _override_to_json(override: Override) -> Json:
    stored: Json = {}
    if override.enabled is not None:
        stored["enabled"] = override.enabled
    if override.actions is not None:
        stored["actions"] = list(override.actions)
    return stored
