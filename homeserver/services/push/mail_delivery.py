"""Tells users by mail of what they have not read.

Theory of operation. As a pusher of push notifications, one of mails reads the stream: up to its `position` everything
was told, or read by its user. Its shard of users belongs to one process (storage/shard_locks.py). Nothing is done when
an event comes but to note its room; every half minute the noted rooms are handed to those of their members who have
such a pusher, and who has waited long enough is looked after: what of those rooms is still unread, and when may it be
told (mail_timing.py)? If anything may, one mail tells of all.

Who crashes between sending and writing that down sends the mail once more.

Source: Synapse's e-mail pusher.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence

from attrs import define, field

from homeserver.runtime.clock import Clock
from homeserver.services.push.due import DueEvents
from homeserver.services.push.due_invites import Due
from homeserver.services.push.mail_digest import MailDigests
from homeserver.services.push.mail_timing import NEVER_SENT, after_mail, ready_ms
from homeserver.services.push.pushers import MAIL, Pushers
from homeserver.services.rooms.members import Members
from homeserver.web.mail import MailFailed
from matrix.ids import UserId
from storage.change import Entry, Kind
from storage.mail_throttles import Throttle
from storage.pushers import Pusher, shard_of
from storage.shard_locks import ShardLocks
from storage.stream import Stream

logger = logging.getLogger(__name__)

EVERY_S = 30.0
FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 60_000, 4 * 3600 * 1000
# After so many mails that were not taken, one after another, it is the mail server: all others wait too.
MAX_FAILURES = 3


@define(eq=False)
class _Reader:
    """A pusher. `rooms`: in which something came that it has not told of. `look_ms`: not to be looked after before."""

    pusher: Pusher
    position: int
    throttles: dict[int, Throttle]
    rooms: set[int] = field(factory=set)
    look_ms: int = 0
    pause_ms: int = FIRST_PAUSE_MS

    def note(self, room_nids: Iterable[int], look_ms: int) -> None:
        """Something came in these rooms; it cannot be told before."""
        self.look_ms = min(self.look_ms, look_ms) if self.rooms else look_ms
        self.rooms.update(room_nids)


@define
class _News:
    """What the stream told since the last look: rooms, invites by user, and users whose pushers changed."""

    rooms: set[int] = field(factory=set)
    invites: set[tuple[str, int]] = field(factory=set)
    changed: set[str] = field(factory=set)


class MailDelivery:
    """`read_stream` reads the stream; `look` is for the background."""

    def __init__(
        self,
        *,
        stream: Stream,
        pushers: Pushers,
        members: Members,
        due: DueEvents,
        digests: MailDigests,
        locks: ShardLocks,
        clock: Clock,
    ) -> None:
        self._stream = stream
        self._pushers = pushers
        self._members = members
        self._due = due
        self._digests = digests
        self._locks = locks
        self._clock = clock
        self._shards: frozenset[int] = frozenset()
        self._readers: dict[str, list[_Reader]] = {}
        self._news = _News()

    def count(self) -> int:
        """How many pushers are this process's."""
        return sum(map(len, self._readers.values()))

    def read_stream(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.kind is Kind.EVENT and entry.room_nid is not None:
                self._news.rooms.add(entry.room_nid)
            elif entry.kind is Kind.ROOM and entry.room_nid is not None and entry.user_id is not None:
                self._news.invites.add((entry.user_id, entry.room_nid))
            elif entry.kind is Kind.CACHE and entry.user_id is not None and _tells_of_pushers(entry):
                self._news.changed.add(entry.user_id)

    async def look(self) -> None:
        """Sends the mails that are due."""
        news, self._news, upto = self._news, _News(), self._stream.position
        try:
            await self._share()
            await self._hand_over(news)
        except BaseException:
            # To be told twice does no harm.
            self._news.rooms |= news.rooms
            self._news.invites |= news.invites
            self._news.changed |= news.changed
            raise
        await self._look_after(upto)

    def close(self) -> None:
        """Lets go of the shards: another process may go on."""
        self._shards = frozenset()
        self._readers.clear()
        self._locks.stop()

    async def _share(self) -> None:
        """Takes over shards that nobody has, and leaves to others what is theirs."""
        try:
            held = await self._locks.look()
        except Exception:
            # Whatever it was, the locks may be lost: nothing is sent until we know better.
            self._shards = frozenset()
            self._readers.clear()
            raise
        kept = held.shards - held.surplus
        taken, self._shards = kept - self._shards, kept
        for user_id in [user_id for user_id in self._readers if shard_of(user_id) not in kept]:
            del self._readers[user_id]
        if held.surplus:
            await self._locks.release(held.surplus)
        if taken:
            await self._take_up(await self._pushers.list_of_shards(sorted(taken)))

    async def _take_up(self, pushers: Sequence[Pusher]) -> None:
        new = [pusher for pusher in pushers if pusher.kind == MAIL and pusher.enabled]
        if not new:
            return
        ids = [pusher.pusher_id for pusher in new]
        throttles = await self._pushers.throttles_of(ids)
        missed = await self._pushers.rooms_to_look_at(ids)
        for pusher in new:
            reader = _Reader(pusher, pusher.position, throttles.get(pusher.pusher_id, {}))
            reader.note(missed.get(pusher.pusher_id, ()), 0)
            self._readers.setdefault(pusher.user_id, []).append(reader)

    async def _hand_over(self, news: _News) -> None:
        for user_id in news.changed:
            if shard_of(user_id) in self._shards:
                self._readers.pop(user_id, None)
                await self._take_up(await self._pushers.list_of(UserId(user_id)))
        look_ms = self._clock.now_ms() + self._digests.delay_ms
        for user_id, room_nid in news.invites:
            for reader in self._readers.get(user_id, ()):
                reader.note([room_nid], look_ms)
        for room_nid in news.rooms if self._readers else ():
            members = await self._members.members_of(room_nid)
            few, many = (members, self._readers) if len(members) < len(self._readers) else (self._readers, members)
            for user_id in [user_id for user_id in few if user_id in many]:
                for reader in self._readers[user_id]:
                    reader.note([room_nid], look_ms)

    async def _look_after(self, upto: int) -> None:
        now_ms, failures, moved = self._clock.now_ms(), 0, {}
        for reader in [one for of_user in self._readers.values() for one in of_user]:
            if not reader.rooms or reader.look_ms > now_ms or not self._is_ours(reader):
                continue
            try:
                if await self._turn(reader, upto):
                    moved[reader.pusher.pusher_id] = reader.position
                failures = 0
            except MailFailed as error:
                logger.warning("A mail to %s was not taken: %s", reader.pusher.user_id, error)
                reader.look_ms = now_ms + reader.pause_ms
                reader.pause_ms = min(2 * reader.pause_ms, LONGEST_PAUSE_MS)
                failures += 1
                if failures >= MAX_FAILURES:
                    break
        if moved:
            await self._pushers.have_sent(moved)

    def _is_ours(self, reader: _Reader) -> bool:
        return reader in self._readers.get(reader.pusher.user_id, ())

    async def _turn(self, reader: _Reader, upto: int) -> bool:
        """Tells what may be told. True if there is nothing unread. Raises: MailFailed."""
        pusher, rooms = reader.pusher, set(reader.rooms)
        due = await self._due.find(pusher.user_id, rooms, reader.position, upto)
        if not due:
            reader.rooms -= rooms
            reader.position = max(reader.position, upto)
            return True
        now_ms = self._clock.now_ms()
        # A time in the future is somebody's mistake, and does not keep a message from being told.
        event_ms = {one.stored.nid: min(one.stored.event.origin_server_ts, now_ms) for one in due}
        ready = min(self._ready_ms(reader, one, event_ms) for one in due)
        if ready > now_ms:
            reader.look_ms = ready
            return False
        if not await self._pushers.has_address(pusher):
            await self._pushers.remove(pusher.user_id, pusher.app_id, pusher.pushkey)
            return False
        await self._digests.send(pusher, due)
        await self._have_sent(reader, due, event_ms)
        reader.rooms -= rooms
        return False

    def _ready_ms(self, reader: _Reader, due: Due, event_ms: Mapping[int, int]) -> int:
        throttle = reader.throttles.get(due.stored.room_nid, NEVER_SENT)
        return ready_ms(event_ms[due.stored.nid], throttle, self._digests.delay_ms)

    async def _have_sent(self, reader: _Reader, due: Collection[Due], event_ms: Mapping[int, int]) -> None:
        now_ms = self._clock.now_ms()
        newest: dict[int, int] = {}
        for one in due:
            newest[one.stored.room_nid] = max(newest.get(one.stored.room_nid, 0), event_ms[one.stored.nid])
        changed = {
            room_nid: after_mail(reader.throttles.get(room_nid, NEVER_SENT), now_ms, newest_ms, self._digests.delay_ms)
            for room_nid, newest_ms in newest.items()
        }
        reader.throttles.update(changed)
        reader.position = max(reader.position, *(one.position for one in due))
        reader.pause_ms = FIRST_PAUSE_MS
        await self._pushers.have_mailed(reader.pusher, reader.position, changed)


def _tells_of_pushers(entry: Entry) -> bool:
    return isinstance(entry.body, dict) and "pushers" in entry.body
