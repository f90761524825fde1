"""Sync, wired."""

from collections.abc import Sequence

from attrs import frozen

from homeserver.app.core import Core
from homeserver.app.e2ee import Encryption
from homeserver.app.rooms import Rooms
from homeserver.app.settings import Limits, shown_state
from homeserver.app.users import Users
from homeserver.client_api.presence import PresenceApi
from homeserver.client_api.push_rules import PushRulesApi
from homeserver.client_api.receipts import ReceiptsApi
from homeserver.client_api.sync import SyncApi
from homeserver.client_api.typing import TypingApi
from homeserver.services.rooms.invite_permission import InvitePermission
from homeserver.services.rooms.summary import Summaries
from homeserver.services.sync.alike import AlikeRooms
from homeserver.services.sync.as_of import AsOf
from homeserver.services.sync.chosen_rooms import ChosenRooms
from homeserver.services.sync.inbox import Inbox
from homeserver.services.sync.invited import InvitedRooms
from homeserver.services.sync.joined import JoinedRooms
from homeserver.services.sync.lazy_members import LazyMembers
from homeserver.services.sync.moved import MovedRooms
from homeserver.services.sync.notifier import Notifier
from homeserver.services.sync.service import RoomParts, Sync, UserSources
from homeserver.services.sync.since import RoomsSince
from homeserver.services.sync.user_sources import AccountDataSource, DevicesSource, PresenceSource
from homeserver.services.sync.whole import WholeRooms
from homeserver.services.sync.writing import Bundles, RoomSources, RoomWriter
from matrix.errors import LimitExceeded
from matrix.ids import UserId
from storage.recent import RecentEvents

# More of one room no sync gives, whatever the operator says: it is one answer, made at once.
MAX_TIMELINE = 1_000


@frozen(kw_only=True)
class Syncing:
    sync: Sync
    notifier: Notifier


def build_sync(core: Core, users: Users, rooms: Rooms, encryption: Encryption, bundles: Bundles) -> Syncing:
    storage, clock = core.storage, core.clock
    notifier = Notifier(members=rooms.members, clock=clock, tasks=core.tasks)
    storage.read_by(notifier.read_stream)
    account_data = AccountDataSource(
        database=storage.database, stream=storage.stream, push_rules_of=rooms.push_rules.client_form
    )
    presence = PresenceSource(
        stream=storage.stream,
        members=rooms.members,
        presence_of=rooms.presence.events,
        enabled=bool(core.config.server.presence.enabled),
    )
    devices = DevicesSource(device_lists=encryption.device_lists, keys=encryption.keys, stream=storage.stream)
    sync = Sync(
        stream=storage.stream,
        members=rooms.members,
        notifier=notifier,
        rooms=_room_parts(core, rooms, bundles),
        sources=UserSources(
            inbox=Inbox(database=storage.database, stream=storage.stream),
            account_data=account_data.add,
            ignored=users.ignored.of,
            key_counts=devices.add_counts,
            others=(presence.add, devices.add),
        ),
        clock=clock,
    )
    return Syncing(sync=sync, notifier=notifier)


def _room_parts(core: Core, rooms: Rooms, bundles: Bundles) -> RoomParts:
    storage, heads, visibility = core.storage, rooms.heads, rooms.visibility
    events, database = storage.events, storage.database
    as_of = AsOf(events=events, database=database, stream=storage.stream)
    lazy_members = LazyMembers(heads=heads, as_of=as_of, summaries=Summaries(members=rooms.members, heads=heads))
    return RoomParts(
        excluded=core.config.server.exclude_rooms_from_sync,
        as_of=as_of,
        chosen=ChosenRooms(heads=heads),
        lazy_members=lazy_members,
        alike=AlikeRooms(
            stream=storage.stream,
            heads=heads,
            lazy_members=lazy_members,
            unread=rooms.unread.counts,
            partial=rooms.partial,
        ),
        joined=JoinedRooms(
            moved=MovedRooms(stream=storage.stream, database=database, events=events),
            as_of=as_of,
            since=RoomsSince(
                heads=heads, visibility=visibility, lazy_members=lazy_members, events=events, database=database
            ),
            whole=WholeRooms(
                heads=heads,
                visibility=visibility,
                as_of=as_of,
                lazy_members=lazy_members,
                events=events,
                recent=RecentEvents(stream=storage.stream, database=database, events=events),
                clock=core.clock,
            ),
            partial=rooms.partial,
        ),
        invited=InvitedRooms(
            heads=heads,
            events=events,
            database=database,
            hidden_from=InvitePermission(database=database).hidden_from,
            shown=shown_state(core.config),
        ),
        writer=RoomWriter(
            events=events,
            database=database,
            clock=core.clock,
            sources=RoomSources(
                bundles=bundles,
                unread=rooms.unread.counts,
                typing=rooms.typing.users,
                receipts=rooms.receipts.of_rooms,
            ),
        ),
    )


def sync_apis(core: Core, users: Users, rooms: Rooms, syncing: Syncing) -> Sequence[object]:
    limit = core.config.server.filter_timeline_limit
    make, rate = Limits(core.clock).make, core.config.ratelimits.rc_presence.per_user
    by_sync = make(rate)

    async def set_presence(user_id: UserId, device: str, wish: str) -> None:
        try:
            by_sync.take(user_id)
        except LimitExceeded:
            # As in Synapse the sync itself goes on.
            return
        await rooms.presence.synced(user_id, device, wish)

    return [
        SyncApi(
            sync=syncing.sync,
            filter_of=users.filters.parsed,
            set_presence=set_presence,
            max_timeline=MAX_TIMELINE if limit < 0 else max(1, min(limit, MAX_TIMELINE)),
        ),
        ReceiptsApi(receipts=rooms.receipts, presence=rooms.presence, imported=rooms.imported),
        TypingApi(typing=rooms.typing),
        PresenceApi(presence=rooms.presence, limit=make(rate)),
        PushRulesApi(rules=rooms.push_rules),
    ]
