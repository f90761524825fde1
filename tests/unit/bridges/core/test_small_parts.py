"""Names, links, texts: the pure parts of core."""

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from appservice.bridges.core import matrix_to, texts
from appservice.bridges.core.names import Template, escape, send_key, txn_id, unescape
from appservice.bridges.core.notices import notice
from matrix.ids import ServerName, UserId, is_new_localpart
from tests.support.cost import timed

TEMPLATE = Template("@", "slack_{}", ServerName("hearth.test"))


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_every_id_has_a_user_and_every_such_user_an_id(text: str) -> None:
    user_id = UserId.parse(TEMPLATE.fill(text))
    assert is_new_localpart(user_id.localpart)
    if "sha256" not in user_id:
        assert TEMPLATE.read(user_id) == text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.text(max_size=20))
def test_no_two_ids_have_one_name(one: str, other: str) -> None:
    try:
        other.encode()
    except UnicodeEncodeError:
        return
    assert (escape(one) == escape(other)) == (one == other)


def test_names_of_others_are_not_read() -> None:
    for user_id in ("@alice:hearth.test", "@slack_u1:other.test", "@slack_U1:hearth.test", "#slack_u1:hearth.test"):
        assert TEMPLATE.read(user_id) is None
    assert unescape("=zz") is None
    assert unescape("=ff") is None


def test_keys_and_transaction_ids_are_always_the_same_and_short() -> None:
    assert txn_id("a", 1) == txn_id("a", "1") != txn_id("a1", "")
    assert len(send_key("$event")) <= 25


def test_links_are_made_and_found() -> None:
    url = matrix_to.link("!room:hearth.test", "$event", via="hearth.test")
    assert matrix_to.parse(url) == matrix_to.Link(url, "!room:hearth.test", "$event")
    assert matrix_to.parse("matrix:u/alice:hearth.test") == matrix_to.Link(
        "matrix:u/alice:hearth.test", "@alice:hearth.test"
    )
    for other in (
        "https://example.org/#/@alice:hearth.test",
        "matrix:",
        "https://matrix.to/#/",
        "https://matrix.to/#/x",
    ):
        assert matrix_to.parse(other) is None
    formatted = (
        f'<a class="x" href="{url.replace("&", "&amp;")}">there</a> <a href=\'https://matrix.to/#/%40a%3Ab\'>a</a>'
    )
    assert [each.target for each in matrix_to.links_in(formatted)] == ["!room:hearth.test", "@a:b"]
    images = '<img data-mx-emoticon src="mxc://a/b"><img src="mxc://a/c"><img src="mxc://a/d" data-mx-emoticon="">'
    assert matrix_to.emotes_in(images) == ["mxc://a/b", "mxc://a/d"]


def test_no_text_takes_long() -> None:
    for piece in ("<a ", "<a href=", "<img ", "<img data-mx-emoticon ", "<mx-reply>", "> x\n", "**", "`", "["):
        text = piece * (65536 // len(piece))
        assert timed(partial(matrix_to.links_in, text))[0] < 1
        assert timed(partial(matrix_to.emotes_in, text))[0] < 1
        content = {"body": text, "formatted_body": text, "format": "org.matrix.custom.html"}
        content |= {"m.relates_to": {"m.in_reply_to": {"event_id": "$1"}}}
        assert timed(partial(texts.body_of, content))[0] < 1
        assert timed(partial(texts.formatted_of, content))[0] < 1
        assert timed(partial(notice, text[:2000]))[0] < 1


def test_fall_backs_of_replies_are_left_out() -> None:
    relation = {"m.relates_to": {"m.in_reply_to": {"event_id": "$1"}}}
    assert texts.body_of({"body": "> <@a:b> x\n> y\n\nanswer\n> kept", **relation}) == "answer\n> kept"
    assert texts.body_of({"body": "> a quotation"}) == "> a quotation"
    formatted = {"formatted_body": "<mx-reply>x</mx-reply>answer", "format": "org.matrix.custom.html"}
    assert texts.formatted_of(formatted) == "answer"


def test_a_threads_fall_back_is_no_reply() -> None:
    relation = {"rel_type": "m.thread", "event_id": "$0", "m.in_reply_to": {"event_id": "$1"}, "is_falling_back": True}
    assert texts.reply_of({"m.relates_to": relation}) is None
    assert texts.reply_of({"m.relates_to": {**relation, "is_falling_back": False}}) == "$1"
    assert texts.related({"m.relates_to": relation}, "m.thread") == "$0"


def test_captions_are_told_from_names() -> None:
    assert texts.caption_of({"body": "cat.png"}) == ""
    assert texts.caption_of({"body": "cat.png", "filename": "cat.png"}) == ""
    assert texts.caption_of({"body": "my cat", "filename": "cat.png"}) == "my cat"


def test_notices_are_escaped() -> None:
    content = notice("**bold** `<x>` [here](https://example.org/) <b>")
    assert content["formatted_body"] == (
        '<strong>bold</strong> <code>&lt;x&gt;</code> <a href="https://example.org/">here</a> &lt;b&gt;'
    )
