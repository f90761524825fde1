"""A user's push rules: reading what clients send, changing, storing and showing them."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.errors import MatrixError, NotFound
from matrix.push_default_rules import DEFAULT_RULES, Kind
from matrix.push_eval import Actions
from matrix.push_rule_input import parse_actions, parse_enabled, parse_kind, parse_rule
from matrix.push_rules import (
    EMPTY,
    MAX_RULES,
    Rule,
    Ruleset,
    client_form,
    delete_rule,
    follow_room,
    get_rule,
    put_rule,
    set_actions,
    set_enabled,
)

ALICE = "@alice:example.org"
NOTIFY = {"actions": ["notify"]}
FIXTURE = Path(__file__).parent / "fixtures" / "default_push_rules.json"


def content(rule_id: str, pattern: str = "cake") -> Rule:
    return parse_rule("content", rule_id, {**NOTIFY, "pattern": pattern})


def order(ruleset: Ruleset, kind: Kind) -> list[str]:
    return [rule["rule_id"] for rule in client_form(ruleset, ALICE)["global"][kind]]


def refused(kind: Kind, rule_id: str, body: Any) -> MatrixError:
    with pytest.raises(MatrixError) as raised:
        parse_rule(kind, rule_id, body)
    assert raised.value.status == 400
    return raised.value


def test_the_default_rules_are_word_for_word_those_of_the_specification() -> None:
    text = FIXTURE.read_text().replace("[the user's Matrix ID]", ALICE)
    shown = client_form(EMPTY, ALICE)["global"]
    rules = [rule for rule in shown["override"] + shown["underride"] if ".msc3930." not in rule["rule_id"]]
    assert rules == orjson.loads(text)
    assert shown["content"] == shown["room"] == shown["sender"] == []


def test_polls_have_rules_of_their_own() -> None:
    shown = client_form(EMPTY, ALICE)["global"]
    polls = {rule["rule_id"].rpartition(".")[2]: rule for rule in shown["override"] + shown["underride"]}
    assert polls["poll_response"]["actions"] == []
    assert polls["poll_end"]["conditions"] == [
        {"kind": "event_match", "key": "type", "pattern": "org.matrix.msc3381.poll.end"}
    ]
    assert polls["poll_start_one_to_one"]["actions"] == ["notify", {"set_tweak": "sound", "value": "default"}]
    names = [name for name in polls if name.startswith("poll_start")]
    assert names == ["poll_start_one_to_one", "poll_start"]


def test_rules_of_the_user_stand_before_the_default_ones_but_for_the_master_rule() -> None:
    ruleset = put_rule(EMPTY, parse_rule("override", "mine", {**NOTIFY, "conditions": []}))
    assert order(ruleset, "override")[:3] == [".m.rule.master", "mine", ".m.rule.suppress_notices"]
    ruleset = put_rule(ruleset, parse_rule("underride", "last", {**NOTIFY, "conditions": []}))
    assert order(ruleset, "underride")[:2] == ["last", ".m.rule.call"]


def test_a_new_rule_is_the_most_important_of_its_kind() -> None:
    ruleset = put_rule(put_rule(EMPTY, content("a")), content("b"))
    assert order(ruleset, "content") == ["b", "a"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("b", None, ["a", "new", "b", "c"]),
        (None, "b", ["a", "b", "new", "c"]),
        ("a", "c", ["new", "a", "b", "c"]),
        ("", "", ["new", "a", "b", "c"]),
    ],
)
def test_a_rule_stands_where_the_client_wants_it(before: str | None, after: str | None, expected: list[str]) -> None:
    ruleset = EMPTY
    for rule_id in "cba":
        ruleset = put_rule(ruleset, content(rule_id))
    assert order(put_rule(ruleset, content("new"), before=before, after=after), "content") == expected


@pytest.mark.parametrize("beside", ["nobody", ".m.rule.message", "of_another_kind"])
def test_a_rule_cannot_stand_beside_what_is_no_rule_of_the_user_of_this_kind(beside: str) -> None:
    ruleset = put_rule(EMPTY, parse_rule("override", "of_another_kind", NOTIFY))
    with pytest.raises(MatrixError) as raised:
        put_rule(ruleset, content("new"), before=beside)
    assert (raised.value.status, raised.value.errcode) == (400, "M_UNKNOWN")


def test_a_replaced_rule_stays_disabled() -> None:
    ruleset = set_enabled(put_rule(EMPTY, content("a")), "content", "a", False)
    shown = get_rule(put_rule(ruleset, content("a", "pie")), "content", "a", ALICE)
    assert (shown["pattern"], shown["enabled"]) == ("pie", False)


def test_the_number_of_rules_has_a_limit() -> None:
    full = Ruleset(rules=tuple(content(str(number)) for number in range(MAX_RULES)))
    with pytest.raises(MatrixError):
        put_rule(full, content("one more"))
    assert len(put_rule(full, content("7", "changed")).rules) == MAX_RULES


def test_a_default_rule_can_be_disabled_and_given_other_actions() -> None:
    ruleset = set_enabled(EMPTY, "underride", ".m.rule.message", False)
    ruleset = set_actions(ruleset, "underride", ".m.rule.message", ("notify", {"set_tweak": "highlight"}))
    shown = get_rule(ruleset, "underride", ".m.rule.message", ALICE)
    assert shown["enabled"] is False
    assert shown["actions"] == ["notify", {"set_tweak": "highlight"}]
    assert shown["default"] is True
    assert get_rule(EMPTY, "underride", ".m.rule.message", ALICE)["actions"] == ["notify"]


@pytest.mark.parametrize(("kind", "rule_id"), [("content", "a"), ("override", ".m.rule.message"), ("room", ".m.no")])
def test_what_is_not_there_is_not_found(kind: Kind, rule_id: str) -> None:
    for operation in (
        lambda: delete_rule(EMPTY, kind, rule_id),
        lambda: set_enabled(EMPTY, kind, rule_id, True),
        lambda: set_actions(EMPTY, kind, rule_id, ()),
        lambda: get_rule(EMPTY, kind, rule_id, ALICE),
    ):
        with pytest.raises(NotFound):
            operation()


def test_a_deleted_rule_is_gone_and_a_default_one_cannot_be_deleted() -> None:
    assert delete_rule(put_rule(EMPTY, content("a")), "content", "a") == EMPTY
    with pytest.raises(NotFound):
        delete_rule(EMPTY, "override", ".m.rule.master")


@pytest.mark.parametrize("rule_id", [".mine", "a/b", "a\\b", "x" * 256, "é" * 128, ""])
def test_a_bad_rule_id_is_refused(rule_id: str) -> None:
    assert refused("content", rule_id, {**NOTIFY, "pattern": "a"}).errcode == "M_INVALID_PARAM"


@pytest.mark.parametrize(
    ("kind", "body", "errcode"),
    [
        ("content", [], "M_BAD_JSON"),
        ("content", {"pattern": "a"}, "M_MISSING_PARAM"),
        ("content", NOTIFY, "M_MISSING_PARAM"),
        ("content", {**NOTIFY, "pattern": 3}, "M_INVALID_PARAM"),
        ("content", {**NOTIFY, "pattern": "a" * 9000}, "M_INVALID_PARAM"),
        ("room", {"actions": "notify"}, "M_INVALID_PARAM"),
        ("room", {"actions": ["stir"]}, "M_INVALID_PARAM"),
        ("room", {"actions": [{"value": 1}]}, "M_INVALID_PARAM"),
        ("room", {"actions": [["notify"]]}, "M_INVALID_PARAM"),
        ("override", {**NOTIFY, "conditions": {}}, "M_INVALID_PARAM"),
        ("override", {**NOTIFY, "conditions": [{"key": "a"}]}, "M_INVALID_PARAM"),
        ("override", {**NOTIFY, "conditions": ["a"]}, "M_INVALID_PARAM"),
        ("override", {**NOTIFY, "conditions": [{"kind": "a"}] * 51}, "M_INVALID_PARAM"),
    ],
)
def test_a_bad_rule_is_refused(kind: Kind, body: Any, errcode: str) -> None:
    assert refused(kind, "id", body).errcode == errcode


def test_a_condition_of_an_unknown_kind_is_kept() -> None:
    rule = parse_rule("override", "id", {**NOTIFY, "conditions": [{"kind": "org.new", "x": 1}]})
    assert get_rule(put_rule(EMPTY, rule), "override", "id", ALICE)["conditions"] == [{"kind": "org.new", "x": 1}]


def test_historical_actions_are_given_back_and_mean_nothing() -> None:
    actions = parse_actions({"actions": ["dont_notify", "coalesce", "notify"]})
    assert actions == ("dont_notify", "coalesce", "notify")
    assert Actions.of(actions) == Actions.of(["notify"])
    assert Actions.of(["dont_notify"]) == Actions.of([])


def test_enabled_is_a_boolean_in_an_object_or_bare() -> None:
    assert parse_enabled({"enabled": False}) is False
    assert parse_enabled(True) is True
    for body in ({}, {"enabled": 1}, "true", None):
        with pytest.raises(MatrixError):
            parse_enabled(body)


def test_an_unknown_kind_of_rule_is_refused() -> None:
    assert parse_kind("sender") == "sender"
    with pytest.raises(MatrixError):
        parse_kind("default")


def test_rules_follow_a_room_that_is_replaced() -> None:
    condition = {"kind": "event_match", "key": "room_id", "pattern": "!old:a"}
    ruleset = put_rule(EMPTY, parse_rule("room", "!old:a", NOTIFY))
    ruleset = put_rule(ruleset, parse_rule("override", "!old:a", {"actions": [], "conditions": [condition]}))
    followed = follow_room(ruleset, "!old:a", "!new:a")
    assert order(followed, "room") == ["!new:a", "!old:a"]
    assert get_rule(followed, "override", "!new:a", ALICE)["conditions"] == [{**condition, "pattern": "!new:a"}]
    assert follow_room(followed, "!old:a", "!new:a") == followed


RULES = st.builds(
    Rule,
    kind=st.sampled_from(["override", "content", "room", "sender", "underride"]),
    rule_id=st.text(st.characters(codec="utf-8"), min_size=1),
    actions=st.lists(st.just("notify")).map(tuple),
    pattern=st.none() | st.text(st.characters(codec="utf-8")),
    enabled=st.booleans(),
)


@given(st.lists(RULES), st.sampled_from(DEFAULT_RULES), st.booleans())
def test_what_is_stored_comes_back(rules: list[Rule], default: Any, enabled: bool) -> None:
    ruleset = set_enabled(Ruleset(rules=tuple(rules)), default.kind, default.rule_id, enabled)
    assert Ruleset.from_json(orjson.loads(orjson.dumps(ruleset.to_json()))) == ruleset
