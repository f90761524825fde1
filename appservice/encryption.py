"""What a transaction says of devices and keys, for services that encrypt (MSC3202).

`device_lists`: users near the service whose devices or keys changed, who came into a room of interest, or who have left
the last one; all of a room when the service's first user comes into it, and when the last one goes.
Counts of keys are told of those of its users whom the transaction concerns, as far as they have devices: its own, the
members of the rooms spoken of, who got a message, and those whose keys were added or used.

Source: MSC3202, "Encrypted Appservices"; Synapse's `_compute_msc3202_otk_counts_and_fallback_keys`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from appservice.interest import NEARING, Interest, RoomsOf
from matrix.events import Json
from matrix.ids import UserId
from storage.appservice_reading import Seen, key_counts
from storage.change import Kind
from storage.database import Database
from storage.device_lists import INSIDE
from storage.memberships import Membership, joined_rooms_of

# A service with more users that have devices in one room learns of the others when their keys are used.
MAX_COUNTED = 1_000


class Members(Protocol):
    """Which rooms users are in; in homeserver.services.rooms.members."""

    async def rooms_of(self, user_id: str) -> Mapping[int, Membership]: ...

    async def members_of(self, room_nid: int) -> Mapping[UserId, str]: ...


async def rooms_of(members: Members, user_ids: Iterable[str]) -> RoomsOf:
    """The rooms that these users are joined to now."""
    found = {}
    for user_id in user_ids:
        rows = await members.rooms_of(user_id)
        found[user_id] = [room_nid for room_nid, row in rows.items() if row.membership == "join"]
    return found


class EncryptionNews:
    def __init__(self, *, database: Database, members: Members) -> None:
        self._database = database
        self._members = members

    async def of(self, interest: Interest, told: Sequence[Seen]) -> list[tuple[str, Json]]:
        """What is added to the transaction's body, under all names that services know it by."""
        counts, unused = await self._database.read(key_counts, sorted(_counted(interest, told)))
        news: list[tuple[str, Json]] = []
        if counts:
            news.append(("device_one_time_keys_count", counts))
            news.append(("org.matrix.msc3202.device_one_time_keys_count", counts))
            news.append(("org.matrix.msc3202.device_one_time_key_counts", counts))
        if unused:
            news.append(("device_unused_fallback_key_types", unused))
            news.append(("org.matrix.msc3202.device_unused_fallback_key_types", unused))
        if lists := await self._device_lists(interest, told):
            news.append(("device_lists", lists))
            news.append(("org.matrix.msc3202.device_lists", lists))
        return news

    async def _device_lists(self, interest: Interest, told: Sequence[Seen]) -> Json | None:
        moved = {one.user_id for one in told if _is_move(one) and not interest.owns(one.user_id or "")}
        rooms = await rooms_of(self._members, [user_id for user_id in moved if user_id is not None])
        is_near: dict[str, bool] = {}
        for one in told:
            if one.kind is Kind.DEVICE_LIST and one.user_id is not None:
                is_near |= dict.fromkeys(one.body.get("signed", [one.user_id]), True)
            elif one.kind is Kind.DEVICE_LIST:
                is_near |= await self._nearing(interest, one)
            elif one.user_id in moved and one.user_id is not None and _is_move(one):
                near = interest.is_near(one.user_id, rooms)
                if one.membership == "join" or not near:
                    is_near[one.user_id] = near
        if not is_near:
            return None
        return {
            "changed": [user_id for user_id, near in is_near.items() if near],
            "left": [user_id for user_id, near in is_near.items() if not near],
        }

    async def _nearing(self, interest: Interest, one: Seen) -> dict[str, bool]:
        """Of the members of a room that has come near, or gone away: are they near the service now?"""
        assert one.room_nid is not None
        inside = await self._members.members_of(one.room_nid)
        named = inside if one.body[NEARING] is None else one.body[NEARING]
        users = [user_id for user_id in named if not interest.owns(user_id)]
        if interest.is_in(one.room_nid):
            return {user_id: True for user_id in users if inside.get(UserId(user_id)) in INSIDE}
        rooms = await self._database.read(joined_rooms_of, users) if users else {}
        return {user_id: False for user_id in users if not interest.is_near(user_id, rooms)}


def _is_move(seen: Seen) -> bool:
    return seen.kind is Kind.EVENT and seen.membership in ("join", "leave", "ban")


def _counted(interest: Interest, told: Sequence[Seen]) -> set[str]:
    """Those of the service's users whose keys are told of."""
    users = {one.user_id for one in told if one.kind in (Kind.TO_DEVICE, Kind.KEY_COUNTS) and one.user_id is not None}
    users.add(interest.registration.sender)
    for room_nid in {one.room_nid for one in told if one.room_nid is not None}:
        inside = interest.joined.get(room_nid)
        if inside is not None and len(users) < MAX_COUNTED:
            users |= inside & interest.with_devices
    return users
