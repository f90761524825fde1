"""What changes rooms, wired: making them, joining and leaving, sending, names and the directory."""

from collections.abc import Sequence

from attrs import frozen

from homeserver.app.core import Core
from homeserver.app.federation import Federation
from homeserver.app.member_contents import build_avatar_rules, build_contents
from homeserver.app.remote_membership import Deciding, RemoteMemberships, build_remote_memberships
from homeserver.app.rooms import Rooms
from homeserver.app.settings import Limits, notices_sender
from homeserver.app.users import Users
from homeserver.client_api.aliases import AliasesApi
from homeserver.client_api.create_room import CreateRoomApi
from homeserver.client_api.directory import DirectoryApi
from homeserver.client_api.membership import MembershipApi
from homeserver.client_api.send import SendApi
from homeserver.client_api.spaces import SpacesApi
from homeserver.client_api.state import StateApi
from homeserver.client_api.upgrade import UpgradeApi
from homeserver.services.appservices.users import AppserviceUsers
from homeserver.services.rooms.alias_reservations import AliasReservations
from homeserver.services.rooms.aliases import Aliases, AliasRules
from homeserver.services.rooms.allowance import Allowance, RoomLimits
from homeserver.services.rooms.bound_invites import BoundInvites
from homeserver.services.rooms.canonical_alias import CanonicalAlias
from homeserver.services.rooms.content_checks import ContentChecks
from homeserver.services.rooms.creation import Creation, CreationRules, Invitations
from homeserver.services.rooms.described_rooms import DescribedRooms
from homeserver.services.rooms.directory import Directory, DirectoryRules
from homeserver.services.rooms.following import Following
from homeserver.services.rooms.guests import Guests
from homeserver.services.rooms.hierarchy import Hierarchy
from homeserver.services.rooms.invite_permission import InvitePermission
from homeserver.services.rooms.local_membership import LocalMembership
from homeserver.services.rooms.member_content import MemberContents
from homeserver.services.rooms.membership import Membership
from homeserver.services.rooms.notice_rooms import NoticeRooms
from homeserver.services.rooms.public_rooms import PublicRooms
from homeserver.services.rooms.remote_public_rooms import RemotePublicRooms
from homeserver.services.rooms.remote_rooms import RemoteRooms
from homeserver.services.rooms.restricted_joins import RestrictedJoins
from homeserver.services.rooms.room_names import RoomNames
from homeserver.services.rooms.room_state import RoomState
from homeserver.services.rooms.sending import Sending
from homeserver.services.rooms.third_party_invites import ThirdPartyInvites
from homeserver.services.rooms.upgrade import Upgrade
from homeserver.services.rooms.user_rooms import UserRooms
from homeserver.services.users.identity_servers import IdentityServers


@frozen(kw_only=True)
class RoomChanges:
    contents: MemberContents
    identity_servers: IdentityServers
    aliases: Aliases
    bound_invites: BoundInvites
    allowance: Allowance
    creation: Creation
    directory: Directory
    following: Following
    hierarchy: Hierarchy
    membership: Membership
    names: RoomNames
    notice_rooms: NoticeRooms
    public_rooms: PublicRooms
    remote: RemoteMemberships
    room_state: RoomState
    sending: Sending
    upgrade: Upgrade
    user_rooms: UserRooms


def build_room_changes(
    core: Core,
    rooms: Rooms,
    users: Users,
    federation: Federation,
    reservations: AliasReservations,
    appserviced: AppserviceUsers,
) -> RoomChanges:
    storage, config = core.storage, core.config.rooms
    database, committer, events = storage.database, storage.committer, storage.events
    heads, members, intake = rooms.heads, rooms.members, rooms.intake
    aliases = Aliases(
        database=database,
        committer=committer,
        heads=heads,
        members=members,
        server_name=core.server_name,
        rules=AliasRules(may_make=config.may_make_alias, members_only=config.require_membership_for_aliases),
        reservations=reservations,
    )
    names = RoomNames(aliases=aliases, elsewhere=federation.client, is_local=core.is_local, clock=core.clock)
    directory = Directory(
        database=database,
        committer=committer,
        heads=heads,
        aliases=aliases,
        rules=DirectoryRules(may_publish=config.may_publish, is_enabled=config.enable_room_list_search),
    )
    allowance = Allowance(limits=_limits(core), check_not_suspended=users.accounts.check_not_suspended)
    contents = build_contents(core, users, build_avatar_rules(core).check)
    permission = InvitePermission(database=database, admins_only=config.block_non_admin_invites)
    remote = build_remote_memberships(
        core,
        rooms,
        federation,
        Deciding(allowance=allowance, contents=contents, permission=permission, is_user=appserviced.is_user),
    )
    following = Following(
        heads=heads,
        members=members,
        database=database,
        committer=committer,
        change_push_rules=rooms.push_rules.change,
    )
    notice_rooms = NoticeRooms(sender=notices_sender(core.config), heads=heads, members=members)
    membership = Membership(
        local=LocalMembership(
            intake=intake,
            heads=heads,
            allowance=allowance,
            contents=contents,
            restricted_joins=RestrictedJoins(heads=heads, members=members, is_local=core.is_local),
            appear=appserviced.appear,
        ),
        remote=remote.membership,
        residence=remote.residence,
        following=following,
        invite_permission=permission,
        is_local=core.is_local,
        check_may_leave=notice_rooms.check_may_leave,
    )
    storage.read_by(Guests(heads=heads, membership=membership, database=database, tasks=core.tasks).read_stream)
    public_rooms = PublicRooms(database=database, is_enabled=config.enable_room_list_search)
    storage.read_by(public_rooms.read_stream)
    return RoomChanges(
        aliases=aliases,
        bound_invites=BoundInvites(
            residence=remote.residence,
            heads=heads,
            intake=intake,
            invites=remote.invites,
            exchange=federation.client.exchange_third_party_invite,
            is_key_valid=users.contacts.identity_servers.is_valid,
            is_local=core.is_local,
        ),
        allowance=allowance,
        contents=contents,
        creation=Creation(
            intake=intake,
            allowance=allowance,
            aliases=aliases,
            directory=directory,
            invitations=Invitations(
                permission=permission,
                appear=appserviced.appear,
                contents=contents,
                is_local=core.is_local,
                elsewhere=membership.invite,
            ),
            rules=CreationRules(
                encrypted=config.encryption_enabled_by_default_for_room_type,
                power_levels=config.default_power_level_content_override,
            ),
        ),
        directory=directory,
        following=following,
        hierarchy=Hierarchy(
            heads=heads,
            members=members,
            database=database,
            described=DescribedRooms(
                database=database,
                remote=RemoteRooms(elsewhere=federation.client, is_local=core.is_local, clock=core.clock),
                clock=core.clock,
            ),
            clock=core.clock,
        ),
        membership=membership,
        identity_servers=users.contacts.identity_servers,
        names=names,
        notice_rooms=notice_rooms,
        public_rooms=public_rooms,
        remote=remote,
        room_state=RoomState(
            heads=heads,
            members=members,
            partial=rooms.partial,
            events=events,
            database=database,
            clock=core.clock,
        ),
        sending=Sending(
            intake=intake,
            heads=heads,
            allowance=allowance,
            checks=ContentChecks(
                heads=heads, events=events, database=database, names=names, server_name=core.server_name
            ),
            membership=membership,
            imported=rooms.imported,
        ),
        upgrade=Upgrade(
            intake=intake,
            heads=heads,
            members=members,
            allowance=allowance,
            contents=contents,
            server_name=core.server_name,
        ),
        user_rooms=UserRooms(
            heads=heads, members=members, membership=membership, committer=committer, tasks=core.tasks
        ),
    )


def room_change_apis(core: Core, rooms: Rooms, changes: RoomChanges, federation: Federation) -> Sequence[object]:
    canonical = CanonicalAlias(intake=rooms.intake, heads=rooms.heads)
    third_party_invites = ThirdPartyInvites(
        identity_servers=changes.identity_servers,
        membership=changes.membership,
        sending=changes.sending,
        heads=rooms.heads,
        limit=Limits(core.clock).make(core.config.ratelimits.rc_third_party_invite),
        may_look_up=core.config.registration.enable_3pid_lookup,
    )
    return [
        AliasesApi(aliases=changes.aliases, names=changes.names, canonical=canonical, room_state=changes.room_state),
        CreateRoomApi(
            creation=changes.creation,
            third_party_invites=third_party_invites,
            following=changes.following,
            server_name=core.server_name,
            default_version=core.config.server.default_room_version,
        ),
        DirectoryApi(
            directory=changes.directory,
            public_rooms=changes.public_rooms,
            elsewhere=RemotePublicRooms(elsewhere=federation.client),
            server_name=core.server_name,
            open_to_all=core.config.rooms.allow_public_rooms_without_auth,
        ),
        MembershipApi(
            membership=changes.membership,
            user_rooms=changes.user_rooms,
            names=changes.names,
            third_party_invites=third_party_invites,
            bound_invites=changes.bound_invites,
        ),
        SendApi(sending=changes.sending),
        SpacesApi(hierarchy=changes.hierarchy, names=changes.names),
        StateApi(sending=changes.sending, room_state=changes.room_state),
        UpgradeApi(upgrade=changes.upgrade, following=changes.following),
    ]


def _limits(core: Core) -> RoomLimits:
    make, rates = Limits(core.clock).make, core.config.ratelimits
    return RoomLimits(
        messages=make(rates.rc_message),
        admin_redactions=None if rates.rc_admin_redaction is None else make(rates.rc_admin_redaction),
        creations=make(rates.rc_room_creation),
        joins=make(rates.rc_joins.local),
        remote_joins=make(rates.rc_joins.remote),
        joins_per_room=make(rates.rc_joins_per_room),
        invites_per_room=make(rates.rc_invites.per_room),
        invites_per_user=make(rates.rc_invites.per_user),
        invites_per_issuer=make(rates.rc_invites.per_issuer),
    )
