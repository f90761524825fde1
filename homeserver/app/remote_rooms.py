"""Rooms that other servers are in too, wired: what comes of their events, and what is missing of their history."""

from attrs import frozen
from twisted.internet.threads import deferToThreadPool

from homeserver.app.core import Core
from homeserver.app.federation import Federation
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.hosts import Hosts
from homeserver.services.rooms.intake import Intake
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.remote.backfill import Backfill, BackfillParts
from homeserver.services.rooms.remote.claims import Claims
from homeserver.services.rooms.remote.completion import Completion, CompletionParts
from homeserver.services.rooms.remote.edges import Edges
from homeserver.services.rooms.remote.expense import Expense
from homeserver.services.rooms.remote.gathering import Gathering
from homeserver.services.rooms.remote.historic import Historic, HistoricParts
from homeserver.services.rooms.remote.loose_ends import LooseEnds, LooseEndsParts
from homeserver.services.rooms.remote.missing import MissingEvents
from homeserver.services.rooms.remote.outliers import Outliers
from homeserver.services.rooms.remote.pdu_checks import PduChecks
from homeserver.services.rooms.remote.placing import Placing, PlacingParts
from homeserver.services.rooms.remote.receiver import Receiver
from homeserver.services.rooms.remote.replay import Replay
from homeserver.services.rooms.remote.resets import Resets
from homeserver.services.rooms.remote.resolution import Resolution
from homeserver.services.rooms.remote.rewriting import Rewriting, RewritingParts
from homeserver.services.rooms.remote.room_import import ImportParts, RoomImport
from homeserver.services.rooms.remote.rows import Rows
from homeserver.services.rooms.remote.state_before import StateBefore
from storage.interning import HISTORY_BLOCK, Nids
from storage.leases import PARTIAL_ROOMS, Leases


@frozen(kw_only=True)
class RemoteRooms:
    checks: PduChecks
    states: StateBefore
    receiver: Receiver
    room_import: RoomImport
    completion: Completion
    claims: Claims
    gathering: Gathering
    rows: Rows


def build_remote_rooms(
    core: Core, federation: Federation, *, heads: Heads, members: Members, intake: Intake, partial: PartialRooms
) -> RemoteRooms:
    storage, clock = core.storage, core.clock
    database, events, state_keys = storage.database, storage.events, storage.state_keys
    checks = PduChecks(signatures=federation.keys, clock=clock)
    resolution = Resolution(
        database=database,
        events=events,
        on_thread=lambda function: deferToThreadPool(core.reactor, core.reactor.getThreadPool(), function),
        metrics=core.metrics,
    )
    states = StateBefore(
        heads=heads,
        events=events,
        database=database,
        committer=storage.committer,
        resolution=resolution,
        clock=clock,
    )
    rows = Rows(database=database, events=events, state_keys=state_keys)
    outliers = Outliers(
        database=database, events=events, state_keys=state_keys, event_nids=intake.event_nids, clock=clock
    )
    claims = Claims(partial=partial, states=states)
    placing = Placing(
        PlacingParts(
            heads=heads,
            events=events,
            committer=storage.committer,
            event_nids=intake.event_nids,
            states=states,
            edges=Edges(database=database, events=events),
            rows=rows,
            claims=claims,
            resets=Resets(events=events, metrics=core.metrics),
            metrics=core.metrics,
        )
    )
    gathering = Gathering(
        peers=federation.client,
        checks=checks,
        outliers=outliers,
        events=events,
        database=database,
        clock=clock,
        expense=Expense(clock=clock, metrics=core.metrics),
    )
    return RemoteRooms(
        checks=checks,
        states=states,
        gathering=gathering,
        rows=rows,
        receiver=Receiver(
            heads=heads,
            events=events,
            checks=checks,
            gathering=gathering,
            missing=MissingEvents(heads=heads, peers=federation.client, gathering=gathering, checks=checks),
            placing=placing,
            outliers=outliers,
        ),
        room_import=RoomImport(
            ImportParts(
                heads=heads,
                members=members,
                events=events,
                database=database,
                committer=storage.committer,
                state_keys=state_keys,
                room_nids=intake.room_nids,
                event_nids=intake.event_nids,
                checks=checks,
                outliers=outliers,
                states=states,
                placing=placing,
                rows=rows,
                partial=partial,
                is_local=core.is_local,
            )
        ),
        completion=Completion(
            CompletionParts(
                heads=heads,
                members=members,
                events=events,
                database=database,
                state_keys=state_keys,
                partial=partial,
                leases=Leases(storage.dsn, reactor=core.reactor, work=PARTIAL_ROOMS),
                gathering=gathering,
                states=states,
                rewriting=_rewriting(core, heads, states),
                is_local=core.is_local,
                clock=clock,
                tasks=core.tasks,
            )
        ),
        claims=claims,
    )


def _rewriting(core: Core, heads: Heads, states: StateBefore) -> Rewriting:
    storage = core.storage
    return Rewriting(
        RewritingParts(
            heads=heads,
            events=storage.events,
            database=storage.database,
            committer=storage.committer,
            state_keys=storage.state_keys,
            positions=Nids("history_positions", HISTORY_BLOCK, database=storage.database),
            states=states,
            replay=Replay(events=storage.events, states=states, clock=core.clock),
            server_name=core.server_name,
            clock=core.clock,
        )
    )


def build_loose_ends(core: Core, remote: RemoteRooms, *, heads: Heads, members: Members, intake: Intake) -> None:
    """Reads the stream after `heads`."""
    ends = LooseEnds(
        LooseEndsParts(
            most=core.config.server.dummy_events_threshold,
            heads=heads,
            members=members,
            events=core.storage.events,
            states=remote.states,
            receiver=remote.receiver,
            signer=core.signer,
            is_local=core.is_local,
            clock=core.clock,
            tasks=core.tasks,
        )
    )
    intake.tie_loose_ends = ends.tie
    core.storage.read_by(ends.read_stream)


def build_historic(core: Core, remote: RemoteRooms, *, heads: Heads, intake: Intake) -> Historic:
    storage = core.storage
    return Historic(
        HistoricParts(
            heads=heads,
            events=storage.events,
            database=storage.database,
            committer=storage.committer,
            event_nids=intake.event_nids,
            states=remote.states,
            gathering=remote.gathering,
            rows=remote.rows,
            claims=remote.claims,
        )
    )


def build_backfill(
    core: Core, federation: Federation, remote: RemoteRooms, *, heads: Heads, intake: Intake, hosts: Hosts
) -> Backfill:
    storage = core.storage
    backfill = Backfill(
        BackfillParts(
            heads=heads,
            database=storage.database,
            peers=federation.client,
            checks=remote.checks,
            gathering=remote.gathering,
            historic=build_historic(core, remote, heads=heads, intake=intake),
            positions=Nids("history_positions", HISTORY_BLOCK, database=storage.database),
            hosts_of=hosts.in_room,
            is_local=core.is_local,
            clock=core.clock,
        )
    )
    storage.read_by(backfill.read_stream)
    return backfill
