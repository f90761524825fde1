"""A Discord for tests: gateway and REST as the real ones, for the real library. See people.FakeDiscord."""

from tests.support.fake_discord.people import BRIDGE_PERMISSIONS, FakeDiscord
from tests.support.fake_discord.permissions import P
from tests.support.fake_discord.posts import Upload
from tests.support.fake_discord.world import Bot

__all__ = ["BRIDGE_PERMISSIONS", "Bot", "FakeDiscord", "P", "Upload"]
