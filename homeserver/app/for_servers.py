"""What other servers are answered about rooms, wired."""

from collections.abc import Sequence

from attrs import frozen

from federation.inbound.complexity import ComplexityApi
from federation.inbound.events import EventsForServersApi
from federation.inbound.invites import InvitesForServersApi
from federation.inbound.membership import MembershipForServersApi
from federation.inbound.public_rooms import PublicRoomsForServersApi
from federation.inbound.queries import OpenIdApi, QueriesForServersApi
from federation.inbound.third_party import ExchangeApi, OnBindApi
from homeserver.app.core import Core
from homeserver.app.federation import Federation
from homeserver.app.room_changes import RoomChanges
from homeserver.app.rooms import Rooms
from homeserver.app.settings import Limits, shown_state
from homeserver.app.users import Users
from homeserver.runtime.turns import TurnRules, Turns
from homeserver.services.appservices.users import Appear
from homeserver.services.rooms.for_servers.acls import ServerAcls
from homeserver.services.rooms.for_servers.admission import Admission
from homeserver.services.rooms.for_servers.handshakes import Handshakes, Inlet
from homeserver.services.rooms.for_servers.history import HistoryForServers
from homeserver.services.rooms.for_servers.invites import InvitesFromServers
from homeserver.services.rooms.for_servers.join_answer import JoinAnswers
from homeserver.services.rooms.for_servers.pdu_lists import PduLists
from homeserver.services.rooms.for_servers.restricted import RestrictedForServers
from homeserver.services.rooms.for_servers.spaces import SpacesForServers
from homeserver.services.rooms.for_servers.states import States
from homeserver.services.rooms.for_servers.templates import Templates
from homeserver.services.rooms.for_servers.third_party import InviteExchange
from homeserver.services.rooms.for_servers.visibility import ServerVisibility
from homeserver.services.rooms.hosts import Hosts
from homeserver.services.rooms.restricted_joins import RestrictedJoins
from homeserver.services.rooms.summary import Summaries
from matrix.events import Event
from storage.auth_chains import auth_chain
from storage.change import At, Change
from storage.events import StoredEvent
from storage.federation_queue import pass_on
from synapse_like_config.units import Rate

# By address: an identity server tells of each address once.
ON_BIND = Rate(1, 10)


def build_acls(core: Core, rooms: Rooms) -> ServerAcls:
    acls = ServerAcls(heads=rooms.heads, database=core.storage.database, server_name=core.server_name)
    core.storage.read_by(acls.read_stream)
    return acls


def build_turns(core: Core) -> Turns:
    rates = core.config.ratelimits.rc_federation
    rules = TurnRules(
        window_s=rates.window_size / 1000,
        sleep_limit=rates.sleep_limit,
        sleep_s=rates.sleep_delay / 1000,
        reject_limit=rates.reject_limit,
        concurrent=rates.concurrent,
    )
    return Turns(rules, core.clock)


@frozen(kw_only=True)
class ForServers:
    """Builds the APIs, each of the parts that it uses."""

    core: Core
    rooms: Rooms
    changes: RoomChanges
    users: Users
    appear: Appear
    federation: Federation
    hosts: Hosts
    acls: ServerAcls
    turns: Turns

    def apis(self) -> Sequence[object]:
        admission = Admission(
            heads=self.rooms.heads,
            partial=self.rooms.partial,
            hosts_of=self.hosts.in_room,
            acls=self.acls,
            server_name=self.core.server_name,
        )
        states = States(
            admission=admission,
            events=self.core.storage.events,
            database=self.core.storage.database,
            state_of=self.rooms.remote.states.of_event,
            auth_chain=auth_chain,
        )
        lists = PduLists(database=self.core.storage.database)
        return [
            self._memberships(admission, states, lists),
            self._invites(admission),
            self._events(admission, states, lists),
            ComplexityApi(turns=self.turns, admission=admission, heads=self.rooms.heads),
            self._queries(admission),
            PublicRoomsForServersApi(
                turns=self.turns,
                public_rooms=self.changes.public_rooms,
                is_open=self.core.config.rooms.allow_public_rooms_over_federation,
            ),
            OpenIdApi(database=self.core.storage.database, clock=self.core.clock),
            *self._third_party(admission),
        ]

    def _memberships(self, admission: Admission, states: States, lists: PduLists) -> MembershipForServersApi:
        core, heads, allowance = self.core, self.rooms.heads, self.changes.allowance
        restricted = RestrictedForServers(
            heads=heads,
            admission=admission,
            restricted_joins=RestrictedJoins(heads=heads, members=self.rooms.members, is_local=core.is_local),
            is_local=core.is_local,
            signer=core.signer,
        )
        summaries = Summaries(members=self.rooms.members, heads=heads)
        return MembershipForServersApi(
            turns=self.turns,
            templates=Templates(
                admission=admission,
                heads=heads,
                intake=self.rooms.intake,
                restricted=restricted,
                check_joins=lambda room_id: allowance.join_of_other(room_id, only_check=True),
                server_name=core.server_name,
            ),
            handshakes=Handshakes(
                admission=admission,
                heads=heads,
                events=core.storage.events,
                answers=JoinAnswers(
                    heads=heads,
                    states=states,
                    summaries=summaries,
                    shown=shown_state(core.config),
                    server_name=core.server_name,
                ),
                restricted=restricted,
                inlet=Inlet(self.rooms.remote.checks.check, self._accept),
                charge_join=allowance.join_of_other,
            ),
            lists=lists,
        )

    async def _accept(self, event: Event) -> StoredEvent:
        """Whom this server helps in or out the other servers hear of by it."""
        return await self.rooms.remote.receiver.accept(event, beside=_pass_on)

    def _invites(self, admission: Admission) -> InvitesForServersApi:
        return InvitesForServersApi(
            turns=self.turns,
            invites=InvitesFromServers(
                admission=admission,
                checks=self.rooms.remote.checks.check,
                received=self.changes.remote.received,
                signer=self.core.signer,
                is_local=self.core.is_local,
            ),
        )

    def _events(self, admission: Admission, states: States, lists: PduLists) -> EventsForServersApi:
        storage = self.core.storage
        return EventsForServersApi(
            turns=self.turns,
            history=HistoryForServers(
                admission=admission,
                events=storage.events,
                database=storage.database,
                visibility=ServerVisibility(database=storage.database, events=storage.events),
            ),
            states=states,
            lists=lists,
            clock=self.core.clock,
            server_name=self.core.server_name,
        )

    def _queries(self, admission: Admission) -> QueriesForServersApi:
        return QueriesForServersApi(
            turns=self.turns,
            aliases=self.changes.aliases,
            profiles=self.users.profiles,
            spaces=SpacesForServers(
                admission=admission, members=self.rooms.members, database=self.core.storage.database
            ),
            is_local=self.core.is_local,
            appear=self.appear,
            shows_profiles=self.core.config.federation.allow_profile_lookup_over_federation,
        )

    def _third_party(self, admission: Admission) -> Sequence[object]:
        invites = self.changes.bound_invites
        return [
            ExchangeApi(turns=self.turns, invites=InviteExchange(admission=admission, invites=invites)),
            OnBindApi(invites=invites, limit=Limits(self.core.clock).make(ON_BIND), is_local=self.core.is_local),
        ]


def _pass_on(change: Change, stored: StoredEvent, at: At) -> None:
    pass_on(change, stored.room_nid, stored.nid, at)
