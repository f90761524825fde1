"""Sends notifications to push gateways.

Theory of operation. A pusher reads the stream: up to its `position` everything was sent. Its shard of users belongs to
one process (storage/shard_locks.py), which has the shard's pushers in memory. What the stream tells is routed to them
as the numbers of rooms in which something came; a pusher then asks what of that is unread and to be told of (due.py),
sends it in order, and writes its new position down after each. Who crashes between sending and writing sends once more,
which gateways expect: they know an event by its id.

Each pusher goes on alone, so that a slow or dead gateway holds up nobody else. While a gateway fails, its pushers wait
longer and longer, and what is read meanwhile is not sent any more. After a day of it an event is given up.

Source: push gateway API, "Homeserver behaviour"; client-server API, "Push Notifications".
"""

import logging
from collections.abc import Iterable, Mapping, Sequence

from attrs import define, field

from homeserver.runtime.clock import Clock
from homeserver.runtime.tasks import Tasks
from homeserver.services.push.due_invites import Due
from homeserver.services.push.pushers import Pushers
from homeserver.services.push.telling import Telling, Told
from homeserver.services.rooms.members import Members
from homeserver.web.agent import FetchFailed
from matrix.ids import UserId
from storage.change import Entry, Kind
from storage.pushers import Pusher, shard_of
from storage.shard_locks import ShardLocks
from storage.stream import Stream

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 3600.0
GIVE_UP_S = 24 * 3600.0
FLUSH_EVERY_S = 60.0
EVERY_S = 5.0


@define(eq=False)
class _Worker:
    """A pusher at work. `rooms`: in which something came that it has not looked at. `badge`: the number last sent.

    `is_ready`: what came while it was not in memory is among its rooms.
    """

    pusher: Pusher
    position: int
    written: int
    rooms: set[int] = field(factory=set)
    wants_badge: bool = False
    is_ready: bool = False
    badge: int | None = None
    is_running: bool = False
    is_gone: bool = False
    failing_since: float | None = None
    pause_s: float = FIRST_PAUSE_S

    @property
    def has_work(self) -> bool:
        return self.is_ready and not self.is_gone and self.pusher.enabled and bool(self.rooms or self.wants_badge)


class PushDelivery:
    def __init__(
        self,
        *,
        stream: Stream,
        pushers: Pushers,
        members: Members,
        telling: Telling,
        locks: ShardLocks,
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self._pushers = pushers
        self._members = members
        self._telling = telling
        self._locks = locks
        self._shards: frozenset[int] = frozenset()
        self._clock = clock
        self._tasks = tasks
        self._workers: dict[str, list[_Worker]] = {}
        self._new: list[Entry] = []
        self._is_routing = False
        self._routed = stream.position

    def count(self) -> int:
        """How many pushers are this process's."""
        return sum(map(len, self._workers.values()))

    def read_stream(self, entries: list[Entry]) -> None:
        self._new.extend(entries)
        if not self._is_routing:
            self._is_routing = True
            self._tasks.background("push.route", self._route())

    async def share(self) -> None:
        """For the background: takes over shards that nobody has, and leaves to others what is theirs."""
        try:
            held = await self._locks.look()
        except Exception:
            # Whatever it was, the locks may be lost: nothing is sent until we know better.
            self._shards = frozenset()
            self._forget_all()
            raise
        kept = held.shards - held.surplus
        taken, self._shards = kept - self._shards, kept
        for user_id in list(self._workers):
            if not self._is_ours(user_id):
                await self._let_go(user_id)
        if held.surplus:
            await self._locks.release(held.surplus)
        if taken:
            # What was routed before these were there is in the database; what comes from here on they hear.
            await self._take_up(await self._pushers.list_of_shards(sorted(taken)))

    async def flush(self) -> None:
        """For the background: pushers that had nothing to send have moved on too."""
        moved = {}
        for worker in self._all():
            if worker.is_ready and not worker.has_work and not worker.is_running:
                worker.position = max(worker.position, self._routed)
            if worker.position > worker.written:
                moved[worker.pusher.pusher_id] = worker.written = worker.position
        if moved:
            await self._pushers.have_sent(moved)

    async def stop(self) -> None:
        """Another process may go on at once."""
        await self.flush()
        self._forget_all()
        self.close()

    def close(self) -> None:
        """Lets go of the shards."""
        self._shards = frozenset()
        self._locks.stop()

    def _forget_all(self) -> None:
        for worker in self._all():
            worker.is_gone = True
        self._workers.clear()

    def _all(self) -> Iterable[_Worker]:
        return (worker for workers in self._workers.values() for worker in workers)

    def _is_ours(self, user_id: str) -> bool:
        return shard_of(user_id) in self._shards

    async def _let_go(self, user_id: str) -> None:
        """Who takes over begins after what we have sent."""
        workers = self._workers.pop(user_id, [])
        for worker in workers:
            worker.is_gone = True
        await self._pushers.have_sent({worker.pusher.pusher_id: worker.position for worker in workers})

    async def _route(self) -> None:
        """Hands what the stream told to the pushers that it concerns."""
        try:
            while self._new:
                entries, self._new = self._new, []
                try:
                    await self._hand_over(entries)
                except BaseException:
                    # The next entry brings them up again; to be told twice does no harm.
                    self._new[:0] = entries
                    raise
                for worker in list(self._all()):
                    self._wake(worker)
        finally:
            self._is_routing = False

    async def _hand_over(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.kind is Kind.CACHE and entry.user_id is not None:
                await self._reload(UserId(entry.user_id), entry)
        rooms = {entry.room_nid for entry in entries if entry.kind is Kind.EVENT and entry.room_nid is not None}
        members = {nid: await self._members.members_of(nid) for nid in rooms} if self._workers else {}
        # From here on at once: a pusher at work that were given a room before the position moves would look at the room
        # up to the old position, and forget it.
        for room_nid, of_room in members.items():
            self._touch(room_nid, of_room)
        for entry in entries:
            for worker in self._workers.get(entry.user_id or "", ()):
                if entry.kind is Kind.ROOM and entry.room_nid is not None:
                    # An invite to a room that this server is not in.
                    worker.rooms.add(entry.room_nid)
                elif entry.kind is Kind.RECEIPT:
                    worker.wants_badge = True
        self._routed = entries[-1].position

    def _touch(self, room_nid: int, members: Mapping[UserId, str]) -> None:
        """Something came in this room: its members' pushers look at it."""
        few, many = (members, self._workers) if len(members) < len(self._workers) else (self._workers, members)
        for user_id in [user_id for user_id in few if user_id in many]:
            for worker in self._workers[user_id]:
                worker.rooms.add(room_nid)

    async def _reload(self, user_id: UserId, entry: Entry) -> None:
        """The user's pushers may have changed; of a device's key that was another user's, that user's too."""
        taken = entry.body.get("pushers") if isinstance(entry.body, dict) else None
        users = {user_id}
        if isinstance(taken, list):
            users |= {one.pusher.user_id for one in self._all() if [one.pusher.app_id, one.pusher.pushkey] == taken}
        for one in users:
            if taken is not None or one in self._workers:
                await self._reload_user(one)

    async def _reload_user(self, user_id: UserId) -> None:
        if not self._is_ours(user_id):
            return
        found = {pusher.pusher_id: pusher for pusher in await self._pushers.list_of(user_id)}
        for worker in self._workers.get(user_id, ()):
            if worker.pusher.pusher_id in found:
                # Set again: the gateway may have been mended, or another one be meant.
                worker.pusher = found.pop(worker.pusher.pusher_id)
                worker.pause_s = FIRST_PAUSE_S
            else:
                worker.is_gone = True
        kept = [worker for worker in self._workers.pop(user_id, ()) if not worker.is_gone]
        if kept:
            self._workers[user_id] = kept
        await self._take_up(found.values())

    async def _take_up(self, pushers: Iterable[Pusher]) -> None:
        known = {worker.pusher.pusher_id for worker in self._all()}
        new = [
            _Worker(pusher, pusher.position, pusher.position)
            for pusher in pushers
            if pusher.kind == "http" and pusher.pusher_id not in known
        ]
        if not new:
            return
        for worker in new:
            self._workers.setdefault(worker.pusher.user_id, []).append(worker)
        missed = await self._pushers.rooms_to_look_at([worker.pusher.pusher_id for worker in new])
        for worker in new:
            worker.is_ready = True
            worker.rooms.update(missed.get(worker.pusher.pusher_id, ()))
            self._wake(worker)

    def _wake(self, worker: _Worker) -> None:
        if worker.has_work and not worker.is_running:
            worker.is_running = True
            # It is cancelled at stop without ado: what was not sent will be.
            self._tasks.background("push.send", self._work(worker), endless=True)

    async def _work(self, worker: _Worker) -> None:
        try:
            while worker.has_work and self._is_ours(worker.pusher.user_id):
                if not await self._turn(worker):
                    pause_s, worker.pause_s = worker.pause_s, min(worker.pause_s * 2, LONGEST_PAUSE_S)
                    await self._clock.sleep(pause_s)
        finally:
            worker.is_running = False

    async def _turn(self, worker: _Worker) -> bool:
        """Sends all that is due. False if the gateway does not take it: then it is to be tried again later."""
        rooms, worker.rooms, upto = worker.rooms, set(), self._routed
        wants_badge, worker.wants_badge = worker.wants_badge, False
        try:
            for due in await self._telling.find_due(worker.pusher, rooms, worker.position, upto):
                if not await self._send(worker, due):
                    return True
            if wants_badge:
                await self._send_number(worker)
        except FetchFailed as error:
            logger.info("Push gateway of %s: %s", worker.pusher.app_id, error)
            worker.rooms |= rooms
            worker.wants_badge = worker.wants_badge or wants_badge
            self._have_failed(worker)
            return False
        worker.failing_since, worker.pause_s = None, FIRST_PAUSE_S
        worker.position = max(worker.position, upto)
        return True

    def _have_failed(self, worker: _Worker) -> None:
        now = self._clock.seconds()
        if worker.failing_since is None:
            worker.failing_since = now
        elif now - worker.failing_since > GIVE_UP_S:
            # What comes from now on gets a day of its own.
            logger.warning("Given up: notifications to a gateway of %s", worker.pusher.app_id)
            worker.failing_since, worker.position = None, self._routed
            worker.rooms, worker.wants_badge = set(), True

    async def _send(self, worker: _Worker, due: Due) -> bool:
        """False if the pusher is no more. Raises: FetchFailed."""
        if worker.is_gone:
            return False
        pusher = worker.pusher
        if not await self._heed(worker, pusher, await self._telling.tell(pusher, due)):
            return False
        worker.position = worker.written = due.position
        await self._pushers.have_sent({pusher.pusher_id: worker.position})
        return True

    async def _send_number(self, worker: _Worker) -> None:
        pusher = worker.pusher
        await self._heed(worker, pusher, await self._telling.tell_number(pusher, worker.badge))

    async def _heed(self, worker: _Worker, pusher: Pusher, told: Told) -> bool:
        """Remembers the number; of a pushkey that the gateway rejects the pusher is removed."""
        worker.badge = told.unread
        if not told.taken:
            worker.is_gone = True
            await self._pushers.remove(pusher.user_id, pusher.app_id, pusher.pushkey)
        return told.taken
