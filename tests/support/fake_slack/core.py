"""The parts of the fake together, without HTTP: the workspace, its apps, the limits; and the answer to a call."""

import secrets
import time
from collections.abc import Callable
from typing import Any

from tests.support.fake_slack import methods as _declared  # noqa: F401  (declares the methods)
from tests.support.fake_slack.acts import Acts
from tests.support.fake_slack.call import METHODS, Call
from tests.support.fake_slack.errors import SlackError
from tests.support.fake_slack.faults import Faults
from tests.support.fake_slack.grants import BOT_SCOPES, USER_SCOPES, App, Token
from tests.support.fake_slack.limits import Limits
from tests.support.fake_slack.world import Channel, Json, World

# Methods that real Slack asks no scope for.
_URL_S = 30


class Core:
    """`deliver(app, kind, payload)` is how an app is told: kind is events_api or interactive."""

    def __init__(self, base_url: str) -> None:
        self.world = World(base_url)
        self.acts = Acts(self.world)
        self.limits = Limits()
        self.faults = Faults()
        self.apps: dict[str, App] = {}
        self.calls: list[tuple[str, Json]] = []
        self.uploads: dict[str, Json] = {}
        self.ephemeral: list[Json] = []
        self.views: list[Json] = []
        self.triggers: dict[str, str] = {}
        self.response_urls: dict[str, tuple[str, str, App]] = {}
        self.restricted_history = False
        self.max_file_bytes = 1_000_000_000
        self.tickets: dict[str, tuple[str, Token]] = {}
        self.deliver: Callable[[App, str, Json], None] = lambda app, kind, payload: None
        self.revoked: Callable[[Token], None] = lambda token: None

    @property
    def team_id(self) -> str:
        return str(self.world.team["id"])

    def add_app(self, name: str, scopes: set[str] | frozenset[str] = BOT_SCOPES) -> App:
        """Installed in the workspace: with a bot, its token and an app-level token."""
        app = App(self.world.new_id("A"), name)
        bot = self.world.add_user(name.lower().replace(" ", "_"), is_bot=True, real_name=name)
        app.bot_user_id, app.bot_id = bot["id"], self.world.new_id("B")
        bot["profile"] |= {"bot_id": app.bot_id, "api_app_id": app.id}
        app.new_token("xoxb", app.bot_user_id, scopes, bot_id=app.bot_id)
        app.new_token("xapp", app.bot_user_id, {"connections:write"})
        self.apps[app.id] = app
        return app

    def authorize(self, app: App, user_id: str, scopes: set[str] | frozenset[str] = USER_SCOPES) -> Token:
        """A person's token by OAuth: the app acts for them, and is told what they see."""
        return app.new_token("xoxp", user_id, scopes)

    def browser(self, app: App, user_id: str) -> Token:
        """What a browser has in which the person is signed in: a token and a cookie."""
        return app.new_token("xoxc", user_id, set(), cookie=f"xoxd-{secrets.token_hex(12)}")

    def revoke(self, token: Token) -> None:
        token.revoked = True
        bots = [token.user_id] if token.kind == "xoxb" else []
        people = [token.user_id] if token.kind in ("xoxp", "xoxc") else []
        if token.kind != "xoxc":
            event = {"type": "tokens_revoked", "tokens": {"oauth": people, "bot": bots}}
            self.deliver(token.app, "events_api", self.event_payload(token.app, event, token))
        self.revoked(token)

    def event_payload(self, app: App, event: Json, token: Token) -> Json:
        authorization = {"enterprise_id": None, "team_id": self.team_id, "user_id": token.user_id}
        authorization |= {"is_bot": token.kind == "xoxb", "is_enterprise_install": False}
        return {
            "token": "legacy-verification-token",
            "team_id": self.team_id,
            "api_app_id": app.id,
            "event": event,
            "type": "event_callback",
            "event_id": self.world.new_id("Ev"),
            "event_time": int(time.time()),
            "authorizations": [authorization],
            "is_ext_shared_channel": False,
        }

    # The Web API

    def has_token(self, text: str | None) -> bool:
        return any(token.text == text for app in self.apps.values() for token in app.tokens)

    def token(self, text: str | None, cookie: str | None = None) -> Token:
        if not text:
            raise SlackError("not_authed")
        for app in self.apps.values():
            for token in app.tokens:
                if token.text == text:
                    return self._usable(token, cookie)
        raise SlackError("invalid_auth")

    def _usable(self, token: Token, cookie: str | None) -> Token:
        if token.revoked:
            raise SlackError("token_revoked")
        if token.cookie is not None and token.cookie != cookie:
            raise SlackError("invalid_auth")
        if self.world.user(token.user_id)["deleted"]:
            raise SlackError("account_inactive")
        return token

    def answer(self, method: str, token: Token, args: Json) -> Json:
        """Raises: SlackError."""
        declared = METHODS.get(method)
        if declared is None:
            raise SlackError("unknown_method", req_method=method)
        if token.kind not in declared.kinds:
            raise SlackError("not_allowed_token_type")
        call = Call(self, method, token, args)
        if declared.scopes:
            call.need(*declared.scopes)
        wait = self.limits.hold(token.app.id, method, self._tier(method, declared.tier, token))
        if wait is not None:
            raise SlackError("ratelimited", status=429, retry_after=wait)
        result: Json = declared.run(call)
        return {"ok": True, **result}

    def _tier(self, method: str, tier: str, token: Token) -> str:
        is_history = method in ("conversations.history", "conversations.replies")
        return "1" if is_history and self.restricted_history and token.kind != "xoxc" else tier

    # Addresses

    def permalink(self, channel: Channel, message: Json) -> str:
        link = f"https://{self.world.team['domain']}.slack.com/archives/{channel.id}/p{message['ts'].replace('.', '')}"
        thread = message.get("thread_ts")
        return f"{link}?thread_ts={thread}&cid={channel.id}" if thread and thread != message["ts"] else link

    def socket_url(self, path: str, token: Token) -> str:
        """Good for one connection, within half a minute."""
        ticket = secrets.token_hex(12)
        self.tickets[ticket] = (path, token)
        return f"{self.world.base_url.replace('http', 'ws', 1)}/{path}/?ticket={ticket}&app_id={token.app.id}"

    # Interactions

    def interact(self, channel: Channel, ts: str, user_id: str, action: Json) -> None:
        """A person presses a button, or chooses from a menu, of a message of some app."""
        message = self.world.message(channel, ts)
        app = next((app for app in self.apps.values() if app.bot_id == message.get("bot_id")), None)
        if app is None or not _has_action(message, action):
            raise SlackError("invalid_action")
        user, trigger = self.world.user(user_id), f"{self.world.new_id('')}.{secrets.token_hex(8)}"
        self.triggers[trigger] = user_id
        ticket = secrets.token_hex(12)
        self.response_urls[ticket] = (channel.id, ts, app)
        payload = {
            "type": "block_actions",
            "user": {"id": user_id, "username": user["name"], "name": user["name"], "team_id": self.team_id},
            "api_app_id": app.id,
            "token": "legacy-verification-token",
            "container": {"type": "message", "message_ts": ts, "channel_id": channel.id, "is_ephemeral": False},
            "trigger_id": trigger,
            "team": {"id": self.team_id, "domain": self.world.team["domain"]},
            "channel": {"id": channel.id, "name": channel.name},
            "message": message,
            "state": {"values": {}},
            "response_url": f"{self.world.base_url}/actions/{ticket}",
            "actions": [{**action, "action_ts": self.world.new_ts()}],
        }
        app.interactions.append(payload)
        if app.interactivity:
            self.deliver(app, "interactive", payload)

    def respond(self, ticket: str, body: Json) -> None:
        """What an app sends to a response_url."""
        channel_id, ts, app = self.response_urls[ticket]
        channel = self.world.channel(channel_id)
        content: Any = {key: body[key] for key in ("text", "blocks", "attachments") if key in body}
        if body.get("delete_original"):
            self.acts.delete(channel, ts)
        elif body.get("replace_original"):
            self.acts.edit(channel, ts, content, app.bot_user_id)
        elif body.get("response_type") == "in_channel":
            self.acts.post(channel, {"user": app.bot_user_id, "bot_id": app.bot_id, "app_id": app.id, **content})
        else:
            self.ephemeral.append({"channel": channel_id, **content})


def _has_action(message: Json, action: Json) -> bool:
    elements = []
    for block in message.get("blocks", []):
        elements += [*block.get("elements", []), *([block["accessory"]] if block.get("accessory") else [])]
    return any(element.get("action_id") == action.get("action_id") for element in elements)
