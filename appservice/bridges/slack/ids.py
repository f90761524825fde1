"""Slack's ids as core keeps them: with the team before them, so that one bridge can have several teams."""

from appservice.bridges.core.ids import ChannelId, EmojiId, LoginId, PersonId, SpaceId


def channel_id(team: str, channel: str) -> ChannelId:
    return ChannelId(f"{team}-{channel}")


def person_id(team: str, user: str) -> PersonId:
    return PersonId(f"{team}-{user}")


def login_id(team: str, user: str) -> LoginId:
    return LoginId(f"{team}-{user}")


def space_id(team: str) -> SpaceId:
    return SpaceId(team)


def custom_emoji_id(team: str, name: str) -> EmojiId:
    return EmojiId(f"{team}-{name}")


def team_of(some_id: str) -> str:
    return some_id.partition("-")[0]


def local_part(some_id: str) -> str:
    """As Slack has it. A character of unicode is no id of a team's."""
    return some_id.partition("-")[2] or some_id
