"""What can happen in a workspace, whoever does it (a person, or an app by the API), and what is told of it."""

import time
from typing import Any

from tests.support.fake_slack.errors import SlackError
from tests.support.fake_slack.world import PREFIXES, Channel, Json, World

# Events of a channel are named by its kind.
_FAMILY = {"channel": "channel", "group": "group", "mpim": "group", "im": "im"}
_KNOWN_EMOJI_CHARS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-+':")


class Acts:
    """Each method changes the world and tells of it, as Slack does."""

    def __init__(self, world: World) -> None:
        self.world = world

    # Conversations

    def create_channel(
        self, name: str, creator: str, kind: str = "channel", members: list[str] | None = None
    ) -> Channel:
        world = self.world
        if kind in ("channel", "group") and any(c.name == name and not c.is_direct for c in world.channels.values()):
            raise SlackError("name_taken")
        channel = Channel(world.new_id(PREFIXES[kind]), name, kind, creator, int(time.time()))
        channel.members = list(dict.fromkeys([creator, *(members or [])]))
        world.channels[channel.id] = channel
        if kind == "im":
            world.emit({"type": "im_created", "user": creator, "channel": channel.json(creator)}, channel)
        elif kind == "channel":
            world.emit({"type": "channel_created", "channel": channel.json(creator)}, channel)
        return channel

    def open_direct(self, user_ids: list[str], opener: str) -> tuple[Channel, bool]:
        """The conversation of exactly these people, and whether it was there already."""
        everyone = set(user_ids) | {opener}
        kind = "im" if len(everyone) <= 2 else "mpim"
        for channel in self.world.channels.values():
            if channel.kind == kind and set(channel.members) == everyone:
                already = opener in channel.is_open
                channel.is_open.add(opener)
                return channel, already
        names = "--".join(sorted(self.world.user(user)["name"] for user in everyone))
        name = "" if kind == "im" else f"mpdm-{names}-1"
        channel = self.create_channel(name, opener, kind, sorted(everyone))
        channel.is_open.add(opener)
        return channel, False

    def join(self, channel: Channel, user_id: str, inviter: str | None = None) -> bool:
        """False: the user was there."""
        if channel.is_archived:
            raise SlackError("is_archived")
        if user_id in channel.members:
            return False
        channel.members.append(user_id)
        event = {"type": "member_joined_channel", "user": user_id, "team": self.world.team["id"]}
        event |= {"channel": channel.id, "channel_type": channel.id[0], "event_ts": self.world.new_ts()}
        self.world.emit(event | ({"inviter": inviter} if inviter else {}), channel)
        if not channel.is_direct:
            more = {"inviter": inviter} if inviter else {}
            self._notice(
                channel, user_id, f"{_FAMILY[channel.kind]}_join", f"<@{user_id}> has joined the channel", **more
            )
        return True

    def leave(self, channel: Channel, user_id: str) -> None:
        if user_id not in channel.members:
            raise SlackError("not_in_channel")
        event = {"type": "member_left_channel", "user": user_id, "team": self.world.team["id"]}
        event |= {"channel": channel.id, "channel_type": channel.id[0], "event_ts": self.world.new_ts()}
        # Whoever left is told by an event of its own.
        left = {"type": f"{_FAMILY[channel.kind]}_left", "channel": channel.id, "actor_id": user_id}
        self.world.emit(left | {"event_ts": self.world.new_ts(), "user": user_id}, channel)
        channel.members.remove(user_id)
        self.world.emit(event, channel)

    def rename(self, channel: Channel, name: str, user_id: str) -> None:
        old, channel.name = channel.name, name
        told = {"id": channel.id, "name": name, "name_normalized": name, "created": channel.created}
        event = {"type": f"{_FAMILY[channel.kind]}_rename", "channel": told, "event_ts": self.world.new_ts()}
        self.world.emit(event, channel)
        text = f'has renamed the channel from "{old}" to "{name}"'
        self._notice(channel, user_id, f"{_FAMILY[channel.kind]}_name", text, old_name=old, name=name)

    def set_topic(self, channel: Channel, topic: str, user_id: str) -> None:
        channel.topic = {"value": topic, "creator": user_id, "last_set": int(time.time())}
        self._notice(channel, user_id, f"{_FAMILY[channel.kind]}_topic", f"set the channel topic: {topic}", topic=topic)

    def set_purpose(self, channel: Channel, purpose: str, user_id: str) -> None:
        channel.purpose = {"value": purpose, "creator": user_id, "last_set": int(time.time())}
        text = f"set the channel description: {purpose}"
        self._notice(channel, user_id, f"{_FAMILY[channel.kind]}_purpose", text, purpose=purpose)

    def archive(self, channel: Channel, user_id: str, archived: bool = True) -> None:
        channel.is_archived = archived
        word = "archive" if archived else "unarchive"
        event = {"type": f"{_FAMILY[channel.kind]}_{word}", "channel": channel.id, "user": user_id}
        self.world.emit(event | {"event_ts": self.world.new_ts()}, channel)

    def delete_channel(self, channel: Channel, user_id: str) -> None:
        event = {"type": f"{_FAMILY[channel.kind]}_deleted", "channel": channel.id, "actor_id": user_id}
        self.world.emit(event | {"event_ts": self.world.new_ts()}, channel)
        del self.world.channels[channel.id]

    def mark(self, channel: Channel, user_id: str, ts: str) -> None:
        channel.last_read[user_id] = ts
        word = {"im": "im_marked", "channel": "channel_marked"}.get(channel.kind, "group_marked")
        self.world.emit({"type": word, "channel": channel.id, "ts": ts, "user": user_id, "only_for": user_id}, channel)

    # Messages

    def post(self, channel: Channel, message: Json) -> Json:
        """A new message; `message` holds all but its ts. A reply is told and counted in its thread."""
        if channel.is_archived:
            raise SlackError("is_archived")
        ts = self.world.new_ts()
        message = {"type": "message", "ts": ts, "team": self.world.team["id"], **message}
        thread = message.get("thread_ts")
        if thread:
            self._count_reply(channel, thread, message)
        channel.messages[ts] = message
        self.tell_message(channel, message)
        return message

    def tell_message(self, channel: Channel, message: Json) -> None:
        kind = "mpim" if channel.kind == "mpim" else channel.kind
        event = {**message, "channel": channel.id, "channel_type": kind, "event_ts": message["ts"]}
        self.world.emit(event, channel)

    def _count_reply(self, channel: Channel, thread: str, reply: Json) -> None:
        parent = channel.messages.get(thread)
        if parent is None or parent.get("thread_ts", thread) != thread:
            raise SlackError("thread_not_found")
        author = reply.get("user") or reply.get("bot_id")
        users = [*parent.get("reply_users", []), *([author] if author not in parent.get("reply_users", []) else [])]
        parent |= {
            "thread_ts": thread,
            "reply_count": parent.get("reply_count", 0) + 1,
            "reply_users": users,
            "reply_users_count": len(users),
            "latest_reply": reply["ts"],
        }
        if "user" in parent:
            reply["parent_user_id"] = parent["user"]

    def edit(self, channel: Channel, ts: str, changes: Json, editor: str | None) -> Json:
        """`editor` None: not an edit of a person's (an unfurled link): the message is not marked as edited."""
        old = self.world.message(channel, ts)
        new = {**old, **changes}
        if editor:
            new["edited"] = {"user": editor, "ts": self.world.new_ts()}
        channel.messages[ts] = new
        self._tell_hidden(channel, "message_changed", message=new, previous_message=old)
        return new

    def delete(self, channel: Channel, ts: str) -> None:
        old = self.world.message(channel, ts)
        if ts in channel.pins:
            channel.pins.remove(ts)
        if old.get("reply_count"):
            tombstone = {**old, "subtype": "tombstone", "text": "This message was deleted.", "user": "USLACKBOT"}
            for name in ("blocks", "files", "attachments", "reactions", "bot_id"):
                tombstone.pop(name, None)
            channel.messages[ts] = {**tombstone, "hidden": True}
            self._tell_hidden(channel, "message_changed", message=channel.messages[ts], previous_message=old)
            return
        del channel.messages[ts]
        parent = channel.messages.get(old.get("thread_ts", ""))
        if parent is not None:
            parent["reply_count"] = max(0, parent.get("reply_count", 1) - 1)
        self._tell_hidden(channel, "message_deleted", deleted_ts=ts, previous_message=old)

    def _tell_hidden(self, channel: Channel, subtype: str, **fields: Any) -> None:
        ts = self.world.new_ts()
        event = {"type": "message", "subtype": subtype, "hidden": True, "channel": channel.id, "ts": ts, "event_ts": ts}
        self.world.emit({**event, "channel_type": channel.kind, **fields}, channel)

    def _notice(self, channel: Channel, user_id: str, subtype: str, text: str, **fields: Any) -> None:
        self.post(channel, {"subtype": subtype, "user": user_id, "text": text, **fields})

    # Reactions and pins

    def react(self, channel: Channel, ts: str, name: str, user_id: str) -> None:
        message = self.world.message(channel, ts)
        if not name or set(name) - _KNOWN_EMOJI_CHARS or (name.startswith("no_such") and name not in self.world.emoji):
            raise SlackError("invalid_name")
        reactions: list[Json] = message.setdefault("reactions", [])
        mine = next((reaction for reaction in reactions if reaction["name"] == name), None)
        if mine is None:
            mine = {"name": name, "users": [], "count": 0}
            reactions.append(mine)
        if user_id in mine["users"]:
            raise SlackError("already_reacted")
        mine["users"].append(user_id)
        mine["count"] += 1
        self._tell_reaction("reaction_added", channel, message, name, user_id)

    def unreact(self, channel: Channel, ts: str, name: str, user_id: str) -> None:
        message = self.world.message(channel, ts)
        for reaction in message.get("reactions", []):
            if reaction["name"] == name and user_id in reaction["users"]:
                reaction["users"].remove(user_id)
                reaction["count"] -= 1
                message["reactions"] = [each for each in message["reactions"] if each["count"]]
                self._tell_reaction("reaction_removed", channel, message, name, user_id)
                return
        raise SlackError("no_reaction")

    def _tell_reaction(self, kind: str, channel: Channel, message: Json, name: str, user_id: str) -> None:
        item = {"type": "message", "channel": channel.id, "ts": message["ts"]}
        event = {"type": kind, "user": user_id, "reaction": name, "item": item, "event_ts": self.world.new_ts()}
        if message.get("user"):
            event["item_user"] = message["user"]
        self.world.emit(event, channel)

    def pin(self, channel: Channel, ts: str, user_id: str) -> None:
        message = self.world.message(channel, ts)
        if ts in channel.pins:
            raise SlackError("already_pinned")
        channel.pins.append(ts)
        message["pinned_to"] = [channel.id]
        self._tell_pin("pin_added", channel, message, user_id)

    def unpin(self, channel: Channel, ts: str, user_id: str) -> None:
        if ts not in channel.pins:
            raise SlackError("no_pin")
        channel.pins.remove(ts)
        self._tell_pin("pin_removed", channel, channel.messages[ts], user_id)

    def _tell_pin(self, kind: str, channel: Channel, message: Json, user_id: str) -> None:
        item = {"type": "message", "channel": channel.id, "created": int(time.time()), "created_by": user_id}
        item["message"] = message
        event = {"type": kind, "user": user_id, "channel_id": channel.id, "item": item}
        self.world.emit({**event, "event_ts": self.world.new_ts()}, channel)

    # People and the team

    def change_profile(self, user_id: str, **profile: Any) -> None:
        user = self.world.user(user_id)
        user["profile"].update(profile)
        if "real_name" in profile:
            user["real_name"] = profile["real_name"]
        for kind in ("user_change", "user_profile_changed"):
            self.world.emit({"type": kind, "user": user, "cache_ts": int(time.time()), "event_ts": self.world.new_ts()})

    def change_presence(self, user_id: str, presence: str) -> None:
        self.world.presence[user_id] = presence
        self.world.emit({"type": "presence_change", "user": user_id, "presence": presence})

    def add_emoji(self, name: str, value: str) -> None:
        self.world.emoji[name] = value
        event = {"type": "emoji_changed", "subtype": "add", "name": name, "value": value}
        self.world.emit({**event, "event_ts": self.world.new_ts()})

    def remove_emoji(self, name: str) -> None:
        del self.world.emoji[name]
        event = {"type": "emoji_changed", "subtype": "remove", "names": [name], "event_ts": self.world.new_ts()}
        self.world.emit(event)

    def rename_team(self, name: str) -> None:
        self.world.team["name"] = name
        self.world.emit({"type": "team_rename", "name": name, "team_id": self.world.team["id"]})

    def typing(self, channel: Channel, user_id: str) -> None:
        self.world.emit({"type": "user_typing", "channel": channel.id, "user": user_id}, channel)
