"""Portals: channels and their rooms. In memory, each change written through."""

from collections.abc import Iterable, Sequence
from typing import Any

from attrs import evolve

from appservice.bridges.core.context import Context
from appservice.bridges.core.ids import ChannelId, PersonId
from appservice.bridges.core.matrix_client import Actor, MatrixRefused
from homeserver.runtime.caches import Lru
from storage import bridges as rows
from storage.bridges import PortalRow

_CACHED_MEMBERSHIPS = 50_000


class Portals:
    """`load` first. `shown` of a row is what the room shows: name, topic, avatar, pins, power, members ..."""

    def __init__(self, *, context: Context) -> None:
        self._context = context
        self._by_channel: dict[str, PortalRow] = {}
        self._by_room: dict[str, PortalRow] = {}
        # (room, user) of those who are in.
        self._inside: Lru[tuple[str, str], bool] = Lru(
            "bridge_memberships", _CACHED_MEMBERSHIPS, metrics=context.metrics
        )
        context.metrics.gauge_of("bridge_portals", "Channels with a room", lambda: len(self._by_channel))

    async def load(self) -> None:
        for row in await self._context.store.read(rows.portals):
            self._take(row)

    def all(self) -> Sequence[PortalRow]:
        return list(self._by_channel.values())

    def of_channel(self, channel: str) -> PortalRow | None:
        return self._by_channel.get(channel)

    def of_room(self, room_id: str) -> PortalRow | None:
        return self._by_room.get(room_id)

    def channel_of(self, room_id: str) -> ChannelId | None:
        row = self._by_room.get(room_id)
        return None if row is None else ChannelId(row.channel_id)

    async def put(self, row: PortalRow) -> PortalRow:
        await self._context.store.run(rows.put_portal, row)
        self._forget(row.channel_id)
        self._take(row)
        return row

    async def show(self, channel: str, **shown: Any) -> PortalRow:
        """Keeps what the room shows now; None takes away."""
        row = self._by_channel[channel]
        now = {key: value for key, value in {**row.shown, **shown}.items() if value is not None}
        return row if now == row.shown else await self.put(evolve(row, shown=now))

    async def remove(self, channel: str) -> None:
        await self._context.store.run(rows.delete_portal, channel)
        self._forget(channel)

    def _take(self, row: PortalRow) -> None:
        self._by_channel[row.channel_id] = row
        self._by_room[row.room_id] = row

    def _forget(self, channel: str) -> None:
        row = self._by_channel.pop(channel, None)
        if row is not None:
            self._by_room.pop(row.room_id, None)

    # --- who is in

    def saw_membership(self, room_id: str, user_id: str, is_inside: bool) -> None:
        """The homeserver told of it."""
        if is_inside:
            self._inside.set((room_id, user_id), True)
        else:
            self._inside.invalidate((room_id, user_id))

    def is_inside(self, room_id: str, user_id: str) -> bool:
        """As far as it is known."""
        return self._inside.get((room_id, user_id)) is True

    async def bring_in(self, room_id: str, actor: Actor) -> None:
        """The actor is in the room afterwards. Raises: MatrixRefused, HomeserverDown."""
        if self.is_inside(room_id, actor.user_id):
            return
        matrix, bot = self._context.matrix, self._context.bot
        try:
            await matrix.join(actor, room_id)
        except MatrixRefused:
            if actor == bot:
                raise
            await self._invite(room_id, actor.user_id)
            await matrix.join(actor, room_id)
        self.saw_membership(room_id, actor.user_id, True)

    async def _invite(self, room_id: str, user_id: str) -> None:
        matrix, bot = self._context.matrix, self._context.bot
        try:
            await matrix.set_membership(bot, room_id, "invite", user_id)
        except MatrixRefused as error:
            # Banned in Matrix, and yet they write on the network: nobody would understand a hole.
            if "ban" not in error.message.lower():
                raise
            await matrix.set_membership(bot, room_id, "unban", user_id)
            await matrix.set_membership(bot, room_id, "invite", user_id)

    async def invite(self, room_id: str, user_ids: Iterable[str]) -> None:
        """Those who are not in, or may not be invited, are left as they are."""
        for user_id in user_ids:
            if not self.is_inside(room_id, user_id):
                try:
                    await self._context.matrix.set_membership(self._context.bot, room_id, "invite", user_id)
                except MatrixRefused:
                    continue

    async def send_as(
        self, portal: PortalRow, actor: Actor, event_type: str, content: rows.JsonDict, txn: str, ts: int | None
    ) -> str:
        """An event of the actor's, who is brought in first. Raises: MatrixRefused, HomeserverDown."""
        matrix = self._context.matrix
        if actor.is_puppet:
            content = content | self._context.puppet_mark
        await self.bring_in(portal.room_id, actor)
        try:
            return await matrix.send(actor, portal.room_id, event_type, content, txn, ts)
        except MatrixRefused as error:
            if error.errcode != "M_FORBIDDEN":
                raise
            # They left, or were put out, without our hearing of it.
            self.saw_membership(portal.room_id, actor.user_id, False)
            await self.bring_in(portal.room_id, actor)
            return await matrix.send(actor, portal.room_id, event_type, content, txn, ts)


def members_of(portal: PortalRow) -> list[PersonId]:
    """The people whom the room shows as members."""
    return [PersonId(person) for person in portal.shown.get("members", ())]
