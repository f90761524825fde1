"""The authorization rules by fixtures/auth/*.json: each case holds for a range of room versions.

A case has the parts of the room's state (`create`, `members`, `join_rule`, `levels`, `state`), an event, and the number
of the rule that refuses it, by room versions; no `rule` means that it is allowed. A case with `auth_events` names them
by their keys, and is put to `check_auth_events`.
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from matrix.auth_needs import CREATE, auth_keys, keys_of, state_keys
from matrix.auth_rules import check, check_auth_events, state_of
from matrix.errors import AuthRuleFailed
from matrix.events import Event, StateKey
from matrix.room_versions import ROOM_VERSIONS, V1, V7, V8, V11, V12, RoomVersion
from matrix.rule_numbers import number
from matrix.third_party_invites import is_signed_by_invite
from tests.unit.matrix.room_events import CREATE_ID, make_event, state_map, versions

FIXTURES = Path(__file__).parent / "fixtures" / "auth"
CREATOR = "@creator:a"


def _read_cases() -> Iterator[Any]:
    for path in sorted(FIXTURES.glob("*.json")):
        for case in json.loads(path.read_text()):
            for version in versions(case["versions"]):
                yield pytest.param(case, version, id=f"{path.stem}: {case['it']} (v{version.id})")


CASES = list(_read_cases())


def _rule(case: dict[str, Any], version: RoomVersion) -> str | None:
    return next((rule for range_, rule in case.get("rule", {}).items() if version in versions(range_)), None)


def _state(case: dict[str, Any], version: RoomVersion) -> dict[StateKey, Event]:
    if case.get("no_state"):
        return {}
    fields = [
        {"type": "m.room.create", "content": {"creator": CREATOR, **case.get("create", {})}, "event_id": CREATE_ID},
        *({"type": "m.room.member", "state_key": user, "sender": user, "content": {"membership": membership}}
          for user, membership in case.get("members", {}).items()),
        *({"type": "m.room.join_rules", "content": {"join_rule": rule}} for rule in _present(case, "join_rule")),
        *({"type": "m.room.power_levels", "content": content} for content in _present(case, "levels")),
        *case.get("state", ()),
    ]  # fmt: skip
    ids = count()
    defaults = {"sender": CREATOR, "state_key": ""}
    return state_map(make_event(version, {"event_id": f"${next(ids)}", **defaults, **one}) for one in fields)


def _present(case: dict[str, Any], name: str) -> list[Any]:
    return [case[name]] if name in case else []


def _judge(case: dict[str, Any], event: Event, state: dict[StateKey, Event]) -> None:
    if "auth_events" not in case:
        check(event, state)
        return
    foreign = {tuple(key) for key in case.get("foreign", ())}
    entries = [
        make_event(event.version, {"type": key[0], "state_key": key[1], "sender": CREATOR, "room_id": "!elsewhere"})
        if key in foreign
        else state[key]
        for key in map(tuple, case["auth_events"])
    ]
    rejected = {state[tuple(key)].event_id for key in case.get("rejected", ())}
    check_auth_events(event, entries, create_event=state.get(CREATE), rejected=rejected)


@pytest.mark.parametrize(("case", "version"), CASES)
def test_the_event_is_judged_as_the_rules_say(case: dict[str, Any], version: RoomVersion) -> None:
    event = make_event(version, case["event"])
    rule = _rule(case, version)
    if rule is None:
        _judge(case, event, _state(case, version))
        return
    with pytest.raises(AuthRuleFailed) as refusal:
        _judge(case, event, _state(case, version))
    assert refusal.value.rule == rule


@pytest.mark.parametrize("version", ROOM_VERSIONS.values(), ids=lambda version: version.id)
def test_no_more_state_is_looked_at_than_the_event_needs(version: RoomVersion) -> None:
    for case in (case for case, case_version in (param.values for param in CASES) if case_version == version):
        event, state = make_event(version, case["event"]), _state(case, version)
        needed = state_keys(version, event.type, event.sender, event.state_key, event.content)
        less = {key: state[key] for key in needed if key in state}
        assert _verdict(event, state) == _verdict(event, less), case["it"]


def _verdict(event: Event, state: dict[StateKey, Event]) -> str | None:
    try:
        check(event, state)
    except AuthRuleFailed as refusal:
        return refusal.rule
    return None


@pytest.mark.parametrize("version", ROOM_VERSIONS.values(), ids=lambda version: version.id)
def test_every_rule_that_can_refuse_has_a_case(version: RoomVersion) -> None:
    seen = {_rule(case, version) for case, case_version in (p.values for p in CASES) if case_version == version}
    for path in _refusing_paths(version):
        assert number(version, path) in seen, path


def _refusing_paths(version: RoomVersion) -> list[str]:
    paths = [
        "create/prev_events",
        "create/room_id",
        "create/room_version",
        "federate",
        "member/properties",
        "member/join/sender",
        "member/join/banned",
        "member/join/otherwise",
        "member/invite/third_party/banned",
        "member/invite/third_party/signed",
        "member/invite/third_party/properties",
        "member/invite/third_party/mxid",
        "member/invite/third_party/token",
        "member/invite/third_party/sender",
        "member/invite/third_party/otherwise",
        "member/invite/sender",
        "member/invite/target",
        "member/invite/otherwise",
        "member/leave/self",
        "member/leave/sender",
        "member/leave/banned",
        "member/leave/otherwise",
        "member/ban/sender",
        "member/ban/otherwise",
        "member/unknown",
        "joined",
        "third_party_invite/level",
        "level",
        "state_key",
        "auth_events/duplicate",
        "auth_events/unexpected",
        "auth_events/rejected",
        "auth_events/room_id",
        "power_levels/users",
        "power_levels/properties/current",
        "power_levels/properties/new",
        "power_levels/changed_entries/current",
        "power_levels/new_entries/new",
        "power_levels/changed_users/current",
        "power_levels/new_users/new",
    ]
    optional = {
        "create/creator": not version.creator_is_sender,
        "create/additional_creators": version.creators_have_infinite_power,
        "power_levels/creators": version.creators_have_infinite_power,
        "room_id": version.room_id_is_create_hash,
        "auth_events/no_create": not version.room_id_is_create_hash,
        "aliases/state_key": version.aliases_have_auth_rule,
        "aliases/domain": version.aliases_have_auth_rule,
        "redaction/otherwise": version.redaction_has_auth_rule,
        "member/authorised/signature": version.restricted_joins,
        "member/join/restricted/authorised": version.restricted_joins,
        "member/knock/join_rule": version.knocking,
        "member/knock/sender": version.knocking,
        "member/knock/otherwise": version.knocking,
        "power_levels/integers": version.integer_power_levels_only,
        "power_levels/entries": version.integer_power_levels_only,
    }
    return paths + [path for path, present in optional.items() if present]


def test_a_rule_that_the_version_lacks_has_no_number() -> None:
    with pytest.raises(LookupError):
        number(V1, "member/knock/sender")


def test_the_create_event_needs_no_auth_events() -> None:
    assert auth_keys(V11, "m.room.create", CREATOR, "", {}) == []
    assert state_keys(V12, "m.room.create", CREATOR, "", {}) == []


def test_a_join_of_oneself_names_the_membership_once() -> None:
    keys = auth_keys(V11, "m.room.member", "@u:a", "@u:a", {"membership": "join"})
    assert keys.count(("m.room.member", "@u:a")) == 1
    assert ("m.room.join_rules", "") in keys


def test_the_create_event_is_needed_but_not_selected_in_version_12() -> None:
    assert CREATE not in auth_keys(V12, "m.room.message", "@u:a", None, {})
    assert CREATE in state_keys(V12, "m.room.message", "@u:a", None, {})


def test_the_authorising_user_is_selected_only_where_joins_are_restricted() -> None:
    content = {"membership": "join", "join_authorised_via_users_server": "@v:b"}
    assert ("m.room.member", "@v:b") not in auth_keys(V7, "m.room.member", "@u:a", "@u:a", content)
    assert ("m.room.member", "@v:b") in auth_keys(V8, "m.room.member", "@u:a", "@u:a", content)


@pytest.mark.parametrize("content", [{"membership": ["join"]}, {"membership": "invite", "third_party_invite": [1]}, {}])
def test_malformed_memberships_select_no_more(content: dict[str, Any]) -> None:
    keys = auth_keys(V12, "m.room.member", "@u:a", "@v:a", content)
    assert {type_ for type_, _ in keys} <= {"m.room.power_levels", "m.room.member", "m.room.join_rules"}


def test_the_state_of_auth_events_has_the_create_event() -> None:
    create = make_event(V12, {"type": "m.room.create", "sender": CREATOR, "state_key": "", "event_id": CREATE_ID})
    message = make_event(V12, {"type": "m.room.message", "sender": "@u:a"})
    assert state_of([], create) == {CREATE: create}
    assert keys_of(message) == [("m.room.power_levels", ""), ("m.room.member", "@u:a")]


@pytest.mark.parametrize(("wrong", "accepted"), [(63, True), (64, False)])
def test_only_a_bounded_number_of_signatures_is_verified(wrong: int, accepted: bool) -> None:
    key = SigningKey(bytes(32))
    signature = b64encode(key.sign(b'{"mxid":"@u:a"}').signature).decode()
    block = {f"ed25519:{n:03}": "A" * 86 for n in range(wrong)} | {"ed25519:999": signature}
    invite = {"public_key": b64encode(bytes(key.verify_key)).decode()}
    assert is_signed_by_invite({"mxid": "@u:a", "signatures": {"s": block}}, invite) is accepted
