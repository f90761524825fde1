"""What happens to messages, whoever does it: bots by REST, webhooks, people by the tests' hooks."""

import base64
import io
import mimetypes
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import frozen
from PIL import Image, UnidentifiedImageError

from tests.support.fake_discord import errors
from tests.support.fake_discord.errors import Refused, invalid_form
from tests.support.fake_discord.ids import made_at, now
from tests.support.fake_discord.permissions import P
from tests.support.fake_discord.world import FORUM, PUBLIC_THREAD, THREADS, World

Json = dict[str, Any]

MAX_CONTENT, MAX_FILES, MAX_EMBEDS, MAX_PINS = 2000, 10, 10, 250
DEFAULT, THREAD_CREATED, PINNED, REPLY, POLL_RESULT = 0, 18, 6, 19, 46
CROSSPOSTED, SUPPRESS_EMBEDS, HAS_THREAD, EPHEMERAL, VOICE_MESSAGE = 1, 1 << 2, 1 << 5, 1 << 6, 1 << 13


@frozen
class Upload:
    name: str
    data: bytes
    mimetype: str = ""


class Posts:
    """`world` changes, and the gateway tells of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._nonces: dict[tuple[str, str], Json] = {}

    # Messages.

    def create(
        self, channel_id: str, author: Json, body: Json, files: Sequence[Upload] = (), *, webhook: Json | None = None
    ) -> Json:
        """A new message of an API body; checks its form, not who may write."""
        nonce = body.get("nonce")
        key = (author["id"], str(nonce))
        if nonce is not None and body.get("enforce_nonce") and key in self._nonces:
            return self._nonces[key]
        channel = self.world.channel(channel_id)
        _check(body, files)
        message_id = body.get("_id") or self.world.ids.next()
        message = self._blank(message_id, channel_id, author, str(body.get("content") or ""))
        message["embeds"] = [{"type": "rich", **each} for each in body.get("embeds") or []]
        message["components"] = body.get("components") or []
        message["flags"] = int(body.get("flags") or 0)
        message["attachments"] = self._attach(channel_id, body, files)
        if nonce is not None:
            message["nonce"] = nonce
        if webhook is not None:
            message["webhook_id"] = webhook["id"]
            message["application_id"] = webhook.get("application_id")
        self._refer(message, body.get("message_reference"))
        self._stick(message, body.get("sticker_ids") or [])
        self._poll(message, body.get("poll"))
        self._mention(message, body.get("allowed_mentions"))
        if nonce is not None:
            self._nonces[key] = message
        return self._publish(channel, message)

    def _blank(self, message_id: str, channel_id: str, author: Json, content: str, kind: int = DEFAULT) -> Json:
        return {
            "id": message_id,
            "channel_id": channel_id,
            "author": author,
            "content": content,
            "timestamp": made_at(message_id),
            "edited_timestamp": None,
            "tts": False,
            "mention_everyone": False,
            "mentions": [],
            "mention_roles": [],
            "attachments": [],
            "embeds": [],
            "components": [],
            "pinned": False,
            "type": kind,
            "flags": 0,
        }

    def _publish(self, channel: Json, message: Json) -> Json:
        if channel["type"] in THREADS:
            channel["message_count"] += 1
            channel["total_message_sent"] += 1
            channel["thread_metadata"]["archived"] = False
        channel["last_message_id"] = message["id"]
        self.world.messages[channel["id"]][message["id"]] = message
        self.tell("MESSAGE_CREATE", message)
        return message

    def system(self, channel_id: str, kind: int, author: Json, content: str = "", **more: Any) -> Json:
        """A message that Discord writes itself: of a pin, a thread, a newcomer."""
        message = self._blank(self.world.ids.next(), channel_id, author, content, kind)
        message.update(more)
        return self._publish(self.world.channel(channel_id), message)

    def edit(self, message: Json, body: Json, files: Sequence[Upload] = ()) -> Json:
        _check({"content": message["content"], **body}, files, is_edit=True)
        if "content" in body:
            message["content"] = str(body["content"] or "")
        if "embeds" in body:
            message["embeds"] = [{"type": "rich", **each} for each in body["embeds"] or []]
        if "components" in body:
            message["components"] = body["components"] or []
        if "flags" in body:
            message["flags"] = int(body["flags"])
        if "attachments" in body or files:
            named = {str(each["id"]) for each in body.get("attachments", [])}
            kept = [each for each in message["attachments"] if each["id"] in named or "attachments" not in body]
            message["attachments"] = kept + self._attach(message["channel_id"], body, files)
        message["edited_timestamp"] = now()
        self._mention(message, body.get("allowed_mentions"))
        self.tell("MESSAGE_UPDATE", message)
        return message

    def unfurl(self, message: Json, embed: Json) -> None:
        """Discord has looked at a link: an update without an edit."""
        message["embeds"].append(embed)
        self.tell("MESSAGE_UPDATE", message)

    def delete(self, message: Json) -> None:
        channel_id = message["channel_id"]
        del self.world.messages[channel_id][message["id"]]
        gone = {"id": message["id"], "channel_id": channel_id, **self._guild(channel_id)}
        self._say("MESSAGE_DELETE", channel_id, gone)

    def delete_bulk(self, channel_id: str, message_ids: Sequence[str]) -> None:
        gone = [each for each in message_ids if self.world.messages[channel_id].pop(each, None)]
        self._say("MESSAGE_DELETE_BULK", channel_id, {"ids": gone, "channel_id": channel_id, **self._guild(channel_id)})

    def pin(self, message: Json, by: Json, *, is_pinned: bool) -> None:
        channel_id = message["channel_id"]
        if message["pinned"] == is_pinned:
            return
        if is_pinned and sum(each["pinned"] for each in self.world.messages[channel_id].values()) >= MAX_PINS:
            raise Refused(*errors.TOO_MANY_PINS)
        message["pinned"], message["_pinned_at"] = is_pinned, now()
        self.tell("MESSAGE_UPDATE", message)
        stamp = message["_pinned_at"] if is_pinned else None
        pins = {"channel_id": channel_id, "last_pin_timestamp": stamp, **self._guild(channel_id)}
        self._say("CHANNEL_PINS_UPDATE", channel_id, pins)
        if is_pinned:
            reference = {"type": 0, "channel_id": channel_id, "message_id": message["id"], **self._guild(channel_id)}
            self.system(channel_id, PINNED, by, message_reference=reference)

    # Reactions.

    def react(self, message: Json, user_id: str, emoji: Json, *, is_added: bool) -> None:
        key = (message["id"], emoji_key(emoji))
        users = self.world.reactions.setdefault(key, [])
        if (user_id in users) == is_added:
            return
        users.append(user_id) if is_added else users.remove(user_id)
        if not users:
            del self.world.reactions[key]
        channel_id = message["channel_id"]
        data = {"user_id": user_id, "channel_id": channel_id, "message_id": message["id"], "emoji": emoji}
        data.update(burst=False, type=0, **self._guild(channel_id))
        guild_id = data.get("guild_id")
        if is_added and guild_id and user_id in self.world.guilds[guild_id].members:
            data["member"] = self.world.guilds[guild_id].members[user_id]
        if is_added:
            data["message_author_id"] = message["author"]["id"]
        self._say("MESSAGE_REACTION_ADD" if is_added else "MESSAGE_REACTION_REMOVE", channel_id, data)

    def clear_reactions(self, message: Json, emoji: Json | None = None) -> None:
        for key in [key for key in self.world.reactions if key[0] == message["id"]]:
            if emoji is None or key[1] == emoji_key(emoji):
                del self.world.reactions[key]
        channel_id = message["channel_id"]
        data = {"channel_id": channel_id, "message_id": message["id"], **self._guild(channel_id)}
        if emoji is None:
            self._say("MESSAGE_REACTION_REMOVE_ALL", channel_id, data)
        else:
            self._say("MESSAGE_REACTION_REMOVE_EMOJI", channel_id, {**data, "emoji": emoji})

    # Polls.

    def vote(self, message: Json, user_id: str, answer_id: int, *, is_chosen: bool) -> None:
        poll = message["poll"]
        others = [each["answer_id"] for each in poll["answers"] if each["answer_id"] != answer_id]
        if is_chosen and not poll["allow_multiselect"]:
            for other in others:
                self.vote(message, user_id, other, is_chosen=False)
        users = self.world.votes.setdefault((message["id"], answer_id), [])
        if (user_id in users) == is_chosen:
            return
        users.append(user_id) if is_chosen else users.remove(user_id)
        channel_id = message["channel_id"]
        data = {"user_id": user_id, "channel_id": channel_id, "message_id": message["id"], "answer_id": answer_id}
        event = "MESSAGE_POLL_VOTE_ADD" if is_chosen else "MESSAGE_POLL_VOTE_REMOVE"
        self._say(event, channel_id, {**data, **self._guild(channel_id)})

    def end_poll(self, message: Json) -> None:
        message["poll"]["results"] = {"is_finalized": True, "answer_counts": []}
        message["poll"]["expiry"] = now()
        self.tell("MESSAGE_UPDATE", message)
        reference = {"type": 0, "channel_id": message["channel_id"], "message_id": message["id"]}
        counts = {each["answer_id"]: self._votes(message, each["answer_id"]) for each in message["poll"]["answers"]}
        best = max(counts, key=lambda answer: counts[answer])
        texts = {each["answer_id"]: each["poll_media"]["text"] for each in message["poll"]["answers"]}
        fields = {
            "poll_question_text": message["poll"]["question"]["text"],
            "victor_answer_votes": str(counts[best]),
            "total_votes": str(sum(counts.values())),
            "victor_answer_id": str(best),
            "victor_answer_text": texts[best],
        }
        embed = {"type": "poll_result", "fields": [{"name": k, "value": v, "inline": False} for k, v in fields.items()]}
        more: Json = {"message_reference": reference, "embeds": [embed]}
        self.system(message["channel_id"], POLL_RESULT, message["author"], **more)

    def _votes(self, message: Json, answer_id: int) -> int:
        return len(self.world.votes.get((message["id"], answer_id), []))

    # Threads.

    def start_thread(
        self, channel_id: str, name: str, by: Json, root: Json | None = None, kind: int = PUBLIC_THREAD
    ) -> Json:
        parent = self.world.channel(channel_id)
        thread_id = root["id"] if root is not None else self.world.ids.next()
        if thread_id in self.world.channels:
            raise Refused(400, 160004, "A thread has already been created for this message")
        thread = {
            "id": thread_id,
            "type": kind,
            "guild_id": parent["guild_id"],
            "parent_id": channel_id,
            "owner_id": by["id"],
            "name": name,
            "last_message_id": None,
            "message_count": 0,
            "member_count": 1,
            "total_message_sent": 0,
            "rate_limit_per_user": 0,
            "flags": 0,
            "thread_metadata": {
                "archived": False,
                "auto_archive_duration": 1440,
                "archive_timestamp": now(),
                "locked": False,
                "create_timestamp": now(),
            },
        }
        self.world.channels[thread_id] = thread
        self.world.messages[thread_id] = {}
        self._say("THREAD_CREATE", channel_id, {**thread, "newly_created": True})
        if root is not None:
            root["flags"] |= HAS_THREAD
            root["thread"] = thread
            self.tell("MESSAGE_UPDATE", root)
        elif parent["type"] != FORUM:
            reference = {"type": 0, "channel_id": thread_id, "guild_id": parent["guild_id"]}
            self.system(channel_id, THREAD_CREATED, by, name, message_reference=reference)
        return thread

    # Showing.

    def show(self, message: Json, viewer: str) -> Json:
        """As this user is shown it: with reactions, votes, what it answers."""
        shown = {key: value for key, value in message.items() if not key.startswith("_")}
        reactions = []
        for (message_id, key), users in self.world.reactions.items():
            if message_id == message["id"]:
                me = viewer in users
                details = {"burst": 0, "normal": len(users)}
                emoji = emoji_of_key(key)
                reactions.append({"emoji": emoji, "count": len(users), "count_details": details, "me": me})
        if reactions:
            shown["reactions"] = reactions
        if "poll" in message and not message["poll"].get("results", {}).get("is_finalized"):
            counts = [self._count(message, each["answer_id"], viewer) for each in message["poll"]["answers"]]
            results = {"is_finalized": False, "answer_counts": [each for each in counts if each["count"]]}
            shown["poll"] = {**message["poll"], "results": results}
        reference = message.get("message_reference")
        if reference and message["type"] == REPLY:
            found = self.world.messages.get(reference["channel_id"], {}).get(reference["message_id"])
            shown["referenced_message"] = None if found is None else _bare(found)
        return shown

    def _count(self, message: Json, answer_id: int, viewer: str) -> Json:
        users = self.world.votes.get((message["id"], answer_id), [])
        return {"id": answer_id, "count": len(users), "me_voted": viewer in users}

    def tell(self, event: str, message: Json) -> None:
        """To every bot that sees the channel."""
        channel_id = message["channel_id"]
        shown = {**self.show(message, ""), **self._guild(channel_id)}
        guild_id = shown.get("guild_id")
        member = self.world.guilds[guild_id].members.get(message["author"]["id"]) if guild_id else None
        if member is not None and "webhook_id" not in message:
            shown["member"] = {key: value for key, value in member.items() if key != "user"}
        self._say(event, channel_id, shown)

    def _say(self, event: str, channel_id: str, data: Json) -> None:
        guild_id = self.world.channels[channel_id].get("guild_id")
        self.world.tell(event, data, guild_id=guild_id, channel_id=channel_id)

    def _guild(self, channel_id: str) -> Json:
        guild_id = self.world.channel(channel_id).get("guild_id")
        return {"guild_id": guild_id} if guild_id else {}

    # Parts of a message.

    def _attach(self, channel_id: str, body: Json, files: Sequence[Upload]) -> list[Json]:
        described = {str(each.get("id")): each for each in body.get("attachments") or []}
        attached = []
        for index, upload in enumerate(files):
            more = described.get(str(index), {})
            attached.append(self.keep(channel_id, upload, more))
        return attached

    def keep(self, channel_id: str, upload: Upload, more: Json) -> Json:
        """A file at the CDN, as an attachment."""
        attachment_id = self.world.ids.next()
        name = str(more.get("filename") or upload.name)
        mimetype = mimetypes.guess_type(name)[0] or upload.mimetype or "application/octet-stream"
        path = f"/attachments/{channel_id}/{attachment_id}/{name}"
        self.world.files[path] = (upload.data, mimetype)
        # Real addresses are signed and expire; who drops the query is refused.
        url = f"{self.world.cdn}{path}?ex=ffffffff&is=0&hm={attachment_id}&"
        attachment = {
            "id": attachment_id,
            "filename": name,
            "size": len(upload.data),
            "url": url,
            "proxy_url": url,
            "content_type": mimetype,
            "flags": 0,
            **({"description": more["description"]} if more.get("description") else {}),
        }
        for key in ("duration_secs", "waveform"):
            if key in more:
                attachment[key] = more[key]
        size = _picture_size(upload.data) if mimetype.startswith("image/") else None
        if size:
            attachment["width"], attachment["height"] = size
        return attachment

    def _refer(self, message: Json, reference: Json | None) -> None:
        if not reference:
            return
        channel_id = str(reference.get("channel_id") or message["channel_id"])
        found = self.world.messages.get(channel_id, {}).get(str(reference["message_id"]))
        kind = int(reference.get("type") or 0)
        if found is None and reference.get("fail_if_not_exists", True):
            raise invalid_form("message_reference", "Unknown message")
        kept = {"type": kind, "channel_id": channel_id, "message_id": str(reference["message_id"])}
        message["message_reference"] = {**kept, **self._guild(channel_id)}
        if kind == 1 and found is not None:
            wanted = ("content", "embeds", "attachments", "timestamp", "edited_timestamp", "flags", "mentions", "type")
            snapshot = {key: found[key] for key in wanted if key in found}
            snapshot.update(mention_roles=found["mention_roles"], components=found["components"])
            if "sticker_items" in found:
                snapshot["sticker_items"] = found["sticker_items"]
            message["message_snapshots"] = [{"message": snapshot}]
            message["flags"] |= 1 << 14
        elif kind == 0:
            message["type"] = REPLY

    def _stick(self, message: Json, sticker_ids: Sequence[str]) -> None:
        if not sticker_ids:
            return
        known = {sid: sticker for guild in self.world.guilds.values() for sid, sticker in guild.stickers.items()}
        if any(str(each) not in known for each in sticker_ids):
            raise Refused(*errors.UNKNOWN_STICKER)
        stickers = [known[str(each)] for each in sticker_ids]
        message["sticker_items"] = [{k: each[k] for k in ("id", "name", "format_type")} for each in stickers]

    def _poll(self, message: Json, poll: Json | None) -> None:
        if not poll:
            return
        answers = poll["answers"]
        if not 1 <= len(answers) <= 10 or len(poll["question"]["text"]) > 300:
            raise invalid_form("poll", "Must be of 1 to 10 answers, and a question of 300 characters at most.")
        if any(len(each["poll_media"].get("text", "")) > 55 for each in answers):
            raise invalid_form("poll.answers", "Must be 55 or fewer in length.")
        hours = int(poll.get("duration") or 24)
        message["poll"] = {
            "question": {"text": poll["question"]["text"]},
            "answers": [{"answer_id": at + 1, "poll_media": each["poll_media"]} for at, each in enumerate(answers)],
            "expiry": (datetime.now(UTC) + timedelta(hours=hours)).isoformat(),
            "allow_multiselect": bool(poll.get("allow_multiselect")),
            "layout_type": 1,
        }

    def _mention(self, message: Json, allowed: Json | None) -> None:
        """Whom the text names, as far as it may (allowed_mentions)."""
        text = message["content"]
        kinds = {"users", "roles", "everyone"} if allowed is None else set(allowed.get("parse", []))
        users = set(re.findall(r"<@!?(\d+)>", text))
        if "users" not in kinds:
            users &= {str(each) for each in (allowed or {}).get("users", [])}
        message["mentions"] = [self.world.users[each] for each in sorted(users) if each in self.world.users]
        guild_id = self.world.channels[message["channel_id"]].get("guild_id")
        if guild_id is None:
            return
        roles = set(re.findall(r"<@&(\d+)>", text)) & set(self.world.guilds[guild_id].roles)
        if "roles" not in kinds:
            roles &= {str(each) for each in (allowed or {}).get("roles", [])}
        message["mention_roles"] = sorted(roles)
        may = "webhook_id" in message or self._may(message, P.MENTION_EVERYONE)
        message["mention_everyone"] = "everyone" in kinds and may and bool(re.search(r"@everyone|@here", text))

    def _may(self, message: Json, needed: P) -> bool:
        return bool(self.world.permissions(message["author"]["id"], message["channel_id"]) & needed)


def emoji_key(emoji: Json) -> str:
    return f"{emoji['name']}:{emoji['id']}" if emoji.get("id") else str(emoji["name"])


def emoji_of_key(key: str) -> Json:
    """As it stands in addresses: the character, or name:id."""
    name, colon, emoji_id = key.rpartition(":")
    if colon and emoji_id.isdigit():
        return {"id": emoji_id, "name": name.removeprefix("a:"), "animated": name.startswith("a:")}
    return {"id": None, "name": key}


def voice_waveform() -> str:
    return base64.b64encode(bytes(range(64))).decode()


def _bare(message: Json) -> Json:
    return {key: value for key, value in message.items() if not key.startswith("_")}


def _check(body: Json, files: Sequence[Upload], *, is_edit: bool = False) -> None:
    content = body.get("content") or ""
    if len(content) > MAX_CONTENT:
        raise invalid_form("content", "Must be 2000 or fewer in length.")
    if len(files) > MAX_FILES or len(body.get("embeds") or []) > MAX_EMBEDS:
        raise invalid_form("embeds", "Must be 10 or fewer in length.")
    if len(str(body.get("nonce") or "")) > 25:
        raise invalid_form("nonce", "Must be 25 or fewer in length.")
    reference = body.get("message_reference") or {}
    filled = (
        content.strip(),
        files,
        body.get("embeds"),
        body.get("sticker_ids"),
        body.get("poll"),
        body.get("components"),
    )
    if not is_edit and not any(filled) and reference.get("type") != 1:
        raise Refused(*errors.EMPTY_MESSAGE)


def _picture_size(data: bytes) -> tuple[int, int] | None:
    try:
        return Image.open(io.BytesIO(data)).size
    except (UnidentifiedImageError, OSError):
        return None
