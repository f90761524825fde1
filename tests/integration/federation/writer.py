"""A user of a server written by hand who is in a room of a homeserver and writes events of any shape.

What is sent goes straight to the part under test: `Receiver.receive`, as a transaction would hand it over.
"""

import json
from collections.abc import Sequence
from typing import Any

from attrs import define, field

from homeserver.services.rooms.heads import Head
from homeserver.services.rooms.intake import NewEvent
from homeserver.services.rooms.remote.receiver import Receiver
from matrix.auth_needs import auth_keys
from matrix.event_format import parse_pdu
from matrix.events import Event, Json
from matrix.ids import EventId, RoomId, UserId
from matrix.room_versions import ROOM_VERSIONS, RoomVersion
from storage.events import StoredEvent
from tests.support.fake_server import FakeServer, event_id_of
from tests.support.homeserver import Homeserver


@define
class Writer:
    server: FakeServer
    host: Homeserver
    room: RoomId
    localpart: str = "writer"
    clock: int = field(default=1_700_000_000_000)

    @property
    def user_id(self) -> UserId:
        return UserId(self.server.user(self.localpart))

    @property
    def receiver(self) -> Receiver:
        return self.host.server.rooms.remote.receiver

    async def head(self) -> Head:
        return await self.host.server.rooms.heads.get(self.room)

    async def extremities(self) -> set[str]:
        return {event_id for _, event_id, _ in (await self.head()).extremities}

    async def version(self) -> RoomVersion:
        return (await self.head()).version

    async def join(self) -> "Writer":
        self.server.answers("PUT", "/_matrix/federation/v1/send/", {"pdus": {}})
        new = NewEvent(
            type="m.room.member", sender=self.user_id, state_key=self.user_id, content={"membership": "join"}
        )
        template = await self.host.server.rooms.intake.template(self.room, new)
        await self.accept(await self.sign(template))
        return self

    async def sign(self, template: Json) -> Json:
        version = await self.version()
        if not version.event_id_is_hash and "event_id" not in template:
            template = self.server.pdu(version, **template)
        return self.server.sign_event(template, version)

    async def accept(self, pdu: Json) -> StoredEvent:
        return await self.receiver.accept(await self.event(pdu))

    async def event(self, pdu: Json) -> Event:
        return parse_pdu(pdu, await self.version())

    async def id_of(self, pdu: Json) -> EventId:
        return event_id_of(pdu, await self.version())

    async def pdu(
        self,
        body: str = "hello",
        *,
        prev: Sequence[Json | str] | None = None,
        auth: Sequence[Json | str] | None = None,
        **fields: Any,
    ) -> Json:
        """A signed event; by default a message on what the homeserver has, with the auth events that it would take.

        `prev` and `auth` are PDUs or event ids. A dict in `state` has state events to take auth events from instead.
        """
        head = await self.head()
        self.clock += 1
        fields = {"type": "m.room.message", "sender": self.user_id, "content": {"body": body}, **fields}
        content, state_key = fields["content"], fields.get("state_key")
        state: dict[tuple[str, str], Json] = fields.pop("state", {})
        if auth is None:
            keys = auth_keys(head.version, fields["type"], fields["sender"], state_key, content)
            known = await self.host.server.rooms.heads.state_events(head, keys)
            auth = [state[key] if key in state else known[key].event_id for key in keys if key in state or key in known]
        prev = sorted(await self.extremities()) if prev is None else prev
        depth = fields.pop("depth", None)
        pdu = self.server.pdu(
            head.version,
            room_id=self.room,
            prev_events=[await self._id(one) for one in prev],
            auth_events=[await self._id(one) for one in auth],
            depth=await self._depth(prev) + 1 if depth is None else depth,
            origin_server_ts=self.clock,
            **fields,
        )
        # As it comes off the wire.
        parsed: Json = json.loads(json.dumps(pdu))
        return parsed

    async def _id(self, one: Json | str) -> Any:
        event_id = one if isinstance(one, str) else await self.id_of(one)
        return event_id if (await self.version()).event_id_is_hash else [event_id, {}]

    async def _depth(self, prev: Sequence[Json | str]) -> int:
        depths = [one["depth"] for one in prev if not isinstance(one, str)]
        ids = [EventId(one) for one in prev if isinstance(one, str)]
        found = await self.host.core.storage.events.by_id(ids)
        return max([*depths, *(stored.event.depth for stored in found.values())], default=0)

    async def send(self, pdu: Json) -> str:
        """As a transaction would; gives the event id."""
        await self.receiver.receive(self.server.name, self.room, pdu)
        return await self.id_of(pdu)

    async def say(self, body: str = "hello", **fields: Any) -> str:
        return await self.send(await self.pdu(body, **fields))

    def row(self, event_id: str) -> tuple[int | None, int]:
        """(position, flags)"""
        [row] = self.host.rows("SELECT position, flags FROM events WHERE event_id = %s", event_id)
        return row[0], row[1]

    async def state(self, event_type: str, state_key: str = "") -> Any:
        """The content of the room's state now."""
        stored = await self.host.server.rooms.heads.state_event(await self.head(), event_type, state_key)
        return None if stored is None else stored.event.content


def version_named(name: str) -> RoomVersion:
    return ROOM_VERSIONS[name]
