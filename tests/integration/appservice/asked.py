"""A homeserver and a service that it asks, over real HTTP."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import define, field
from twisted.internet.defer import Deferred

from tests.integration.appservice.bridge import Bridge, Start, write
from tests.support.appservice import UNRECOGNIZED, Asked, FakeService, fake_service
from tests.support.homeserver import Homeserver

NOT_FOUND = (404, {"errcode": "M_NOT_FOUND"})

_REGISTRATION = """
id: {id}
url: {url}
as_token: as-{id}
hs_token: hs-{id}
sender_localpart: _{id}_bot
protocols: [irc]
namespaces:
  users: [{{exclusive: {exclusive}, regex: "@_{space}_"}}]
  aliases: [{{exclusive: {exclusive}, regex: "#_{space}_"}}]
"""


@define(eq=False)
class Services:
    """Services that are there before the homeserver starts. One that no `answer` is set for knows nothing."""

    directory: Path
    start_homeserver: Start
    stack: ExitStack = field(factory=ExitStack)
    files: list[Path] = field(factory=list)
    started: list[Homeserver] = field(factory=list)

    def add(
        self, id: str = "irc", url: str | None = None, *, exclusive: bool = True, space: str = "irc"
    ) -> FakeService:
        """`url`: another than the service's own; "null" for none. `space`: in the names of its users and aliases."""
        service = self.stack.enter_context(fake_service(lambda asked: UNRECOGNIZED))
        service.takes_transactions = True
        text = _REGISTRATION.format(id=id, url=url or service.url, exclusive=str(exclusive).lower(), space=space)
        write(self.directory, text, f"{id}.yaml")
        self.files.append(self.directory / f"{id}.yaml")
        return service

    def options(self) -> str:
        return f"app_service_config_files: [{', '.join(map(str, self.files))}]\n"

    async def start(self, more: str = "", id: str = "irc") -> Bridge:
        hs = await self.start_homeserver(self.options() + more)
        self.started.append(hs)
        return Bridge(hs, token=f"as-{id}")


@pytest.fixture
def services(tmp_path: Path, start_homeserver: Start) -> Iterator[Services]:
    found = Services(tmp_path, start_homeserver)
    yield found
    for hs in found.started:
        pytest_twisted.blockon(Deferred.fromCoroutine(hs.server.appservices.http.close()))
    found.stack.close()


def knows_users(bridge: Bridge, *names: str) -> Callable[[Asked], Any]:
    """A service that registers these users when it is asked for them, with a name of their own."""

    async def answer(asked: Asked) -> Any:
        name = asked.segments[-1]
        if "users" not in asked.segments or name not in names:
            return NOT_FOUND
        await bridge.ghost(name[1:].partition(":")[0])
        await bridge.ok("PUT", f"/profile/{name}/displayname", {"displayname": f"{name} here"}, user_id=name)
        return (200, {})

    return answer


def knows_aliases(bridge: Bridge, *aliases: str) -> Callable[[Asked], Any]:
    """A service that makes these rooms when it is asked for them."""

    async def answer(asked: Asked) -> Any:
        alias = asked.segments[-1]
        if "rooms" not in asked.segments or alias not in aliases:
            return NOT_FOUND
        name = alias[1:].partition(":")[0]
        await bridge.ok("POST", "/createRoom", {"preset": "public_chat", "room_alias_name": name})
        return (200, {})

    return answer
