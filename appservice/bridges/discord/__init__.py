"""The bridge to Discord: a network for `appservice.bridges.core`."""

from appservice.bridges.discord.package import PACKAGE

__all__ = ["PACKAGE"]
