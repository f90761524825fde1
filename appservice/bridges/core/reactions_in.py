"""Reactions and votes of the network into portals. Each is a set: what is there already is not added again."""

import logging

from appservice.bridges.core import polls
from appservice.bridges.core.context import Context
from appservice.bridges.core.ids import EmojiId, PersonId
from appservice.bridges.core.incoming import (
    Message,
    PollEnded,
    ReactionChanged,
    ReactionsCleared,
    RemoteEmoji,
    RemotePerson,
    VoteChanged,
    Voted,
)
from appservice.bridges.core.matrix_client import Actor, MatrixRefused
from appservice.bridges.core.message_map import MessageMap
from appservice.bridges.core.messages_in import main_part
from appservice.bridges.core.names import txn_id
from appservice.bridges.core.people import People
from appservice.bridges.core.portals import Portals
from appservice.bridges.core.references import References
from matrix.ids import UserId
from storage import bridges_messages as rows
from storage.bridges import PortalRow
from storage.bridges_messages import MessageRow, ReactionRow

logger = logging.getLogger(__name__)


class ReactionsIn:
    """Raises: NetworkError, MatrixRefused, HomeserverDown."""

    def __init__(
        self, *, context: Context, portals: Portals, people: People, message_map: MessageMap, references: References
    ) -> None:
        self._context, self._portals, self._people = context, portals, people
        self._map, self._references = message_map, references

    async def change(self, portal: PortalRow, event: ReactionChanged) -> None:
        row = main_part(await self._map.of_message(event.channel, event.message))
        if row is None or await self._people.is_ours(event.person, event.people):
            return
        known = await self._context.store.read(rows.reactions, event.channel, event.message)
        await self._set(portal, row, event.person, event.emoji, event.is_added, known, event.people)

    async def _set(
        self,
        portal: PortalRow,
        row: MessageRow,
        person: PersonId,
        emoji: RemoteEmoji,
        is_added: bool,
        known: list[ReactionRow],
        people: tuple[RemotePerson, ...] = (),
    ) -> None:
        actor = await self._people.actor(person, people)
        mine = [each for each in known if each.user_id == actor.user_id and each.emoji_id == emoji.id]
        if is_added and not mine:
            await self._add(portal, row, actor, emoji)
        elif not is_added:
            for each in mine:
                await self._remove(portal, each, actor)

    async def _add(self, portal: PortalRow, row: MessageRow, actor: Actor, emoji: RemoteEmoji) -> None:
        relates = {"rel_type": "m.annotation", "event_id": row.event_id, "key": await self._key(emoji)}
        content: dict[str, object] = {"m.relates_to": relates}
        if emoji.image is not None:
            shortcode = f":{emoji.name}:"
            content |= {"shortcode": shortcode, "com.beeper.reaction.shortcode": shortcode}
        # An emoji that was taken away and comes back is another event: what was there last makes the difference.
        before = await self._context.store.read(
            rows.reaction_count, row.channel_id, row.message_id, actor.user_id, emoji.id
        )
        txn = txn_id("react", row.channel_id, row.message_id, actor.user_id, emoji.id, before)
        try:
            event_id = await self._portals.send_as(portal, actor, "m.reaction", content, txn, None)
        except MatrixRefused as error:
            if error.errcode != "M_DUPLICATE_ANNOTATION":
                raise
            return
        reaction = ReactionRow(
            channel_id=row.channel_id,
            message_id=row.message_id,
            user_id=actor.user_id,
            emoji_id=emoji.id,
            event_id=event_id,
        )
        await self._context.store.run(rows.put_reaction, reaction)

    async def _remove(self, portal: PortalRow, reaction: ReactionRow, actor: Actor) -> None:
        txn = txn_id("unreact", reaction.event_id)
        try:
            await self._context.matrix.redact(actor, portal.room_id, reaction.event_id, txn)
        except MatrixRefused as error:
            logger.info("A reaction is not taken away: %s", error)
        await self._context.store.run(rows.delete_reaction, reaction)

    async def _key(self, emoji: RemoteEmoji) -> str:
        if emoji.unicode is not None:
            return emoji.unicode
        mxc = None if emoji.image is None else await self._references.emoji_image(emoji)
        return mxc or f":{emoji.name or emoji.id}:"

    async def clear(self, portal: PortalRow, event: ReactionsCleared) -> None:
        for each in await self._context.store.read(rows.reactions, event.channel, event.message):
            if event.emoji in (None, each.emoji_id):
                await self._remove(portal, each, self._actor_of(each))

    def _actor_of(self, reaction: ReactionRow) -> Actor:
        if self._context.users.matches(reaction.user_id):
            return Actor(UserId(reaction.user_id), self._context.bot.token)
        return self._context.bot

    async def reconcile(self, portal: PortalRow, message: Message) -> None:
        """Makes the reactions those that the history tells."""
        if message.reactions is None:
            return
        row = main_part(await self._map.of_message(message.channel, message.id))
        if row is None:
            return
        known = await self._context.store.read(rows.reactions, message.channel, message.id)
        told: set[tuple[str, EmojiId]] = set()
        for each in message.reactions:
            if not await self._people.is_ours(each.person, message.people):
                actor = await self._people.actor(each.person, message.people)
                told.add((actor.user_id, each.emoji.id))
                await self._set(portal, row, each.person, each.emoji, True, known, message.people)
        for reaction in known:
            is_theirs = self._context.users.matches(reaction.user_id)
            if is_theirs and (reaction.user_id, reaction.emoji_id) not in told:
                await self._remove(portal, reaction, self._actor_of(reaction))

    # --- polls

    async def vote(self, portal: PortalRow, event: Voted) -> None:
        known = await self._context.store.read(rows.votes, event.channel, event.poll)
        if known.get(event.person, []) != list(event.answers):
            await self._vote(portal, event, list(event.answers))

    async def change_vote(self, portal: PortalRow, event: VoteChanged) -> None:
        known = await self._context.store.read(rows.votes, event.channel, event.poll)
        answers = [answer for answer in known.get(event.person, []) if answer != event.answer]
        if event.is_chosen:
            answers.append(event.answer)
        if known.get(event.person, []) != answers:
            whole = Voted(channel=event.channel, poll=event.poll, person=event.person, answers=tuple(answers))
            await self._vote(portal, whole, answers)

    async def _vote(self, portal: PortalRow, event: Voted, answers: list[str]) -> None:
        row = main_part(await self._map.of_message(event.channel, event.poll))
        if row is None or await self._people.is_ours(event.person):
            return
        actor = await self._people.actor(event.person)
        content = polls.response_content(row.event_id, answers)
        count = await self._context.store.read(rows.count_votes, event.channel, event.poll, event.person)
        txn = txn_id("vote", event.channel, event.poll, event.person, count, *answers)
        await self._portals.send_as(portal, actor, polls.RESPONSE, content, txn, None)
        await self._context.store.run(rows.put_vote, event.channel, event.poll, event.person, answers)

    async def end_poll(self, portal: PortalRow, event: PollEnded) -> None:
        row = main_part(await self._map.of_message(event.channel, event.poll))
        if row is None:
            return
        actor = self._context.bot
        if self._context.users.matches(row.user_id):
            actor = Actor(UserId(row.user_id), self._context.bot.token)
        content = polls.end_content(row.event_id, event.text)
        txn = txn_id("end of poll", event.channel, event.poll)
        await self._portals.send_as(portal, actor, polls.END, content, txn, None)
