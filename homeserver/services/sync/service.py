"""GET /sync: one answer, or a wait for something to tell.

Theory of operation. A sync token is one number, a position of the stream. An answer tells the window (since, upto],
where upto is the newest position that this process has heard of when it begins, so that whatever comes while the
answer is made belongs to the next. If a window has nothing for this client, its request waits for the notifier and
looks again, from the same `since`.

Source: client-server API, "Syncing".
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

from attrs import frozen
from twisted.internet.defer import CancelledError

from homeserver.runtime.clock import Clock
from homeserver.services.rooms.members import Members, RoomsOfUser
from homeserver.services.sync.alike import AlikeRooms
from homeserver.services.sync.answer import Answer
from homeserver.services.sync.as_of import AsOf
from homeserver.services.sync.chosen_rooms import ChosenRooms
from homeserver.services.sync.digest import Digests
from homeserver.services.sync.inbox import Inbox
from homeserver.services.sync.invited import InvitedRooms
from homeserver.services.sync.joined import JoinedRooms
from homeserver.services.sync.lazy_members import LazyMembers
from homeserver.services.sync.notifier import Notifier
from homeserver.services.sync.request import SyncRequest, Window
from homeserver.services.sync.writing import RoomWriter
from matrix.ids import UserId
from matrix.tokens import SyncToken
from storage.stream import Stream

# Asked for longer, a client waits this long: proxies give up after some minutes.
MAX_TIMEOUT_MS = 300_000


class UserSource(Protocol):
    """Something of the answer that is not in a room: fills its own part in."""

    def __call__(self, window: Window, rooms: RoomsOfUser, answer: Answer) -> Awaitable[None]: ...


class AccountData(Protocol):
    """The user's account data: fills the global ones in, and gives those of rooms, as ready events by room id."""

    def __call__(self, window: Window, answer: Answer) -> Awaitable[Mapping[str, list[bytes]]]: ...


class KeyCounts(Protocol):
    """The counts of the device's keys, which every answer tells."""

    def __call__(self, window: Window, answer: Answer) -> Awaitable[None]: ...


class Ignored(Protocol):
    def __call__(self, user_id: UserId) -> Awaitable[frozenset[str]]: ...


@frozen(kw_only=True)
class UserSources:
    """`others` are asked in order."""

    inbox: Inbox
    account_data: AccountData
    ignored: Ignored
    key_counts: KeyCounts
    others: Sequence[UserSource]


@frozen(kw_only=True)
class RoomParts:
    """`excluded`: rooms that the operator hides from all who sync."""

    excluded: Sequence[str] = ()
    as_of: AsOf
    chosen: ChosenRooms
    lazy_members: LazyMembers
    alike: AlikeRooms
    joined: JoinedRooms
    invited: InvitedRooms
    writer: RoomWriter


class Sync:
    def __init__(
        self,
        *,
        stream: Stream,
        members: Members,
        notifier: Notifier,
        rooms: RoomParts,
        sources: UserSources,
        clock: Clock,
    ) -> None:
        self._stream = stream
        self._members = members
        self._notifier = notifier
        self._as_of = rooms.as_of
        self._chosen = rooms.chosen
        self._excluded = rooms.excluded
        self._lazy_members = rooms.lazy_members
        self._alike = rooms.alike
        self._joined = rooms.joined
        self._invited = rooms.invited
        self._writer = rooms.writer
        self._sources = sources
        self._clock = clock
        self._digests = Digests(stream=stream)

    async def answer(self, request: SyncRequest, timeout_ms: int) -> list[bytes]:
        """The JSON of the answer in pieces, as soon as there is something to tell, or after `timeout_ms`."""
        if request.since is not None and request.filter.lazy_load_members:
            self._lazy_members.asked(request.user_id, request.device_key, request.since)
        deadline = self._clock.seconds() + min(timeout_ms, MAX_TIMEOUT_MS) / 1000
        waits = request.since is not None and not request.full_state and timeout_ms > 0
        while True:
            position = self._stream.position
            # Where nothing at all has happened, most polls begin: they need not look further.
            if not waits or request.since != position:
                answer = await self._answer(request)
                if answer.has_news or not waits:
                    return answer.parts()
                if position != self._stream.position:
                    # Of what came while this one was made nobody would wake us.
                    continue
            waits = await self._woken(request.user_id, deadline - self._clock.seconds())

    async def _woken(self, user_id: UserId, seconds: float) -> bool:
        """Waits; False if the time is over, so that the next answer is the last."""
        if seconds <= 0:
            return False
        waiting = self._notifier.wait(user_id)
        timer = self._clock.later(seconds, waiting.cancel)
        try:
            await waiting
        except CancelledError:
            if timer.active():
                raise  # the client has gone
            return False
        finally:
            if timer.active():
                timer.cancel()
        return not self._notifier.closed

    async def _answer(self, request: SyncRequest) -> Answer:
        since = 0 if request.since is None else await self._as_of.reached(request.since)
        newest = max(self._stream.position, since)
        mail = await self._sources.inbox.collect(request.user_id, request.device_id, since, newest)
        whole = request.since is None or request.full_state
        window = Window(
            request=request,
            since=since,
            upto=mail.upto,
            digest=None if whole else self._digests.of(since, mail.upto),
            now_ms=self._clock.now_ms(),
            ignored=await self._sources.ignored(request.user_id),
        )
        answer = Answer(str(SyncToken(window.upto)), to_device=mail.messages)
        rooms = await self._rooms_of(request.user_id)
        if window.digest is not None and not window.digest.concerns(request.user_id, rooms.keys()):
            await self._sources.key_counts(window, answer)
            return answer
        if await self._alike.add(window, rooms, answer):
            await self._sources.key_counts(window, answer)
            return answer
        await self._rooms(window, rooms, answer)
        for source in self._sources.others:
            await source(window, rooms, answer)
        return answer

    async def _rooms_of(self, user_id: UserId) -> RoomsOfUser:
        rooms = await self._members.rooms_of(user_id)
        if not self._excluded:
            return rooms
        excluded = await self._chosen.numbers(self._excluded)
        return {room_nid: row for room_nid, row in rooms.items() if room_nid not in excluded}

    async def _rooms(self, window: Window, rooms: RoomsOfUser, answer: Answer) -> None:
        wanted = window.request.filter.room
        moved = rooms
        if window.digest is not None:
            # Whatever concerns a room has an entry there: the cost does not grow with the rooms in which nothing moved.
            moved = {room_nid: rooms[room_nid] for room_nid in window.digest.rooms if room_nid in rooms}
        account_data = await self._sources.account_data(window, answer)
        also = await self._chosen.numbers(account_data) if account_data else set[int]()
        moved = moved | {room_nid: rooms[room_nid] for room_nid in also if room_nid in rooms}
        by_membership = _by_membership(await self._as_of.memberships(moved, window.upto), window)
        joined = await self._chosen.of(by_membership["join"], wanted.rooms)
        plans = await self._joined.plans(window, joined, also)
        answer.join = await self._writer.write(window, plans, account_data, joined=True)
        if by_membership["invite"] or by_membership["knock"]:
            await self._invited.add(window, by_membership["invite"], by_membership["knock"], answer)
        left = await self._chosen.of(by_membership["leave"], wanted.rooms)
        if window.is_initial and not wanted.include_leave:
            # Who was put out need not know it yet: as Synapse.
            left = await self._as_of.put_out(window.request.user_id, left)
        if left:
            plans = await self._joined.left(window, left)
            answer.leave = await self._writer.write(window, plans, account_data, joined=False)


def _by_membership(rooms: RoomsOfUser, window: Window) -> dict[str, RoomsOfUser]:
    """Of the rooms that the user has left those that he did not forget; or if it was within the window: who has not
    heard of the leaving has to.
    """
    found: dict[str, RoomsOfUser] = {"join": {}, "invite": {}, "knock": {}, "leave": {}}
    for room_nid, row in rooms.items():
        if row.membership not in ("leave", "ban"):
            found[row.membership][room_nid] = row
        elif row.position > window.since and not (window.is_initial and row.forgotten):
            found["leave"][room_nid] = row
    return found
