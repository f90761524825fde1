"""Stages of user-interactive authentication in a browser, for clients that do not know them.

Only stages that prove nothing of an account: whose password was typed here, the operation could not know.

Source: client-server API, "User-Interactive Authentication API", "Fallback".
"""

import base64
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from homeserver.services.users.registration_tokens import RegistrationTokens
from homeserver.services.users.ui_auth import DUMMY, REGISTRATION_TOKEN, Attempt, UiAuth
from homeserver.web.call import Call
from homeserver.web.pages import page
from homeserver.web.params import Fields
from homeserver.web.replies import Answer, Reply
from homeserver.web.router import Access, Body, client, route
from matrix.errors import MatrixError, NotFound

_PATH = "/auth/{stage}/fallback/web"
MAX_FORM_BYTES = 4_096
# The specification's own words.
_SCRIPT = (
    "if (window.onAuthDone) { window.onAuthDone(); }"
    ' else if (window.opener && window.opener.postMessage) { window.opener.postMessage("authDone", "*"); }'
)
_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
_ENTRY_FORM = (
    '<form method="post"><p><input name="token" aria-label="Token" autocomplete="off" autofocus maxlength="64"></p>'
    "<button>Go on</button></form>"
)
_DUMMY_FORM = '<form method="post"><button>Go on</button></form>'
Prove = Callable[[Call, str], Awaitable[Any]]


class AuthFallbackApi:
    def __init__(self, *, ui_auth: UiAuth, tokens: RegistrationTokens) -> None:
        self._ui_auth = ui_auth
        self._tokens = tokens
        self._stages: dict[str, tuple[str, str, Prove]] = {
            REGISTRATION_TOKEN: ("Which token were you given, to make an account?", _ENTRY_FORM, self._reserve),
            DUMMY: ("Nothing is asked of you.", _DUMMY_FORM, _nothing),
        }

    @route("GET", *client(_PATH), access=Access.PUBLIC)
    async def show(self, call: Call, stage: str) -> Answer:
        try:
            text, form, _ = await self._open(call, stage)
        except MatrixError as error:
            return page("This did not work", error.message, status=error.status)
        return page("Go on in the browser", text, form=form)

    @route("POST", *client(_PATH), access=Access.PUBLIC, body=Body.JSON, max_body_bytes=MAX_FORM_BYTES)
    async def complete(self, call: Call, stage: str) -> Answer:
        """The body is a form."""
        try:
            _, form, prove = await self._open(call, stage)
        except MatrixError as error:
            return page("This did not work", error.message, status=error.status)
        try:
            result = await prove(call, _field(call.body, "token"))
        except MatrixError as error:
            return page("Try again", error.message, form=form, status=error.status)
        await self._ui_auth.complete(call.query.text("session"), stage, result)
        return _done()

    async def _open(self, call: Call, stage: str) -> tuple[str, str, Prove]:
        """Raises: MatrixError, if there is no such stage to be completed here."""
        if stage not in self._stages:
            raise NotFound("This cannot be done in a browser here")
        if not await self._ui_auth.awaits(call.query.text("session"), stage):
            raise NotFound("This has been done already, or is too old: go back and begin anew")
        return self._stages[stage]

    async def _reserve(self, call: Call, token: str) -> Any:
        return await self._tokens.check(Attempt(Fields({"token": token}), call, None))


async def _nothing(call: Call, token: str) -> Any:
    return True


def _field(body: bytes, name: str) -> str:
    """Of a form; nothing for what is none."""
    try:
        values = parse_qs(body.decode("ascii"), max_num_fields=10).get(name, [])
    except (UnicodeDecodeError, ValueError):
        return ""
    return values[0].strip().replace("\x00", "") if values else ""


def _done() -> Reply:
    """The page that tells the client's window."""
    said = page("Thank you", "You may close this window and go back.", form=f"<script>{_SCRIPT}</script>")
    policy = said.headers["Content-Security-Policy"] + f"; script-src 'sha256-{_HASH}'"
    return Reply(said.status, said.body, said.content_type, headers={**said.headers, "Content-Security-Policy": policy})
