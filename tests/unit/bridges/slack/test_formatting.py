"""Slack's markup to Matrix's and back, by the tables of tests/fixtures/bridges/slack; and what is hostile."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appservice.bridges.core.ids import ChannelId, EmojiId, MessageId, PersonId
from appservice.bridges.core.outgoing import MatrixReferences, Mention, Text
from appservice.bridges.slack.formatting import blocks, from_html
from appservice.bridges.slack.formatting.compose import compose
from appservice.bridges.slack.formatting.emoji import name_of, unicode_of
from appservice.bridges.slack.formatting.nodes import Document, lines_of
from appservice.bridges.slack.formatting.to_html import Names, content, needs
from appservice.bridges.slack.formatting.to_slack import MAX_PIECE, mrkdwn, pieces
from tests.support.cost import timed

CASES = Path(__file__).parents[3] / "fixtures" / "bridges" / "slack"
TEAM_URL = "https://hearthworks.slack.com/"

NAMES = Names(
    people={"U1": ("@slack_u1:hearth.test", "Maria")},
    rooms={"C1": ("https://matrix.to/#/!general:hearth.test", "#general")},
    emoji={"party": "mxc://hearth.test/party"},
    messages={("C1", "1700000000.000100"): "https://matrix.to/#/!general:hearth.test/$event"},
)


def table(name: str) -> Any:
    cases = json.loads((CASES / name).read_text())
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


@table("to_matrix.json")
def test_what_slack_says_is_shown_in_matrix(case: dict[str, Any]) -> None:
    rendered = blocks.read(case["message"])
    shown = content(rendered.document, NAMES)
    if "content" in case:
        assert shown == case["content"]
    else:
        assert shown["formatted_body"] == case["html"]
        assert shown.get("m.mentions") == case.get("mentions")
        assert shown["body"] == case.get("body", shown["body"])
    actions = [[each.id, each.label, [list(option) for option in each.options], each.url] for each in rendered.actions]
    assert actions == case.get("actions", [])


def composed(case: dict[str, Any]) -> Document:
    people = {
        "@slack_u1:hearth.test": Mention(person=PersonId("T1-U1"), name="Maria"),
        "@bob:hearth.test": Mention(person=None, name="Bob"),
    }
    html = case.get("html")
    references = MatrixReferences(
        people=people if html else {user: people[user] for user in case.get("mentions", [])},
        channels={"#general:hearth.test": ChannelId("T1-C1")},
        messages={
            "https://matrix.to/#/!r:hearth.test/$e?via=hearth.test": (
                ChannelId("T1-C1"),
                MessageId("1700000000.000100"),
            )
        },
        emoji={"mxc://hearth.test/party": EmojiId("T1-party")},
        is_for_room=case.get("room", False),
    )
    return compose(Text(body=case.get("body", ""), formatted_body=html, references=references), team_url=TEAM_URL)


@table("to_slack.json")
def test_what_matrix_says_is_shown_in_slack(case: dict[str, Any]) -> None:
    (piece,) = pieces(composed(case))
    assert piece.text == case["text"]
    if "elements" in case:
        assert piece.blocks == [{"type": "rich_text", "elements": case["elements"]}]


def test_what_goes_to_slack_comes_back_the_same() -> None:
    html = (
        "<p>a <strong>b</strong> <em>c</em> <code>d</code></p><ul><li>one<ol><li>two</li></ol></li></ul>"
        '<blockquote>said</blockquote><pre><code>x &lt; 1</code></pre><p><a href="https://a.test">there</a></p>'
    )
    (piece,) = pieces(compose(Text(body="", formatted_body=html), team_url=TEAM_URL))
    assert content(blocks.read({"blocks": piece.blocks}).document, Names())["formatted_body"] == html


def test_what_has_to_be_looked_up_is_told() -> None:
    text = "<@U1> <@U2> <#C1> :party: :wave: <https://x.slack.com/archives/C2/p1700000000000200> &gt; <@U3>"
    wanted = needs(blocks.read({"text": text}).document)
    assert wanted.people == ("U1", "U2", "U3")
    assert (wanted.rooms, wanted.emoji, wanted.messages) == (("C1",), ("party",), (("C2", "1700000000.000200"),))


def test_a_long_text_goes_in_pieces_that_hold_all_of_it() -> None:
    words = " ".join(f"word{number}" for number in range(1000))
    html = f"<p>{words}</p><pre>{words}</pre><ul><li><b>{words}</b></li></ul><blockquote>{words}</blockquote>"
    found = pieces(from_html.parse(html))
    assert all(len(piece.text) <= MAX_PIECE for piece in found)
    text = "".join(piece.text for piece in found)
    assert all(text.count(f"word{number}") >= 4 for number in (7, 500, 999))


@pytest.mark.parametrize("unit", ["<", "&", "*", "_a_ ", "x", "\n", "<b>", "`", "> ", "&lt;", "😀"])
def test_any_long_text_is_cut(unit: str) -> None:
    document = compose(Text(body=unit * 20_000), team_url=TEAM_URL)
    assert all(len(piece.text) <= MAX_PIECE for piece in pieces(document))


@pytest.mark.parametrize(
    "hostile",
    [
        "<b>" * 20_000,
        "<blockquote>" * 8_000,
        "<ul><li>" * 8_000,
        "<a href='" * 10_000,
        '<a b="' * 10_000,
        "<!--" * 20_000,
        "</p>" * 20_000,
        "<" * 90_000,
        "&" * 90_000,
        "<pre>" * 15_000,
        "<img alt='" + "x" * 80_000 + "'>",
        "<p " + "a=1 " * 20_000 + ">",
        '<p a="' + "<p '" * 20_000,
    ],
)
def test_hostile_html_costs_little(hostile: str) -> None:
    cost_s, _ = timed(lambda: pieces(from_html.parse(hostile)))
    assert cost_s < 1.0


@pytest.mark.parametrize(
    "hostile",
    [
        "*a " * 20_000,
        "*_~" * 20_000,
        "<" * 60_000,
        "<@" * 30_000,
        "`" * 60_000,
        "```" * 20_001,
        ":a" * 30_000,
        "&gt;" * 20_000,
        ">\n" * 30_000,
        "*a* _b_ " * 8_000,
        " *" + "_a* " * 15_000,
    ],
)
def test_hostile_mrkdwn_costs_little(hostile: str) -> None:
    cost_s, shown = timed(lambda: content(blocks.read({"text": hostile}).document, Names()))
    assert cost_s < 1.5
    assert len(json.dumps(shown)) < 10 * 65_536


def test_blocks_that_nest_without_end_are_read_to_a_depth() -> None:
    attachment: dict[str, Any] = {"text": "deepest"}
    for _ in range(500):
        attachment = {"text": "a", "attachments": [attachment], "message_blocks": [{"message": attachment}]}
    assert "a" in content(blocks.read({"attachments": [attachment]}).document, Names())["body"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "text", "elements", "style", "url", "fields", "accessory", "blocks", "title"]),
            inner | st.sampled_from(["rich_text", "section", "mrkdwn", "rich_text_section", "rich_text_list", "image"]),
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(json_values, json_values, st.text(max_size=60))
def test_blocks_of_any_form_are_no_error(some_blocks: Any, attachments: Any, text: str) -> None:
    message = {"text": text, "blocks": [some_blocks], "attachments": [attachments]}
    rendered = blocks.read(message)
    needs(rendered.document)
    content(rendered.document, NAMES)


@given(st.text(alphabet="<>/abpiul =\"'&;*_~`:|@#!\n", max_size=120))
def test_any_html_is_no_error(text: str) -> None:
    document = from_html.parse(text)
    assert isinstance(mrkdwn(document), str)
    assert list(lines_of(document)) is not None
    pieces(document)


def test_emoji_have_names_on_either_side() -> None:
    assert unicode_of("+1") == "👍️"
    assert name_of("👍") == name_of("👍️") == "+1"
    assert name_of("👍🏽") == "+1::skin-tone-4"
    assert unicode_of("+1::skin-tone-4") == "👍🏽"
    assert name_of("x") is None and unicode_of("hearth") is None
