"""Typed readers and their errcodes."""

from collections.abc import Callable
from typing import Any

import pytest

from homeserver.web.params import Fields, Query
from matrix.errors import MatrixError
from matrix.ids import RoomId, UserId

BODY = Fields(
    {
        "text": "x", "number": 7, "yes": True, "none": None, "float": 1.5, "nul": "a\x00", "object": {"inner": 1},
        "array": [1, "x"], "texts": ["x", "y"], "objects": [{"a": "b"}], "user": "@a:b", "users": ["@a:b"],
    }
)  # fmt: skip
QUERY = Query.decode(b"text=a+b%20c&number=-7&yes=true&via=x&via=y&empty=&user=%40a%3Ab&big=99999999999999999999&&=v")


def errcode_of(read: Callable[[], Any]) -> str:
    with pytest.raises(MatrixError) as caught:
        read()
    assert caught.value.status == 400
    return caught.value.errcode


def test_what_is_there_is_read() -> None:
    assert BODY.text("text") == "x"
    assert BODY.integer("number", minimum=0, maximum=10) == 7
    assert BODY.boolean("yes") is True
    assert BODY.object("object").integer("inner") == 1
    assert BODY.items("array") == [1, "x"]
    assert BODY.texts("texts") == ["x", "y"]
    assert [fields.text("a") for fields in BODY.objects("objects")] == ["b"]
    assert BODY.user_id("user") == UserId("@a:b")
    assert BODY.all_parsed("users", UserId) == [UserId("@a:b")]
    assert BODY.choice("text", ("x", "y")) == "x"


@pytest.mark.parametrize("name", ["absent", "none"])
def test_what_is_not_there_is_its_default(name: str) -> None:
    assert name not in BODY
    assert BODY.text(name, "d") == "d"
    assert BODY.integer(name, 3) == 3
    assert BODY.boolean(name, False) is False
    assert BODY.items(name, []) == []
    assert BODY.choice(name, ("b", "f"), "b") == "b"
    assert BODY.optional_text(name) is None
    assert BODY.optional_integer(name) is None
    assert BODY.optional_object(name) is None
    assert BODY.optional_parsed(name, UserId) is None


@pytest.mark.parametrize("name", ["absent", "none"])
def test_what_is_required_and_not_there_is_missing(name: str) -> None:
    readers: list[Callable[[str], Any]] = [
        BODY.text, BODY.integer, BODY.boolean, BODY.object, BODY.items, BODY.texts, BODY.objects, BODY.user_id,
    ]  # fmt: skip
    assert {errcode_of(lambda read=read: read(name)) for read in readers} == {"M_MISSING_PARAM"}


@pytest.mark.parametrize(
    "read",
    [
        lambda: BODY.text("number"), lambda: BODY.integer("text"), lambda: BODY.integer("yes"),
        lambda: BODY.integer("float"), lambda: BODY.boolean("number"), lambda: BODY.object("array"),
        lambda: BODY.items("object"), lambda: BODY.texts("array"), lambda: BODY.objects("array"),
        lambda: BODY.user_id("number"),
    ],
)  # fmt: skip
def test_another_type_in_a_body_is_bad_json(read: Callable[[], Any]) -> None:
    assert errcode_of(read) == "M_BAD_JSON"


@pytest.mark.parametrize(
    "read",
    [
        lambda: BODY.integer("number", minimum=8), lambda: BODY.integer("number", maximum=6),
        lambda: BODY.choice("text", ("b", "f")), lambda: BODY.parsed("user", RoomId), lambda: BODY.text("nul"),
        lambda: BODY.text("text", max_bytes=0), lambda: BODY.items("array", max_items=1),
        lambda: QUERY.integer("text"), lambda: QUERY.boolean("number"), lambda: QUERY.integer("big"),
        lambda: QUERY.parsed("user", RoomId), lambda: QUERY.integer("empty"), lambda: QUERY.texts("via", max_items=1),
        lambda: Query.decode(b"x=%ff"), lambda: Query.decode(b"x=%00").text("x"),
    ],
)  # fmt: skip
def test_a_value_that_will_not_do_is_invalid(read: Callable[[], Any]) -> None:
    assert errcode_of(read) == "M_INVALID_PARAM"


def test_a_query_is_read_from_its_text() -> None:
    assert QUERY.text("text") == "a b c"
    assert QUERY.integer("number") == -7
    assert QUERY.boolean("yes") is True
    assert QUERY.text("via") == "x"
    assert QUERY.texts("via") == ["x", "y"]
    assert QUERY.texts("none", []) == []
    assert QUERY.text("empty") == ""
    assert QUERY.user_id("user") == UserId("@a:b")


def test_a_clamped_integer_is_cut_down() -> None:
    assert BODY.integer("number", clamp=5) == 5
    assert BODY.integer("absent", 10, clamp=5) == 5


def test_a_fault_names_the_path_to_the_parameter() -> None:
    with pytest.raises(MatrixError, match=r"object\.inner must be a string"):
        BODY.object("object").text("inner")
    with pytest.raises(MatrixError, match=r"objects\[0\]\.a must be an integer"):
        BODY.objects("objects")[0].integer("a")
