"""Ghosts: the people of the network as Matrix users, made when they are first needed, with their names and faces."""

import logging
from collections.abc import Awaitable, Sequence

from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import NetworkError, NotThere, Temporary
from appservice.bridges.core.ids import PersonId
from appservice.bridges.core.incoming import RemotePerson
from appservice.bridges.core.logins import Logins
from appservice.bridges.core.matrix_client import Actor, MatrixRefused
from appservice.bridges.core.media import Media
from homeserver.runtime.caches import Lru
from homeserver.runtime.linearizer import Linearizer
from matrix.ids import UserId
from storage import bridges as rows
from storage.bridges import PersonRow

_CACHED = 10_000
# The homeserver bounds names too.
_MAX_NAME = 200

logger = logging.getLogger(__name__)


class People:
    """By the ids of the network."""

    def __init__(self, *, context: Context, media: Media, logins: Logins) -> None:
        self._context = context
        self._media = media
        self._logins = logins
        self._rows: Lru[str, PersonRow] = Lru("bridge_people", _CACHED, metrics=context.metrics)
        self._ours: set[str] = set()
        self._making = Linearizer()

    def ghost_id(self, person: str) -> UserId:
        return UserId(self._context.users.fill(person))

    def person_of(self, user_id: str) -> PersonId | None:
        """Whom a user stands for: a ghost, or one who has signed in."""
        found = self._context.users.read(user_id)
        if found is not None:
            return PersonId(found)
        login = self._logins.working(user_id)
        return None if login is None else login.person

    def ghost(self, person: str) -> Actor:
        """The ghost, whether it was made yet or not."""
        return Actor(self.ghost_id(person), self._context.bot.token)

    def actor_of(self, ghost_id: UserId) -> Actor:
        return Actor(ghost_id, self._context.bot.token)

    async def actor(self, person: PersonId, told: Sequence[RemotePerson] = ()) -> Actor:
        """As whom it is shown what the person does: the user who has signed in as them, else their ghost.

        `told`: what came along of names and faces. Raises: NetworkError, HomeserverDown, MatrixRefused.
        """
        return self._logins.puppet(person) or await self.ghost_of(person, told)

    async def ghost_of(self, person: PersonId, told: Sequence[RemotePerson] = ()) -> Actor:
        """The ghost, made and named. Raises: as actor."""
        await self.row(person, told)
        return self.ghost(person)

    async def row(self, person: PersonId, told: Sequence[RemotePerson] = ()) -> PersonRow:
        """Raises: as actor."""
        now = next((each for each in told if each.id == person), None)
        known = self._rows.get(person)
        if known is not None and (now is None or _is_same(known, now)):
            return known
        async with self._making.of(person):
            return await self._load(person, now)

    async def update(self, now: RemotePerson) -> None:
        """Names and faces as they are now, of people who have a ghost."""
        if now.is_ours or not await self._context.store.read(rows.people, [now.id]):
            return
        await self.row(now.id, [now])

    async def is_known(self, person: PersonId) -> bool:
        """Has the person a ghost?"""
        return self._rows.get(person) is not None or bool(await self._context.store.read(rows.people, [person]))

    async def is_ours(self, person: PersonId, told: Sequence[RemotePerson] = ()) -> bool:
        """The bridge's own bot on the network."""
        if any(each.id == person and each.is_ours for each in told):
            self._ours.add(person)
        if person in self._ours or self._rows.get(person) is not None:
            return person in self._ours
        if not await self._context.store.read(rows.people, [person]):
            await self._ask(person)
        return person in self._ours

    async def _load(self, person: PersonId, now: RemotePerson | None) -> PersonRow:
        known = self._rows.get(person) or next(iter(await self._context.store.read(rows.people, [person])), None)
        if known is None and now is None:
            now = await self._ask(person)
        if known is not None and (now is None or _is_same(known, now)):
            self._rows.set(person, known)
            return known
        assert now is not None
        row = await self._show(person, known, now)
        await self._context.store.run(rows.put_person, row)
        self._rows.set(person, row)
        return row

    async def _ask(self, person: PersonId) -> RemotePerson:
        try:
            found = await self._context.network.person(person)
        except Temporary:
            raise
        except (NotThere, NetworkError) as error:
            # Gone, or hidden from the bridge: what they wrote is shown all the same.
            logger.info("Nothing is known of %s: %s", person, error)
            return RemotePerson(id=person, name=person)
        if found.is_ours:
            self._ours.add(person)
        return found

    async def _show(self, person: PersonId, known: PersonRow | None, now: RemotePerson) -> PersonRow:
        """Makes the homeserver show it."""
        matrix, ghost = self._context.matrix, self.ghost(person)
        name = (now.name or person).replace("\0", "")[:_MAX_NAME]
        if known is None:
            await matrix.register(ghost.token, ghost.user_id.localpart)
        if known is None or known.name != name:
            await self._try_to_show(matrix.set_name(ghost, name))
        avatar_id = None if now.avatar is None else now.avatar.id
        mxc = None if known is None else known.avatar_mxc
        if (None if known is None else known.avatar_id) != avatar_id:
            mxc = await self._media.avatar(now.avatar)
            await self._try_to_show(matrix.set_avatar(ghost, mxc or ""))
        return PersonRow(
            person_id=person,
            user_id=ghost.user_id,
            name=name,
            avatar_id=avatar_id,
            avatar_mxc=mxc,
            is_bot=now.is_bot,
        )

    @staticmethod
    async def _try_to_show(setting: Awaitable[None]) -> None:
        try:
            await setting
        except MatrixRefused as error:
            logger.warning("A ghost's profile was refused: %s", error)


def _is_same(known: PersonRow, now: RemotePerson) -> bool:
    avatar_id = None if now.avatar is None else now.avatar.id
    name = (now.name or known.person_id).replace("\0", "")[:_MAX_NAME]
    return known.name == name and known.avatar_id == avatar_id
