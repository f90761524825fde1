"""What core sends: messages, edits, deletions, reactions, pins; and whether something was sent before a crash."""

import uuid
from typing import Any

from attrs import evolve

from appservice.bridges.core.errors import ChannelGone, NotThere, Refused, Unsupported
from appservice.bridges.core.ids import ChannelId, EmojiId, JsonDict, MessageId, ThreadId
from appservice.bridges.core.outgoing import Author, Emoji, MessageRef, OutgoingMessage, Sent
from appservice.bridges.slack.api import Account, ChannelClosed, SlackRefused
from appservice.bridges.slack.formatting.compose import compose
from appservice.bridges.slack.formatting.emoji import name_of, unicode_of
from appservice.bridges.slack.formatting.nodes import ITALIC, Paragraph, Run
from appservice.bridges.slack.formatting.rich_text import dicts
from appservice.bridges.slack.formatting.to_slack import Piece, escape, mrkdwn, pieces
from appservice.bridges.slack.ids import custom_emoji_id, local_part, team_of
from appservice.bridges.slack.messages import METADATA, version_of
from appservice.bridges.slack.polls import poll_blocks, poll_text
from appservice.bridges.slack.team import Team
from appservice.bridges.slack.uploads import upload

MAX_NAME = 80
# Clocks differ, and Slack's id of a message is the time at which it took it.
CLOCKS_DIFFER_MS = 120_000
MAX_LOOKED_AT = 1_000
_NAMESPACE = uuid.UUID("5f3c2a52-7f0e-4a8e-9a58-1f6f5b8d6b11")


class Sending:
    """`replies_are_threads`: a reply in Matrix becomes one in a thread of Slack."""

    def __init__(self, *, replies_are_threads: bool) -> None:
        self._replies_are_threads = replies_are_threads

    async def send(self, team: Team, message: OutgoingMessage) -> Sent:
        """A long text becomes several messages; the first one counts."""
        account, link = team.account_of(message.author), None
        if message.file is not None:
            link = await upload(team, account, message.file)
        parts = self._pieces(team, message, link)
        return await self._post_all(team, account, message, parts, [], {"file": link} if link else {})

    async def find_sent(self, team: Team, message: OutgoingMessage, since_ms: int) -> Sent | None:
        """By the key that goes along. Of a long text that was sent in part the rest is sent now."""
        account = team.account_of(message.author)
        found = await self._posted(team, account, message, since_ms)
        if 0 not in found:
            return None
        link = found[0].get("link")
        parts = self._pieces(team, message, link if isinstance(link, str) else None)
        done = [str(found[number]["ts"]) for number in range(len(parts)) if number in found]
        memo = {"file": link} if link else {}
        return await self._post_all(team, account, message, parts, done, memo)

    async def edit(self, team: Team, ref: MessageRef, message: OutgoingMessage) -> Sent:
        account = self._writer(team, ref)
        memo = dict(ref.memo)
        if message.file is not None:
            memo["file"] = await upload(team, account, message.file)
        parts = self._pieces(team, message, memo.get("file"))
        old = [ref.id, *ref.more]
        version = ""
        for ts, piece in zip(old, parts, strict=False):
            args = {"ts": ts, "text": piece.text, "blocks": piece.blocks or []}
            answer = await self._call(team, account, "chat.update", ref.channel, **args)
            if ts == ref.id and isinstance(answer.get("message"), dict):
                version = version_of(answer["message"])
        for ts in old[len(parts) :]:
            await self._delete(team, account, ref.channel, ts)
        further = [piece for number, piece in enumerate(parts) if number >= len(old)]
        ids = list(old[: len(parts)])
        for number, piece in enumerate(further, len(old)):
            args = self._post_args(account, message, piece, number, ref.thread)
            ids.append(MessageId((await self._call(team, account, "chat.postMessage", ref.channel, **args))["ts"]))
        return Sent(ids=tuple(ids), thread=ref.thread, version=version, memo=memo)

    async def delete(self, team: Team, author: Author, ref: MessageRef) -> None:
        """As the bot what the bot wrote, as the login what a login wrote; else as who asks for it."""
        account = self._writer(team, ref) if ref.is_ours or ref.written_by else team.account_of(author)
        if ref.part:
            await self._delete_file(team, account, ref)
            return
        for ts in (ref.id, *ref.more):
            await self._delete(team, account, ref.channel, ts)

    async def _delete_file(self, team: Team, account: Account, ref: MessageRef) -> None:
        try:
            await team.api.call(account, "files.delete", file=ref.part)
        except NotThere:
            return

    async def _delete(self, team: Team, account: Account, channel: ChannelId, ts: str) -> None:
        try:
            await self._call(team, account, "chat.delete", channel, ts=ts)
        except NotThere:
            return

    # Reactions and pins

    async def react(self, team: Team, author: Author, ref: MessageRef, emoji: Emoji) -> EmojiId:
        name = await _reaction_name(team, emoji)
        if name is None:
            raise Unsupported("Slack has no such emoji")
        args = {"timestamp": ref.id, "name": name}
        await self._mark(team, author, "reactions.add", ref.channel, "already_reacted", **args)
        return EmojiId(unicode_of(name) or custom_emoji_id(team.id, name))

    async def unreact(self, team: Team, author: Author, ref: MessageRef, emoji: EmojiId) -> None:
        name = name_of(emoji) or local_part(emoji)
        args = {"timestamp": ref.id, "name": name}
        await self._mark(team, author, "reactions.remove", ref.channel, "no_reaction", **args)

    async def pin(self, team: Team, author: Author, ref: MessageRef, is_pinned: bool) -> None:
        method, fine = ("pins.add", "already_pinned") if is_pinned else ("pins.remove", "no_pin")
        await self._mark(team, author, method, ref.channel, fine, timestamp=ref.id)

    async def _mark(self, team: Team, author: Author, method: str, channel: ChannelId, fine: str, **args: Any) -> None:
        """`fine` is the refusal that says that it is so already."""
        try:
            await self._call(team, team.account_of(author), method, channel, **args)
        except SlackRefused as error:
            if error.error != fine:
                raise

    # How a message is posted

    def _pieces(self, team: Team, message: OutgoingMessage, link: str | None) -> list[Piece]:
        if message.poll is not None:
            blocks = poll_blocks(message.poll, {}, is_ended=False)
            return [Piece(poll_text(message.poll), blocks)]
        document = compose(message.text, team_url=team.url)
        if message.kind == "emote":
            document = tuple(
                Paragraph(tuple(_italic(inline) for inline in block.inlines)) if isinstance(block, Paragraph) else block
                for block in document
            )
        if link is None:
            return pieces(document)
        # A link to the file shows it, under any name; blocks would hide it. So the words are mrkdwn.
        name = message.file.name if message.file is not None else "file"
        shown = f"<{link}|{escape(name)}>"
        caption = "" if message.text.body in ("", name) else mrkdwn(document)
        return [Piece(f"{caption[:3000]}\n{shown}" if caption else shown)]

    async def _post_all(
        self,
        team: Team,
        account: Account,
        message: OutgoingMessage,
        parts: list[Piece],
        done: list[str],
        memo: JsonDict,
    ) -> Sent:
        thread = self._thread_of(message)
        ids = [MessageId(ts) for ts in done]
        version = ""
        for number, piece in enumerate(parts):
            if number >= len(done):
                args = self._post_args(account, message, piece, number, thread)
                answer = await self._post(team, account, message.channel, args)
                ids.append(MessageId(str(answer["ts"])))
                if number == 0 and isinstance(answer.get("message"), dict):
                    version = version_of(answer["message"])
        return Sent(ids=tuple(ids), thread=thread, version=version, memo=memo)

    async def _post(self, team: Team, account: Account, channel: ChannelId, args: JsonDict) -> JsonDict:
        try:
            return await self._call(team, account, "chat.postMessage", channel, **args)
        except SlackRefused as error:
            if error.error == "not_in_channel" and account.login is None:
                # Sent away meanwhile, or never let in: a public channel can be joined.
                await team.api.call(account, "conversations.join", channel=local_part(channel))
                return await self._call(team, account, "chat.postMessage", channel, **args)
            if error.error.startswith("metadata_"):
                return await self._call(team, account, "chat.postMessage", channel, **{**args, "metadata": None})
            raise

    def _post_args(
        self, account: Account, message: OutgoingMessage, piece: Piece, number: int, thread: ThreadId | None
    ) -> JsonDict:
        args: JsonDict = {"text": piece.text, "blocks": piece.blocks, "thread_ts": thread}
        if account.login is None:
            args["username"] = _name(message.author)
            args["icon_url"] = message.author.avatar_url
        if account.is_browser:
            args["client_msg_id"] = _message_uuid(message.key, number)
        else:
            payload = {"key": message.key, "piece": number}
            args["metadata"] = {"event_type": METADATA, "event_payload": payload}
        return args

    def _thread_of(self, message: OutgoingMessage) -> ThreadId | None:
        """Slack's threads are named by their first message."""
        if message.thread is not None:
            root = message.thread.id or (message.thread.root.id if message.thread.root else None)
            return ThreadId(root) if root else None
        if message.reply_to is None:
            return None
        if message.reply_to.thread is not None:
            return message.reply_to.thread
        return ThreadId(message.reply_to.id) if self._replies_are_threads else None

    async def _posted(
        self, team: Team, account: Account, message: OutgoingMessage, since_ms: int
    ) -> dict[int, JsonDict]:
        """Those of its messages that are there, by their number."""
        oldest = f"{max(0, since_ms - CLOCKS_DIFFER_MS) / 1000:.6f}"
        thread = self._thread_of(message)
        args: JsonDict = {
            "oldest": oldest,
            "limit": 200,
            "include_all_metadata": True,
            "channel": local_part(message.channel),
        }
        method = "conversations.history" if thread is None else "conversations.replies"
        args |= {} if thread is None else {"ts": thread}
        reader = account if account.login is not None else team.bot
        try:
            history = await team.api.pages(reader, method, "messages", MAX_LOOKED_AT, **args)
        except (ChannelClosed, NotThere):
            return {}
        wanted = {_message_uuid(message.key, number): number for number in range(50)}
        found: dict[int, JsonDict] = {}
        for each in dicts(history):
            number = _number_of(each, message.key, wanted)
            if number is not None:
                files = dicts(each.get("files"))
                found[number] = each | {"link": files[0].get("permalink") if files else None}
        return found

    def _writer(self, team: Team, ref: MessageRef) -> Account:
        """By whom the message was written."""
        if ref.written_by is not None:
            login = team.logins.get(local_part(ref.written_by))
            if login is None:
                raise Refused("it was written by a login that is signed out")
            return team.account(login)
        return team.bot

    async def _call(self, team: Team, account: Account, method: str, channel: ChannelId, **args: Any) -> JsonDict:
        try:
            return await team.api.call(account, method, channel=local_part(channel), **args)
        except ChannelClosed as error:
            raise ChannelGone(channel) from error


async def _reaction_name(team: Team, emoji: Emoji) -> str | None:
    if emoji.id is not None and team_of(emoji.id) == team.id:
        return local_part(emoji.id)
    name = name_of(emoji.unicode or emoji.id or "")
    if name is not None:
        return name
    shortcode = emoji.name.strip(":").lower()
    return shortcode if shortcode and (unicode_of(shortcode) or shortcode in await team.emoji()) else None


def _italic(inline: Any) -> Any:
    return evolve(inline, styles=inline.styles | {ITALIC}) if isinstance(inline, Run) else inline


def _name(author: Author) -> str:
    return author.name[:MAX_NAME] or str(author.user_id)[:MAX_NAME]


def _message_uuid(key: str, number: int) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{key}/{number}"))


def _number_of(message: JsonDict, key: str, wanted: dict[str, int]) -> int | None:
    metadata = message.get("metadata")
    if isinstance(metadata, dict) and metadata.get("event_type") == METADATA:
        payload = metadata.get("event_payload")
        if isinstance(payload, dict) and payload.get("key") == key and isinstance(payload.get("piece"), int):
            return int(payload["piece"])
    return wanted.get(str(message.get("client_msg_id")))
