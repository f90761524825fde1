"""A bridge as it asks the server: with its own token, as itself or as one of its ghosts."""

import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.support.homeserver import Homeserver, Response, q

AS_TOKEN = "as-irc"
IRC = """
id: irc
url: null
as_token: as-irc
hs_token: hs-irc
sender_localpart: _irc_bot
namespaces:
  users: [{exclusive: true, regex: "@_irc_"}]
  aliases: [{exclusive: true, regex: "#_irc_"}]
"""
BOT = "@_irc_bot:hearth.test"
GHOST = "@_irc_ann:hearth.test"

Start = Callable[[str], Awaitable[Homeserver]]
_transactions = itertools.count()


def write(directory: Path, text: str = IRC, name: str = "irc.yaml") -> str:
    """A registration file; gives the line of the configuration that names it."""
    file = directory / name
    file.write_text(text)
    return f"app_service_config_files: [{file}]\n"


@frozen
class Bridge:
    hs: Homeserver
    token: str = AS_TOKEN

    async def ask(self, method: str, path: str, json: Any = None, **query: Any) -> Response:
        return await self.hs.ask(method, path, json, self.token, **query)

    async def ok(self, method: str, path: str, json: Any = None, **query: Any) -> Any:
        response = await self.ask(method, path, json, **query)
        assert response.status == 200, (method, path, response)
        return response.json

    async def register(self, localpart: str, **body: Any) -> Response:
        json = {"type": "m.login.application_service", "username": localpart, "inhibit_login": True, **body}
        return await self.ask("POST", "/register", json)

    async def ghost(self, localpart: str = "_irc_ann") -> str:
        response = await self.register(localpart)
        assert response.status == 200, response
        return str(response.json["user_id"])

    async def send(self, room: str, user_id: str, body: str, **query: Any) -> str:
        path = f"/rooms/{q(room)}/send/m.room.message/t{next(_transactions)}"
        json = {"msgtype": "m.text", "body": body}
        return str((await self.ok("PUT", path, json, user_id=user_id, **query))["event_id"])


def refusal(response: Response) -> tuple[int, str | None]:
    return response.status, response.errcode
