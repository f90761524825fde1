"""Polls that the bridge shows in Slack: who has chosen what is remembered with the bridge, Slack only shows it."""

from collections.abc import Sequence

from appservice.bridges.core.errors import ChannelGone, NotThere, Refused
from appservice.bridges.core.ids import ChannelId, JsonDict, MessageId
from appservice.bridges.core.incoming import Poll, RemoteEvent, Voted
from appservice.bridges.core.network import Bridge
from appservice.bridges.core.outgoing import Author, MessageRef
from appservice.bridges.slack.api import ChannelClosed
from appservice.bridges.slack.formatting.rich_text import dicts, text_of
from appservice.bridges.slack.ids import local_part
from appservice.bridges.slack.polls import (
    answer_of,
    counts_of,
    poll_blocks,
    poll_of,
    poll_state,
    poll_text,
    pressed,
    voted,
)
from appservice.bridges.slack.team import Team


class Voting:
    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    async def begun(self, channel: ChannelId, message: MessageId, poll: Poll) -> None:
        if await self._bridge.recall(_key(channel, message)) is None:
            await self._bridge.remember(_key(channel, message), poll_state(poll))

    async def pressed(self, team: Team, payload: JsonDict) -> Sequence[RemoteEvent]:
        """A pressed button of a poll; nothing for other buttons."""
        action = next(iter(dicts(payload.get("actions"))), {})
        answer = answer_of(text_of(action.get("action_id")))
        container = payload["container"]
        channel, message = team.full_channel(container["channel_id"]), MessageId(container["message_ts"])
        state = await self._bridge.recall(_key(channel, message)) if answer is not None else None
        if answer is None or state is None:
            return ()
        user, at = str(payload["user"]["id"]), text_of(action.get("action_ts"))
        state, chosen = pressed(state, team.full_person(user), answer, at)
        await self._bridge.remember(_key(channel, message), state)
        await self._show(team, channel, message, state)
        return (Voted(channel=channel, poll=message, person=team.full_person(user), answers=chosen),)

    async def vote(self, team: Team, author: Author, poll: MessageRef, answers: Sequence[str]) -> None:
        state = await self._bridge.recall(_key(poll.channel, poll.id))
        if state is None:
            return
        state = voted(state, str(author.user_id), tuple(answers), "")
        await self._bridge.remember(_key(poll.channel, poll.id), state)
        await self._show(team, poll.channel, poll.id, state)

    async def end(self, team: Team, poll: MessageRef) -> None:
        state = await self._bridge.recall(_key(poll.channel, poll.id))
        if state is not None:
            state = {**state, "is_ended": True}
            await self._bridge.remember(_key(poll.channel, poll.id), state)
            await self._show(team, poll.channel, poll.id, state)

    async def _show(self, team: Team, channel: ChannelId, message: MessageId, state: JsonDict) -> None:
        poll = poll_of(state)
        blocks = poll_blocks(poll, counts_of(state), is_ended=state["is_ended"])
        args = {"ts": message, "text": poll_text(poll), "blocks": blocks}
        try:
            await team.api.call(team.bot, "chat.update", channel=local_part(channel), **args)
        except ChannelClosed as error:
            raise ChannelGone(channel) from error
        except NotThere:
            # Deleted meanwhile; the vote counts in Matrix.
            return
        except Refused:
            # Written by a login: the buttons do not come to the bridge then either.
            return


def _key(channel: ChannelId, message: MessageId) -> str:
    return f"poll:{channel}:{message}"
