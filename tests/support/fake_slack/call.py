"""A method of the Web API: how it is declared, and what it is given when it is called."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson
from attrs import frozen

from tests.support.fake_slack.errors import SlackError
from tests.support.fake_slack.grants import Token
from tests.support.fake_slack.world import Channel, Json

if TYPE_CHECKING:
    from tests.support.fake_slack.core import Core

# The middle of a scope's name, by the kind of the conversation.
FAMILIES = {"channel": "channels", "group": "groups", "im": "im", "mpim": "mpim"}


@frozen
class Call:
    """One request, its token checked."""

    core: "Core"
    method: str
    token: Token
    args: Json

    @property
    def user_id(self) -> str:
        return self.token.user_id

    def text(self, name: str, error: str = "invalid_arguments") -> str:
        value = self.args.get(name)
        if not value:
            raise SlackError(error)
        return str(value)

    def maybe(self, name: str) -> str | None:
        value = self.args.get(name)
        return None if value in (None, "") else str(value)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.args.get(name, default)
        return str(value).lower() in ("1", "true")

    def number(self, name: str, default: int, most: int) -> int:
        try:
            return max(1, min(most, int(self.args.get(name) or default)))
        except ValueError:
            raise SlackError("invalid_limit") from None

    def json(self, name: str, error: str = "invalid_arguments") -> Any:
        """A structure; by form it comes as text."""
        value = self.args.get(name)
        if not isinstance(value, str):
            return value
        try:
            return orjson.loads(value) if value else None
        except ValueError:
            raise SlackError(error) from None

    def need(self, *scopes: str) -> None:
        """One of these scopes."""
        if self.token.kind != "xoxc" and not self.token.scopes & set(scopes):
            provided = ",".join(sorted(self.token.scopes))
            raise SlackError("missing_scope", needed=",".join(scopes), provided=provided)

    def channel(self, what: str = "", *, name: str = "channel") -> Channel:
        """The conversation that is meant; `what` (history, read, write, manage): the scope of its kind is needed."""
        channel = self.core.world.channel(self.text(name, "channel_not_found"), self.user_id)
        if what:
            self.need(scope_of(channel.kind, what, self.token.kind))
        return channel

    def page(self, items: list[Any], most: int = 1000, default: int = 100) -> tuple[list[Any], Json]:
        """One page of a list, and the response_metadata that leads to the next one."""
        limit = self.number("limit", default, most)
        cursor = self.maybe("cursor")
        try:
            start = int(cursor.removeprefix("c:")) if cursor else 0
        except ValueError:
            raise SlackError("invalid_cursor") from None
        more = start + limit < len(items)
        return items[start : start + limit], {"next_cursor": f"c:{start + limit}" if more else ""}


def scope_of(kind: str, what: str, token_kind: str = "xoxb") -> str:
    if what == "manage":
        # A bot manages public channels by a scope of another name than a person does.
        return {"channel": "channels:manage" if token_kind == "xoxb" else "channels:write"}.get(
            kind, f"{FAMILIES[kind]}:write"
        )
    return f"{FAMILIES[kind]}:{what}"


@frozen
class Method:
    """`scopes`: any one of them is needed. `kinds`: the tokens that may call it."""

    run: Callable[[Call], Any]
    tier: str
    scopes: tuple[str, ...]
    kinds: tuple[str, ...]


METHODS: dict[str, Method] = {}


def method(
    name: str, tier: str, *scopes: str, kinds: tuple[str, ...] = ("xoxb", "xoxp", "xoxc")
) -> Callable[[Callable[[Call], Any]], Callable[[Call], Any]]:
    """Declares a method: its result is the answer without `ok`."""

    def declare(function: Callable[[Call], Any]) -> Callable[[Call], Any]:
        METHODS[name] = Method(function, tier, scopes, kinds)
        return function

    return declare
