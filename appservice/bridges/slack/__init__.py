"""The bridge to Slack: a network for `appservice.bridges.core`."""

from appservice.bridges.slack.package import PACKAGE

__all__ = ["PACKAGE"]
