"""Who joins the room that an upgrade made finds there what they had made of the old one: tags, push rules, and whether
it is a direct chat.

Source: client-server API, "Room Upgrades", "Server behaviour" ("tags, push rules and m.direct are transferred").
"""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import Members
from matrix.auth_needs import CREATE
from matrix.ids import RoomId, UserId
from matrix.push_rules import Ruleset, follow_room
from storage import account_data
from storage.account_data import TAG
from storage.change import Change, Entry, Kind
from storage.commit import Committer
from storage.database import Database

DIRECT = "m.direct"

# Puts what a function makes of a user's push rules.
ChangePushRules = Callable[[UserId, Callable[[Ruleset], Ruleset]], Awaitable[None]]


class Following:
    def __init__(
        self,
        *,
        heads: Heads,
        members: Members,
        database: Database,
        committer: Committer,
        change_push_rules: ChangePushRules,
    ) -> None:
        self._heads = heads
        self._members = members
        self._database = database
        self._committer = committer
        self._change_push_rules = change_push_rules

    async def joined(self, user_id: UserId, room_id: RoomId) -> None:
        """To be called when the user has come into the room."""
        old = await self._predecessor(room_id)
        if old is None or not await self._knows(user_id, old):
            return
        await self._copy_tags(user_id, old, room_id)
        await self._copy_direct(user_id, old, room_id)
        await self._copy_push_rules(user_id, old, room_id)

    async def _predecessor(self, room_id: RoomId) -> RoomId | None:
        create = await self._heads.state_event(await self._heads.get(room_id), *CREATE)
        named = None if create is None else create.event.content.get("predecessor")
        old = named.get("room_id") if isinstance(named, dict) else None
        return RoomId(old) if isinstance(old, str) and "\x00" not in old and old != room_id else None

    async def _knows(self, user_id: UserId, room_id: RoomId) -> bool:
        """Is the user in the old room, or was? Whoever makes a room may claim any predecessor."""
        room = await self._heads.find_room(room_id)
        return room is not None and room.room_nid in await self._members.rooms_of(user_id)

    async def _copy_tags(self, user_id: UserId, old: RoomId, new: RoomId) -> None:
        tags = account_data.tags_of(await self._database.read(account_data.find, user_id, old, TAG))
        if not tags or await self._database.read(account_data.find, user_id, new, TAG) is not None:
            return
        change = Change()
        at = change.announce(Entry(Kind.ACCOUNT_DATA, user_id=user_id, body={"room_id": new, "type": TAG}))
        change.put(account_data.PUT, (user_id, new, TAG, orjson.dumps({"tags": tags}).decode(), at, False))
        await self._committer(change)

    async def _copy_direct(self, user_id: UserId, old: RoomId, new: RoomId) -> None:
        def decide(content: str | None) -> dict[str, Any] | None:
            return _with_new(content, old, new)

        if decide(await self._database.read(account_data.find, user_id, "", DIRECT)) is None:
            return
        change = Change()
        entry = Entry(Kind.ACCOUNT_DATA, user_id=user_id, body={"room_id": "", "type": DIRECT})
        change.announce(entry)
        put = account_data.change_content
        await self._committer(change.run(lambda cur: put(cur, user_id, "", DIRECT, decide, entry.position)))

    async def _copy_push_rules(self, user_id: UserId, old: RoomId, new: RoomId) -> None:
        await self._change_push_rules(user_id, lambda ruleset: follow_room(ruleset, old, new))


def _with_new(content: str | None, old: str, new: str) -> dict[str, Any] | None:
    """m.direct with the new room beside the old one; None if that changes nothing."""
    direct = None if content is None else orjson.loads(content)
    if not isinstance(direct, dict):
        return None
    changed = False
    for user_id, rooms in direct.items():
        if isinstance(rooms, list) and old in rooms and new not in rooms:
            direct[user_id] = [*rooms, new]
            changed = True
    return direct if changed else None
