"""What connects the bridge to Slack and keeps it so: each workspace's bot and socket, each login's own connection."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any

from slack_sdk.socket_mode.request import SocketModeRequest
from twisted.internet.defer import Deferred

from appservice.bridges.core.errors import LoginLost, NetworkError
from appservice.bridges.core.ids import JsonDict, LoginId
from appservice.bridges.core.incoming import Delivery
from appservice.bridges.core.network import Bridge, Connected
from appservice.bridges.core.outgoing import Login
from appservice.bridges.core.package import Tools
from appservice.bridges.slack.api import SlackApi
from appservice.bridges.slack.deliveries import channel_of, of_action, of_event, of_login
from appservice.bridges.slack.events_api import EventsApi
from appservice.bridges.slack.formatting.rich_text import text_of
from appservice.bridges.slack.ids import local_part, login_id, team_of
from appservice.bridges.slack.presence import EVERY_S, PresenceWatch
from appservice.bridges.slack.rtm import Rtm
from appservice.bridges.slack.settings import SlackSettings
from appservice.bridges.slack.sockets import SlackSocket
from appservice.bridges.slack.team import Team
from storage.database import DatabaseDown

logger = logging.getLogger(__name__)

FIRST_RETRY_S, MAX_RETRY_S = 2.0, 120.0
STOP_S = 5.0


class Connections:
    """Its state is the reactor's; sockets run in the loop."""

    def __init__(self, *, settings: SlackSettings, tools: Tools, api: SlackApi, teams: list[Team]) -> None:
        self._settings = settings
        self._tools = tools
        self._crossing = tools.crossing
        self._api = api
        self._teams = teams
        self._running: dict[str, Deferred[None]] = {}
        self._rtms: dict[LoginId, Rtm] = {}
        self._waiting: list[Login] = []
        self._watches: dict[str, PresenceWatch] = {}
        self._events_api = EventsApi(teams=teams, clock=tools.clock, accept=self._accept_http)
        # What is told of each workspace: "", if it is connected.
        self._lost: dict[str, str] = {team.options.bot_token: "not connected yet" for team in teams}
        self._bridge: Bridge

    def start(self, bridge: Bridge, logins: Sequence[Login]) -> None:
        self._bridge = bridge
        self._waiting = list(logins)
        for team in self._teams:
            self._tools.tasks.background("slack.connect", self._connect(team), endless=True)
        if not self._teams:
            text = "no bot_token is set: see `hearth bridge slack init`"
            bridge.connection(Connected(login=None, is_connected=False, text=text))
        if self._settings.presence:
            self._tools.tasks.repeat("slack.presence", EVERY_S, self._look_at_presence)

    async def stop(self) -> None:
        running, self._running = list(self._running.values()), {}
        for each in running:
            each.cancel()
        for each in running:
            try:
                await self._tools.clock.timeout(each, STOP_S)
            except TimeoutError:
                logger.warning("A connection to Slack did not end in time")

    def routes(self) -> Sequence[object]:
        return (self._events_api,)

    # The bot

    async def _connect(self, team: Team) -> None:
        """Until the token is good; then the socket, for ever."""
        retry_s = FIRST_RETRY_S
        while not team.is_ready:
            try:
                await team.connect()
            except NetworkError as error:
                team.lost = str(error) if isinstance(error, LoginLost) else ""
                self._told(team, False, str(error), True)
                await self._tools.clock.sleep(retry_s)
                retry_s = min(MAX_RETRY_S, retry_s * 2)
        team.lost = ""
        self._watches[team.id] = PresenceWatch(team=team, bridge=self._bridge)
        if team.missing_scopes:
            scopes = ", ".join(f"`{scope}`" for scope in team.missing_scopes)
            self._bridge.tell(f"The Slack app lacks the scopes {scopes}. Add them to it, and install it again.")
        for login in self._waiting:
            if team_of(login.id) == team.id:
                self.add_login(login)
        if team.options.app_token:
            self._run(f"socket {team.id}", self._socket(team).run())
        else:
            self._told(team, True, "", True)

    def _socket(self, team: Team) -> SlackSocket:
        def state(is_connected: bool, text: str, has_missed: bool) -> None:
            self._crossing.in_reactor(self._told, team, is_connected, text, has_missed)

        async def accept(request: SocketModeRequest) -> bool:
            return await self._crossing.to_asyncio(self._taken(team, request.type, request.payload))

        return SlackSocket(
            api=self._api,
            app_token=team.options.app_token,
            accept=accept,
            state=state,
            ping_s=self._settings.socket_ping_s,
        )

    def _told(self, team: Team, is_connected: bool, text: str, has_missed: bool) -> None:
        name = team.name or "Slack"
        self._lost[team.options.bot_token] = "" if is_connected else f"{name}: {text or 'not connected'}"
        told = "; ".join(filter(None, self._lost.values()))
        has_missed = has_missed and is_connected
        is_only_one = len(self._teams) == 1
        state = Connected(login=None, is_connected=not told, text=told, has_missed=has_missed and is_only_one)
        self._bridge.connection(state)
        if has_missed and not is_only_one:
            self._tools.tasks.background("slack.catch_up", self._catch_up(team))

    async def _catch_up(self, team: Team) -> None:
        """The other workspaces have missed nothing."""
        channels = await self._bridge.bridged_channels()
        self._bridge.catch_up([each for each in channels if team_of(each) == team.id])

    # What comes

    def _kept(self, team: Team, kind: str, payload: JsonDict) -> Delivery | None:
        if kind == "events_api":
            self._notice(team, payload)
            return of_event(team, payload)
        return of_action(team, payload) if payload.get("type") == "block_actions" else None

    async def _accept(self, delivery: Delivery | None) -> bool:
        """Whether it is durable. What is of no interest is acknowledged too."""
        if delivery is None:
            return True
        try:
            await self._bridge.accept([delivery])
        except DatabaseDown as error:
            logger.warning("Not taken, Slack will send it again: %s", error)
            return False
        return True

    async def _taken(self, team: Team, kind: str, payload: JsonDict) -> bool:
        return await self._accept(self._kept(team, kind, payload))

    async def _accept_http(self, team: Team, payload: JsonDict) -> bool:
        return await self._taken(team, "events_api" if payload.get("type") == "event_callback" else "", payload)

    def _notice(self, team: Team, payload: JsonDict) -> None:
        """What concerns the bridge itself: who sees which channel, whose token is gone."""
        event = payload.get("event")
        if not isinstance(event, dict):
            return
        watch = self._watches.get(team.id)
        if watch is not None and isinstance(event.get("user"), str):
            watch.seen(event["user"])
        for each in payload.get("authorizations") or []:
            if isinstance(each, dict) and not each.get("is_bot") and channel_of(event):
                team.saw(channel_of(event), text_of(each.get("user_id")))
        if event.get("type") == "tokens_revoked":
            self._revoked(team, event.get("tokens"))
        elif event.get("type") == "app_uninstalled":
            self._told(team, False, "the app was removed from the workspace", True)

    def _revoked(self, team: Team, tokens: Any) -> None:
        people = tokens.get("oauth") if isinstance(tokens, dict) else None
        for user in people if isinstance(people, list) else []:
            if user in team.logins:
                login = login_id(team.id, str(user))
                text = "Your token of Slack was revoked. Say `login` to sign in again."
                self._bridge.connection(Connected(login=login, is_connected=False, text="the token was revoked"))
                self._bridge.tell(text, login=login)
        if isinstance(tokens, dict) and tokens.get("bot"):
            self._told(team, False, "the bot's token was revoked: install the app again", True)

    # Logins

    def add_login(self, login: Login) -> None:
        team = next((team for team in self._teams if team.id == team_of(login.id)), None)
        if team is None or not team.is_ready:
            self._waiting.append(login)
            return
        team.logins[local_part(login.id)] = login
        account = team.account(login)
        if not account.is_browser:
            self._bridge.connection(Connected(login=login.id, is_connected=True))
            return

        def state(is_connected: bool, text: str) -> None:
            told = Connected(login=login.id, is_connected=is_connected, text=text)
            self._crossing.in_reactor(self._bridge.connection, told)

        async def heard(event: JsonDict) -> None:
            await self._crossing.to_asyncio(self._heard(team, login, event))

        rtm = Rtm(self._api, account, heard, state)
        self._rtms[login.id] = rtm
        self._run(f"login {login.id}", rtm.run())

    def remove_login(self, login: Login) -> None:
        for team in self._teams:
            if team.id == team_of(login.id):
                team.logins.pop(local_part(login.id), None)
        self._rtms.pop(login.id, None)
        running = self._running.pop(f"login {login.id}", None)
        if running is not None:
            running.cancel()

    async def _heard(self, team: Team, login: Login, event: JsonDict) -> None:
        kind, channel, user = text_of(event.get("type")), channel_of(event), text_of(event.get("user"))
        if channel and kind == "message":
            team.saw(channel, local_part(login.id))
        if kind == "user_typing":
            self._bridge.typing(team.full_channel(channel), team.full_person(user))
        elif kind == "presence_change":
            for each in event.get("users") or [user]:
                self._bridge.presence(team.full_person(str(each)), _presence(event))
        else:
            if kind.endswith("_marked"):
                event = {**event, "user": local_part(login.id)}
            await self._accept(of_login(team, event))

    async def type_in(self, login: Login, channel: str) -> None:
        """Slack has this for its clients only: other logins type unseen."""
        rtm = self._rtms.get(login.id)
        if rtm is not None:
            await self._crossing.from_asyncio(rtm.type_in(channel))

    async def _look_at_presence(self) -> None:
        for team_id, watch in self._watches.items():
            rtms = [rtm for login, rtm in self._rtms.items() if team_of(login) == team_id]
            if rtms:
                await self._crossing.from_asyncio(rtms[0].watch(watch.watched()))
            else:
                await watch.look()

    # All of it

    def _run(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """In the loop, until it ends or `stop`."""
        running = self._crossing.from_asyncio(coroutine)
        self._running[name] = running
        running.addErrback(lambda failure: self._broke_off(name, failure))

    def _broke_off(self, name: str, failure: Any) -> None:
        if not failure.check(asyncio.CancelledError) and "Cancelled" not in failure.type.__name__:
            logger.error("The connection %s broke off: %s", name, failure.getTraceback())

    def status(self) -> list[str]:
        lines = []
        for team in self._teams:
            if not team.is_ready:
                lines.append(f"Not connected{': ' + team.lost if team.lost else ''}")
                continue
            way = "Socket Mode" if team.options.app_token else "Events API"
            lines.append(f"{team.name}: {way}, in {len(team.bot_channels)} channels, {len(team.logins)} logins")
            lines += [f"{team.name}: the scope `{scope}` is missing" for scope in team.missing_scopes]
        if self._api.held_up:
            lines.append(f"Slack has held up the bridge {self._api.held_up} times")
        return lines


def _presence(event: JsonDict) -> Any:
    return "online" if event.get("presence") == "active" else "unavailable"
