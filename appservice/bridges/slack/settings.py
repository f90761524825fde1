"""What stands below `slack:` in bridge.yaml."""

from typing import Literal

from attrs import frozen

from synapse_like_config.reading import option
from synapse_like_config.units import BadValue, BaseUrl

DEFAULT_API = BaseUrl("https://slack.com/api")


@frozen(kw_only=True)
class WorkspaceOptions:
    """One workspace of Slack in which the app is installed."""

    bot_token: str = option("", 'The "Bot User OAuth Token" (xoxb-) of the app in this workspace.', secret=True)
    app_token: str = option(
        "",
        "The app-level token (xapp-) with connections:write, for Socket Mode. Else the Events API is used.",
        secret=True,
    )
    signing_secret: str = option("", "The signing secret of the app, for the Events API over HTTP.", secret=True)

    def check(self) -> None:
        _check_prefix(self.bot_token, "xoxb-", "bot_token")
        _check_prefix(self.app_token, "xapp-", "app_token")


@frozen(kw_only=True)
class SlackSettings:
    """Slack."""

    bot_token: str = option("", 'The "Bot User OAuth Token" (xoxb-) of the app.', secret=True)
    app_token: str = option(
        "",
        "The app-level token (xapp-) with connections:write, for Socket Mode. Else the Events API is used.",
        secret=True,
    )
    signing_secret: str = option("", "The signing secret of the app, for the Events API over HTTP.", secret=True)
    more_workspaces: tuple[WorkspaceOptions, ...] = option((), "Further workspaces, each with an app of its own.")
    threads: Literal["replies", "threads"] = option(
        "replies", "Whether a reply in Matrix becomes a message in a thread of Slack (replies), or only a thread does."
    )
    presence: bool = option(True, "Whether the presence of people of Slack is asked for, and shown.")
    api_url: BaseUrl = option(DEFAULT_API, "Where Slack's Web API is.")
    socket_ping_s: float = option(5.0, "How often a connection to Slack is tested.")

    @property
    def workspaces(self) -> tuple[WorkspaceOptions, ...]:
        """All of them; the one at the top first."""
        first = WorkspaceOptions(bot_token=self.bot_token, app_token=self.app_token, signing_secret=self.signing_secret)
        return tuple(each for each in (first, *self.more_workspaces) if each.bot_token)

    def check(self) -> None:
        _check_prefix(self.bot_token, "xoxb-", "bot_token")
        _check_prefix(self.app_token, "xapp-", "app_token")
        for each in self.workspaces:
            if not each.app_token and not each.signing_secret:
                raise BadValue("must be given (Socket Mode), or else signing_secret (Events API)", key="app_token")


def _check_prefix(token: str, prefix: str, key: str) -> None:
    if token and not token.startswith(prefix):
        raise BadValue(f"must begin with {prefix}", key=key)
