"""The answer of sync as ready bytes, put together piece by piece.

Source: client-server API, GET /sync.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from attrs import define, field

from homeserver.web.replies import dumps


@define(eq=False)
class RoomAnswer:
    """One room's part. Events are ready JSON."""

    timeline: list[bytes] = field(factory=list)
    limited: bool = False
    prev_batch: str = ""
    state: list[bytes] = field(factory=list)
    state_name: str = "state"
    account_data: list[bytes] = field(factory=list)
    ephemeral: list[bytes] = field(factory=list)
    summary: dict[str, Any] = field(factory=dict)
    unread: dict[str, Any] = field(factory=dict)

    @property
    def has_news(self) -> bool:
        return bool(self.timeline or self.state or self.account_data or self.ephemeral or self.summary or self.limited)

    def encode(self, *, joined: bool) -> bytes:
        parts = [
            b'{"timeline":{"events":[',
            b",".join(self.timeline),
            b'],"prev_batch":',
            orjson.dumps(self.prev_batch),
            b',"limited":true}' if self.limited else b',"limited":false}',
            b',"' + self.state_name.encode() + b'":' + events_object(self.state),
            b',"account_data":' + events_object(self.account_data),
        ]
        if joined:
            parts.append(b',"ephemeral":' + events_object(self.ephemeral))
            if self.summary:
                parts.append(b',"summary":' + orjson.dumps(self.summary))
        parts.append(b"}")
        return with_unread(b"".join(parts), self.unread if joined else {})


@define(eq=False)
class Answer:
    """The whole. Rooms are ready JSON by room id."""

    next_batch: str
    join: dict[str, bytes] = field(factory=dict)
    invite: dict[str, bytes] = field(factory=dict)
    knock: dict[str, bytes] = field(factory=dict)
    leave: dict[str, bytes] = field(factory=dict)
    account_data: list[bytes] = field(factory=list)
    presence: list[bytes] = field(factory=list)
    to_device: list[bytes] = field(factory=list)
    device_lists: dict[str, list[str]] = field(factory=dict)
    # Key counts: always told, and no news by themselves.
    key_counts: dict[str, Any] = field(factory=dict)
    key_counts_changed: bool = False

    @property
    def has_news(self) -> bool:
        rooms = self.join or self.invite or self.knock or self.leave
        lists = self.account_data or self.presence or self.to_device or self.device_lists
        return bool(rooms or lists or self.key_counts_changed)

    def parts(self) -> list[bytes]:
        """The JSON in pieces, for one write without copying."""
        parts = [b'{"next_batch":', orjson.dumps(self.next_batch)]
        sections = [
            _rooms_member(b"join", self.join),
            _rooms_member(b"invite", self.invite),
            _rooms_member(b"knock", self.knock),
            _rooms_member(b"leave", self.leave),
        ]
        if rooms := [section for section in sections if section]:
            parts += [b',"rooms":{', b",".join(b"".join(section) for section in rooms), b"}"]
        for name, events in (
            (b"account_data", self.account_data),
            (b"presence", self.presence),
            (b"to_device", self.to_device),
        ):
            if events:
                parts += [b',"' + name + b'":', events_object(events)]
        if self.device_lists:
            parts += [b',"device_lists":', orjson.dumps(self.device_lists)]
        if self.key_counts:
            parts += [b",", orjson.dumps(self.key_counts)[1:-1]]
        parts.append(b"}")
        return parts


def with_unread(room: bytes, unread: Mapping[str, Any]) -> bytes:
    """A joined room's part with `unread_notifications` and what else is in `unread`."""
    return room[:-1] + b"," + dumps(unread)[1:] if unread else room


def events_object(events: list[bytes]) -> bytes:
    return b'{"events":[' + b",".join(events) + b"]}"


def _rooms_member(name: bytes, rooms: dict[str, bytes]) -> list[bytes]:
    if not rooms:
        return []
    pieces = [b'"' + name + b'":{']
    for number, (room_id, encoded) in enumerate(rooms.items()):
        pieces += [b"," if number else b"", orjson.dumps(room_id), b":", encoded]
    pieces.append(b"}")
    return pieces
