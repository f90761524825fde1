"""From entries of the stream to what other servers have to hear of our users' devices.

Each change of a device becomes an update that points to the one before it, by the positions of the stream. They go to
all servers that share a room with the user. A server that begins to share one with a user of ours is told of one
device, with an update that points to nothing: if it keeps a list of the user from earlier times, it then knows that
the list is old. When users leave the last room with us, the lists that we keep of them are dropped.

Source: server-server API, "Device Management"; m.signing_key_update.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence

from attrs import define, field

from homeserver.services.e2ee.own_devices import OwnDevices
from homeserver.services.e2ee.seams import IsLocal, Json
from matrix.ids import ServerName, UserId
from storage import device_list_updates, partial_rooms, remote_devices
from storage.change import Change, Entry, Kind
from storage.database import Database
from storage.device_keys import PublishedKeys
from storage.device_list_updates import Newcomer, users_new_to
from storage.devices import first_device_ids
from storage.events import Events, StoredEvent
from storage.federation_queue import broadcast_edu, queue_edu
from storage.room_servers import joined_anywhere

UPDATE = "m.device_list_update"
# Some servers still know only the second, from before it was specified.
SIGNING_KEYS = ("m.signing_key_update", "org.matrix.signing_key_update")
# A server that is new in a room with more of our users hears of the others when their devices change.
MAX_USERS_TOLD = 500


@define
class Plan:
    """`dropped`: users, and before which position they must have shared a room for their lists to stay."""

    change: Change = field(factory=Change)
    dropped: list[tuple[Sequence[str], int]] = field(factory=list)

    @property
    def is_empty(self) -> bool:
        return not (self.change.entries or self.change.rows or self.dropped)


def concerns(entry: Entry, is_local: IsLocal) -> bool:
    """Is there anything in it for other servers, or for the lists that we keep?"""
    if entry.kind is Kind.EVENT:
        return entry.user_id is not None and not entry.body.flags and entry.body.became_state
    if entry.kind is Kind.DEVICE_LIST:
        return "signed" not in entry.body and is_local(UserId(entry.user_id or "").domain)
    return entry.kind is Kind.ROOM and entry.user_id is None and entry.room_nid is not None


class DeviceEdus:
    def __init__(
        self,
        *,
        database: Database,
        events: Events,
        devices: OwnDevices,
        is_local: IsLocal,
        server_name: ServerName,
        hosts_of: Callable[[int], Awaitable[Collection[ServerName]]],
    ) -> None:
        self._hosts_of = hosts_of
        self._database = database
        self._events = events
        self._devices = devices
        self._is_local = is_local
        self._server_name = server_name

    async def plan(self, entries: Sequence[Entry]) -> Plan:
        """What follows from entries that concern us, in their order."""
        plan = Plan()
        await self._add_updates(plan.change, [entry for entry in entries if entry.kind is Kind.DEVICE_LIST])
        for entry in entries:
            if entry.kind is Kind.EVENT:
                stored: StoredEvent = entry.body
                if stored.event.membership != "join" or not await self._was_joined(stored):
                    await self._add_move(plan, entry, UserId(stored.event.state_key or ""), stored.event.membership)
            elif entry.kind is Kind.ROOM:
                await self._add_resolved(plan, entry)
        return plan

    async def _add_resolved(self, plan: Plan, entry: Entry) -> None:
        """Memberships that a state resolution has made; or all of the room is another than before."""
        assert entry.room_nid is not None
        told = entry.body.get("memberships")
        if told is None:
            await self._drop_of_room(plan, entry.room_nid, entry.position)
            return
        for user_id, membership in self._who_matter({UserId(name): of_user[0] for name, of_user in told.items()}):
            await self._add_move(plan, entry, user_id, membership)

    def _who_matter(self, memberships: Mapping[UserId, str]) -> Iterator[tuple[UserId, str]]:
        """Of another server's users who came in, and of ours who left, one stands for all: the rest follows from them.

        A room that has become known whole tells of hundreds.
        """
        seen: set[tuple[str, str]] = set()
        for user_id, membership in memberships.items():
            key = (membership, user_id.domain)
            if key not in seen or (membership == "join") == self._is_local(user_id.domain):
                yield user_id, membership
            seen.add(key)

    async def _add_updates(self, change: Change, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        newest: dict[str, dict[str | None, Entry]] = {}
        for entry in entries:
            # Of several changes of a device the last tells all; in the order of those.
            of_user = newest.setdefault(entry.user_id or "", {})
            of_user.pop(entry.body.get("device_id"), None)
            of_user[entry.body.get("device_id")] = entry
        lasts = await self._database.read(device_list_updates.find_lasts, list(newest))
        # Who is in no room has nobody to tell it to: whoever comes to share one is told of the devices then.
        in_rooms = await self._database.read(joined_anywhere, list(newest))
        keys_of = await self._devices.keys_of(newest)
        for user_id, changed in newest.items():
            keys = keys_of[user_id]
            signing = changed.pop(None, None)
            if changed:
                is_heard = user_id in in_rooms
                last = self._add_chain(change, user_id, keys, changed, lasts.get(user_id), is_heard=is_heard)
                change.put(device_list_updates.PUT, (user_id, last))
            if signing is not None:
                _add_signing_keys(change, user_id, keys)

    def _add_chain(
        self,
        change: Change,
        user_id: str,
        keys: PublishedKeys,
        changed: "Mapping[str | None, Entry]",
        last: int | None,
        *,
        is_heard: bool,
    ) -> int:
        """An update for each device, if anybody hears it; gives the id of the last."""
        assert changed
        for device_id, entry in changed.items():
            assert device_id is not None
            content = self._update(user_id, keys, device_id, entry.position, last)
            # One that was uploaded and is gone may be told by an application service still, and the other way round.
            if entry.body.get("deleted") and device_id not in keys.devices:
                content["deleted"] = True
            if is_heard:
                broadcast_edu(change, user_id, UPDATE, content, f"{UPDATE} {device_id}")
            last = entry.position
        assert last is not None
        return last

    def _update(self, user_id: str, keys: PublishedKeys, device_id: str, stream_id: int, last: int | None) -> Json:
        return {
            **self._devices.listed(keys, device_id),
            "user_id": user_id,
            "stream_id": stream_id,
            "prev_id": [] if last is None else [last],
        }

    async def _add_move(self, plan: Plan, entry: Entry, user_id: UserId, membership: str | None) -> None:
        """Who came into a room or went: a user of ours, or of another server."""
        assert entry.room_nid is not None
        if membership == "join":
            if set(await self._hosts_of(entry.room_nid)) <= {self._server_name}:
                return
            # As Synapse: a room that was joined with most members left out is mostly a large one, and who has no keys
            # is no news to all of its servers. Only who was not known to be there may have missed something.
            is_told = entry.kind is Kind.ROOM or not await self._database.read(partial_rooms.find, entry.room_nid)
            await self._add_joined(plan.change, entry.room_nid, entry.position, user_id, also_without_keys=is_told)
        elif membership in ("leave", "ban"):
            if self._is_local(user_id.domain):
                await self._drop_of_room(plan, entry.room_nid, entry.position)
            else:
                plan.dropped.append(([user_id], entry.position))

    async def _was_joined(self, stored: StoredEvent) -> bool:
        """Has only a name or an avatar changed?"""
        if stored.replaces is None:
            return False
        before = (await self._events.get([stored.replaces])).get(stored.replaces)
        return before is not None and before.event.membership == "join"

    async def _add_joined(
        self, change: Change, room_nid: int, position: int, user_id: UserId, *, also_without_keys: bool
    ) -> None:
        if self._is_local(user_id.domain):
            servers = await self._database.read(
                device_list_updates.servers_new_to, self._server_name, user_id, room_nid
            )
            if servers:
                await self._introduce(change, [user_id], servers, position, also_without_keys=also_without_keys)
            return
        newcomer = Newcomer(user_id.domain, room_nid, position)
        users = await self._database.read(users_new_to, self._server_name, newcomer, MAX_USERS_TOLD)
        if users:
            await self._introduce(change, users, [user_id.domain], position, also_without_keys=also_without_keys)

    async def _introduce(
        self,
        change: Change,
        user_ids: Sequence[str],
        servers: Sequence[ServerName],
        position: int,
        *,
        also_without_keys: bool,
    ) -> None:
        lasts = await self._database.read(device_list_updates.find_lasts, user_ids)
        keys_of = await self._devices.keys_of(user_ids)
        shown = {user_id: min(keys.devices) for user_id, keys in keys_of.items() if keys.devices}
        if also_without_keys:
            # One without keys does too: what is told is that there is something to look at.
            lacking = [user_id for user_id in user_ids if user_id not in shown]
            shown |= await self._database.read(first_device_ids, lacking)
        for user_id in user_ids:
            if user_id not in shown:
                continue
            content = self._update(user_id, keys_of[user_id], shown[user_id], lasts.get(user_id, position), None)
            for server in servers:
                queue_edu(change, server, UPDATE, content, f"{UPDATE} {user_id}")

    async def _drop_of_room(self, plan: Plan, room_nid: int, position: int) -> None:
        """Are we out of the room? Then those in it may share none with us any more."""
        if not await self._database.read(remote_devices.is_in_room, self._server_name, room_nid, position):
            plan.dropped.append((await self._database.read(remote_devices.kept_in_room, room_nid), position))


def _add_signing_keys(change: Change, user_id: str, keys: PublishedKeys) -> None:
    content: Json = {"user_id": user_id}
    for usage in ("master", "self_signing"):
        if usage in keys.cross_signing:
            content[f"{usage}_key"] = keys.cross_signing[usage]
    for edu_type in SIGNING_KEYS:
        broadcast_edu(change, user_id, edu_type, content, edu_type)
