"""Interest as a fold: what concerns a service, entry by entry."""

from typing import Any

import pytest

from appservice.aliased import AliasedRooms
from appservice.interest import Interest
from appservice.registration import Registration
from matrix.ids import RoomId, ServerName
from storage.appservice_reading import AliasChange, Seen, announce_aliases
from storage.change import Change, Kind

SERVER = ServerName("example.org")
BOT, GHOST, ALICE = "@bot:example.org", "@_irc_ann:example.org", "@alice:example.org"
FILE = """
id: irc
url: http://127.0.0.1:1
as_token: a
hs_token: h
sender_localpart: bot
receive_ephemeral: {ephemeral}
org.matrix.msc3202: {encryption}
namespaces:
  users: [{{exclusive: true, regex: "@_irc_"}}]
  aliases: [{{exclusive: true, regex: "#_irc_"}}]
  rooms: [{rooms}]
"""
ROOM, OTHER, NAMED = 1, 2, 3


def interest(*, ephemeral: bool = True, encryption: bool = True, rooms: str = "", **more: Any) -> Interest:
    text = FILE.format(ephemeral=str(ephemeral).lower(), encryption=str(encryption).lower(), rooms=rooms)
    registration = Registration.read(text, SERVER)
    ids = {ROOM: RoomId("!room:example.org"), OTHER: RoomId("!other:example.org"), NAMED: RoomId("!named:example.org")}
    aliased = AliasedRooms(registration.owns_alias)
    values: dict[str, Any] = {"joined": {}, "aliased": aliased, "with_devices": set(), **more}
    return Interest(registration, owns=registration.owns_user, room_id_of=ids.get, **values)


def message(room: int, sender: str = ALICE) -> Seen:
    return Seen(1, Kind.EVENT, room, None, 1, sender)


def member(room: int, user_id: str, membership: str | None, sender: str = ALICE) -> Seen:
    return Seen(1, Kind.EVENT, room, user_id, 1, sender, membership)


def is_told(service: Interest, seen: Seen, **rooms_of: Any) -> bool:
    told = service.concerns(seen, rooms_of.get("rooms_of", {}))
    assert not told or service.may_concern(seen), "what is told is looked at"
    return told


@pytest.mark.parametrize("sender", [BOT, GHOST])
def test_what_its_users_send_is_told_wherever_it_is(sender: str) -> None:
    assert is_told(interest(), message(OTHER, sender))


def test_what_others_send_is_told_in_its_rooms_only() -> None:
    service = interest(joined={ROOM: {GHOST}})
    assert is_told(service, message(ROOM))
    assert not is_told(service, message(OTHER))


def test_users_of_other_servers_are_not_its_own() -> None:
    assert not is_told(interest(), message(OTHER, "@_irc_ann:elsewhere.org"))


def test_a_membership_of_its_user_is_told_and_makes_and_ends_the_interest() -> None:
    service = interest()
    invite, join, leave = (member(ROOM, GHOST, what) for what in ("invite", "join", "leave"))
    assert is_told(service, invite) and service.fold(invite) is None
    assert not is_told(service, message(ROOM))
    assert is_told(service, join) and service.fold(join) is None
    assert is_told(service, message(ROOM))
    assert is_told(service, leave) and service.fold(leave) is None
    assert not is_told(service, message(ROOM))
    assert service.joined == {}


def test_a_membership_that_did_not_become_state_changes_nothing() -> None:
    service = interest()
    service.fold(member(ROOM, GHOST, None))
    assert not is_told(service, message(ROOM))


def test_others_who_come_change_nothing() -> None:
    service = interest()
    service.fold(member(ROOM, ALICE, "join"))
    assert service.joined == {}


def test_a_state_resolution_says_who_is_there() -> None:
    service = interest(joined={ROOM: {GHOST}})
    body = {"memberships": {GHOST: ["leave", 5], ALICE: ["join", 6], BOT: ["join", 7]}}
    resolved = Seen(1, Kind.ROOM, ROOM, None, body=body)
    assert service.may_concern(resolved) and not is_told(service, resolved)
    assert service.fold(resolved) is None
    assert service.joined == {ROOM: {BOT}}


def test_a_state_resolution_of_very_many_is_loaded() -> None:
    assert interest().fold(Seen(1, Kind.ROOM, ROOM, None, body={"memberships": None})) == ROOM


@pytest.mark.parametrize("before, moved, members", [
    ({}, {BOT: ["join", 5], ALICE: ["join", 6]}, None),
    ({ROOM: {BOT}}, {BOT: ["leave", 5]}, None),
    ({ROOM: {BOT}}, {ALICE: ["join", 6]}, [ALICE]),
])  # fmt: skip
def test_a_state_resolution_brings_members_near_or_away(
    before: dict[int, set[str]], moved: dict[str, Any], members: list[str] | None
) -> None:
    resolved = Seen(1, Kind.ROOM, ROOM, None, body={"memberships": moved})
    for encryption in (True, False):
        service = interest(encryption=encryption, joined={room: set(users) for room, users in before.items()})
        was_in = service.is_in(ROOM)
        service.fold(resolved)
        told = service.nearing(resolved, was_in)
        if encryption:
            assert told is not None and (told.kind, told.room_nid) == (Kind.DEVICE_LIST, ROOM)
            assert told.body == {"nearing": members}
        else:
            assert told is None


def test_who_moves_in_rooms_that_are_no_concern_is_near_to_nobody() -> None:
    service = interest()
    resolved = Seen(1, Kind.ROOM, ROOM, None, body={"memberships": {ALICE: ["join", 6]}})
    service.fold(resolved)
    assert service.nearing(resolved, False) is None
    assert service.nearing(member(ROOM, ALICE, "join"), False) is None


def aliases(**told: Any) -> Seen:
    change = Change()
    announce_aliases(change, **told)
    return Seen(1, Kind.CACHE, body=change.entries[0].body)


IRC, BOOK = "#_irc_tea:example.org", "#books:example.org"


def test_a_room_is_of_interest_from_its_first_alias_to_its_last() -> None:
    service = interest()
    steps = [
        ({"added": BOOK}, False), ({"added": IRC}, True), ({"added": "#_irc_two:example.org"}, True),
        ({"removed": IRC}, True), ({"removed": "#_irc_two:example.org"}, False), ({"removed": IRC}, False),
    ]  # fmt: skip
    for told, is_of_interest in steps:
        entry = aliases(room_nid=ROOM, **told)
        assert service.may_concern(entry) and not is_told(service, entry)
        assert service.fold(entry) is None
        assert is_told(service, message(ROOM)) is is_of_interest
    service.fold(aliases(room_nid=ROOM, added=IRC))
    service.fold(aliases(room_nid=OTHER, moved_from=ROOM))
    assert is_told(service, message(OTHER)) and not is_told(service, message(ROOM))


def test_what_changed_of_aliases_is_undone() -> None:
    changes = [
        AliasChange(ROOM, added=IRC),
        AliasChange(OTHER, moved_from=ROOM),
        AliasChange(ROOM, added="#_irc_two:example.org"),
        AliasChange(OTHER, removed=IRC),
    ]
    for count in range(len(changes) + 1):
        then, now = (AliasedRooms(lambda alias: "_irc_" in alias) for _ in range(2))
        for change in changes[:count]:
            then.apply(change)
        for change in changes:
            now.apply(change)
        for change in reversed(changes[count:]):
            now.apply(change.inverse())
        assert [room in now for room in (ROOM, OTHER)] == [room in then for room in (ROOM, OTHER)]


def test_what_else_caches_hear_is_nothing_of_aliases() -> None:
    assert not interest().may_concern(Seen(1, Kind.CACHE, body={"media": {}}))
    assert not interest().may_concern(Seen(1, Kind.CACHE, body=None))


def test_rooms_are_of_interest_by_their_ids() -> None:
    service = interest(rooms='{exclusive: false, regex: "!named"}')
    assert is_told(service, message(NAMED)) and not is_told(service, message(OTHER))
    assert service.needs_room_id(99) and not service.needs_room_id(NAMED)
    assert service.may_concern(message(99)), "it might be"


def test_an_invite_from_elsewhere_is_told_and_a_forgotten_room_is_not() -> None:
    service = interest()
    assert is_told(service, Seen(1, Kind.ROOM, ROOM, GHOST, body={"membership": "invite", "event_nid": 7}))
    assert not is_told(service, Seen(1, Kind.ROOM, ROOM, ALICE, body={"membership": "invite", "event_nid": 7}))
    assert not is_told(service, Seen(1, Kind.ROOM, ROOM, GHOST, body={"forgotten": True}))


EPHEMERAL = [
    Seen(1, Kind.TYPING, ROOM, None, body={"user_ids": []}),
    Seen(1, Kind.RECEIPT, ROOM, ALICE, body={"type": "m.read"}),
    Seen(1, Kind.PRESENCE, None, GHOST, body={}),
    Seen(1, Kind.TO_DEVICE, None, GHOST, body={"device_id": "A"}),
]
OF_KEYS = [
    Seen(1, Kind.DEVICE_LIST, None, GHOST, body={"device_id": "A"}),
    Seen(1, Kind.KEY_COUNTS, None, GHOST, body={"device_ids": ["A"]}),
]


@pytest.mark.parametrize("seen", EPHEMERAL)
def test_what_passes_is_for_those_who_want_it(seen: Seen) -> None:
    joined = {ROOM: {GHOST}}
    assert is_told(interest(joined=joined), seen)
    assert not is_told(interest(joined=joined, ephemeral=False), seen)
    assert not interest(joined=joined, ephemeral=False).may_concern(seen)


@pytest.mark.parametrize("seen", OF_KEYS)
def test_what_concerns_keys_is_for_those_who_encrypt(seen: Seen) -> None:
    assert is_told(interest(), seen)
    assert not is_told(interest(encryption=False), seen)
    service = interest()
    service.fold(seen)
    assert service.with_devices == {GHOST}


def test_presence_and_devices_are_told_of_neighbours() -> None:
    service = interest(joined={ROOM: {GHOST}})
    for kind in (Kind.PRESENCE, Kind.DEVICE_LIST):
        seen = Seen(1, kind, None, ALICE, body={})
        assert is_told(service, seen, rooms_of={ALICE: [OTHER, ROOM]})
        assert not is_told(service, seen, rooms_of={ALICE: [OTHER]})


def test_whose_keys_somebody_has_signed_is_theirs_to_know() -> None:
    seen = Seen(1, Kind.DEVICE_LIST, None, ALICE, body={"signed": [GHOST]})
    assert not is_told(interest(joined={ROOM: {GHOST}}), seen, rooms_of={ALICE: [ROOM]})


def test_a_private_receipt_is_told_of_its_own_users_only() -> None:
    service = interest(joined={ROOM: {GHOST}})
    for user_id, told in ((GHOST, True), (ALICE, False)):
        assert is_told(service, Seen(1, Kind.RECEIPT, ROOM, user_id, body={"type": "m.read.private"})) is told
