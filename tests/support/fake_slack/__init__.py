"""A fake of Slack that speaks the real protocol to the real library: Web API, Socket Mode, Events API, RTM, files."""

from tests.support.fake_slack.grants import BOT_SCOPES, USER_SCOPES, App, Token
from tests.support.fake_slack.slack import FakeSlack, Person
from tests.support.fake_slack.world import Channel, Json

__all__ = ["BOT_SCOPES", "USER_SCOPES", "App", "Channel", "FakeSlack", "Json", "Person", "Token"]
