"""The grammar of identifiers."""

import pytest

from matrix.ids import (
    BadIdentifier,
    DeviceId,
    EventId,
    RoomAlias,
    RoomId,
    ServerName,
    UserId,
    is_new_localpart,
)


@pytest.mark.parametrize(
    "text",
    ["matrix.org", "matrix.org:8888", "1.2.3.4", "1.2.3.4:1234", "[1234:5678::abcd]", "[1234:5678::abcd]:5678", "A-b"],
)
def test_server_names_of_the_specification(text: str) -> None:
    assert ServerName.parse(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":80",
        "a:",
        "a:123456",
        "a b",
        "a/b",
        "a_b",
        "[::1",
        "[g::1]",
        "a@b",
        "a\n",
        "é.org",
        "\u0661.1.1.1",
        "a" * 256,
    ],
)
def test_what_is_no_server_name(text: str) -> None:
    with pytest.raises(BadIdentifier):
        ServerName.parse(text)


@pytest.mark.parametrize("text", ["@alice:example.org", "@a:[::1]:8448", "@A b/é\t:x", "@:x", "@" + "a" * 252 + ":x"])
def test_user_ids_may_be_historical(text: str) -> None:
    assert UserId.parse(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "@", "alice:x", "@alice", "@alice:", "#a:x", "@a\x00:x", "@\ud800:x", "@a:b:c:d", "@" + "é" * 127 + ":x"],
)
def test_what_is_no_user_id(text: str) -> None:
    with pytest.raises(BadIdentifier):
        UserId.parse(text)


def test_the_domain_keeps_its_port() -> None:
    user_id = UserId.parse("@alice:[::1]:8448")
    assert (user_id.localpart, user_id.domain) == ("alice", "[::1]:8448")
    assert isinstance(user_id.domain, ServerName)


@pytest.mark.parametrize("localpart", ["alice", "a.b_c=d-e/f+g", "0"])
def test_new_localparts(localpart: str) -> None:
    assert is_new_localpart(localpart)


@pytest.mark.parametrize("localpart", ["", "Alice", "é", "a b", "a:b", "a\n"])
def test_localparts_that_are_only_historical(localpart: str) -> None:
    assert not is_new_localpart(localpart)


@pytest.mark.parametrize("text", ["!opaque:x", "!" + "A" * 43, "!a:b:c"])
def test_room_ids_with_and_without_a_domain(text: str) -> None:
    assert RoomId.parse(text) == text


@pytest.mark.parametrize("text", ["$opaque:x", "$ab/c+d", "$ab_c-d"])
def test_event_ids_of_all_room_versions(text: str) -> None:
    assert EventId.parse(text) == text


@pytest.mark.parametrize("kind", [RoomId, EventId])
@pytest.mark.parametrize("rest", ["", "\x00", "\ud800", "a" * 255])
def test_room_and_event_ids_are_bounded_text(kind: type[RoomId] | type[EventId], rest: str) -> None:
    with pytest.raises(BadIdentifier):
        kind.parse(kind.SIGIL + rest)


@pytest.mark.parametrize("text", ["#a:x", "#räume und so:x"])
def test_room_aliases(text: str) -> None:
    assert RoomAlias.parse(text) == text


@pytest.mark.parametrize("text", ["#:x", "#a", "a:x", "#a\x00:x"])
def test_what_is_no_room_alias(text: str) -> None:
    with pytest.raises(BadIdentifier):
        RoomAlias.parse(text)


@pytest.mark.parametrize("text", ["", "a\x00", "\ud800", "é" * 128])
def test_what_is_no_device_id(text: str) -> None:
    with pytest.raises(BadIdentifier):
        DeviceId.parse(text)
    assert DeviceId.parse("é" * 127) == "é" * 127
