"""The networks of bench_bridge: one in memory that costs next to nothing, and the fakes of Slack and Discord.

A fake runs in the benchmark's own process; in the bridge's there are the real library, sockets and all.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from attrs import frozen

CHANNELS, TEAM = 10, "T0HEARTH"
Json = dict[str, Any]


class Remote(Protocol):
    """`told`: what the bridge's process needs to know."""

    told: Json

    def say(self, number: int, text: str) -> None:
        """A person writes in the channel of that number."""
        ...


@frozen
class InMemory:
    """The bridge's process has it for itself, and says to it what there is to be said."""

    told: Json

    def say(self, number: int, text: str) -> None:
        raise AssertionError("the bridge's process does")


@frozen
class OnDiscord:
    told: Json
    discord: Any
    person: Json

    def say(self, number: int, text: str) -> None:
        self.discord.post(self.told["channels"][number], self.person, text)


@frozen
class OnSlack:
    told: Json
    person: Any
    channels: list[Any]

    def say(self, number: int, text: str) -> None:
        self.person.post(self.channels[number], text)


@contextmanager
def remote(kind: str) -> Iterator[Remote]:
    if kind == "discord":
        yield from _discord()
    elif kind in ("slack", "slack-unlimited"):
        yield from _slack(kind)
    else:
        yield InMemory({"kind": kind, "channels": [f"C{number}" for number in range(CHANNELS)]})


def _discord() -> Iterator[Remote]:
    from tests.support.fake_discord import FakeDiscord

    discord = FakeDiscord(limit_scale=0.0)
    discord.start()
    try:
        carol = discord.person("carol", "Carol")
        guild = discord.guild("Wonderland", carol)
        channels = [discord.channel(guild, f"channel-{number}") for number in range(CHANNELS)]
        token = discord.bot("Hearth", guild).token
        told = {"kind": "discord", "token": token, "api": discord.api, "gateway": discord.gateway_url}
        yield OnDiscord({**told, "cdn": discord.cdn, "channels": channels}, discord, carol)
    finally:
        discord.stop()


def _slack(kind: str) -> Iterator[Remote]:
    from tests.support.fake_slack import FakeSlack

    slack = FakeSlack()
    slack.core.limits.enabled = kind == "slack"
    slack.start()
    try:
        app, maria = slack.add_app(), slack.add_person("maria")
        channels = [slack.add_channel(f"channel-{number}", maria, app) for number in range(CHANNELS)]
        told = {
            "kind": kind,
            "bot_token": slack.bot_token(app).text,
            "app_token": slack.app_token(app).text,
            "signing_secret": app.signing_secret,
            "api_url": slack.api_url,
        }
        yield OnSlack({**told, "channels": [f"{TEAM}-{channel.id}" for channel in channels]}, maria, channels)
    finally:
        slack.stop()


# --- in the bridge's process


def network(told: Json, directory: Path, parts: dict[str, Any]) -> tuple[Any, Any]:
    """The network, and the remote side if it is in this process. `parts`: reactor, clock, tasks, metrics."""
    from appservice.bridges.core.crossing import Crossing
    from appservice.bridges.core.package import Tools

    if told["kind"] == "memory":
        return _in_memory(told)
    logging.basicConfig(level=logging.WARNING)
    crossing = Crossing(asyncio.get_event_loop(), parts["reactor"], is_same_thread=True)
    tools = Tools(**parts, crossing=crossing, directory=directory, logger=logging.getLogger(told["kind"]))
    options = {name: value for name, value in told.items() if name not in ("kind", "channels")}
    if told["kind"] == "discord":
        from appservice.bridges.discord.network import DiscordNetwork
        from appservice.bridges.discord.settings import DiscordSettings

        return DiscordNetwork(DiscordSettings(**options), tools), None
    from appservice.bridges.slack.network import SlackNetwork
    from appservice.bridges.slack.settings import SlackSettings

    return SlackNetwork(settings=SlackSettings(**options), tools=tools), None


def _in_memory(told: Json) -> tuple[Any, Any]:
    from tests.support.fake_network import FakeNetwork
    from tests.support.fake_remote import FakeRemote

    made = FakeRemote()
    for number, channel in enumerate(told["channels"]):
        made.add_channel(channel, f"channel {number}", [f"U{number}"])
    return FakeNetwork(made), made
