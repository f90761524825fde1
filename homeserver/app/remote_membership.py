"""Our users in rooms of other servers, wired."""

from attrs import frozen

from homeserver.app.core import Core
from homeserver.app.federation import Federation
from homeserver.app.rooms import Rooms
from homeserver.app.settings import shown_state
from homeserver.services.rooms.allowance import Allowance
from homeserver.services.rooms.hosts import Hosts
from homeserver.services.rooms.invite_permission import InvitePermission
from homeserver.services.rooms.member_content import MemberContents
from homeserver.services.rooms.remote_membership.attempts import Attempts
from homeserver.services.rooms.remote_membership.candidates import Candidates
from homeserver.services.rooms.remote_membership.door import Door
from homeserver.services.rooms.remote_membership.handshake import Handshake
from homeserver.services.rooms.remote_membership.invites import RemoteInvites
from homeserver.services.rooms.remote_membership.joins import Entrance, RemoteJoins
from homeserver.services.rooms.remote_membership.knocks import RemoteKnocks
from homeserver.services.rooms.remote_membership.leaves import RemoteLeaves
from homeserver.services.rooms.remote_membership.out_of_band import OutOfBand, Storage
from homeserver.services.rooms.remote_membership.received import IsUser, ReceivedInvites
from homeserver.services.rooms.remote_membership.room_sizes import RoomSizes, SizeRules
from homeserver.services.rooms.remote_membership.service import RemoteMembership, Ways
from homeserver.services.rooms.residence import Residence


@frozen(kw_only=True)
class RemoteMemberships:
    membership: RemoteMembership
    residence: Residence
    invites: RemoteInvites
    received: ReceivedInvites


@frozen(kw_only=True)
class Deciding:
    """What decides on memberships here too."""

    allowance: Allowance
    contents: MemberContents
    permission: InvitePermission
    is_user: IsUser


def build_remote_memberships(core: Core, rooms: Rooms, federation: Federation, deciding: Deciding) -> RemoteMemberships:
    storage, clock, client = core.storage, core.clock, federation.client
    heads, members = rooms.heads, rooms.members
    residence = Residence(heads=heads, members=members, partial=rooms.partial, is_local=core.is_local)
    out_of_band = OutOfBand(
        heads=heads,
        members=members,
        intake=rooms.intake,
        storage=Storage(database=storage.database, committer=storage.committer, events=storage.events),
    )
    handshake = Handshake(client=client, signer=core.signer, clock=clock)
    attempts = Attempts(clock=clock)
    entrance = Entrance(
        checks=rooms.remote.checks,
        rooms=rooms.remote.room_import,
        completion=rooms.remote.completion,
        receiver=rooms.remote.receiver,
        events=storage.events,
    )
    invites = RemoteInvites(
        client=client,
        keys=federation.keys,
        heads=heads,
        receiver=rooms.remote.receiver,
        shown=shown_state(core.config),
        clock=clock,
        is_local=core.is_local,
    )

    return RemoteMemberships(
        membership=RemoteMembership(
            ways=Ways(
                joins=RemoteJoins(handshake=handshake, client=client, attempts=attempts, entrance=entrance),
                knocks=RemoteKnocks(handshake=handshake, client=client, attempts=attempts, out_of_band=out_of_band),
                leaves=RemoteLeaves(
                    handshake=handshake,
                    client=client,
                    attempts=attempts,
                    out_of_band=out_of_band,
                    signer=core.signer,
                    clock=clock,
                ),
                invites=invites,
            ),
            candidates=Candidates(
                heads=heads,
                members=members,
                partial=rooms.partial,
                out_of_band=out_of_band,
                is_local=core.is_local,
            ),
            out_of_band=out_of_band,
            residence=residence,
            contents=deciding.contents,
            allowance=deciding.allowance,
            sizes=_sizes(core, federation),
        ),
        residence=residence,
        invites=invites,
        received=ReceivedInvites(
            out_of_band=out_of_band,
            residence=residence,
            permission=deciding.permission,
            allowance=deciding.allowance,
            is_user=deciding.is_user,
        ),
    )


def _sizes(core: Core, federation: Federation) -> RoomSizes:
    options = core.config.rooms.limit_remote_rooms
    rules = SizeRules(most=options.complexity, message=options.complexity_error, admins_may=options.admins_can_join)
    return RoomSizes(rules=rules if options.enabled else None, client=federation.client)


def build_door(core: Core, rooms: Rooms, memberships: RemoteMemberships, hosts: Hosts) -> Door:
    """By which the events of other servers come in."""
    return Door(
        heads=rooms.heads,
        hosts_of=hosts.in_room,
        receive=rooms.remote.receiver.receive,
        follow=rooms.remote.receiver.follow,
        checks=rooms.remote.checks,
        received=memberships.received,
        is_local=core.is_local,
    )
