"""Push, wired: pushers, and sending to their gateways."""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from homeserver.app.core import Core
from homeserver.app.reading import RoomReading
from homeserver.app.rooms import Rooms
from homeserver.app.users import Users
from homeserver.client_api.notifications import NotificationsApi
from homeserver.client_api.pushers import PushersApi
from homeserver.client_api.unsubscribe import UnsubscribeApi
from homeserver.services.push.delivery import EVERY_S, FLUSH_EVERY_S, PushDelivery
from homeserver.services.push.due import DueEvents
from homeserver.services.push.due_invites import DueInvites
from homeserver.services.push.gateway import Gateway, Notifications
from homeserver.services.push.notifications import NotificationList
from homeserver.services.push.pushers import Pushers
from homeserver.services.push.telling import Telling
from homeserver.services.rooms.invite_permission import InvitePermission
from homeserver.web.addresses import AddressRules
from homeserver.web.agent import OutgoingHttp
from storage.pushers import SHARDS
from storage.shard_locks import PUSH, ShardLocks

if TYPE_CHECKING:
    from homeserver.app.mails import Mails


@frozen(kw_only=True)
class Pushing:
    """`delivery` is None where the operator wants no push notifications."""

    pushers: Pushers
    delivery: PushDelivery | None
    mails: "Mails | None"
    http: OutgoingHttp

    async def stop(self) -> None:
        if self.delivery is not None:
            await self.delivery.stop()
        if self.mails is not None:
            self.mails.delivery.close()
        await self.http.close()

    def close(self) -> None:
        if self.delivery is not None:
            self.delivery.close()
        if self.mails is not None:
            self.mails.delivery.close()


def _mails(core: Core, users: Users, rooms: Rooms, pushers: Pushers, due: DueEvents) -> "Mails | None":
    if not core.config.notifications.email.enable_notifs:
        return None
    # Here, not above: with its templates, only where the operator wants mails.
    from homeserver.app.mails import build_mails

    return build_mails(core, users, rooms, pushers, due)


def build_push(core: Core, users: Users, rooms: Rooms) -> Pushing:
    federation = core.config.federation
    rules = AddressRules.parse(federation.ip_range_blacklist, federation.ip_range_whitelist)
    http = OutgoingHttp(reactor=core.reactor, rules=rules, user_agent="Hearth (push)")
    pushers, due = build_pushers(core), _due(core, users, rooms)
    mails = _mails(core, users, rooms, pushers, due)
    if not core.config.notifications.push.enabled:
        return Pushing(pushers=pushers, delivery=None, mails=mails, http=http)
    delivery = PushDelivery(
        stream=core.storage.stream,
        pushers=pushers,
        members=rooms.members,
        telling=_telling(core, rooms, due, http),
        locks=ShardLocks(core.storage.dsn, reactor=core.reactor, work=PUSH, count=SHARDS),
        clock=core.clock,
        tasks=core.tasks,
    )
    core.storage.read_by(delivery.read_stream)
    core.metrics.gauge_of("pushers", "Pushers that this process sends for", delivery.count)
    core.tasks.background("push.begin", delivery.share())
    core.tasks.repeat("push.share", EVERY_S, delivery.share)
    core.tasks.repeat("push.flush", FLUSH_EVERY_S, delivery.flush)
    return Pushing(pushers=pushers, delivery=delivery, mails=mails, http=http)


def build_pushers(core: Core) -> Pushers:
    return Pushers(
        database=core.storage.database,
        commit=core.storage.committer,
        clock=core.clock,
        sends_mails=core.config.notifications.email.enable_notifs,
    )


def _due(core: Core, users: Users, rooms: Rooms) -> DueEvents:
    return DueEvents(
        unread=rooms.unread,
        members=rooms.members,
        events=core.storage.events,
        invites=DueInvites(
            judging=rooms.judging,
            events=core.storage.events,
            database=core.storage.database,
            hidden_from=InvitePermission(database=core.storage.database).hidden_from,
        ),
        ignored=users.ignored.of,
        by_room=core.config.notifications.push.group_unread_count_by_room,
    )


def _telling(core: Core, rooms: Rooms, due: DueEvents, http: OutgoingHttp) -> Telling:
    options = core.config.notifications.push
    chance, longest_s = random.SystemRandom(), options.jitter_delay / 1000
    return Telling(
        due=due,
        notifications=Notifications(heads=rooms.heads, with_content=options.include_content),
        gateway=Gateway(http=http),
        clock=core.clock,
        metrics=core.metrics,
        jitter_s=lambda: chance.uniform(0, longest_s),
    )


def push_apis(core: Core, users: Users, rooms: Rooms, reading: RoomReading, pushing: Pushing) -> Sequence[object]:
    notifications = NotificationList(
        members=rooms.members,
        judging=rooms.judging,
        unread=rooms.unread,
        visibility=rooms.visibility,
        events=core.storage.events,
        database=core.storage.database,
        ignored=users.ignored.of,
    )
    unsubscribe = [] if pushing.mails is None else [UnsubscribeApi(unsubscribing=pushing.mails.unsubscribing)]
    return [
        *unsubscribe,
        PushersApi(pushers=pushing.pushers),
        NotificationsApi(notifications=notifications, client_events=reading.client_events),
    ]
