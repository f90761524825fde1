"""A homeserver and services that hear what it tells them, over real HTTP."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import define, field
from twisted.internet.defer import Deferred

from appservice.queue import Queue
from tests.integration.appservice.bridge import Bridge, Start, write
from tests.support.fake_service import ListeningService, listening_service, until
from tests.support.homeserver import Homeserver


@define(eq=False)
class Town:
    """Services, and the processes of one homeserver that tell them."""

    directory: Path
    start_homeserver: Start
    stack: ExitStack = field(factory=ExitStack)
    files: list[Path] = field(factory=list)
    running: list[Homeserver] = field(factory=list)

    def service(self, id: str = "irc", **more: Any) -> ListeningService:
        """A service that every process from here on knows; `more` of its registration."""
        service = self.stack.enter_context(listening_service(id))
        self.register(service, **more)
        return service

    def register(self, service: ListeningService, **more: Any) -> None:
        """Writes its registration file, anew if there is one."""
        file = self.directory / f"{service.id}.yaml"
        write(self.directory, service.registration(**more), file.name)
        if file not in self.files:
            self.files.append(file)

    async def start(self, more: str = "") -> Homeserver:
        """A process."""
        names = ", ".join(map(str, self.files))
        hs = await self.start_homeserver(f"app_service_config_files: [{names}]\n{more}")
        self.running.append(hs)
        return hs

    async def stop(self, hs: Homeserver) -> None:
        """As a kill would end it: what is under way is lost."""
        self.running.remove(hs)
        await hs.server.appservices.stop()
        await hs.core.tasks.stop(0)

    def end(self) -> None:
        for hs in self.running:
            pytest_twisted.blockon(Deferred.fromCoroutine(hs.server.appservices.stop()))
        self.stack.close()


@pytest.fixture
def town(tmp_path: Path, start_homeserver: Start) -> Iterator[Town]:
    town = Town(tmp_path, start_homeserver)
    yield town
    town.end()


def bridge_of(hs: Homeserver, service: ListeningService) -> Bridge:
    return Bridge(hs, token=f"as-{service.id}")


def queue_of(hs: Homeserver, service: ListeningService) -> Queue | None:
    return hs.server.appservices.senders.queues().get(service.id)


async def is_taken_up(hs: Homeserver, service: ListeningService) -> Queue:
    """Comes back when the process sends to the service."""
    await until(lambda: (queue := queue_of(hs, service)) is not None and queue.is_idle)
    queue = queue_of(hs, service)
    assert queue is not None
    return queue


async def told_all(hs: Homeserver, *services: ListeningService) -> None:
    """Comes back when the services have taken all that concerns them."""

    def is_told(service: ListeningService) -> bool:
        queue = queue_of(hs, service)
        return queue is not None and queue.is_idle and queue.position == hs.core.storage.stream.position

    await until(lambda: all(map(is_told, services)))


async def bridged_room(hs: Homeserver, bridge: Bridge, **body: Any) -> str:
    """A room of the service's own user."""
    return str((await bridge.ok("POST", "/createRoom", {"preset": "public_chat", **body}))["room_id"])
