"""What a test does on this Discord: its people post, edit, react, vote; its servers fail.

discord = FakeDiscord()
discord.start()
carol = discord.person("carol", "Carol")
guild = discord.guild("Wonderland", owner=carol)
bot = discord.bot("Hearth", guild)
garden = discord.channel(guild, "garden")
message = discord.post(garden, carol, "hello")
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tests.support.fake_discord.gateway import INVALID, RECONNECT
from tests.support.fake_discord.ids import now
from tests.support.fake_discord.limits import Limits
from tests.support.fake_discord.permissions import P
from tests.support.fake_discord.posts import Upload, emoji_of_key
from tests.support.fake_discord.server import Asked, Server, ServerThread
from tests.support.fake_discord.world import TEXT, Bot, World

Json = dict[str, Any]
T = TypeVar("T")

# What the bridge is invited with; see the chapter Discord of docs/bridges.md.
BRIDGE_PERMISSIONS = (
    P.VIEW_CHANNEL | P.SEND_MESSAGES | P.SEND_MESSAGES_IN_THREADS | P.CREATE_PUBLIC_THREADS | P.EMBED_LINKS
    | P.ATTACH_FILES | P.READ_MESSAGE_HISTORY | P.ADD_REACTIONS | P.USE_EXTERNAL_EMOJIS | P.USE_EXTERNAL_STICKERS
    | P.MANAGE_WEBHOOKS | P.MANAGE_MESSAGES | P.PIN_MESSAGES | P.MANAGE_CHANNELS | P.MANAGE_THREADS | P.MANAGE_ROLES
    | P.KICK_MEMBERS | P.BAN_MEMBERS | P.VIEW_AUDIT_LOG | P.SEND_POLLS | P.CREATE_EXPRESSIONS | P.MENTION_EVERYONE
)  # fmt: skip


class FakeDiscord:
    """`limit_scale` shortens all windows of the rate limits."""

    def __init__(self, limit_scale: float = 0.01) -> None:
        self.server = Server(limits=Limits(limit_scale))
        self._thread = ServerThread(self.server)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._thread.stop()

    @property
    def api(self) -> str:
        return f"{self._thread.url}/api/v10"

    @property
    def gateway_url(self) -> str:
        return self.server.gateway.url

    @property
    def cdn(self) -> str:
        return self.world.cdn

    @property
    def world(self) -> World:
        return self.server.world

    @property
    def asked(self) -> list[Asked]:
        return self.server.asked

    def do(self, function: Callable[[], T]) -> T:
        return self._thread.do(function)

    # What there is.

    def person(self, name: str, global_name: str | None = None, avatar: bytes = b"") -> Json:
        return self.do(lambda: self.world.add_user(name, global_name=global_name, avatar=avatar))

    def guild(self, name: str, owner: Json) -> str:
        return str(self.do(lambda: self.world.add_guild(name, owner["id"])).id)

    def bot(self, name: str, guild_id: str | None = None, permissions: int = BRIDGE_PERMISSIONS, **more: Any) -> Bot:
        """An application; in the guild with a role of its own that has these permissions."""

        def make() -> Bot:
            bot = self.world.add_bot(name, **more)
            if guild_id is not None:
                self.world.users[bot.user_id]["bot"] = True
                role = self.world.add_role(guild_id, name, int(permissions))
                role["managed"], role["tags"] = True, {"bot_id": bot.user_id}
                self.world.put_member(guild_id, bot.user_id, roles=(role["id"],))
            return bot

        return self.do(make)

    def join(self, guild_id: str, person: Json, nick: str | None = None, roles: Sequence[str] = ()) -> None:
        def join() -> None:
            member = self.world.put_member(guild_id, person["id"], nick=nick, roles=tuple(roles))
            self.world.tell("GUILD_MEMBER_ADD", {**member, "guild_id": guild_id}, guild_id=guild_id)

        self.do(join)

    def leave(self, guild_id: str, person: Json) -> None:
        def leave() -> None:
            del self.world.guilds[guild_id].members[person["id"]]
            self.world.tell("GUILD_MEMBER_REMOVE", {"guild_id": guild_id, "user": person}, guild_id=guild_id)

        self.do(leave)

    def kick(self, guild_id: str, person: Json, by: Json, reason: str | None = None) -> None:
        self.do(lambda: self.world.put_out(guild_id, person["id"], by["id"], reason, bans=False))

    def ban(self, guild_id: str, person: Json, by: Json, reason: str | None = None) -> None:
        self.do(lambda: self.world.put_out(guild_id, person["id"], by["id"], reason, bans=True))

    def unban(self, guild_id: str, person: Json, by: Json) -> None:
        self.do(lambda: self.world.unban(guild_id, person["id"], by["id"], None))

    def set_member(self, guild_id: str, person: Json, **changes: Any) -> None:
        """A new nick, other roles."""

        def change() -> None:
            member = self.world.guilds[guild_id].members[person["id"]]
            member.update(changes)
            self.world.tell("GUILD_MEMBER_UPDATE", {"guild_id": guild_id, **member}, guild_id=guild_id)

        self.do(change)

    def role(self, guild_id: str, name: str, permissions: int = 0) -> str:
        def add() -> str:
            role = self.world.add_role(guild_id, name, permissions)
            self.world.tell("GUILD_ROLE_CREATE", {"guild_id": guild_id, "role": role}, guild_id=guild_id)
            return str(role["id"])

        return str(self.do(add))

    def delete_role(self, guild_id: str, role_id: str) -> None:
        """Its members are told of nothing but that."""

        def delete() -> None:
            guild = self.world.guilds[guild_id]
            del guild.roles[role_id]
            for member in guild.members.values():
                member["roles"] = [each for each in member["roles"] if each != role_id]
            self.world.tell("GUILD_ROLE_DELETE", {"guild_id": guild_id, "role_id": role_id}, guild_id=guild_id)

        self.do(delete)

    def set_role(self, guild_id: str, role_id: str, **changes: Any) -> None:
        def change() -> None:
            role = self.world.guilds[guild_id].roles[role_id]
            role.update(changes)
            self.world.tell("GUILD_ROLE_UPDATE", {"guild_id": guild_id, "role": role}, guild_id=guild_id)

        self.do(change)

    def bot_role(self, guild_id: str, bot: Bot) -> str:
        return str(self.world.guilds[guild_id].members[bot.user_id]["roles"][0])

    def channel(self, guild_id: str, name: str, kind: int = TEXT, **more: Any) -> str:
        def add() -> str:
            channel = self.world.add_channel(guild_id, name, kind, **more)
            self.world.tell("CHANNEL_CREATE", channel, guild_id=guild_id, channel_id=channel["id"])
            return str(channel["id"])

        return str(self.do(add))

    def set_channel(self, channel_id: str, **changes: Any) -> None:
        """A new name or topic, an overwrite of permissions."""

        def change() -> None:
            channel = self.world.channels[channel_id]
            channel.update(changes)
            event = "THREAD_UPDATE" if "thread_metadata" in channel else "CHANNEL_UPDATE"
            self.world.tell(event, channel, guild_id=channel["guild_id"], channel_id=channel_id)

        self.do(change)

    def delete_channel(self, channel_id: str) -> None:
        def delete() -> None:
            channel = self.world.channels[channel_id]
            self.world.tell("CHANNEL_DELETE", channel, guild_id=channel["guild_id"], channel_id=channel_id)
            del self.world.channels[channel_id], self.world.messages[channel_id]

        self.do(delete)

    def set_guild(self, guild_id: str, **changes: Any) -> None:
        def change() -> None:
            guild = self.world.guilds[guild_id]
            guild.json.update(changes)
            self.world.tell("GUILD_UPDATE", self.world.show_guild(guild), guild_id=guild_id)

        self.do(change)

    def emoji(self, guild_id: str, name: str, image: bytes, *, animated: bool = False) -> Json:
        return self.do(lambda: self.world.put_emoji(guild_id, name, image, animated=animated))

    def sticker(self, guild_id: str, name: str, image: bytes) -> Json:
        return self.do(lambda: self.world.put_sticker(guild_id, name, image))

    # What people do.

    def post(self, channel_id: str, person: Json, text: str = "", files: Sequence[Upload] = (), **body: Any) -> Json:
        """A message; `body` is of the API: embeds, poll, sticker_ids, message_reference, components."""
        return self.do(lambda: self.server.posts.create(channel_id, person, {"content": text, **body}, files))

    def reply(self, to: Json, person: Json, text: str) -> Json:
        reference = {"message_id": to["id"], "channel_id": to["channel_id"]}
        return self.post(to["channel_id"], person, text, message_reference=reference)

    def forward(self, message: Json, to: str, person: Json) -> Json:
        reference = {"type": 1, "message_id": message["id"], "channel_id": message["channel_id"]}
        return self.post(to, person, "", message_reference=reference)

    def edit(self, message: Json, text: str, **body: Any) -> Json:
        return self.do(lambda: self.server.posts.edit(message, {"content": text, **body}))

    def unfurl(self, message: Json, embed: Json) -> None:
        self.do(lambda: self.server.posts.unfurl(message, embed))

    def delete(self, message: Json) -> None:
        self.do(lambda: self.server.posts.delete(message))

    def delete_bulk(self, channel_id: str, messages: Sequence[Json]) -> None:
        self.do(lambda: self.server.posts.delete_bulk(channel_id, [each["id"] for each in messages]))

    def react(self, message: Json, person: Json, emoji: str, *, is_added: bool = True) -> None:
        """`emoji` is the character, or name:id."""
        found = emoji_of_key(emoji)
        self.do(lambda: self.server.posts.react(message, person["id"], found, is_added=is_added))

    def clear_reactions(self, message: Json, emoji: str | None = None) -> None:
        self.do(lambda: self.server.posts.clear_reactions(message, emoji_of_key(emoji) if emoji else None))

    def pin(self, message: Json, person: Json, *, is_pinned: bool = True) -> None:
        self.do(lambda: self.server.posts.pin(message, person, is_pinned=is_pinned))

    def vote(self, message: Json, person: Json, answer: int, *, is_chosen: bool = True) -> None:
        self.do(lambda: self.server.posts.vote(message, person["id"], answer, is_chosen=is_chosen))

    def end_poll(self, message: Json) -> None:
        self.do(lambda: self.server.posts.end_poll(message))

    def thread(self, channel_id: str, person: Json, name: str, root: Json | None = None) -> str:
        return str(self.do(lambda: self.server.posts.start_thread(channel_id, name, person, root))["id"])

    def forum_post(self, forum_id: str, person: Json, name: str, text: str) -> Json:
        """A post of a forum: a thread, whose first message has its id."""
        thread_id = self.thread(forum_id, person, name)
        return self.post(thread_id, person, text, _id=thread_id)

    def type(self, channel_id: str, person: Json) -> None:
        def start() -> None:
            data: Json = {"channel_id": channel_id, "user_id": person["id"], "timestamp": int(1e9)}
            guild_id = self.world.channels[channel_id].get("guild_id")
            if guild_id:
                data.update(guild_id=guild_id, member=self.world.guilds[guild_id].members[person["id"]])
            self.world.tell("TYPING_START", data, guild_id=guild_id, channel_id=channel_id)

        self.do(start)

    def presence(self, guild_id: str, person: Json, status: str) -> None:
        def change() -> None:
            presence = {"user": {"id": person["id"]}, "status": status, "activities": [], "client_status": {}}
            self.world.guilds[guild_id].presences[person["id"]] = presence
            self.world.tell("PRESENCE_UPDATE", {**presence, "guild_id": guild_id}, guild_id=guild_id)

        self.do(change)

    def direct(self, person: Json, bot: Bot) -> str:
        """The direct channel of a person with the bot."""
        return str(self.do(lambda: self.world.direct_channel(person["id"], bot.user_id))["id"])

    def press(self, message: Json, person: Json, custom_id: str, values: Sequence[str] = ()) -> Json:
        """A button, or (with values) a menu, of a message of an application. Gives the interaction; its `answer`
        comes when the application has spoken."""

        def press() -> Json:
            hook = self.world.webhooks.get(message.get("webhook_id", ""))
            application = str(hook["application_id"] if hook else message["author"]["id"])
            bot = next(each for each in self.world.bots.values() if each.application_id == application)
            channel = self.world.channels[message["channel_id"]]
            guild_id = channel.get("guild_id")
            data: Json = {"custom_id": custom_id, "component_type": 3 if values else 2}
            if values:
                data["values"] = list(values)
            interaction = {
                "id": self.world.ids.next(),
                "application_id": application,
                "type": 3,
                "data": data,
                "channel_id": channel["id"],
                "channel": channel,
                "token": f"interaction-{self.world.ids.next()}",
                "version": 1,
                "message": self.server.posts.show(message, ""),
                "attachment_size_limit": 10_000_000,
                "locale": "en-US",
                "entitlements": [],
                "authorizing_integration_owners": {},
                "context": 0,
            }
            if guild_id:
                member = {**self.world.guilds[guild_id].members[person["id"]], "permissions": "0"}
                interaction.update(guild_id=guild_id, member=member)
            else:
                interaction["user"] = person
            self.world.tell("INTERACTION_CREATE", interaction, to=bot.user_id)
            kept = {**interaction, "message": message, "answer": None, "hook": hook}
            self.world.interactions[interaction["token"]] = kept
            return kept

        return self.do(press)

    # What a test looks at.

    def messages(self, channel_id: str) -> list[Json]:
        """Those of a channel, oldest first."""
        return self.do(lambda: list(self.world.messages[channel_id].values()))

    def file(self, attachment: Json) -> bytes:
        path = attachment["url"].removeprefix(self.world.cdn).partition("?")[0]
        return self.world.files[path][0]

    # Faults.

    def drop_sockets(self, code: int = 1006) -> None:
        """Cuts every connection: without a word (1006), or with a close code."""

        def drop() -> None:
            for socket in list(self.server.gateway.sockets):
                if code == 1006:
                    transport = socket.ws._req.transport if socket.ws._req else None
                    if transport is not None:
                        transport.abort()
                else:
                    socket.close(code)

        self.do(drop)

    def ask_to_reconnect(self) -> None:
        def ask() -> None:
            for socket in self.server.gateway.sockets:
                socket.put(RECONNECT)

        self.do(ask)

    def invalidate_sessions(self, *, resumable: bool = False) -> None:
        """Sessions are over (or only interrupted): as told on the open sockets, and by op 9 to who resumes."""

        def invalidate() -> None:
            gateway = self.server.gateway
            for socket in gateway.sockets:
                socket.put(INVALID, resumable)
            if not resumable:
                gateway.sessions.clear()

        self.do(invalidate)

    def forget_sessions(self) -> None:
        """Whoever comes back must identify anew; what he missed is not replayed."""
        self.do(self.server.gateway.sessions.clear)

    def dispatch(self, event: str, data: Json) -> None:
        """Whatever the test wants: an unexpected payload, say."""

        def dispatch() -> None:
            for session in self.server.gateway.sessions.values():
                self.server.gateway.dispatch(session, event, data)

        self.do(dispatch)

    def send_raw(self, op: int, data: object) -> None:
        """Any payload to every socket."""

        def send() -> None:
            for socket in self.server.gateway.sockets:
                socket.put(op, data)

        self.do(send)

    def repeat_last(self, event: str) -> None:
        """The last dispatch of this kind again, under a new number: Discord says it may happen."""

        def repeat() -> None:
            for session in self.server.gateway.sessions.values():
                last = next((each for each in reversed(session.sent) if each["t"] == event), None)
                if last is not None:
                    self.server.gateway.dispatch(session, event, last["d"])

        self.do(repeat)

    def fail_next(self, route: str, status: int, times: int = 1, text: str = "upstream error") -> None:
        """The next requests of `POST /channels/{channel}/messages`, say, are answered with this status."""
        self.do(lambda: self.server.fail_next.extend([(route, status, text)] * times))

    def fail_after_next(self, route: str) -> None:
        """The next request of this route is done, and answered with a 502."""
        self.do(lambda: self.server.fail_after.append(route))

    def hold_answers(self, route: str) -> None:
        """What is asked for by this route is done, and never answered: until they are released."""
        self.do(lambda: self.server.held.add(route))

    def release_answers(self) -> None:
        def release() -> None:
            self.server.held.clear()
            self.server.released.set()

        self.do(release)

    def revoke(self, bot: Bot, *, is_revoked: bool = True) -> None:
        """The token is reset: every request is 401, the socket closes with 4004."""

        def revoke() -> None:
            bot.revoked = is_revoked
            if is_revoked:
                for session in [each for each in self.server.gateway.sessions.values() if each.bot is bot]:
                    del self.server.gateway.sessions[session.id]
                    if session.socket is not None:
                        session.socket.close(4004)

        self.do(revoke)

    def kick_bot(self, guild_id: str, bot: Bot) -> None:
        """The bot is thrown out of the guild."""

        def kick() -> None:
            self.world.tell("GUILD_DELETE", {"id": guild_id}, guild_id=guild_id, to=bot.user_id)
            del self.world.guilds[guild_id].members[bot.user_id]

        self.do(kick)

    def count(self, route: str, status: int | None = None) -> int:
        """How often this was asked for, and answered so."""
        found = [each for each in self.asked if f"{each.method} {each.route}" == route]
        return sum(status is None or each.status == status for each in found)


__all__ = ["BRIDGE_PERMISSIONS", "FakeDiscord", "Upload", "now"]
