"""Messages of Matrix to Discord: by the channel's webhook under the author's name and face; in direct chats by the bot.

Where the bot may not make webhooks it writes by itself, with the author's name before the text; the channel is told
what is missing. A text that is too long becomes several messages, one far too long a file.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from appservice.bridges.core.errors import FileTooLarge, MissingPermission, NotThere, Refused, Unsupported
from appservice.bridges.core.ids import MAIN_PART, ChannelId, MessageId, ThreadId
from appservice.bridges.core.network import Bridge
from appservice.bridges.core.outgoing import Author, MessageRef, OutgoingMessage, Sent, ThreadRef
from appservice.bridges.discord.directory import FORUM, MEDIA, Directory, file_bytes
from appservice.bridges.discord.directs import Directs, conversation_of
from appservice.bridges.discord.formatting import Known, Written, escaped, split, write
from appservice.bridges.discord.rest import EXECUTE, Rest, UnknownWebhook, Upload
from appservice.bridges.discord.shapes import snowflake_at
from appservice.bridges.discord.webhooks import NEEDED, Webhook, Webhooks, allowed_name

Json = dict[str, Any]

# More pieces than this nobody reads in a chat: the text comes as a file.
MAX_PIECES = 6
_NAME_IN_TEXT = 80
_QUOTE = 60
_LOOK_BACK = 50
_HOOK_MESSAGE = EXECUTE + "/messages/{message_id}"
_MESSAGES = "/channels/{channel_id}/messages"
_MESSAGE = _MESSAGES + "/{message_id}"


@frozen(kw_only=True)
class Draft:
    """What a message says on Discord: its pieces in order, the first with the files."""

    pieces: tuple[str, ...]
    files: tuple[Upload, ...] = ()
    mentions: Json = field(factory=dict)
    # What stands before the text, to be put there again when it is edited.
    line: str = ""
    components: Sequence[Json] = ()

    def bodies(self) -> list[Json]:
        """As the API takes them."""
        texts = self.pieces or ("",)
        bodies: list[Json] = [{"content": text, "allowed_mentions": self.mentions} for text in texts]
        if self.components:
            bodies[-1]["components"] = list(self.components)
        return bodies


@frozen(kw_only=True)
class Place:
    """Where a message goes. `spoken` is the channel or thread; `webhook` is None where the bot itself writes."""

    channel: ChannelId
    spoken: str
    thread: ThreadId | None = None
    webhook: Webhook | None = None
    is_direct: bool = False
    is_forum: bool = False

    @property
    def memo(self) -> Json:
        return {"bot": True} if self.webhook is None else {"webhook": self.webhook.id}


class Sending:
    """Raises: NetworkError."""

    def __init__(
        self,
        *,
        bridge: Bridge,
        rest: Rest,
        directory: Directory,
        webhooks: Webhooks,
        directs: Directs,
        pings_everyone: bool,
    ) -> None:
        self._bridge, self._rest, self._directory = bridge, rest, directory
        self._webhooks, self._directs = webhooks, directs
        self._pings_everyone = pings_everyone

    # --- new messages

    async def send(
        self, message: OutgoingMessage, *, markdown: str | None = None, components: Sequence[Json] = ()
    ) -> Sent:
        """`markdown` in place of the message's own text."""
        self._check_size(message)
        place = await self.place(message.channel, message.thread)
        draft = await self.draft(message, place, markdown=markdown, components=components)
        return await self._send(message, place, draft, ())

    async def _send(
        self, message: OutgoingMessage, place: Place, draft: Draft, sent: Sequence[MessageId], again: bool = True
    ) -> Sent:
        """The pieces that are not `sent` yet."""
        ids = list(sent)
        bodies = draft.bodies()
        try:
            for number in range(len(ids), len(bodies)):
                body = self._dressed(bodies[number], message, place, number)
                files = draft.files if number == len(bodies) - 1 else ()
                made = await self._post(place, body, files)
                ids.append(MessageId(str(made["id"])))
                if place.is_forum and place.thread is None:
                    # The first message of a post: what follows belongs to it.
                    place = evolve(place, thread=ThreadId(str(made["channel_id"])), spoken=str(made["channel_id"]))
        except UnknownWebhook:
            await self._webhooks.forget(place.channel)
            if not again:
                raise
            place = evolve(place, webhook=await self._webhooks.of(place.channel))
            return await self._send(message, place, draft, ids, again=False)
        if place.is_direct and (conversation := conversation_of(place.channel)) is not None:
            await self._directs.begin(conversation, await self._directs.person_of(conversation) or "")
        memo = {**place.memo, "line": draft.line} if draft.line else place.memo
        return Sent(ids=tuple(ids), thread=place.thread, memo=memo)

    async def _post(self, place: Place, body: Json, files: Sequence[Upload]) -> Json:
        hook = place.webhook
        if hook is None:
            path = _MESSAGES
            answer = await self._rest.ask(
                "POST", path, body, files=files, channel_id=place.spoken, needs="Send Messages"
            )
        else:
            query = {"wait": "true", "thread_id": place.thread, "with_components": "true"}
            answer = await self._rest.ask(
                "POST",
                EXECUTE,
                body,
                query=query,
                files=files,
                webhook_id=hook.id,
                webhook_token=hook.token,
            )
        return dict(answer)

    def _dressed(self, body: Json, message: OutgoingMessage, place: Place, number: int) -> Json:
        """With who writes it."""
        if place.webhook is None:
            body = {**body, "nonce": _nonce(message.key, number), "enforce_nonce": True}
            if number == 0 and message.reply_to is not None:
                reference = {"message_id": message.reply_to.id, "fail_if_not_exists": False}
                body["message_reference"] = reference
            return body
        face = self._webhooks.face(message.author)
        body = {**body, "username": face.name}
        if face.avatar_url is not None:
            body["avatar_url"] = face.avatar_url
        if place.is_forum and place.thread is None and number == 0:
            body["thread_name"] = thread_name(message.text.body)
        return body

    async def place(self, channel: ChannelId, thread: ThreadRef | None) -> Place:
        """Where to write, and by what."""
        conversation = conversation_of(channel)
        if conversation is not None:
            return Place(channel=channel, spoken=conversation.channel_id, is_direct=True)
        thread_id = None if thread is None else thread.id or await self._start_thread(channel, thread)
        known = self._directory.channel(channel)
        is_forum = known is not None and known.get("type") in (FORUM, MEDIA)
        spoken = thread_id or channel
        webhook = await self.webhook(channel)
        return Place(channel=channel, spoken=spoken, thread=thread_id, webhook=webhook, is_forum=is_forum)

    async def webhook(self, channel: ChannelId) -> Webhook | None:
        """The channel's; None, where the bot may have none, which is told there."""
        try:
            return await self._webhooks.of(channel)
        except MissingPermission:
            self._bridge.tell(
                f"Discord lets the bridge show no names and faces here: give its role the permission **{NEEDED}**."
                " Until then the bot writes the names before the texts.",
                channel=channel,
            )
            return None

    async def _start_thread(self, channel: ChannelId, thread: ThreadRef) -> ThreadId:
        if thread.root is None:
            raise Unsupported("Discord has no thread for this")
        if thread.root.thread is not None:
            return thread.root.thread
        path, body = _MESSAGE + "/threads", {"name": thread_name(thread.name)}
        try:
            made = await self._rest.ask(
                "POST", path, body, channel_id=channel, message_id=thread.root.id, needs="Create Public Threads"
            )
        except NotThere:
            raise
        except MissingPermission:
            raise
        except Refused:
            # It is there already: a thread at a message has that message's id.
            return ThreadId(thread.root.id)
        self._directory.put_channel(made)
        return ThreadId(str(made["id"]))

    def _check_size(self, message: OutgoingMessage) -> None:
        limit = file_bytes(self._directory.guild_of(message.channel))
        if message.file is not None and message.file.size_bytes > limit:
            raise FileTooLarge(limit)

    # --- what it says

    async def draft(
        self,
        message: OutgoingMessage,
        place: Place,
        *,
        markdown: str | None = None,
        components: Sequence[Json] = (),
        line: str = "",
    ) -> Draft:
        known = Known(emoji=self._emoji() if message.text.references.emoji else {}, message_link=self.link)
        written = write(message.text, known) if markdown is None else Written(text=markdown)
        text = self._as_kind(message, written.text) if markdown is None else markdown
        if place.webhook is None:
            text = name_before(message.author) + text
        elif message.reply_to is not None and not line:
            line = await self._reply_line(message.reply_to) + "\n"
        text = line + text
        pieces = split(text)
        files = () if message.file is None else (_upload(message),)
        if len(pieces) > MAX_PIECES:
            files = (*files, Upload(name="message.md", source=written.text.encode()))
            pieces = pieces[:1]
        mentions = self._mentions(message, written)
        return Draft(pieces=tuple(pieces), files=files, mentions=mentions, components=components, line=line)

    @staticmethod
    def _as_kind(message: OutgoingMessage, text: str) -> str:
        if message.kind == "emote":
            return f"*{text}*" if text and "*" not in text and "\n" not in text else f"\\* {text}"
        if message.kind == "file" and message.file is not None and message.text.body == message.file.name:
            # Clients write the file's name where nothing is said.
            return ""
        if message.kind == "sticker" and message.file is not None:
            return ""
        return text

    def _mentions(self, message: OutgoingMessage, written: Written) -> Json:
        """Whom the message may ping: those whom it names, and the writer of what it answers."""
        users = [*written.user_ids]
        answered = message.reply_to.person if message.reply_to is not None else None
        mentioned = {mention.person for mention in message.text.references.people.values()}
        if answered is not None and answered in mentioned and ":" not in answered:
            users.append(answered)
        everyone = self._pings_everyone and written.pings_everyone
        parse = ["everyone"] if everyone else []
        # At most 100: more is an error of the whole message.
        return {"parse": parse, "users": list(dict.fromkeys(users))[:100], "replied_user": answered in mentioned}

    def _emoji(self) -> Mapping[str, str]:
        found = {}
        for guild in self._directory.guilds.values():
            for emoji_id, emoji in guild.emojis.items():
                found[emoji_id] = f"<{'a' if emoji.get('animated') else ''}:{emoji['name']}:{emoji_id}>"
        return found

    def link(self, channel: ChannelId, message: MessageId) -> str:
        """The address of a message."""
        conversation = conversation_of(channel)
        if conversation is not None:
            return f"https://discord.com/channels/@me/{conversation.channel_id}/{message}"
        guild = self._directory.guild_of(channel)
        return f"https://discord.com/channels/{guild.id if guild else '@me'}/{channel}/{message}"

    async def _reply_line(self, ref: MessageRef) -> str:
        """Webhooks cannot answer: a line in small print says what is answered, and leads there."""
        spoken = ref.thread or ref.channel
        address = self.link(ChannelId(spoken), ref.id)
        try:
            answered = await self._rest.ask("GET", _MESSAGE, channel_id=spoken, message_id=ref.id)
        except (NotThere, MissingPermission):
            return f"-# ↪ [a message]({address})"
        author = answered["author"]
        name = escaped(str(author.get("global_name") or author.get("username")))
        text = " ".join(str(answered.get("content") or "").replace("-# ", "").split())
        if len(text) > _QUOTE:
            text = text[:_QUOTE].rstrip() + "…"
        # What it says is quoted without its marks: half of a style or a mention would only confuse.
        said = escaped(text).replace("http", "http\u200b") if text else "a file"
        return f"-# ↪ [**{name}**]({address}): {said}"

    # --- was it sent?

    async def find_sent(
        self,
        message: OutgoingMessage,
        since_ms: int,
        *,
        markdown: str | None = None,
        components: Sequence[Json] = (),
    ) -> Sent | None:
        """By its like in the newest history: webhooks give no key back. A message of several pieces that was cut off
        in the middle is sent to its end."""
        if message.thread is not None and message.thread.id is None:
            root = message.thread.root
            if root is None or self._directory.channel(root.id) is None:
                return None
            message = evolve(message, thread=evolve(message.thread, id=ThreadId(root.id)))
        place = await self.place(message.channel, message.thread)
        if place.is_forum and place.thread is None:
            return None
        draft = await self.draft(message, place, markdown=markdown, components=components)
        after = snowflake_at(since_ms - 5_000)
        query = {"limit": _LOOK_BACK, "after": after}
        newest = await self._rest.ask("GET", _MESSAGES, query=query, channel_id=place.spoken)
        found = await self._like(message, place, draft, list(reversed(newest)))
        return await self._send(message, place, draft, found) if found else None

    async def _like(
        self, message: OutgoingMessage, place: Place, draft: Draft, history: Sequence[Json]
    ) -> list[MessageId]:
        """The first pieces, in order, that are there and that core does not know as something else."""
        found: list[MessageId] = []
        name = self._webhooks.face(message.author).name
        bodies = draft.bodies()
        for each in history:
            if len(found) == len(bodies):
                break
            is_same = each.get("content", "") == bodies[len(found)]["content"].strip()
            if is_same and self._is_by(each, place, name) and self._has_files(each, draft, len(found)):
                message_id = MessageId(str(each["id"]))
                if await self._bridge.find_ref(message.channel, message_id) is None:
                    found.append(message_id)
        return found

    def _is_by(self, each: Json, place: Place, name: str) -> bool:
        if place.webhook is None:
            return self._directory.is_me(str(each["author"]["id"]))
        return str(each.get("webhook_id")) == place.webhook.id and each["author"].get("username") == name

    @staticmethod
    def _has_files(each: Json, draft: Draft, number: int) -> bool:
        wanted = len(draft.files) if number == len(draft.bodies()) - 1 else 0
        return len(each.get("attachments") or []) == wanted

    # --- edits and deletions

    async def edit(self, ref: MessageRef, message: OutgoingMessage) -> Sent:
        place = await self._place_of(ref)
        draft = await self.draft(message, place, line=str(ref.memo.get("line", "")))
        bodies = draft.bodies()
        ids = [ref.id, *ref.more]
        for number, message_id in enumerate(ids):
            if number < len(bodies):
                # An empty list takes the old file away.
                more: Json = {"attachments": []} if draft.files else {}
                files = draft.files if number == len(bodies) - 1 else ()
                await self._patch(place, message_id, {**bodies[number], **more}, files)
            else:
                await self._delete_one(place, message_id)
        kept = ids[: len(bodies)]
        if len(bodies) > len(ids):
            sent = await self._send(message, place, draft, kept)
            return evolve(sent, memo=ref.memo)
        return Sent(ids=tuple(kept), thread=ref.thread, memo=ref.memo)

    async def _place_of(self, ref: MessageRef) -> Place:
        """Where the message is; with the webhook that wrote it."""
        conversation = conversation_of(ref.channel)
        spoken = conversation.channel_id if conversation is not None else ref.thread or ref.channel
        webhook_id = ref.memo.get("webhook")
        webhook = None
        if webhook_id is not None:
            webhook = await self._webhooks.by_id(ref.channel, str(webhook_id))
            if webhook is None:
                raise NotThere("the webhook that wrote this message was deleted on Discord: it cannot be changed")
        is_direct = conversation is not None
        return Place(channel=ref.channel, spoken=spoken, thread=ref.thread, webhook=webhook, is_direct=is_direct)

    async def _patch(self, place: Place, message_id: MessageId, body: Json, files: Sequence[Upload]) -> None:
        hook = place.webhook
        if hook is None:
            await self._rest.ask("PATCH", _MESSAGE, body, files=files, channel_id=place.spoken, message_id=message_id)
            return
        query = {"thread_id": place.thread, "with_components": "true"}
        try:
            await self._rest.ask(
                "PATCH",
                _HOOK_MESSAGE,
                body,
                query=query,
                files=files,
                webhook_id=hook.id,
                webhook_token=hook.token,
                message_id=message_id,
            )
        except UnknownWebhook:
            await self._webhooks.forget(place.channel)
            raise

    async def patch(self, ref: MessageRef, body: Json) -> None:
        """Changes a message of our own as the API has it."""
        await self._patch(await self._place_of(ref), ref.id, body, ())

    async def delete(self, author: Author, ref: MessageRef) -> None:
        if ref.part != MAIN_PART and not ref.is_ours:
            raise Unsupported("on Discord only whole messages of others can be deleted")
        try:
            place = await self._place_of(ref)
        except NotThere:
            # Its webhook is gone; the bot may still take the message away.
            place = Place(channel=ref.channel, spoken=ref.thread or ref.channel, thread=ref.thread)
        for message_id in (ref.id, *ref.more):
            await self._delete_one(place, message_id, reason=f"Deleted in Matrix by {author.user_id}")

    async def _delete_one(self, place: Place, message_id: MessageId, reason: str | None = None) -> None:
        hook = place.webhook
        try:
            if hook is None:
                needed = "Manage Messages"
                await self._rest.ask(
                    "DELETE", _MESSAGE, reason=reason, needs=needed, channel_id=place.spoken, message_id=message_id
                )
                return
            query = {"thread_id": place.thread}
            await self._rest.ask(
                "DELETE",
                _HOOK_MESSAGE,
                query=query,
                webhook_id=hook.id,
                webhook_token=hook.token,
                message_id=message_id,
            )
        except UnknownWebhook:
            await self._webhooks.forget(place.channel)
            await self._delete_one(evolve(place, webhook=None), message_id, reason)
        except NotThere:
            # Somebody was faster.
            return

    # --- the bot itself

    async def say(self, channel_id: str, text: str, *, key: str, reply_to: str | None = None) -> str:
        """A message of the bot's own; gives its id."""
        body: Json = {
            "content": text,
            "allowed_mentions": {"parse": []},
            "nonce": _nonce(key, 0),
            "enforce_nonce": True,
        }
        if reply_to is not None:
            body["message_reference"] = {"message_id": reply_to, "fail_if_not_exists": False}
        made = await self._rest.ask("POST", _MESSAGES, body, channel_id=channel_id, needs="Send Messages")
        return str(made["id"])

    async def change(self, channel_id: str, message_id: str, text: str) -> None:
        """Another text for a message of the bot's own."""
        body = {"content": text, "allowed_mentions": {"parse": []}}
        await self._rest.ask("PATCH", _MESSAGE, body, channel_id=channel_id, message_id=message_id)


def name_before(author: Author) -> str:
    """Who writes, where there is no webhook to show it."""
    return f"**{escaped(allowed_name(author.name or author.user_id))[:_NAME_IN_TEXT]}**: "


def thread_name(text: str) -> str:
    """Discord wants 1 to 100 letters."""
    line = " ".join(text.split()) or "Thread"
    return line if len(line) <= 100 else line[:99].rstrip() + "…"


def _nonce(key: str, number: int) -> str:
    """At most 25 letters, the same for the same piece: Discord then makes no second message of it."""
    return hashlib.sha256(f"{key}/{number}".encode()).hexdigest()[:24]


def _upload(message: OutgoingMessage) -> Upload:
    assert message.file is not None
    is_spoiler = message.content.get("page.codeberg.everypizza.msc4193.spoiler") is True
    return Upload(name=message.file.name, source=message.file.path, is_spoiler=is_spoiler)
