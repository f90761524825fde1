"""What a policy server of ours refuses, by its rules."""

from typing import Any

import pytest
from attrs import evolve

from homeserver.services.policy_rules import PolicyRules, glob_matchers, plain, words_pattern
from matrix.events import Event, from_pdu
from matrix.ids import EventId
from matrix.room_versions import ROOM_VERSIONS


def event(content: dict[str, Any], event_type: str = "m.room.message", **more: Any) -> Event:
    pdu = {
        "type": event_type, "sender": "@eve:evil.test", "content": content, "room_id": "!a:b", "origin_server_ts": 1,
        "depth": 1, "prev_events": [], "auth_events": [], **more,
    }  # fmt: skip
    return from_pdu(pdu, ROOM_VERSIONS["11"], EventId("$a"))


def text(body: Any, **more: Any) -> Event:
    return event({"msgtype": "m.text", "body": body, **more})


def test_without_rules_everything_is_signed() -> None:
    assert PolicyRules().refusal(text("hello")) is None


@pytest.mark.parametrize(
    "body",
    ["buy COIN now", "buy\n coin", "b\u200bu\u00ady coin", "ｂｕｙ coin", "<b>buy coin</b>", "x (buy coin)"],
)
def test_an_unwanted_phrase_is_found_however_it_is_written(body: str) -> None:
    assert PolicyRules(words=words_pattern(["Buy Coin"])).refusal(text(body)) == "This is not wanted here"


@pytest.mark.parametrize("body", ["buycoin", "buy coins", "coin buy", 7, None])
def test_a_part_of_another_word_is_not_it(body: Any) -> None:
    assert PolicyRules(words=words_pattern(["buy coin"])).refusal(text(body)) is None


@pytest.mark.parametrize(
    "content",
    [
        {"formatted_body": "x <i>scam</i>"},
        {"m.new_content": {"body": "scam"}},
        {"org.poll": {"answers": [{"m.text": [{"body": "scam"}]}]}},
        {"info": {"filename": "a scam"}},
    ],
)
def test_words_are_looked_for_wherever_text_can_stand(content: dict[str, Any]) -> None:
    assert PolicyRules(words=words_pattern(["scam"])).refusal(text("hello", **content))


def test_of_very_much_text_only_the_beginning_is_looked_at() -> None:
    assert PolicyRules(words=words_pattern(["scam"])).refusal(text("x" * 30_000 + " scam")) is None


def test_a_display_name_is_text_too() -> None:
    join = event({"membership": "join", "displayname": "scam"}, "m.room.member", state_key="@eve:evil.test")
    assert PolicyRules(words=words_pattern(["scam"])).refusal(join)


@pytest.mark.parametrize(
    "rules",
    [
        PolicyRules(blocked_servers=glob_matchers(["*.TEST"])),
        PolicyRules(blocked_users=glob_matchers(["@eve:*"])),
        PolicyRules(blocked_types=frozenset({"m.text"})),
        PolicyRules(blocked_types=frozenset({"m.room.message"})),
        PolicyRules(blocks_room_mentions=True),
        PolicyRules(max_mentions=1),
    ],
)
def test_each_rule_refuses_unless_the_user_is_exempt(rules: PolicyRules) -> None:
    mentions = {"user_ids": ["@a:b", "@c:d"], "room": True}
    message = text("hello", **{"m.mentions": mentions})
    assert rules.refusal(message) is not None
    assert evolve(rules, exempt_users=glob_matchers(["@EVE:evil.test"])).refusal(message) is None


def test_links_to_users_count_as_mentions() -> None:
    links = "".join(f'<a href="https://matrix.to/#/@user{n}:b.test">x</a>' for n in range(3))
    assert PolicyRules(max_mentions=2).refusal(text("x", formatted_body=links))
    assert PolicyRules(max_mentions=3).refusal(text("x", formatted_body=links)) is None


def test_nobody_is_kept_from_leaving_or_taking_back() -> None:
    rules = PolicyRules(blocked_users=glob_matchers(["*"]))
    assert rules.refusal(event({"membership": "leave"}, "m.room.member", state_key="@eve:evil.test")) is None
    assert rules.refusal(event({"redacts": "$b"}, "m.room.redaction")) is None
    assert rules.refusal(event({"membership": "join"}, "m.room.member", state_key="@eve:evil.test"))
    assert rules.refusal(event({"redacts": "$b", "reason": "spam"}, "m.room.redaction"))


@pytest.mark.parametrize("content", [{"m.mentions": 7}, {"m.mentions": {"user_ids": 7}}, {"msgtype": []}, {"body": {}}])
def test_nonsense_is_no_fault(content: dict[str, Any]) -> None:
    rules = PolicyRules(
        max_mentions=0, blocks_room_mentions=True, words=words_pattern(["x"]), blocked_types=frozenset({"m.image"})
    )
    assert rules.refusal(event(content)) is None


def test_plain_text_is_of_one_form() -> None:
    assert plain("  ＡＢ\u200b\tC  ") == "ab c"
