"""Whom and what a text names: ids of the network in Matrix, and ids of Matrix on the network."""

import logging
from collections.abc import Sequence
from typing import Any

from appservice.bridges.core import matrix_to
from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import Refused
from appservice.bridges.core.ids import ChannelId, EmojiId, MessageId, PersonId
from appservice.bridges.core.incoming import MatrixPerson, MatrixRoom, RemoteEmoji, RemoteReferences
from appservice.bridges.core.logins import Logins
from appservice.bridges.core.matrix_client import MatrixRefused
from appservice.bridges.core.media import Media
from appservice.bridges.core.outgoing import MatrixReferences, Mention
from appservice.bridges.core.people import People
from appservice.bridges.core.portals import Portals
from storage import bridges_messages as rows

JsonDict = dict[str, Any]
_MAX = 200

logger = logging.getLogger(__name__)


class References:
    """Both ways."""

    def __init__(self, *, context: Context, people: People, portals: Portals, logins: Logins, media: Media) -> None:
        self._context, self._people, self._portals = context, people, portals
        self._logins, self._media = logins, media

    # --- of the network

    async def in_matrix(
        self,
        people: Sequence[PersonId],
        channels: Sequence[ChannelId],
        emoji: Sequence[RemoteEmoji],
        messages: Sequence[tuple[ChannelId, MessageId]],
    ) -> RemoteReferences:
        """What is not known is not in it. Raises: HomeserverDown, Temporary."""
        return RemoteReferences(
            people={person: await self._person(person) for person in dict.fromkeys(people[:_MAX])},
            channels={each: room for each in channels[:_MAX] if (room := self._room(each)) is not None},
            emoji={each.id: mxc for each in emoji[:_MAX] if (mxc := await self._image(each)) is not None},
            messages={each: at for each in messages[:_MAX] if (at := await self._event(*each)) is not None},
        )

    async def _person(self, person: PersonId) -> MatrixPerson:
        row = await self._people.row(person)
        login = self._logins.of_person(person)
        return MatrixPerson(user_id=row.user_id if login is None else login.user_id, name=row.name)

    def _room(self, channel: ChannelId) -> MatrixRoom | None:
        portal = self._portals.of_channel(channel)
        if portal is None:
            return None
        at = matrix_to.link(portal.room_id, via=self._context.matrix.server_name)
        return MatrixRoom(room_id=portal.room_id, name=str(portal.shown.get("name", channel)), link=at)

    async def _event(self, channel: ChannelId, message: MessageId) -> str | None:
        portal = self._portals.of_channel(channel)
        found = await self._context.store.read(rows.message, channel, message)
        if portal is None or not found:
            return None
        return matrix_to.link(portal.room_id, found[0].event_id, via=self._context.matrix.server_name)

    async def _image(self, emoji: RemoteEmoji) -> str | None:
        if emoji.image is None:
            return None
        return await self.emoji_image(emoji)

    async def emoji_image(self, emoji: RemoteEmoji) -> str | None:
        """The copy of a custom emoji, by which it is found again when it comes back."""
        assert emoji.image is not None
        try:
            mxc = (await self._media.copy_once(emoji.image)).mxc
        except (Refused, MatrixRefused) as error:
            logger.info("No image of the emoji %s: %s", emoji.name, error)
            return None
        await self._context.store.run(rows.put_emoji, emoji.id, emoji.name, mxc)
        return mxc

    # --- of Matrix

    async def on_network(self, content: JsonDict) -> MatrixReferences:
        """What the links, images and mentions of a content mean. Raises: DatabaseDown."""
        formatted = content.get("formatted_body")
        text = formatted if isinstance(formatted, str) else ""
        mentions = content.get("m.mentions")
        mentions = mentions if isinstance(mentions, dict) else {}
        named = mentions.get("user_ids")
        users = [user for user in named if isinstance(user, str)][:_MAX] if isinstance(named, list) else []
        links = matrix_to.links_in(text)
        users += [each.target for each in links if each.target[0] == "@"]
        return MatrixReferences(
            people={user: self._mention(user, text) for user in dict.fromkeys(users)},
            channels=await self._channels([each.target for each in links if each.target[0] in "#!"]),
            messages=await self._messages(links),
            emoji=await self._emoji(matrix_to.emotes_in(text)),
            is_for_room=mentions.get("room") is True,
        )

    def _mention(self, user: str, text: str) -> Mention:
        person = self._people.person_of(user)
        return Mention(person=person, name=user[1:].partition(":")[0])

    async def _channels(self, targets: list[str]) -> dict[str, ChannelId]:
        found: dict[str, ChannelId] = {}
        for target in dict.fromkeys(targets):
            text = self._context.aliases.read(target) if target[0] == "#" else self._portals.channel_of(target)
            if text is not None and self._portals.of_channel(text) is not None:
                found[target] = ChannelId(text)
        return found

    async def _messages(self, links: list[matrix_to.Link]) -> dict[str, tuple[ChannelId, MessageId]]:
        found: dict[str, tuple[ChannelId, MessageId]] = {}
        for each in links:
            known = [] if each.event is None else await self._context.store.read(rows.event, each.event)
            if known:
                found[each.url] = (ChannelId(known[0].channel_id), MessageId(known[0].message_id))
        return found

    async def _emoji(self, mxcs: list[str]) -> dict[str, EmojiId]:
        if not mxcs:
            return {}
        known = await self._context.store.read(rows.emoji_of_images, mxcs)
        return {mxc: EmojiId(emoji) for mxc, emoji in known.items()}
