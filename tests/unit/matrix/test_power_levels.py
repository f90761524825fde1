"""Power levels: defaults, creators, and what each room version takes for a level."""

from typing import Any

import pytest

from matrix.power_levels import CREATOR_LEVEL, PowerLevels, parse_level
from matrix.room_versions import ROOM_VERSIONS, V1, V6, V9, V10, V11, V12, RoomVersion
from tests.unit.matrix.room_events import make_event

CREATOR, ALICE = "@creator:a", "@alice:a"
OLD = [version for version in ROOM_VERSIONS.values() if version != V12]


def levels(version: RoomVersion, content: dict[str, Any] | None, **create: Any) -> PowerLevels:
    create_event = make_event(version, {"type": "m.room.create", "sender": CREATOR, "content": create})
    if content is None:
        return PowerLevels.of(version, create_event, None)
    event = make_event(version, {"type": "m.room.power_levels", "sender": CREATOR, "content": content})
    return PowerLevels.of(version, create_event, event)


@pytest.mark.parametrize("content", [None, {}])
def test_the_defaults_are_those_of_the_specification(content: dict[str, Any] | None) -> None:
    defaults = levels(V11, content)
    assert (defaults.ban, defaults.kick, defaults.redact, defaults.invite) == (50, 50, 50, 0)
    assert (defaults.users_default, defaults.events_default, defaults.state_default) == (0, 0, 50)
    assert defaults.notification("room") == 50
    assert defaults.for_event("m.room.topic", is_state=True) == 50
    assert defaults.for_event("m.room.message", is_state=False) == 0
    assert defaults.of_user(ALICE) == 0


def test_what_the_event_says_counts() -> None:
    content = {
        "ban": 1, "kick": 2, "redact": 3, "invite": 4, "users_default": 5, "events_default": 6, "state_default": 7,
        "users": {ALICE: 8}, "events": {"m.room.topic": 9}, "notifications": {"room": 10},
    }  # fmt: skip
    said = levels(V12, content)
    assert (said.ban, said.kick, said.redact, said.invite) == (1, 2, 3, 4)
    assert (said.of_user("@bob:b"), said.of_user(ALICE)) == (5, 8)
    assert (said.for_event("x", is_state=False), said.for_event("x", is_state=True)) == (6, 7)
    assert (said.for_event("m.room.topic", is_state=True), said.notification("room")) == (9, 10)


@pytest.mark.parametrize("version", OLD, ids=lambda version: version.id)
def test_the_creator_has_100_only_while_there_are_no_power_levels(version: RoomVersion) -> None:
    assert levels(version, None, creator=CREATOR).of_user(CREATOR) == 100
    assert levels(version, {"users_default": 5}, creator=CREATOR).of_user(CREATOR) == 5


def test_the_creator_was_named_in_the_content_before_version_11() -> None:
    assert levels(V10, None, creator=ALICE).of_user(ALICE) == 100
    assert levels(V10, None, creator=ALICE).of_user(CREATOR) == 0
    assert levels(V11, None, creator=ALICE).of_user(ALICE) == 0
    assert levels(V11, None, creator=ALICE).of_user(CREATOR) == 100


@pytest.mark.parametrize("creator", [None, 7, ["@alice:a"]])
def test_a_creator_who_is_no_text_is_nobody(creator: Any) -> None:
    assert levels(V1, None, creator=creator).creators == frozenset()


@pytest.mark.parametrize("content", [None, {}, {"users": {CREATOR: 0, ALICE: 0}}])
def test_creators_are_above_every_level_in_version_12(content: dict[str, Any] | None) -> None:
    room = levels(V12, content, additional_creators=[ALICE, 7])
    assert room.of_user(CREATOR) == room.of_user(ALICE) == CREATOR_LEVEL > 2**53
    assert room.of_user("@bob:b") == 0


def test_additional_creators_mean_nothing_before_version_12() -> None:
    assert levels(V11, None, additional_creators=[ALICE]).of_user(ALICE) == 0


@pytest.mark.parametrize(
    ("text", "level"),
    [("100", 100), ("000100", 100), ("+100", 100), ("-100", -100), (" 00100 ", 100), ("\t-7\n", -7)]
    + [(text, None) for text in ("", " ", "1.5", "1_0", "0x1", "--1", "+ 1", "ten", "١", "9" * 5000)],
)
def test_texts_were_levels_before_version_10(text: str, level: int | None) -> None:
    assert parse_level(V9, text) == level
    assert parse_level(V10, text) is None


@pytest.mark.parametrize(("value", "level"), [(50.57, 50), (-50.57, -50), (5.114698e4, 51146)])
def test_floats_were_levels_before_version_6(value: float, level: int) -> None:
    assert parse_level(V1, value) == level
    assert parse_level(V6, value) is None


@pytest.mark.parametrize("value", [None, True, [], {}, float("inf"), float("nan")])
def test_other_values_are_no_levels(value: Any) -> None:
    assert parse_level(V1, value) is None


@pytest.mark.parametrize("junk", [None, 7, [], "x", {ALICE: None}, {ALICE: []}])
def test_junk_in_an_accepted_event_is_read_as_absent(junk: Any) -> None:
    room = levels(V9, {"users": junk, "events": junk, "notifications": junk, "ban": junk, "users_default": 3})
    assert (room.of_user(ALICE), room.for_event(ALICE, is_state=True), room.notification(ALICE)) == (3, 50, 50)
