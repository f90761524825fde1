"""What Slack delivers (events, pressed buttons, what a login's own connection tells) -> what core is to do."""

import logging
from collections.abc import Awaitable, Callable, Sequence

from appservice.bridges.core.errors import NetworkError
from appservice.bridges.core.ids import JsonDict, MessageId
from appservice.bridges.core.incoming import (
    Channel,
    ChannelChanged,
    ChannelRemoved,
    Deleted,
    Edited,
    EmojiChanged,
    MemberChanged,
    PersonChanged,
    PinChanged,
    ReactionChanged,
    Receipt,
    RemoteEvent,
    SpaceChanged,
)
from appservice.bridges.slack.formatting.mrkdwn import unescape
from appservice.bridges.slack.formatting.rich_text import text_of
from appservice.bridges.slack.ids import space_id
from appservice.bridges.slack.messages import Messages
from appservice.bridges.slack.team import Team

logger = logging.getLogger(__name__)
Read = Callable[[Team, JsonDict], Awaitable[Sequence[RemoteEvent]]]


class Events:
    """`read` gives nothing for what it does not know, or what is badly formed."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._readers: dict[str, Read] = {
            "message": self._message,
            "reaction_added": self._reaction,
            "reaction_removed": self._reaction,
            "pin_added": self._pin,
            "pin_removed": self._pin,
            "member_joined_channel": self._member,
            "member_left_channel": self._member,
            "channel_left": self._left,
            "group_left": self._left,
            "channel_rename": self._renamed,
            "group_rename": self._renamed,
            "channel_archive": self._archived,
            "group_archive": self._archived,
            "channel_unarchive": self._archived,
            "group_unarchive": self._archived,
            "channel_deleted": self._removed,
            "group_deleted": self._removed,
            "user_change": self._person,
            "team_join": self._person,
            "emoji_changed": self._emoji,
            "team_rename": self._team,
            "channel_marked": self._marked,
            "group_marked": self._marked,
            "mpim_marked": self._marked,
            "im_marked": self._marked,
        }

    async def read(self, team: Team, event: JsonDict) -> Sequence[RemoteEvent]:
        reader = self._readers.get(text_of(event.get("type")))
        if reader is None:
            return ()
        try:
            return await reader(team, event)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            # Slack adds and changes fields; one event that we cannot read must not hold up the channel.
            logger.exception("An event of Slack could not be read: %s", event.get("type"))
            return ()

    # Messages

    async def _message(self, team: Team, event: JsonDict) -> Sequence[RemoteEvent]:
        channel, subtype = str(event["channel"]), event.get("subtype")
        if subtype == "message_changed":
            return await self._changed(team, channel, event)
        if subtype == "message_deleted":
            return (Deleted(channel=team.full_channel(channel), id=MessageId(event["deleted_ts"])),)
        if subtype in ("channel_topic", "group_topic", "channel_purpose", "group_purpose"):
            return self._topic(team, channel, event)
        message = await self._messages.read(team, channel, event)
        return () if message is None else (message,)

    async def _changed(self, team: Team, channel: str, event: JsonDict) -> Sequence[RemoteEvent]:
        changed = event["message"]
        if changed.get("subtype") == "tombstone":
            return (Deleted(channel=team.full_channel(channel), id=MessageId(changed["ts"])),)
        message = await self._messages.read(team, channel, changed)
        return () if message is None else (Edited(message=message),)

    def _topic(self, team: Team, channel: str, event: JsonDict) -> Sequence[RemoteEvent]:
        """A description counts where there is no topic; which of them there is, the channel knows."""
        if "topic" not in event:
            return ()
        changed = Channel(id=team.full_channel(channel), topic=unescape(text_of(event["topic"])))
        return (ChannelChanged(channel=changed, by=team.full_person(str(event["user"]))),)

    async def _reaction(self, team: Team, event: JsonDict) -> Sequence[RemoteEvent]:
        item = event["item"]
        if item.get("type") != "message" or event["user"] == team.bot_user:
            return ()
        return (
            ReactionChanged(
                channel=team.full_channel(item["channel"]),
                message=MessageId(item["ts"]),
                person=team.full_person(event["user"]),
                emoji=await team.remote_emoji(str(event["reaction"])),
                is_added=event["type"] == "reaction_added",
            ),
        )

    async def _pin(self, team: Team, event: JsonDict) -> Sequence[RemoteEvent]:
        message = event["item"].get("message")
        if not isinstance(message, dict) or event.get("user") == team.bot_user:
            return ()
        return (
            PinChanged(
                channel=team.full_channel(event["channel_id"]),
                message=MessageId(message["ts"]),
                is_pinned=event["type"] == "pin_added",
                by=team.full_person(event["user"]),
            ),
        )

    async def _marked(self, team: Team, event: JsonDict) -> Sequence[RemoteEvent]:
        channel, user = team.full_channel(event["channel"]), team.full_person(event["user"])
        return (Receipt(channel=channel, person=user, message=MessageId(event["ts"])),)

    # Channels

    async def _member(self, team: Team, event: JsonDict) -> Sequence[RemoteEvent]:
        channel, user = str(event["channel"]), str(event["user"])
        joined = event["type"] == "member_joined_channel"
        if user == team.bot_user:
            return await self._bot_member(team, channel, joined)
        inviter = event.get("inviter")
        return (
            MemberChanged(
                channel=team.full_channel(channel),
                person=team.full_person(user),
                membership="join" if joined else "leave",
                by=team.full_person(inviter) if isinstance(inviter, str) else None,
            ),
        )

    async def _bot_member(self, team: Team, channel: str, joined: bool) -> Sequence[RemoteEvent]:
        """Invited, the bot brings the channel; sent away, it can read it no longer."""
        if joined:
            team.bot_channels.add(channel)
            return (ChannelChanged(channel=Channel(id=team.full_channel(channel), space=space_id(team.id))),)
        return await self._closed(team, channel)

    async def _left(self, team: Team, event: JsonDict) -> Sequence[RemoteEvent]:
        user = event.get("user")
        if isinstance(user, str) and user != team.bot_user:
            return ()
        return await self._closed(team, str(event["channel"]))

    async def _closed(self, team: Team, channel: str) -> Sequence[RemoteEvent]:
        team.bot_channels.discard(channel)
        reason = "The bridge's bot is not in the channel any more. Invite it there to go on."
        return (ChannelRemoved(channel=team.full_channel(channel), reason=reason),)

    async def _renamed(self, team: Team, event: JsonDict) -> Sequence[RemoteEvent]:
        team.forget_lists()
        told = event["channel"]
        return (ChannelChanged(channel=Channel(id=team.full_channel(told["id"]), name=str(told["name"]))),)

    async def _archived(self, team: Team, event: JsonDict) -> Sequence[RemoteEvent]:
        team.forget_lists()
        is_archived = not event["type"].endswith("unarchive")
        changed = Channel(id=team.full_channel(event["channel"]), is_archived=is_archived)
        return (
            ChannelChanged(channel=changed, by=team.full_person(str(event["user"])) if event.get("user") else None),
        )

    async def _removed(self, team: Team, event: JsonDict) -> Sequence[RemoteEvent]:
        team.bot_channels.discard(str(event["channel"]))
        team.forget_lists()
        return (
            ChannelRemoved(channel=team.full_channel(event["channel"]), reason="The channel was deleted in Slack."),
        )

    # People and the workspace

    async def _person(self, team: Team, event: JsonDict) -> Sequence[RemoteEvent]:
        team.learn(event["user"])
        person = team.person_from(event["user"])
        return () if person.is_ours else (PersonChanged(person=person),)

    async def _emoji(self, team: Team, event: JsonDict) -> Sequence[RemoteEvent]:
        team.forget_emoji()
        return (EmojiChanged(space=space_id(team.id)),)

    async def _team(self, team: Team, event: JsonDict) -> Sequence[RemoteEvent]:
        try:
            await team.connect()
        except NetworkError as error:
            logger.warning("The workspace could not be asked for its new name: %s", error)
            team.name = text_of(event.get("name")) or team.name
        return (SpaceChanged(space=team.space()),)
