"""Conversations of Slack: what they are, who is in them, and changing them."""

import re

from attrs import evolve

from appservice.bridges.core.errors import ChannelGone, Refused, Unsupported
from appservice.bridges.core.ids import ChannelId, JsonDict, MessageId, PersonId
from appservice.bridges.core.incoming import Channel, ChannelKind, Power
from appservice.bridges.core.outgoing import Author, ChannelSettings, Login, MemberAction
from appservice.bridges.slack.api import ChannelClosed, SlackRefused
from appservice.bridges.slack.formatting.mrkdwn import unescape
from appservice.bridges.slack.formatting.to_slack import escape
from appservice.bridges.slack.ids import local_part, space_id
from appservice.bridges.slack.team import Team

MAX_TOPIC = 250
MAX_NAME = 80
OWNER, ADMIN, CREATOR = 100, 75, 50
MAX_MEMBERS = 5_000


def channel_from(team: Team, raw: JsonDict) -> Channel:
    """As conversations.info and .list tell it. Members and pins are asked for apart."""
    channel = team.full_channel(str(raw["id"]))
    if raw.get("is_im"):
        return Channel(id=channel, kind=ChannelKind.DIRECT, is_public=False)
    is_group_chat = bool(raw.get("is_mpim"))
    topic = (raw.get("topic") or {}).get("value") or (raw.get("purpose") or {}).get("value") or ""
    count = raw.get("num_members")
    return Channel(
        id=channel,
        kind=ChannelKind.GROUP if is_group_chat else ChannelKind.CHANNEL,
        space=None if is_group_chat else space_id(team.id),
        name=None if is_group_chat else str(raw.get("name") or raw["id"]),
        topic=unescape(str(topic)),
        is_public=not raw.get("is_private") and not is_group_chat,
        is_archived=bool(raw.get("is_archived")),
        member_count=count if isinstance(count, int) else None,
    )


async def whole_channel(team: Team, channel: ChannelId) -> Channel:
    """With members, pins and power. Raises: ChannelGone."""
    raw = (await team.read_channel(channel, "conversations.info", include_num_members=True))["channel"]
    known = channel_from(team, raw)
    members = await members_of(team, channel)
    people = tuple([await team.person(user) for user in members[:8]]) if known.kind is not ChannelKind.CHANNEL else ()
    named: JsonDict = {}
    if known.kind is ChannelKind.DIRECT:
        others = [person for person in people if not person.is_ours and local_part(person.id) not in team.logins]
        named = {"name": others[0].name, "avatar": others[0].avatar} if len(others) == 1 else {}
    return evolve(
        known,
        members=tuple(team.full_person(user) for user in members if user != team.bot_user),
        pins=await pins_of(team, channel),
        power=await _power(team, raw, members),
        people=people,
        **named,
    )


async def members_of(team: Team, channel: ChannelId) -> list[str]:
    members: list[str] = []
    cursor = ""
    while len(members) < MAX_MEMBERS:
        args = {"limit": 500} | ({"cursor": cursor} if cursor else {})
        answer = await team.read_channel(channel, "conversations.members", **args)
        members += [str(user) for user in answer.get("members") or []]
        cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            break
    return members[:MAX_MEMBERS]


async def pins_of(team: Team, channel: ChannelId) -> tuple[MessageId, ...] | None:
    """Oldest first. None, where the bridge may not know."""
    try:
        items = (await team.read_channel(channel, "pins.list")).get("items") or []
    except ChannelGone:
        raise
    except Refused:
        return None
    stamps = [item["message"]["ts"] for item in items if isinstance(item.get("message"), dict)]
    return tuple(MessageId(ts) for ts in sorted(stamps, key=float))


async def _power(team: Team, raw: JsonDict, members: list[str]) -> Power | None:
    """Owners and administrators of the workspace, and whoever made the channel. Only where people are few: each one
    is asked for."""
    if raw.get("is_im") or raw.get("is_mpim") or len(members) > 200:
        return None
    people = {}
    for user in members:
        known = await team.user(user)
        level = OWNER if known.get("is_owner") else ADMIN if known.get("is_admin") else 0
        level = max(level, CREATOR if raw.get("creator") == user else 0)
        if level and user != team.bot_user:
            people[team.full_person(user)] = level
    restricted = (raw.get("properties") or {}).get("posting_restricted_to")
    actions = {"m.room.topic": 0, "m.room.pinned_events": 0, "m.room.name": CREATOR, "invite": 0, "kick": CREATOR}
    return Power(people=people, actions=actions | ({"events_default": CREATOR} if restricted else {}))


async def find(team: Team, text: str) -> Channel | None:
    """By id, by #name, by workspace/#name, or by the address of the channel."""
    workspace, slash, name = text.strip().rpartition("/")
    if slash and "://" not in workspace:
        if workspace.strip().lower() != team.name.lower():
            return None
        text = name
    text = text.strip().removeprefix(f"{team.url}archives/").partition("?")[0].removeprefix(f"{team.id}-")
    if re.fullmatch(r"[CDG][A-Z0-9]{5,20}", text):
        try:
            return await whole_channel(team, team.full_channel(text))
        except ChannelGone:
            return None
    name = text.removeprefix("#").lower()
    for raw in await team.all_channels():
        if raw.get("name") == name:
            return channel_from(team, raw)
    return None


async def join(team: Team, channel: ChannelId) -> None:
    """The bot joins public channels by itself; to others somebody has to invite it."""
    local = local_part(channel)
    if local in team.bot_channels or local.startswith("D"):
        return
    try:
        await team.api.call(team.bot, "conversations.join", channel=local)
    except (ChannelClosed, Unsupported) as error:
        if team.reader_of(local) is not team.bot:
            return
        raise Refused(f"the bot is not in that channel: write `/invite @{team.bot_name}` there, in Slack") from error
    except SlackRefused as error:
        raise Refused(f"the bot could not join: {error}") from error
    team.bot_channels.add(local)


async def set_channel(team: Team, author: Author, channel: ChannelId, settings: ChannelSettings) -> None:
    account, local = team.account_of(author), local_part(channel)
    if settings.name is not None:
        name = re.sub(r"[^\w\-]+", "-", settings.name.strip().removeprefix("#").lower()).strip("-")[:MAX_NAME]
        if not name:
            raise Refused("Slack's channel names have small letters, digits, - and _ only")
        await team.api.call(account, "conversations.rename", channel=local, name=name)
    if settings.topic is not None:
        if len(settings.topic) > MAX_TOPIC:
            raise Refused(f"Slack's topics have {MAX_TOPIC} characters at most")
        await team.api.call(account, "conversations.setTopic", channel=local, topic=escape(settings.topic))
    if settings.avatar is not None or settings.removes_avatar:
        raise Unsupported("channels of Slack have no picture")


async def set_member(team: Team, author: Author, channel: ChannelId, person: PersonId, action: MemberAction) -> None:
    account, local, user = team.account_of(author), local_part(channel), local_part(person)
    if action == "unban":
        return
    try:
        if action == "invite":
            await team.api.call(account, "conversations.invite", channel=local, users=user)
        else:
            await team.api.call(account, "conversations.kick", channel=local, user=user)
    except SlackRefused as error:
        if error.error not in ("already_in_channel", "not_in_channel"):
            raise


async def set_own_membership(team: Team, login: Login, channel: ChannelId, is_member: bool) -> None:
    local = local_part(channel)
    if local.startswith("D"):
        return
    method = "conversations.join" if is_member else "conversations.leave"
    try:
        await team.api.call(team.account(login), method, channel=local)
    except SlackRefused as error:
        if error.error not in ("already_in_channel", "not_in_channel"):
            raise


async def open_direct(team: Team, author: Author, people: list[str]) -> Channel:
    account = team.account_of(author)
    answer = await team.api.call(account, "conversations.open", users=",".join(people), return_im=True)
    local = str(answer["channel"]["id"])
    if account.login is not None:
        team.saw(local, local_part(account.login))
    else:
        team.bot_channels.add(local)
    return await whole_channel(team, team.full_channel(local))
