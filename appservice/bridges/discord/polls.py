"""Polls. Bots may not vote in Discord's own, so a poll of Matrix is shown as a message with buttons, which counts the
votes of both sides; and at a poll of Discord's the votes from Matrix stand in a line of the bot's under it."""

from collections.abc import Sequence
from typing import Any

from appservice.bridges.core.errors import NotThere, Refused
from appservice.bridges.core.ids import ChannelId, MessageId, PersonId
from appservice.bridges.core.incoming import Poll, Voted
from appservice.bridges.core.network import Bridge
from appservice.bridges.core.outgoing import Author, MessageRef, OutgoingMessage, Sent, Text
from appservice.bridges.discord.directs import conversation_of
from appservice.bridges.discord.formatting import escaped
from appservice.bridges.discord.rest import Rest
from appservice.bridges.discord.sending import Sending, name_before

Json = dict[str, Any]

BUTTON = "hearth-vote:"
# Five rows of five buttons.
MAX_ANSWERS, MAX_LABEL, PER_ROW = 20, 80, 5
_MAX_VOTERS = 20_000
_MESSAGE = "/channels/{channel_id}/messages/{message_id}"


class Polls:
    """What is counted is remembered under the poll's message. Raises: NetworkError."""

    def __init__(self, *, bridge: Bridge, rest: Rest, sending: Sending) -> None:
        self._bridge, self._rest, self._sending = bridge, rest, sending

    # --- of Matrix

    async def send(self, message: OutgoingMessage) -> Sent:
        """A poll of Matrix, with buttons."""
        assert message.poll is not None
        poll = _kept(message.poll)
        sent = await self._sending.send(message, markdown=_text(poll), components=_buttons(poll))
        return await self._keep(message, sent, poll)

    async def find_sent(self, message: OutgoingMessage, since_ms: int) -> Sent | None:
        assert message.poll is not None
        poll = _kept(message.poll)
        sent = await self._sending.find_sent(message, since_ms, markdown=_text(poll), components=_buttons(poll))
        return None if sent is None else await self._keep(message, sent, poll)

    async def _keep(self, message: OutgoingMessage, sent: Sent, poll: Json) -> Sent:
        key = _key(sent.ids[0])
        if await self._bridge.recall(key) is None:
            prefix = name_before(message.author) if sent.memo.get("bot") else ""
            await self._bridge.remember(key, {**poll, "prefix": prefix})
        return sent

    async def pressed(self, channel: ChannelId, interaction: Json) -> Voted | None:
        """Somebody on Discord has pressed one of the buttons."""
        message_id = str(interaction["message"]["id"])
        poll = await self._bridge.recall(_key(message_id))
        number = str(interaction["data"]["custom_id"]).removeprefix(BUTTON)
        if poll is None or not number.isdigit() or int(number) >= len(poll["answers"]) or poll.get("ended"):
            return None
        user = (interaction.get("member") or interaction)["user"]
        answer = poll["answers"][int(number)][0]
        voter = f"d:{user['id']}"
        # Delivered twice, it is one press.
        if poll.get("last") != interaction["id"]:
            chosen = _chosen(poll["votes"].get(voter, []), answer, poll["max"])
            await self._count(message_id, poll, voter, chosen, str(interaction["id"]))
        ref = await self._bridge.find_ref(channel, MessageId(message_id))
        if ref is not None:
            await self._show(ref, poll)
        answers = tuple(poll["votes"].get(voter, ()))
        return Voted(channel=channel, poll=MessageId(message_id), person=PersonId(str(user["id"])), answers=answers)

    async def vote(self, author: Author, ref: MessageRef, answers: Sequence[str]) -> None:
        """Somebody in Matrix has chosen these."""
        poll = await self._bridge.recall(_key(ref.id))
        if poll is not None and "answers" in poll:
            known = {answer for answer, _ in poll["answers"]}
            chosen = [answer for answer in answers if answer in known][: poll["max"]]
            await self._count(ref.id, poll, f"m:{author.user_id}", chosen, poll.get("last", ""))
            await self._show(ref, poll)
        else:
            await self._vote_beside(author, ref, answers, poll or {"votes": {}})

    async def _count(self, message_id: str, poll: Json, voter: str, chosen: Sequence[str], last: str) -> None:
        if voter not in poll["votes"] and len(poll["votes"]) >= _MAX_VOTERS:
            raise Refused("too many have voted")
        poll["votes"][voter] = list(chosen)
        if not chosen:
            del poll["votes"][voter]
        poll["last"] = last
        await self._bridge.remember(_key(message_id), poll)

    async def _show(self, ref: MessageRef, poll: Json) -> None:
        """The count as it is now."""
        prefix = str(poll.get("prefix", ""))
        await self._sending.patch(ref, {"content": prefix + _text(poll), "components": _buttons(poll)})

    async def end(self, author: Author, ref: MessageRef, text: Text) -> None:
        poll = await self._bridge.recall(_key(ref.id))
        if poll is None or "answers" not in poll:
            raise Refused("Discord's own polls end by themselves, or by who began them")
        poll["ended"] = True
        await self._bridge.remember(_key(ref.id), poll)
        await self._show(ref, poll)

    # --- of Discord

    async def _vote_beside(self, author: Author, ref: MessageRef, answers: Sequence[str], poll: Json) -> None:
        conversation = conversation_of(ref.channel)
        spoken = conversation.channel_id if conversation is not None else ref.thread or ref.channel
        message = await self._rest.ask("GET", _MESSAGE, channel_id=spoken, message_id=ref.id)
        if "poll" not in message:
            raise NotThere("the poll is not there any more")
        texts = {str(each["answer_id"]): str(each["poll_media"].get("text")) for each in message["poll"]["answers"]}
        await self._count(ref.id, poll, str(author.user_id), [each for each in answers if each in texts], "")
        counts = [f"{escaped(text)} {_votes(poll, answer)}" for answer, text in texts.items() if _votes(poll, answer)]
        line = f"-# Votes from Matrix: {' · '.join(counts) or 'none'}"
        if poll.get("line") is not None:
            try:
                await self._sending.change(spoken, poll["line"], line)
                return
            except NotThere:
                pass
        poll["line"] = await self._sending.say(spoken, line, key=f"poll/{ref.id}", reply_to=ref.id)
        await self._bridge.remember(_key(ref.id), poll)


def _kept(poll: Poll) -> Json:
    answers = [[answer, text] for answer, text in poll.answers[:MAX_ANSWERS]]
    most = max(1, min(poll.max_selections, len(answers)))
    return {"question": poll.question, "answers": answers, "max": most, "votes": {}, "last": ""}


def _chosen(before: Sequence[str], answer: str, most: int) -> list[str]:
    """A second press takes the choice back; of one choice, another press changes it."""
    if answer in before:
        return [each for each in before if each != answer]
    return [answer] if most == 1 else [*before, answer][-most:]


def _votes(poll: Json, answer: str) -> int:
    return sum(answer in chosen for chosen in poll["votes"].values())


def _text(poll: Json) -> str:
    """The question with the count."""
    lines = [f"**{escaped(str(poll['question'])[:300])}**"]
    lines += [f"- {escaped(str(text)[:60])}: {_votes(poll, answer)}" for answer, text in poll["answers"]]
    several = " · more than one answer" if poll["max"] > 1 else ""
    lines.append(f"-# {'The poll has ended' if poll.get('ended') else 'A poll from Matrix' + several}")
    return "\n".join(lines)


def _buttons(poll: Json) -> list[Json]:
    buttons = [
        {"type": 2, "style": 2, "label": _label(str(text)), "custom_id": f"{BUTTON}{number}"}
        for number, (_, text) in enumerate(poll["answers"])
    ]
    if poll.get("ended"):
        buttons = [{**button, "disabled": True} for button in buttons]
    return [{"type": 1, "components": buttons[at : at + PER_ROW]} for at in range(0, len(buttons), PER_ROW)]


def _label(text: str) -> str:
    return text if 0 < len(text) <= MAX_LABEL else text[: MAX_LABEL - 1] + "…" if text else "?"


def _key(message_id: str) -> str:
    return f"poll/{message_id}"
