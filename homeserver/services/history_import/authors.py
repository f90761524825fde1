"""Those in whose names history is imported: whether they may be, and bringing them into the room."""

from collections.abc import Awaitable, Callable, Iterable

from appservice.registration import Registration
from appservice.registry import Registry
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.membership import Membership
from homeserver.web.call import Requester
from matrix.errors import Forbidden
from matrix.ids import RoomId, UserId

# Makes an account for a user in a service's namespace who has none. Raises: MatrixError.
MakeUser = Callable[[Registration, UserId], Awaitable[None]]


class Authors:
    def __init__(
        self, *, registry: Registry, heads: Heads, members: Members, membership: Membership, make_user: MakeUser
    ) -> None:
        self._registry = registry
        self._heads = heads
        self._members = members
        self._membership = membership
        self._make_user = make_user

    async def check(self, requester: Requester, authors: Iterable[UserId]) -> None:
        """Those of the service who have no account yet get one. Raises: Forbidden M_EXCLUSIVE, for those of others.

        With a registration for double puppets, without an address and with an open namespace, the administrator has
        let bridges speak for people; a bridge asks for the import with its own token all the same.
        """
        service = self._registry.by_id(requester.appservice_id or "")
        if service is None:
            raise Forbidden("Only application services may do this")
        for user_id in dict.fromkeys(authors):
            if service.owns_user(user_id):
                await self._make_user(service, user_id)
            elif not any(_is_for_double_puppets(each) for each in self._registry.owners_of_user(user_id)):
                raise Forbidden(f"{user_id} is not in the application service's namespace", "M_EXCLUSIVE")

    async def bring_in(self, requester: Requester, room_id: RoomId, author: UserId) -> None:
        """Makes the author a member of the room, if need be by an invite of the requester's. Raises: MatrixError."""
        room = await self._heads.room(room_id)
        if await self._members.is_joined(author, room.room_nid):
            return
        as_author = Requester(user_id=author, appservice_id=requester.appservice_id, is_exempt=True)
        try:
            await self._membership.join(as_author, room_id, limited=False)
        except Forbidden:
            if author == requester.user_id:
                raise
            await self._membership.invite(requester, room_id, author)
            await self._membership.join(as_author, room_id, limited=False)


def _is_for_double_puppets(service: Registration) -> bool:
    return service.url is None and not any(each.exclusive for each in service.users)
