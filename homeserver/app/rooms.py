"""Rooms, wired: what decides, what reads, and what their members do beside sending."""

from attrs import frozen

from homeserver.app.core import Core
from homeserver.app.federation import Federation
from homeserver.app.remote_rooms import RemoteRooms, build_loose_ends, build_remote_rooms
from homeserver.services.presence import Presence
from homeserver.services.push.judging import Judging
from homeserver.services.push.rules import PushRules
from homeserver.services.push.unread import Unread
from homeserver.services.receipts import Receipts
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.imported_ids import ImportedIds
from homeserver.services.rooms.intake import Intake
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.visibility import Visibility
from homeserver.services.typing import Typing
from storage.loader import Loader
from storage.push_rules import find_rulesets
from storage.recent import RecentEvents


@frozen(kw_only=True)
class Rooms:
    heads: Heads
    members: Members
    partial: PartialRooms
    imported: ImportedIds
    intake: Intake
    visibility: Visibility
    remote: RemoteRooms
    receipts: Receipts
    typing: Typing
    presence: Presence
    push_rules: PushRules
    judging: Judging
    unread: Unread


def build_rooms(core: Core, federation: Federation) -> Rooms:
    storage, clock = core.storage, core.clock
    database, events, stream, committer = storage.database, storage.events, storage.stream, storage.committer
    heads = Heads(database=database, events=events)
    members = Members(database=database, stream=stream)
    partial = PartialRooms(database=database, clock=clock)
    push_rules = PushRules(
        database=database,
        committer=committer,
        loader=Loader(find_rulesets, database=database, reactor=core.reactor),
    )
    judging = Judging(heads=heads, members=members, events=events, rules=push_rules)
    intake = Intake(
        heads=heads,
        events=events,
        database=database,
        committer=committer,
        state_keys=storage.state_keys,
        signer=core.signer,
        clock=clock,
    )
    rooms = Rooms(
        heads=heads,
        members=members,
        partial=partial,
        imported=ImportedIds(database=database, heads=heads),
        intake=intake,
        remote=build_remote_rooms(core, federation, heads=heads, members=members, intake=intake, partial=partial),
        visibility=Visibility(database=database, events=events, members=members),
        receipts=Receipts(
            heads=heads, members=members, events=events, database=database, committer=committer, clock=clock
        ),
        typing=Typing(heads=heads, members=members, committer=committer, clock=clock, tasks=core.tasks),
        presence=Presence(
            database=database,
            committer=committer,
            clock=clock,
            tasks=core.tasks,
            enabled=core.config.server.presence.is_tracked,
            sharing_a_room=members.sharing_a_room,
            is_local=core.is_local,
        ),
        push_rules=push_rules,
        judging=judging,
        unread=Unread(
            stream=stream,
            members=members,
            judging=judging,
            recent=RecentEvents(stream=stream, database=database, events=events),
            database=database,
        ),
    )
    # The order matters: those further down ask those further up.
    for reader in (heads, members, partial, push_rules, rooms.unread, rooms.typing, rooms.presence):
        storage.read_by(reader.read_stream)
    build_loose_ends(core, rooms.remote, heads=heads, members=members, intake=intake)
    return rooms
