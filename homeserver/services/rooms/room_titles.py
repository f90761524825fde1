"""What a room is called, for people: its name, its alias, or those who are in it.

Source: client-server API, "Calculating the display name for a room".
"""

from homeserver.services.rooms.heads import Head, Heads
from homeserver.services.rooms.summary import NAMES, Summaries
from matrix.auth_needs import CREATE
from matrix.events import StateKey
from matrix.ids import UserId

# Of a list of names.
MAX_NAMES = 3


class RoomTitles:
    def __init__(self, *, heads: Heads, summaries: Summaries) -> None:
        self._heads = heads
        self._summaries = summaries

    async def name(self, head: Head) -> str | None:
        """What its members have named it; None if nothing."""
        keys: list[StateKey] = [(event_type, "") for event_type, _ in NAMES]
        state = await self._heads.state_events(head, keys)
        for event_type, member in NAMES:
            stored = state.get((event_type, ""))
            value = None if stored is None else stored.event.content.get(member)
            if isinstance(value, str) and value.strip():
                return value.strip()
        return None

    async def title(self, head: Head, reader: UserId) -> str:
        """The name, or who is in it beside the reader."""
        named = await self.name(head)
        if named is not None:
            return named
        heroes = [UserId(user) for user in (await self._summaries.of(head, reader)).get("m.heroes", ())]
        names = [await self.member_name(head, user) for user in heroes[:MAX_NAMES]]
        if not names:
            return "Empty room"
        if len(names) == 1:
            return names[0]
        more = f"{len(heroes) - MAX_NAMES + 1} others" if len(heroes) > MAX_NAMES else names[-1]
        return f"{', '.join(names[:-1])} and {more}"

    async def member_name(self, head: Head, user_id: str) -> str:
        stored = await self._heads.state_event(head, "m.room.member", user_id)
        name = None if stored is None else stored.event.content.get("displayname")
        return name.strip() if isinstance(name, str) and name.strip() else user_id

    async def is_space(self, head: Head) -> bool:
        create = await self._heads.state_event(head, *CREATE)
        return create is not None and create.event.content.get("type") == "m.space"
