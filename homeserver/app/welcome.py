"""What a new account gets, and which invites are taken for users, wired."""

from homeserver.app.core import Core
from homeserver.app.notices import build_system_users
from homeserver.app.room_changes import RoomChanges
from homeserver.app.rooms import Rooms
from homeserver.app.users import OnUser, Users
from homeserver.services.push.pushers import Pushers
from homeserver.services.rooms.auto_accept import AcceptRules, AutoAccept
from homeserver.services.rooms.auto_join import AutoJoin, AutoJoinParts, AutoJoinSettings
from matrix.events import Event
from matrix.ids import UserId
from matrix.room_versions import ROOM_VERSIONS
from storage import out_of_band
from storage.users import is_only_user


def build_welcome(core: Core, users: Users, changes: RoomChanges, pushers: Pushers) -> OnUser:
    email, registration = core.config.notifications.email, core.config.registration
    has_mails = email.enable_notifs and email.notif_for_new_users
    auto_join = _auto_join(core, users, changes)

    async def welcome(user_id: UserId) -> None:
        account = await users.accounts.get(user_id)
        if has_mails and not account.is_guest:
            for address in await users.contacts.addresses.list_of(user_id):
                if address.medium == "email":
                    await pushers.add_mails(user_id, address.address)
        if registration.auto_join_rooms_for_guests or not account.is_guest:
            await auto_join.welcome(user_id)

    return welcome


def _auto_join(core: Core, users: Users, changes: RoomChanges) -> AutoJoin:
    options = core.config.registration
    named = options.auto_join_mxid_localpart
    host = None if named is None else UserId.parse(f"@{named}:{core.server_name}")
    system_users = build_system_users(core, users)

    async def ensure_host() -> None:
        if host is not None:
            await system_users.make(host)

    return AutoJoin(
        settings=AutoJoinSettings(
            rooms=options.auto_join_rooms,
            makes_rooms=options.autocreate_auto_join_rooms,
            is_federated=options.autocreate_auto_join_rooms_federated,
            preset=options.autocreate_auto_join_room_preset,
            host=host,
            room_version=ROOM_VERSIONS[core.config.server.default_room_version],
        ),
        parts=AutoJoinParts(
            names=changes.names,
            creation=changes.creation,
            membership=changes.membership,
            is_local=core.is_local,
            ensure_host=ensure_host,
            is_only_user=lambda user_id: core.storage.database.read(is_only_user, user_id),
        ),
        tasks=core.tasks,
    )


def build_auto_accept(core: Core, rooms: Rooms, changes: RoomChanges) -> None:
    options, storage = core.config.rooms.auto_accept_invites, core.storage
    if not options.enabled:
        return

    async def event_of(nid: int) -> Event | None:
        known = (await storage.events.get([nid])).get(nid)
        if known is not None:
            return known.event
        outside = (await storage.database.read(out_of_band.find, [nid])).get(nid)
        return None if outside is None else outside.event.event

    accepting = AutoAccept(
        rules=AcceptRules(
            only_direct=options.only_for_direct_messages,
            only_from_local=options.only_from_local_users,
        ),
        heads=rooms.heads,
        members=rooms.members,
        membership=changes.membership,
        event_of=event_of,
        is_local=core.is_local,
        tasks=core.tasks,
    )
    storage.read_by(accepting.read_stream)
