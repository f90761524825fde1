"""Which apps are told of an event: those that subscribe to it, have the scope, and whose token's holder sees it."""

from tests.support.fake_slack.core import Core
from tests.support.fake_slack.grants import EVENT_SCOPES, App, Token
from tests.support.fake_slack.world import Channel, Json

# Told only of conversations that one is in; what else happens to a public channel everyone hears of.
_MEMBERS_ONLY = frozenset(
    [
        *("message", "reaction_added", "reaction_removed", "pin_added", "pin_removed"),
        *("member_joined_channel", "member_left_channel", "channel_left", "group_left"),
    ]
)


class Audience:
    """A listener of the world."""

    def __init__(self, core: Core) -> None:
        self._core = core
        core.world.listeners.append(self.tell)

    def tell(self, event: Json, channel: Channel | None) -> None:
        for app in self._core.apps.values():
            token = self._token_that_sees(app, event, channel)
            if token is not None:
                shown = {key: value for key, value in event.items() if key not in ("only_for", "metadata")}
                self._core.deliver(app, "events_api", self._core.event_payload(app, shown, token))

    def _token_that_sees(self, app: App, event: Json, channel: Channel | None) -> Token | None:
        kind = event["type"]
        if kind not in EVENT_SCOPES or kind not in app.events:
            return None
        for token in app.tokens:
            if token.kind in ("xoxb", "xoxp") and not token.revoked and _sees(token, event, channel):
                return token
        return None


def _sees(token: Token, event: Json, channel: Channel | None) -> bool:
    kind = event["type"]
    scope = EVENT_SCOPES[kind]
    if isinstance(scope, dict):
        scope = scope[channel.kind] if channel else ""
    if scope and scope not in token.scopes:
        return False
    if kind.endswith("_left") and kind != "member_left_channel":
        return bool(event.get("user") == token.user_id)
    if channel is None:
        return True
    if kind in _MEMBERS_ONLY or channel.kind != "channel":
        return token.user_id in channel.members
    return True
