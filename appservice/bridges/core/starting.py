"""What several askers begin: direct chats, and the publishing of custom emoji."""

from appservice.bridges.core.chats import Chats
from appservice.bridges.core.context import Context
from appservice.bridges.core.ids import PersonId
from appservice.bridges.core.packs import Packs
from storage.bridges import PortalRow


class Starting:
    """Raises: NetworkError, MatrixRefused, HomeserverDown."""

    def __init__(self, *, context: Context, chats: Chats, packs: Packs) -> None:
        self._context, self._chats, self._packs = context, chats, packs

    async def start(self, user_id: str, room_id: str, person: PersonId) -> PortalRow:
        return await self._chats.start(user_id, room_id, person)

    async def publish_emoji(self) -> int:
        """Of all spaces; how many."""
        count = 0
        for space in await self._context.network.spaces():
            if space.parent is None:
                count += await self._packs.publish(space.id)
        return count
