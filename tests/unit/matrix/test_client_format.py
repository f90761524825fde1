"""Events as clients get them."""

import pytest

from matrix.client_format import client_event, stripped_state
from matrix.ids import EventId
from matrix.redaction import redact_event
from matrix.room_versions import V1, V10, V11, V12, RoomVersion
from tests.unit.matrix import pdus
from tests.unit.matrix.pdus import VERSIONS

every_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: f"v{version.id}")


@every_version
def test_a_message_has_the_keys_of_the_client_format_and_no_others(version: RoomVersion) -> None:
    event = pdus.event(version)
    assert client_event(event) == {
        "content": {"body": "hello", "msgtype": "m.text"},
        "event_id": event.event_id,
        "origin_server_ts": 1_700_000_000_000,
        "room_id": event.room_id,
        "sender": "@alice:domain",
        "type": "m.room.message",
    }


def test_a_state_event_has_its_state_key_even_if_it_is_empty() -> None:
    assert client_event(pdus.event(V11, state_key=""))["state_key"] == ""


def test_sync_leaves_the_room_id_out() -> None:
    assert "room_id" not in client_event(pdus.event(V11), room_id=False)


def test_the_create_event_of_version_12_has_its_room_id() -> None:
    create = pdus.event(V12, type="m.room.create", state_key="", room_id=None, prev_events=[], content={})
    assert client_event(create)["room_id"] == "!" + create.event_id[1:]


def test_unsigned_is_put_in_unless_it_is_empty() -> None:
    event = pdus.event(V11)
    assert client_event(event, unsigned={"age": 5})["unsigned"] == {"age": 5}
    assert "unsigned" not in client_event(event, unsigned={})


@pytest.mark.parametrize("version", [V1, V10, V11, V12], ids=lambda version: f"v{version.id}")
def test_a_redaction_says_twice_what_it_redacts_in_every_room_version(version: RoomVersion) -> None:
    event = pdus.event(version, type="m.room.redaction", redacts=EventId("$other"), content={"reason": "spam"})
    formatted = client_event(event)
    assert formatted["redacts"] == "$other"
    assert formatted["content"] == {"reason": "spam", "redacts": "$other"}
    assert ("redacts" in event.content) == version.redacts_in_content


def test_a_redacted_redaction_says_so_only_where_its_version_protects_it() -> None:
    old = redact_event(pdus.event(V10, type="m.room.redaction", redacts=EventId("$other"), content={}))
    new = redact_event(pdus.event(V11, type="m.room.redaction", redacts=EventId("$other"), content={}))
    assert "redacts" not in client_event(old)
    assert client_event(new)["redacts"] == "$other"


def test_stripped_state_has_four_keys() -> None:
    event = pdus.event(V11, type="m.room.name", state_key="", content={"name": "Room"})
    assert stripped_state(event) == {
        "content": {"name": "Room"}, "sender": "@alice:domain", "state_key": "", "type": "m.room.name",
    }  # fmt: skip
