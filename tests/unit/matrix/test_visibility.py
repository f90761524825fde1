"""History visibility."""

from typing import Any

import pytest

from matrix.events import Event
from matrix.room_versions import V12
from matrix.visibility import can_see, visibility_of
from tests.unit.matrix.room_events import make_event

ALICE, BOB = "@alice:a", "@bob:b"
MESSAGE = make_event(V12, {"type": "m.room.message", "sender": BOB})
NOT_JOINED = [None, "leave", "ban", "knock"]


def sees(visibility: str, membership: str | None = None, *, event: Event = MESSAGE, joined_after: bool = False) -> bool:
    return can_see(event, ALICE, visibility=visibility, membership=membership, joined_after=joined_after)


def member(target: str, membership: Any) -> Event:
    content = {"membership": membership}
    return make_event(V12, {"type": "m.room.member", "sender": BOB, "state_key": target, "content": content})


def setting(value: str) -> Event:
    content = {"history_visibility": value}
    return make_event(V12, {"type": "m.room.history_visibility", "sender": BOB, "state_key": "", "content": content})


@pytest.mark.parametrize("content", [None, {}, {"history_visibility": "dimly"}, {"history_visibility": ["joined"]}])
def test_what_is_not_understood_is_shared(content: dict[str, Any] | None) -> None:
    assert visibility_of(content) == "shared"


@pytest.mark.parametrize("value", ["world_readable", "shared", "invited", "joined"])
def test_what_is_understood_is_taken(value: str) -> None:
    assert visibility_of({"history_visibility": value}) == value


@pytest.mark.parametrize("membership", [*NOT_JOINED, "invite", "join"])
def test_everyone_sees_what_is_world_readable(membership: str | None) -> None:
    assert sees("world_readable", membership)


@pytest.mark.parametrize("visibility", ["world_readable", "shared", "invited", "joined"])
def test_a_member_sees_everything(visibility: str) -> None:
    assert sees(visibility, "join")


@pytest.mark.parametrize("membership", [*NOT_JOINED, "invite"])
def test_who_joins_later_sees_what_is_shared(membership: str | None) -> None:
    assert sees("shared", membership, joined_after=True)
    assert not sees("shared", membership, joined_after=False)


def test_who_was_invited_sees_what_is_for_the_invited() -> None:
    assert sees("invited", "invite")


@pytest.mark.parametrize("membership", NOT_JOINED)
def test_who_was_not_invited_does_not_see_what_is_for_the_invited(membership: str | None) -> None:
    assert not sees("invited", membership, joined_after=True)


@pytest.mark.parametrize("membership", [*NOT_JOINED, "invite"])
def test_who_was_not_joined_does_not_see_what_is_for_the_joined(membership: str | None) -> None:
    assert not sees("joined", membership, joined_after=True)


@pytest.mark.parametrize(("before", "after"), [("world_readable", "joined"), ("joined", "world_readable")])
def test_a_change_of_visibility_is_seen_by_who_sees_before_or_after(before: str, after: str) -> None:
    assert sees(before, event=setting(after))


def test_a_change_between_settings_that_hide_is_hidden() -> None:
    assert not sees("joined", event=setting("invited"))


def test_a_visibility_event_of_another_state_key_changes_nothing() -> None:
    fields = {"type": "m.room.history_visibility", "sender": BOB, "state_key": "x"}
    event = make_event(V12, {**fields, "content": {"history_visibility": "world_readable"}})
    assert not sees("joined", event=event)


@pytest.mark.parametrize(("before", "after"), [(None, "join"), ("join", "leave"), ("join", "ban")])
def test_one_sees_oneself_join_and_leave(before: str | None, after: str) -> None:
    assert sees("joined", before, event=member(ALICE, after))


def test_one_sees_the_end_of_ones_invite_where_the_invited_see() -> None:
    assert sees("invited", "invite", event=member(ALICE, "leave"))
    assert not sees("joined", "invite", event=member(ALICE, "leave"))


def test_the_membership_of_another_opens_nothing() -> None:
    assert not sees("joined", event=member(BOB, "join"))


def test_a_membership_that_is_no_text_opens_nothing() -> None:
    assert not sees("invited", event=member(ALICE, ["join"]))
