"""What `hearth bridge slack` needs of Slack: settings, instructions, the check, the network."""

import json
from collections.abc import Sequence

from appservice.bridges.core.errors import LoginLost, MissingPermission, NetworkError, Refused
from appservice.bridges.core.network import Network
from appservice.bridges.core.package import Finding, Tools
from appservice.bridges.slack.api import Account, SlackApi
from appservice.bridges.slack.events_api import ACTIONS, EVENTS
from appservice.bridges.slack.network import SlackNetwork
from appservice.bridges.slack.scopes import BOT_SCOPES, OPTIONAL_BOT_SCOPES, manifest
from appservice.bridges.slack.settings import SlackSettings, WorkspaceOptions


class SlackPackage:
    name = "slack"
    title = "Slack"
    settings = SlackSettings

    def instructions(self, public_url: str | None) -> str:
        """The steps, with the manifest for Socket Mode; the Events API too, where the bridge has an address."""
        pasted = json.dumps(manifest(None, None), indent=2)
        scopes = "\n".join(f"  {scope:24} {reason}" for scope, reason in BOT_SCOPES.items())
        optional = "\n".join(f"  {scope:24} {reason}" for scope, reason in OPTIONAL_BOT_SCOPES.items())
        steps = _STEPS.format(manifest=pasted, scopes=scopes, optional=optional)
        if public_url is not None:
            base = public_url.rstrip("/")
            steps += _OVER_HTTP.format(events=base + EVENTS, actions=base + ACTIONS)
        return steps

    async def check(self, settings: SlackSettings, tools: Tools) -> Sequence[Finding]:
        api = SlackApi(base_url=settings.api_url, crossing=tools.crossing)
        findings: list[Finding] = []
        if not settings.workspaces:
            findings.append(Finding(topic="bot_token", is_good=False, text="No bot_token is set: do step 3."))
        try:
            for workspace in settings.workspaces:
                findings += await _check_bot(api, workspace)
                findings += await _check_socket(api, workspace)
        finally:
            await api.close()
        return findings

    def build(self, settings: SlackSettings, tools: Tools) -> Network:
        return SlackNetwork(settings=settings, tools=tools)


PACKAGE = SlackPackage()


async def _check_bot(api: SlackApi, workspace: WorkspaceOptions) -> list[Finding]:
    try:
        answer, headers = await api.call_with_headers(Account(workspace.bot_token), "auth.test")
    except LoginLost as error:
        text = f"{error}. Copy the Bot User OAuth Token again: OAuth & Permissions."
        return [Finding(topic="bot_token", is_good=False, text=text)]
    except NetworkError as error:
        return [Finding(topic="bot_token", is_good=False, text=f"It could not be tried: {error}")]
    findings = [Finding(topic="bot_token", is_good=True, text=f"{answer['user']} in the workspace {answer['team']}")]
    granted = {scope.strip() for scope in (headers.get("x-oauth-scopes") or "").split(",")}
    for scope, reason in BOT_SCOPES.items():
        if scope not in granted:
            text = f"The scope is missing; without it the bridge cannot {reason}. Add it, and install the app again."
            findings.append(Finding(topic=scope, is_good=False, text=text))
    if set(BOT_SCOPES) <= granted:
        findings.append(Finding(topic="scopes", is_good=True, text=f"all {len(BOT_SCOPES)} are there"))
    return findings


async def _check_socket(api: SlackApi, workspace: WorkspaceOptions) -> list[Finding]:
    if not workspace.app_token:
        text = "The Events API is used: Slack must reach the bridge's public address."
        return [Finding(topic="signing_secret", is_good=bool(workspace.signing_secret), text=text)]
    try:
        await api.call(Account(workspace.app_token), "apps.connections.open")
    except MissingPermission:
        text = "The app-level token lacks connections:write: make another one with it, Basic Information."
        return [Finding(topic="app_token", is_good=False, text=text)]
    except Refused as error:
        said = getattr(error, "error", "")
        hint = "Switch on Socket Mode in the app's settings." if "socket_mode" in said else str(error)
        return [Finding(topic="app_token", is_good=False, text=hint)]
    except LoginLost as error:
        text = f"{error}. Make an app-level token again: Basic Information."
        return [Finding(topic="app_token", is_good=False, text=text)]
    except NetworkError as error:
        return [Finding(topic="app_token", is_good=False, text=f"It could not be tried: {error}")]
    return [Finding(topic="app_token", is_good=True, text="Socket Mode works")]


_STEPS = """\
1. Open https://api.slack.com/apps, Create New App, From a manifest. Choose the workspace, and paste this as JSON:

{manifest}

2. Basic Information, App-Level Tokens, Generate: give it the scope connections:write, which lets the bridge open its
   connection (Socket Mode). Copy the token (xapp-) to slack.app_token.
3. Install App, Install to Workspace, Allow. Copy the Bot User OAuth Token (xoxb-) to slack.bot_token.
4. Run this command again: it tries the tokens, and says what is missing.

What each scope of the bot is for:
{scopes}
Not in the manifest; add them if you want this:
{optional}
"""
_OVER_HTTP = """
Instead of Socket Mode Slack can call the bridge (the Events API). Then, in place of step 2: Basic Information, copy the
Signing Secret to slack.signing_secret and leave app_token empty; Socket Mode off; Event Subscriptions, Request URL
  {events}
and Interactivity & Shortcuts, Request URL
  {actions}
The bridge must be running when you enter them: Slack tries them at once.
"""
