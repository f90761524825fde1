"""What an event says it relates to."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.relations import Relation, relation, replaces, thread_root


def related(**relates_to: Any) -> dict[str, Any]:
    return {"m.relates_to": relates_to}


def test_a_thread_with_a_fallback_reply_is_read() -> None:
    content = related(
        rel_type="m.thread", event_id="$root", is_falling_back=True, **{"m.in_reply_to": {"event_id": "$last"}}
    )
    found = relation(content)
    assert found == Relation("m.thread", "$root", in_reply_to="$last", is_falling_back=True)  # type: ignore[arg-type]
    assert thread_root(content) == "$root"


def test_a_plain_reply_has_no_relation_type() -> None:
    content = related(**{"m.in_reply_to": {"event_id": "$a"}})
    found = relation(content)
    assert found is not None
    assert (found.rel_type, found.event_id, found.in_reply_to) == (None, None, "$a")
    assert thread_root(content) is None


def test_only_an_annotation_has_a_key() -> None:
    annotation = relation(related(rel_type="m.annotation", event_id="$a", key="👍"))
    reference = relation(related(rel_type="m.reference", event_id="$a", key="👍"))
    assert annotation is not None and annotation.key == "👍"
    assert reference is not None and reference.key is None


def test_an_edit_names_what_it_replaces() -> None:
    assert replaces(related(rel_type="m.replace", event_id="$a")) == "$a"
    assert replaces(related(rel_type="m.thread", event_id="$a")) is None


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"m.relates_to": None},
        {"m.relates_to": "$a"},
        related(),
        related(rel_type="m.thread"),
        related(event_id="$a"),
        related(rel_type=1, event_id="$a"),
        related(rel_type="m.thread", event_id=["$a"]),
        related(rel_type="m.thread", event_id="no sigil"),
        related(rel_type="m.thread", event_id="$" + "a" * 255),
        related(**{"m.in_reply_to": "$a"}),
    ],
)
def test_what_is_malformed_relates_to_nothing(content: dict[str, Any]) -> None:
    assert relation(content) is None
    assert thread_root(content) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["rel_type", "event_id", "key", "m.in_reply_to"]), inner)
    ),
)


@given(JSON)
def test_no_content_makes_the_reading_fail(value: Any) -> None:
    relation({"m.relates_to": value})
