"""What clients asked before there was /sync, wired."""

from collections.abc import Sequence
from typing import Any

import orjson

from homeserver.app.core import Core
from homeserver.app.reading import RoomReading
from homeserver.app.room_changes import RoomChanges
from homeserver.app.rooms import Rooms
from homeserver.app.sync import Syncing
from homeserver.client_api.old_sync import Beside, OldSyncApi
from homeserver.services.sync.moved import receipts_content
from homeserver.services.sync.old_sync import OldSync
from homeserver.services.sync.peeking import Peeking
from matrix.errors import NotFound
from matrix.ids import EventId, RoomId, UserId
from storage import account_data
from storage.published_rooms import published_among


def old_sync_apis(
    core: Core, rooms: Rooms, changes: RoomChanges, reading: RoomReading, syncing: Syncing
) -> Sequence[object]:
    storage = core.storage
    peeking = Peeking(
        timeline=reading.timeline,
        members=rooms.members,
        stream=storage.stream,
        notifier=syncing.notifier,
        clock=core.clock,
    )
    storage.read_by(peeking.read_stream)

    async def published(room_ids: Sequence[str]) -> set[str]:
        return await storage.database.read(published_among, room_ids) if room_ids else set()

    return [
        OldSyncApi(
            old_sync=OldSync(sync=syncing.sync, stream=storage.stream, published=published),
            peeking=peeking,
            timeline=reading.timeline,
            room_state=changes.room_state,
            client_events=reading.client_events,
            beside=_beside(core, rooms, changes),
        )
    ]


def _beside(core: Core, rooms: Rooms, changes: RoomChanges) -> Beside:
    database, events = core.storage.database, core.storage.events

    async def data_of(user_id: UserId, room_id: RoomId) -> Sequence[bytes]:
        rows = await database.read(account_data.all_of, user_id)
        return [
            b'{"type":' + orjson.dumps(kind) + b',"content":' + content.encode() + b"}"
            for of, kind, content in rows
            if of == room_id
        ]

    async def presence(user_id: UserId, room_id: RoomId) -> Sequence[Any]:
        """Of who shares the room with who asks: who only looks in is told of nobody."""
        room = await rooms.heads.room(room_id)
        if not core.config.server.presence.enabled or not await rooms.members.is_joined(user_id, room.room_nid):
            return []
        return await rooms.presence.events(set(await rooms.members.joined(room.room_nid)))

    async def receipts(user_id: UserId, room_id: RoomId) -> Sequence[bytes]:
        room = await rooms.heads.room(room_id)
        if not await rooms.members.is_joined(user_id, room.room_nid):
            return []
        found = (await rooms.receipts.of_rooms([room.room_nid])).get(room.room_nid, [])
        event = receipts_content(((one[0], one[1]) for one in found), user_id)
        return [] if event is None else [event]

    async def room_of(event_id: EventId) -> RoomId:
        stored = await events.find(event_id)
        if stored is None or not stored.visible:
            raise NotFound("Event not found.")
        return stored.event.room_id

    return Beside(
        account_data=data_of,
        presence=presence,
        receipts=receipts,
        is_published=changes.directory.is_published,
        room_of=room_of,
    )
