"""`python -m tests.support.fake_bridge ...` is `hearth ...`, with a network in memory in the place of Slack.

In its channel `general` sits one who answers each message that reaches the network; what was sent lies in a file.
"""

import asyncio
import sys
import types
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from appservice.bridges.core.errors import Refused
from appservice.bridges.core.ids import ChannelId
from appservice.bridges.core.network import Network
from appservice.bridges.core.outgoing import OutgoingMessage, Sent
from appservice.bridges.core.package import Finding, Tools
from synapse_like_config.reading import option
from tests.support.fake_network import FakeNetwork
from tests.support.fake_remote import FakeRemote


@frozen(kw_only=True)
class FakeSettings:
    """The fake."""

    token: str = option("", "The token of the bot.", secret=True)
    speed: int = option(3, "How fast it is.")


class EchoNetwork(FakeNetwork):
    """Answers, by way of asyncio."""

    name = "slack"
    title = "Slack"

    def __init__(self, tools: Tools) -> None:
        remote = FakeRemote()
        remote.add_channel("C1", "general", ["U1"])
        super().__init__(remote)
        self._tools = tools

    async def send(self, message: OutgoingMessage) -> Sent:
        if message.text.body == "fail":
            raise Refused("you said so")
        sent = await super().send(message)
        with (self._tools.directory / "sent.txt").open("a") as file:
            file.write(message.text.body + "\n")
        await self._tools.crossing.from_asyncio(self._answer(message.channel, message.text.body))
        return sent

    async def _answer(self, channel: ChannelId, text: str) -> None:
        await asyncio.sleep(0.001)
        self.remote.say(channel, "U1", f"you said {text}")


class FakePackage:
    name = "slack"
    title = "Slack"
    settings = FakeSettings

    def instructions(self, public_url: str | None) -> str:
        return "1. Copy the token."

    async def check(self, settings: FakeSettings, tools: Tools) -> Sequence[Finding]:
        await tools.crossing.from_asyncio(asyncio.sleep(0.001))
        return [Finding(topic="token", is_good=settings.token == "good", text="a good token is `good`")]

    def build(self, settings: FakeSettings, tools: Tools) -> Network:
        return EchoNetwork(tools)


def sent(directory: Path) -> list[str]:
    """What reached the network, of all processes."""
    file = directory / "sent.txt"
    return file.read_text().splitlines() if file.exists() else []


def main() -> None:
    module = types.ModuleType("appservice.bridges.slack")
    module.PACKAGE = FakePackage()  # type: ignore[attr-defined]
    sys.modules["appservice.bridges.slack"] = module
    from homeserver.__main__ import main

    main()


if __name__ == "__main__":
    main()
