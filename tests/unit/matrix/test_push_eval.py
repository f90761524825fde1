"""Push rules applied to events."""

import re
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrix import globs
from matrix.errors import MatrixError
from matrix.property_paths import ABSENT, find, parse_path
from matrix.push_conditions import PushEvent
from matrix.push_default_rules import DEFAULT_RULES, KINDS, Kind
from matrix.push_eval import Actions, compile_ruleset
from matrix.push_rule_input import parse_rule
from matrix.push_rules import EMPTY, Ruleset, put_rule, set_actions, set_enabled
from tests.support.cost import timed

ALICE, BOB = "@alice:example.org", "@bob:example.org"
ROOM = "!Room:example.org"
SOUND = {"set_tweak": "sound", "value": "ping"}


def event(content: dict[str, Any], **other: Any) -> PushEvent:
    members, level, required = other.pop("members", 3), other.pop("level", 0), other.pop("required", {})
    return PushEvent(
        {"type": "m.room.message", "sender": ALICE, "room_id": ROOM, "content": content, **other},
        member_count=members,
        sender_level=level,
        required_level=lambda key: required.get(key, 50),
    )


def text(body: Any, **other: Any) -> PushEvent:
    return event({"msgtype": "m.text", "body": body}, **other)


def judged(happened: PushEvent, ruleset: Ruleset = EMPTY, name: str | None = "Bob") -> Actions:
    return compile_ruleset(ruleset).evaluate(happened, BOB, name)


def with_rule(kind: Kind, rule_id: str = "mine", ruleset: Ruleset = EMPTY, **body: Any) -> Ruleset:
    return put_rule(ruleset, parse_rule(kind, rule_id, {"actions": ["notify", SOUND], **body}))


def matches(condition: dict[str, Any], happened: PushEvent) -> bool:
    return judged(happened, with_rule("override", conditions=[condition])).sound == "ping"


def test_a_message_notifies_without_highlight_or_sound() -> None:
    actions = judged(text("hello"))
    assert (actions.notify, actions.highlight, actions.sound) == (True, False, None)


def test_nobody_is_notified_of_their_own_events() -> None:
    assert not judged(text("hello", sender=BOB), with_rule("override", conditions=[])).notify


def test_a_message_to_one_other_makes_a_sound() -> None:
    assert judged(text("hello", members=2)).sound == "default"
    assert judged(event({}, type="m.room.encrypted", members=2)).sound == "default"
    assert judged(event({}, type="m.room.encrypted")).notify


@pytest.mark.parametrize(
    "happened",
    [
        event({"msgtype": "m.notice", "body": "built"}),
        event({"membership": "join"}, type="m.room.member", state_key=ALICE),
        event({"membership": "invite"}, type="m.room.member", state_key="@carol:a"),
        event({}, type="m.reaction"),
        event({}, type="m.room.server_acl", state_key=""),
        event({"body": "* better", "m.relates_to": {"rel_type": "m.replace", "event_id": "$a"}}),
        event({"name": "x"}, type="m.room.name", state_key=""),
        event({}, type="org.example.unknown"),
    ],
)
def test_these_notify_nobody(happened: PushEvent) -> None:
    assert not judged(happened).notify


def test_an_invitation_notifies_the_invited() -> None:
    actions = judged(event({"membership": "invite"}, type="m.room.member", state_key=BOB))
    assert (actions.notify, actions.sound) == (True, "default")


def test_a_call_rings() -> None:
    assert judged(event({}, type="m.call.invite")).sound == "ring"


def test_a_mention_highlights_for_the_mentioned_only() -> None:
    mentioning = event({"body": "hi", "m.mentions": {"user_ids": [BOB, 7, None]}})
    assert judged(mentioning).highlight
    assert not compile_ruleset(EMPTY).evaluate(mentioning, "@carol:example.org").highlight


@pytest.mark.parametrize(("level", "highlighted"), [(49, False), (50, True), (None, False)])
def test_a_room_is_mentioned_by_those_with_the_power_to(level: int | None, highlighted: bool) -> None:
    content = {"body": "all!", "m.mentions": {"room": True}}
    assert judged(event(content, level=level)).highlight is highlighted
    assert judged(event(content, level=10, required={"room": 10})).highlight


@pytest.mark.parametrize("room", ["true", 1, None, [True]])
def test_only_the_boolean_true_mentions_the_room(room: Any) -> None:
    assert not judged(event({"body": "all!", "m.mentions": {"room": room}}, level=100)).highlight


def test_a_body_with_the_name_is_no_mention_since_version_1_17() -> None:
    assert not judged(text("Bob @bob:example.org @room", level=100)).highlight


def test_a_tombstone_highlights() -> None:
    assert judged(event({}, type="m.room.tombstone", state_key="")).highlight
    assert not judged(event({}, type="m.room.tombstone")).highlight


def test_the_master_rule_silences_all() -> None:
    ruleset = set_enabled(with_rule("override", conditions=[]), "override", ".m.rule.master", True)
    assert not judged(text("hello"), ruleset).notify


def test_a_disabled_rule_never_matches() -> None:
    assert not judged(text("hello"), set_enabled(EMPTY, "underride", ".m.rule.message", False)).notify
    ruleset = set_enabled(with_rule("content", pattern="hello"), "content", "mine", False)
    assert judged(text("hello"), ruleset).sound is None


def test_a_default_rule_takes_the_actions_of_the_user() -> None:
    assert judged(text("hello"), set_actions(EMPTY, "underride", ".m.rule.message", ("notify", SOUND))).sound == "ping"


def test_the_kinds_are_checked_in_order() -> None:
    ruleset = EMPTY
    for kind, rule_id in zip(reversed(KINDS), ("u", ALICE, ROOM, "c", "o"), strict=True):
        actions = ["notify", {"set_tweak": "sound", "value": kind}]
        ruleset = with_rule(kind, rule_id, ruleset, actions=actions, conditions=[], pattern="cake")
        assert judged(text("a cake"), ruleset).sound == kind


def test_rules_for_a_room_or_a_sender_do_not_touch_others() -> None:
    ruleset = with_rule("room", "!other:a", with_rule("sender", "@carol:a"))
    assert judged(text("hello"), ruleset).sound is None
    assert judged(text("hello", room_id="!other:a"), ruleset).sound == "ping"
    assert judged(text("hello", sender="@carol:a"), ruleset).sound == "ping"


def test_an_override_rule_for_one_room_keeps_its_place() -> None:
    muted = {"kind": "event_match", "key": "room_id", "pattern": ROOM.lower()}
    ruleset = with_rule("override", "loud", conditions=[])
    ruleset = with_rule("override", "muted", ruleset, actions=[], conditions=[muted])
    assert not judged(text("hello"), ruleset).notify
    assert judged(text("hello", room_id="!other:a"), ruleset).sound == "ping"


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("lunc?*", "Lunch plans", True),
        ("lunc?*", "LUNCH", True),
        ("lunc?*", " lunch", False),
        ("lunc?*", "lunc", False),
        ("lunc?*", None, False),
        ("*", "", True),
        ("", "", True),
        ("", "a", False),
        ("a*", "a\nb", True),
        ("?", "\n", True),
        ("a.c", "abc", False),
        ("A", ["a"], False),
    ],
)
def test_event_match_is_a_glob_on_the_whole_value(pattern: str, topic: Any, expected: bool) -> None:
    condition = {"kind": "event_match", "key": "content.topic", "pattern": pattern}
    assert matches(condition, event({"topic": topic})) is expected


@pytest.mark.parametrize(
    ("pattern", "body", "expected"),
    [
        ("ex*ple", "An example event.", True),
        ("ex*ple", "exple", True),
        ("ex*ple", "An exciting triple-whammy", True),
        ("ex*ple", "examples", False),
        ("cake", "cakes", False),
        ("cake", "Cake!", True),
        ("cake", "my_cake", False),
        ("cake", "mycake cake", True),
        ("cake*lie", "the CAKE is a lie", True),
        ("@room", "to:@room", True),
        ("*cake", "pancake", True),
        ("c?ke", "a coke", True),
        ("c?ke", "cokes", False),
        ("cake", "écake", True),
        ("cake", 3, False),
    ],
)
def test_the_body_is_matched_by_words(pattern: str, body: Any, expected: bool) -> None:
    assert matches({"kind": "event_match", "key": "content.body", "pattern": pattern}, text(body)) is expected
    assert (judged(text(body), with_rule("content", pattern=pattern)).sound == "ping") is expected


@pytest.mark.parametrize(
    ("value", "found", "expected"),
    [
        (True, True, True), (True, 1, False), (1, True, False), (1, 1, True), (1, 1.0, False), ("1", 1, False),
        (None, None, True), ("a", "A", False), ([], [], False), ({}, {}, False), (1.5, 1.5, False),
    ],
)  # fmt: skip
def test_event_property_is_compares_value_and_type(value: Any, found: Any, expected: bool) -> None:
    condition = {"kind": "event_property_is", "key": r"content.m\.federate", "value": value}
    assert matches(condition, event({"m.federate": found})) is expected
    assert not matches(condition, event({"m": {"federate": found}}))


@pytest.mark.parametrize(("value", "expected"), [("a", True), (":a", False), (1, True), (True, False), (None, True)])
def test_event_property_contains_looks_for_the_very_value(value: Any, expected: bool) -> None:
    condition = {"kind": "event_property_contains", "key": "content.list", "value": value}
    assert matches(condition, event({"list": ["a", "b", 1, None, [], {}]})) is expected
    assert not matches(condition, event({"list": value}))
    assert not matches(condition, event({}))


@pytest.mark.parametrize(
    ("bound", "members"), [("2", [2]), ("==2", [2]), ("<3", [1, 2]), ("<=2", [1, 2]), (">2", [3]), (">=2", [2, 3])]
)
def test_room_member_count_compares(bound: str, members: list[int]) -> None:
    condition = {"kind": "room_member_count", "is": bound}
    assert [count for count in (1, 2, 3) if matches(condition, text("a", members=count))] == members


@pytest.mark.parametrize(
    "condition",
    [
        {"kind": "org.unknown"},
        {"kind": "event_match", "key": "type"},
        {"kind": "event_match", "pattern": "*"},
        {"kind": "event_match", "key": ["type"], "pattern": "*"},
        {"kind": "event_property_is", "key": "type"},
        {"kind": "event_property_contains", "key": 1, "value": 1},
        {"kind": "room_member_count"},
        {"kind": "room_member_count", "is": "!2"},
        {"kind": "room_member_count", "is": 3},
        {"kind": "room_member_count", "is": "³"},
        {"kind": "sender_notification_permission"},
    ],
)
def test_a_condition_that_is_unknown_or_malformed_never_matches(condition: dict[str, Any]) -> None:
    assert not matches(condition, text("hello", level=100))


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [("Bob", "hi BOB!", True), ("Bob", "bobby", False), ("", "a", False), (None, "a", False), ("B*b", "blob", False),
     ("Bob?", "bob? yes", True)],
)  # fmt: skip
def test_contains_display_name_looks_for_the_name_as_a_word(name: str | None, body: str, expected: bool) -> None:
    ruleset = with_rule("override", conditions=[{"kind": "contains_display_name"}])
    assert (judged(text(body), ruleset, name).sound == "ping") is expected


def test_a_highlight_can_be_given_a_value() -> None:
    assert not Actions.of(["notify", {"set_tweak": "highlight", "value": False}]).highlight
    assert Actions.of(["notify", {"set_tweak": "highlight"}]).tweaks == {"highlight": True}
    assert not Actions.of([{"set_tweak": "highlight"}]).highlight


def test_users_without_rules_share_an_evaluator() -> None:
    assert compile_ruleset(Ruleset()) is compile_ruleset(EMPTY)


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    for pattern in ("*".join("a" * 500) + "b", "*".join("a" * 500) + "*b", "?" * 500 + "*" + "a?" * 100 + "b"):
        for matches in (globs.words(pattern), globs.whole(pattern)):
            cost_s, is_match = timed(partial(matches, "a" * 60000))
            assert not is_match
            assert cost_s < 1


@given(st.text("a*?", min_size=1, max_size=8), st.text("ab", max_size=8))
def test_a_glob_matches_what_a_plain_expression_matches(pattern: str, value: str) -> None:
    expression = "".join({"*": ".*", "?": "."}.get(letter, letter) for letter in pattern)
    assert globs.whole(pattern)(value) == (re.fullmatch(expression, value) is not None)
    assert globs.words(pattern)(value) == (re.fullmatch(expression, value) is not None)


@given(st.text("ab*", max_size=8), st.text("abA", max_size=8))
def test_stars_match_with_case(pattern: str, value: str) -> None:
    assert globs.stars(pattern)(value) == (re.fullmatch(pattern.replace("*", ".*"), value) is not None)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("content.body", ("content", "body")),
        (r"content.m\.relates_to", ("content", "m.relates_to")),
        (r"content.m\\foo", ("content", "m\\foo")),
        (r"a\x.b", ("a\\x", "b")),
        ("a\\", ("a\\",)),
        ("a..b", ("a", "", "b")),
        ("", ("",)),
    ],
)
def test_a_path_is_cut_at_its_dots(path: str, names: tuple[str, ...]) -> None:
    assert parse_path(path) == names


def test_what_is_not_there_is_absent() -> None:
    assert find({"a": {"b": None}}, ("a", "b")) is None
    assert find({"a": {"b": None}}, ("a", "b", "c")) is ABSENT
    assert find({"a": [1]}, ("a", "0")) is ABSENT


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
KNOWN = ["body", "msgtype", "membership", "m.mentions", "user_ids", "room", "m.relates_to", "rel_type"]
CONTENT = st.recursive(
    st.dictionaries(st.sampled_from(KNOWN), JSON, max_size=4),
    lambda inner: st.dictionaries(st.sampled_from(KNOWN), inner | JSON, max_size=4),
    max_leaves=4,
)
TYPES = st.sampled_from(["m.room.message", "m.room.member", "m.reaction", "m.room.tombstone", "m.call.invite", "x"])
OWN = with_rule(
    "content", "k", with_rule("override", "n", conditions=[{"kind": "contains_display_name"}]), pattern="a*"
)


@settings(max_examples=200)
@given(CONTENT, TYPES, st.text(max_size=5))
def test_no_content_makes_the_evaluation_fail(content: dict[str, Any], event_type: str, name: str) -> None:
    for ruleset in (EMPTY, OWN):
        compile_ruleset(ruleset).evaluate(event(content, type=event_type, state_key=name), BOB, name)


@given(JSON, JSON)
def test_no_condition_makes_the_compilation_or_the_evaluation_fail(value: Any, other: Any) -> None:
    kinds = {condition["kind"] for rule in DEFAULT_RULES for condition in rule.conditions}
    ruleset = EMPTY
    for kind in sorted(kinds):
        condition = {"kind": kind, "key": value, "pattern": other, "value": other, "is": other}
        with suppress(MatrixError):
            ruleset = with_rule("underride", kind, ruleset, conditions=[condition])
    judged(text("hello"), ruleset)
