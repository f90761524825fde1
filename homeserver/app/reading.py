"""What reads rooms beside sync, wired: history, relations, members, reports."""

from collections.abc import Sequence

from attrs import frozen

from homeserver.app.core import Core
from homeserver.app.federation import Federation
from homeserver.app.rooms import Rooms
from homeserver.app.settings import Limits
from homeserver.app.users import Users
from homeserver.client_api.context import ContextApi
from homeserver.client_api.event import EventApi
from homeserver.client_api.members import MembersApi
from homeserver.client_api.messages import MessagesApi
from homeserver.client_api.relations import RelationsApi
from homeserver.client_api.reports import ReportsApi
from homeserver.client_api.search import SearchApi
from homeserver.client_api.threads import ThreadsApi
from homeserver.services.reports import Reports
from homeserver.services.rooms.bundles import Bundles
from homeserver.services.rooms.client_events import ClientEvents
from homeserver.services.rooms.hosts import Hosts
from homeserver.services.rooms.member_list import MemberList
from homeserver.services.rooms.past_state import PastState
from homeserver.services.rooms.reading import Reading
from homeserver.services.rooms.related_events import RelatedEvents
from homeserver.services.rooms.remote.backfill import Backfill
from homeserver.services.rooms.search import Search
from homeserver.services.rooms.search_index import EVERY_S, SearchIndex
from homeserver.services.rooms.timeline import Timeline
from homeserver.services.rooms.times import Times


@frozen(kw_only=True)
class RoomReading:
    bundles: Bundles
    client_events: ClientEvents
    member_list: MemberList
    past_state: PastState
    reading: Reading
    related_events: RelatedEvents
    reports: Reports
    search: Search
    timeline: Timeline
    times: Times


def build_reading(
    core: Core, users: Users, rooms: Rooms, federation: Federation, *, older: Backfill, hosts: Hosts
) -> RoomReading:
    storage, clock = core.storage, core.clock
    database, events = storage.database, storage.events
    heads, members, visibility = rooms.heads, rooms.members, rooms.visibility
    ignored = users.ignored.of
    reading = Reading(heads=heads, members=members, partial=rooms.partial, events=events, database=database)
    timeline = Timeline(
        reading=reading,
        visibility=visibility,
        events=events,
        database=database,
        stream=storage.stream,
        ignored=ignored,
        older=older,
    )
    bundles = Bundles(
        database=database, events=events, members=members, visibility=visibility, ignored=ignored, clock=clock
    )
    index = SearchIndex(database=database, stream=storage.stream)
    core.tasks.repeat("search.index", EVERY_S, index.catch_up)
    return RoomReading(
        bundles=bundles,
        client_events=ClientEvents(events=events, database=database, clock=clock, bundles=bundles),
        member_list=MemberList(
            reading=reading,
            heads=heads,
            members=members,
            events=events,
            database=database,
            stream=storage.stream,
            clock=clock,
        ),
        past_state=PastState(heads=heads, events=events, database=database),
        reading=reading,
        related_events=RelatedEvents(
            timeline=timeline,
            reading=reading,
            visibility=visibility,
            events=events,
            database=database,
            ignored=ignored,
        ),
        reports=Reports(
            timeline=timeline,
            heads=heads,
            members=members,
            database=database,
            clock=clock,
            limit=Limits(clock).make(core.config.ratelimits.rc_reports),
            is_local=core.is_local,
        ),
        search=Search(
            index=index,
            heads=heads,
            members=members,
            visibility=visibility,
            events=events,
            database=database,
            ignored=ignored,
        ),
        timeline=timeline,
        times=Times(
            timeline=timeline,
            elsewhere=federation.client,
            older=older,
            hosts_of=hosts.in_room,
            is_local=core.is_local,
        ),
    )


def reading_apis(core: Core, rooms: Rooms, parts: RoomReading) -> Sequence[object]:
    timeline, past_state, client_events = parts.timeline, parts.past_state, parts.client_events
    search = SearchApi(search=parts.search, past_state=past_state, client_events=client_events)
    return [
        ContextApi(timeline=timeline, past_state=past_state, client_events=client_events, imported=rooms.imported),
        EventApi(timeline=timeline, times=parts.times, client_events=client_events, imported=rooms.imported),
        MembersApi(member_list=parts.member_list),
        MessagesApi(timeline=timeline, past_state=past_state, client_events=client_events),
        RelationsApi(related_events=parts.related_events, client_events=client_events, imported=rooms.imported),
        ReportsApi(reports=parts.reports),
        ThreadsApi(related_events=parts.related_events, client_events=client_events),
        *([search] if core.config.server.enable_search else []),
    ]
