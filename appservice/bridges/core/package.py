"""What a network's package shows to the command line: `appservice.bridges.slack.PACKAGE` is one of these."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from appservice.bridges.core.crossing import Crossing
from appservice.bridges.core.network import Network
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.tasks import Tasks

S = TypeVar("S")


@frozen(kw_only=True)
class Finding:
    """One thing that was looked at on the other side: `text` says what is to be done, if it is not good."""

    topic: str
    is_good: bool
    text: str


@frozen(kw_only=True)
class Tools:
    """What a network is built with."""

    reactor: IReactorTime
    clock: Clock
    tasks: Tasks
    metrics: Metrics
    crossing: Crossing
    # A directory of the network's own, for what is large; small things go to Bridge.remember.
    directory: Path
    logger: logging.Logger


class Package(Protocol[S]):
    """`settings` is a frozen class of options (synapse_like_config.reading: option, required, section; `check`).

    They stand in bridge.yaml below the network's name, and the sample is made from them.
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def settings(self) -> type[S]: ...

    def instructions(self, public_url: str | None) -> str:
        """What `hearth bridge NAME init` prints: step by step what to click and to copy on the other side, which
        scopes, tokens, intents and switches are needed, and what each is for. A manifest to paste is a good idea."""
        ...

    async def check(self, settings: S, tools: Tools) -> Sequence[Finding]:
        """Tries the tokens: are they good, and is each permission there?"""
        ...

    def build(self, settings: S, tools: Tools) -> Network:
        """Connects to nothing yet."""
        ...


AnyPackage = Package[Any]
