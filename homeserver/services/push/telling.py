"""Telling one pusher's gateway: of an event, or of a new number."""

from collections.abc import Callable, Collection

from attrs import frozen

from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.services.push.due import DueEvents
from homeserver.services.push.due_invites import Due
from homeserver.services.push.gateway import Gateway, Notifications, badge_only
from homeserver.web.agent import FetchFailed
from storage.pushers import Pusher


@frozen
class Told:
    """`taken`: the gateway knows the pushkey. `unread`: the number that it was told."""

    taken: bool
    unread: int


class Telling:
    """`jitter_s` gives how long to hold a notification back, so that its time says less of who talks with whom."""

    def __init__(
        self,
        *,
        due: DueEvents,
        notifications: Notifications,
        gateway: Gateway,
        clock: Clock,
        metrics: Metrics,
        jitter_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._due = due
        self._notifications = notifications
        self._gateway = gateway
        self._clock = clock
        self._jitter_s = jitter_s
        self._sent = metrics.counter("push_sent", "Notifications to push gateways", ["outcome"])

    async def find_due(self, pusher: Pusher, room_nids: Collection[int], since: int, upto: int) -> list[Due]:
        return await self._due.find(pusher.user_id, room_nids, since, upto)

    async def tell(self, pusher: Pusher, due: Due) -> Told:
        """Raises: FetchFailed."""
        if (jitter_s := self._jitter_s()) > 0:
            await self._clock.sleep(jitter_s)
        unread = await self._due.badge(pusher.user_id)
        return await self._send(
            pusher, await self._notifications.of_event(pusher, due.stored, due.actions, unread), unread
        )

    async def tell_number(self, pusher: Pusher, known: int | None) -> Told:
        """Tells the number, unless it is what the gateway knows. Raises: FetchFailed."""
        unread = await self._due.badge(pusher.user_id)
        if unread == known:
            return Told(True, unread)
        return await self._send(pusher, badge_only(pusher, unread), unread)

    async def _send(self, pusher: Pusher, notification: dict[str, object], unread: int) -> Told:
        try:
            taken = await self._gateway.notify(pusher, notification)
        except FetchFailed:
            self._sent.labels("failed").inc()
            raise
        self._sent.labels("sent" if taken else "rejected").inc()
        return Told(taken, unread)
