"""Which actions do a user's push rules give for an event?

Every message is judged for each local member of its room, so the work is split by what it depends on:

- `compile_ruleset` once for a ruleset: rules that are disabled, or can never match, are dropped; each condition becomes
  a function. Users without rules of their own share one `Evaluator`, since who they are is an argument.
- `PushEvent` once for an event. What it says by itself of a rule is worked out when the first user asks and kept with
  the event; so are the *candidates* of an evaluator, its rules that match as far as the event alone decides.
- `Evaluator.evaluate` for each user: the first candidate whose remaining conditions, on the user, hold. For a plain
  message and the default rules that is one rule without further conditions.

A rule for one room, sender or type is not in the chain for all the others, so that a thousand muted rooms cost nothing.

Source: client-server API, "Push Rules".
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from attrs import evolve, field, frozen

from matrix.push_conditions import EventTest, PushEvent, UserTest, compile_condition, only
from matrix.push_default_rules import DEFAULT_RULES, DEFAULT_RULES_BY_ID, KINDS, MASTER, Action, DefaultRule, Json
from matrix.push_rules import EMPTY, Rule, Ruleset


@frozen
class Actions:
    """What a rule tells to do. `tweaks` includes sound and highlight; `as_list` is as in the rule."""

    notify: bool
    highlight: bool
    sound: str | None
    tweaks: Mapping[str, Any]
    as_list: tuple[Action, ...]

    @classmethod
    def of(cls, actions: Iterable[Action]) -> "Actions":
        as_list = tuple(action for action in actions if action not in ("dont_notify", "coalesce"))
        notify = "notify" in as_list
        tweaks: dict[str, Any] = {}
        for action in as_list:
            if isinstance(action, dict) and isinstance(action.get("set_tweak"), str):
                # "If a highlight tweak is given with no value, its value is defined to be true."
                value = action.get("value", True if action["set_tweak"] == "highlight" else None)
                if value is not None:
                    tweaks[action["set_tweak"]] = value
        sound = tweaks.get("sound")
        return cls(
            notify=notify,
            highlight=notify and bool(tweaks.get("highlight")),
            sound=sound if isinstance(sound, str) else None,
            tweaks=tweaks,
            as_list=as_list,
        )


NOTHING = Actions.of(())


@frozen(eq=False)
class _Compiled:
    """A rule: `event_tests` look at the event only, `user_tests` get the user's id and display name too."""

    event_tests: tuple[EventTest, ...]
    user_tests: tuple[UserTest, ...]
    actions: Actions
    room_key: str | None = None  # the only room in which it can match, in lower case
    sender: str | None = None  # the only sender for whom it can match
    event_type: str | None = None  # the only type of event that it can match, in lower case

    def may_match(self, event: PushEvent) -> bool:
        return all(test(event) for test in self.event_tests)


@frozen(eq=False)
class Evaluator:
    """A ruleset, compiled. It may be kept as long as the ruleset is the same, and be used for any number of users."""

    _general: tuple[tuple[int, _Compiled], ...]  # with their places among all the rules
    _by_room: Mapping[str, list[tuple[int, _Compiled]]]
    _by_sender: Mapping[str, list[tuple[int, _Compiled]]]
    # The general rules that may match an event of a type, by those types that rules name; by None for all others.
    _chains: Mapping[str | None, tuple[_Compiled, ...]] = field(init=False)

    @_chains.default
    def _chains_by_type(self) -> Mapping[str | None, tuple[_Compiled, ...]]:
        rules = [rule for _, rule in self._general]
        types = {rule.event_type for rule in rules} | {None}
        return {of: tuple(rule for rule in rules if rule.event_type in (None, of)) for of in types}

    def evaluate(self, event: PushEvent, user_id: str, display_name: str | None = None) -> Actions:
        """The actions of the first rule that matches. `display_name` is the user's in the room.

        Nothing for the user's own events. Whether the user may see the event is not asked.
        """
        if user_id == event.sender:
            return NOTHING
        candidates = event.candidates.get(self)
        if candidates is None:
            candidates = event.candidates[self] = self._narrow(event)
        for rule in candidates:
            for test in rule.user_tests:
                if not test(event, user_id, display_name):
                    break
            else:
                return rule.actions
        return NOTHING

    def _narrow(self, event: PushEvent) -> tuple[_Compiled, ...]:
        narrowed = []
        passed = event.passed
        for rule in self._rules_for(event):
            holds = passed.get(rule)
            if holds is None:
                holds = passed[rule] = rule.may_match(event)
            if holds:
                narrowed.append(rule)
                if not rule.user_tests:
                    break
        return tuple(narrowed)

    def _rules_for(self, event: PushEvent) -> Iterable[_Compiled]:
        of_room, of_sender = self._by_room.get(event.room_key), self._by_sender.get(event.sender)
        if of_room is None and of_sender is None:
            return self._chains[event.type_key if event.type_key in self._chains else None]
        ranked = sorted([*self._general, *(of_room or ()), *(of_sender or ())], key=lambda ranked: ranked[0])
        return (rule for _, rule in ranked)


@lru_cache(1)
def _defaults_alone() -> Evaluator:
    return _compile(EMPTY)


@lru_cache(1)
def _compiled_defaults() -> Mapping[str, _Compiled | None]:
    """The default rules as nearly everyone has them: one object for all, so that an event judges each once."""
    return {rule.rule_id: _compile_rule(rule.conditions, rule.actions) for rule in DEFAULT_RULES}


def _compile_default(rule: DefaultRule) -> _Compiled | None:
    compiled = _compiled_defaults()[rule.rule_id]
    if compiled is None or rule.actions is DEFAULT_RULES_BY_ID[rule.rule_id].actions:
        return compiled
    return evolve(compiled, actions=Actions.of(rule.actions))


def compile_ruleset(ruleset: Ruleset) -> Evaluator:
    """The evaluator; the same object for all users who changed nothing."""
    return _compile(ruleset) if ruleset.rules or ruleset.overrides else _defaults_alone()


def _compile(ruleset: Ruleset) -> Evaluator:
    general: list[tuple[int, _Compiled]] = []
    by_room: dict[str, list[tuple[int, _Compiled]]] = {}
    by_sender: dict[str, list[tuple[int, _Compiled]]] = {}
    for place, rule in enumerate(_in_order(ruleset)):
        if rule is None:
            continue
        if rule.room_key is not None:
            by_room.setdefault(rule.room_key, []).append((place, rule))
        elif rule.sender is not None:
            by_sender.setdefault(rule.sender, []).append((place, rule))
        else:
            general.append((place, rule))
    return Evaluator(general=tuple(general), by_room=by_room, by_sender=by_sender)


def _in_order(ruleset: Ruleset) -> Iterable[_Compiled | None]:
    """The rules as they are checked; None for one that never matches."""
    defaults = [ruleset.default(rule) for rule in DEFAULT_RULES]
    for default in defaults:
        if default.rule_id == MASTER and default.enabled:
            yield _compile_default(default)
    for kind in KINDS:
        for rule in ruleset.rules:
            if rule.kind == kind and rule.enabled:
                yield _compile_own(rule)
        for default in defaults:
            if default.kind == kind and default.enabled and default.rule_id != MASTER:
                yield _compile_default(default)


def _compile_own(rule: Rule) -> _Compiled | None:
    actions = Actions.of(rule.actions)
    if rule.kind == "room":
        return _Compiled((lambda event: event.room_id == rule.rule_id,), (), actions, room_key=rule.rule_id.lower())
    if rule.kind == "sender":
        return _Compiled((), (), actions, sender=rule.rule_id)
    return _compile_rule(rule.all_conditions(), rule.actions)


def _compile_rule(conditions: Iterable[Json], actions: Iterable[Action]) -> _Compiled | None:
    event_tests: list[EventTest] = []
    user_tests: list[UserTest] = []
    room_key = event_type = None
    for condition in conditions:
        tests = compile_condition(condition)
        if tests is None:
            return None
        room_key = room_key or only(condition, "room_id")
        event_type = event_type or only(condition, "type")
        event_tests += [tests.event] if tests.event else []
        user_tests += [tests.user] if tests.user else []
    return _Compiled(
        tuple(event_tests), tuple(user_tests), Actions.of(actions), room_key=room_key, event_type=event_type
    )
