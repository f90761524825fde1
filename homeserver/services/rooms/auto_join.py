"""Rooms that every new user of ours comes into.

A room that does not exist yet is made, by the user whom the operator has named for it or else by the very first user:
whoever makes a room rules it. Rooms of other servers are joined in the background; a room that does not let the user
in is left out, and the log says so.

Source: Synapse, `auto_join_rooms` and `autocreate_auto_join_*`.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen

from homeserver.runtime.tasks import Tasks
from homeserver.services.rooms.creation import Creation, NewRoom
from homeserver.services.rooms.first_events import Preset
from homeserver.services.rooms.membership import Membership
from homeserver.services.rooms.restricted_joins import IsLocal
from homeserver.services.rooms.room_names import RoomNames
from homeserver.web.call import Requester
from matrix.errors import MatrixError, NotFound
from matrix.ids import RoomAlias, RoomId, UserId
from matrix.room_versions import RoomVersion

logger = logging.getLogger(__name__)


@frozen(kw_only=True)
class AutoJoinSettings:
    """`host` makes the rooms and invites to them; None: the first user makes them, and they must be open."""

    rooms: Sequence[RoomAlias]
    makes_rooms: bool
    is_federated: bool
    preset: Preset
    host: UserId | None
    room_version: RoomVersion


@frozen(kw_only=True)
class AutoJoinParts:
    names: RoomNames
    creation: Creation
    membership: Membership
    is_local: IsLocal
    # Makes the host's account, if there is none.
    ensure_host: Callable[[], Awaitable[None]]
    is_only_user: Callable[[UserId], Awaitable[bool]]


class AutoJoin:
    def __init__(self, *, settings: AutoJoinSettings, parts: AutoJoinParts, tasks: Tasks) -> None:
        self._settings = settings
        self._parts = parts
        self._tasks = tasks

    async def welcome(self, user_id: UserId) -> None:
        """Takes a new user in; returns when that is done for rooms of ours."""
        for alias in self._settings.rooms:
            if self._parts.is_local(alias.domain):
                await self._take_in(user_id, alias)
            else:
                self._tasks.background("rooms.auto_join", self._take_in(user_id, alias))

    async def _take_in(self, user_id: UserId, alias: RoomAlias) -> None:
        try:
            await self._enter(user_id, alias)
        except MatrixError as error:
            logger.warning("%s does not come into %s: %s", user_id, alias, error)

    async def _enter(self, user_id: UserId, alias: RoomAlias) -> None:
        try:
            found = await self._parts.names.find(alias)
            room_id, via = found.room_id, found.servers
        except NotFound:
            if not self._parts.is_local(alias.domain):
                raise
            room_id, via = await self._make(user_id, alias), ()
        host = self._settings.host
        if host is not None and self._settings.preset != "public_chat" and host != user_id:
            await self._parts.membership.invite(_server_user(host), room_id, user_id)
        await self._parts.membership.join(Requester(user_id), room_id, limited=False, via=via)

    async def _make(self, user_id: UserId, alias: RoomAlias) -> RoomId:
        """Raises: NotFound, if it is nobody's turn to make it."""
        settings = self._settings
        if not settings.makes_rooms:
            raise NotFound("The room does not exist")
        if settings.host is not None:
            await self._parts.ensure_host()
        elif not await self._parts.is_only_user(user_id):
            raise NotFound("The room does not exist, and only the first user makes it")
        new = NewRoom(
            version=settings.room_version,
            preset=settings.preset,
            alias=alias,
            creation_content={} if settings.is_federated else {"m.federate": False},
        )
        return await self._parts.creation.create(_server_user(settings.host or user_id), new, limited=False)


def _server_user(user_id: UserId) -> Requester:
    """What the operator's configuration lets happen, no rule for users forbids."""
    return Requester(user_id, is_admin=True)
