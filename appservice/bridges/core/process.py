"""A bridge as a process: opened, checked against its homeserver, run, and stopped without losing anything."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.error import CannotListenError

from appservice.bridges.core.assembly import Assembled, World
from appservice.bridges.core.config_file import BridgeConfig
from appservice.bridges.core.crossing import Crossing, LoopFromThreads
from appservice.bridges.core.matrix_client import Actor, HomeserverDown, MatrixRefused
from appservice.bridges.core.package import AnyPackage, Tools
from appservice.bridges.core.wire import TreqWire
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.tasks import Tasks
from homeserver.web.listeners import Listener, Listeners
from homeserver.web.server import HttpServer
from storage import bridges_inbox as rows
from storage.database import Database

_THREADS = 4
_PAUSE_S = 5.0
# Within what `homeserver.cli.serving` grants.
_STOP_S = 8.0
_TRIM_S, _TRIM_AT_ONCE = 3600.0, 10_000

logger = logging.getLogger(__name__)


@frozen(kw_only=True)
class Opened:
    """What the command line has opened. `close_database` is for a PostgreSQL of our own."""

    reactor: Any
    dsn: str
    directory: Path
    close_database: Callable[[], object] = lambda: None


def tools_of(reactor: Any, clock: Clock, tasks: Tasks, metrics: Metrics, directory: Path, name: str) -> Tools:
    """What a network is built with. Call it while the reactor runs: its loop is the one that runs."""
    return Tools(
        reactor=reactor,
        clock=clock,
        tasks=tasks,
        metrics=metrics,
        crossing=Crossing(asyncio.get_running_loop(), reactor, is_same_thread=True),
        directory=directory,
        logger=logging.getLogger(f"appservice.bridges.{name}"),
    )


class BridgeProcess:
    """Like a server of homeserver.cli.serving: built, started, stopped."""

    first_user_token: str | None = None

    def __init__(self, config: BridgeConfig, package: AnyPackage, opened: Opened, clock: Clock) -> None:
        self._opened, self._clock = opened, clock
        self._settings = config.settings
        self._metrics = Metrics()
        self._tasks = Tasks(clock=clock, metrics=self._metrics)
        threads = LoopFromThreads(asyncio.get_running_loop())
        self._database = Database(opened.dsn, reactor=threads, threads=_THREADS)
        self._wire = TreqWire(address=config.settings.homeserver.address, reactor=opened.reactor)
        tools = tools_of(opened.reactor, clock, self._tasks, self._metrics, opened.directory, package.name)
        world = World(
            reactor=opened.reactor,
            database=self._database,
            wire=self._wire,
            clock=clock,
            tasks=self._tasks,
            metrics=self._metrics,
        )
        self._parts = Assembled(config.settings, package.build(config.network, tools), world)
        self._listeners = Listeners(reactor=opened.reactor)

    async def start(self) -> None:
        """Listens; then, in the background, finds its homeserver and connects."""
        self._database.start()
        await self._parts.load()
        options = self._settings.appservice
        listener = Listener(port=options.port, bind_addresses=options.bind_addresses, resources=())
        server = HttpServer(router=self._parts.router(), reactor=self._opened.reactor)
        try:
            self._listeners.start(listener, server)
        except CannotListenError as error:
            raise OSError(str(error)) from error
        self._tasks.background("bridge.start", self._connect())
        self._tasks.repeat("bridge.trim", _TRIM_S, self._trim)

    async def _trim(self) -> None:
        while (
            await self._parts.context.store.run(rows.trim_taken, self._clock.now_ms(), _TRIM_AT_ONCE) == _TRIM_AT_ONCE
        ):
            await self._clock.sleep(0.1)

    async def _connect(self) -> None:
        while (fault := await self._look_at_homeserver()) is not None:
            logger.error("%s", fault)
            await self._clock.sleep(_PAUSE_S)
        await self._parts.start()
        await self._ping()

    async def _look_at_homeserver(self) -> str | None:
        """What is wrong, if anything is."""
        context, options = self._parts.context, self._settings.appservice
        address = self._settings.homeserver.address
        try:
            await context.matrix.register(options.as_token, options.bot)
            name = await context.matrix.whoami(context.bot)
        except HomeserverDown as error:
            return f"The homeserver at {address} does not answer: {error}"
        except MatrixRefused as error:
            return (
                f"The homeserver at {address} does not know the bridge ({error}). Do: hearth appservice add"
                " registration.yaml; or is that address in bridge.yaml another homeserver's?"
            )
        if name != context.bot.user_id:
            return f"The homeserver takes the bridge for {name}: is sender_localpart {options.bot}?"
        if options.bot_name:
            await context.matrix.set_name(context.bot, options.bot_name)
        await self._look_at_puppets()
        return None

    async def _look_at_puppets(self) -> None:
        context, token = self._parts.context, self._settings.appservice.puppet_token
        if token is None:
            return
        try:
            await context.matrix.whoami(Actor(context.bot.user_id, token))
        except (MatrixRefused, HomeserverDown) as error:
            logger.error("No double puppets (%s). Do: hearth appservice add double-puppets.yaml", error)

    async def _ping(self) -> None:
        context = self._parts.context
        try:
            took_ms = await context.matrix.ping(context.bot, self._settings.appservice.id)
        except MatrixRefused as error:
            logger.error("The homeserver does not reach the bridge: %s. Is `url` of the registration right?", error)
        except HomeserverDown as error:
            logger.error("The homeserver does not reach the bridge: %s", error)
        else:
            logger.info("The homeserver reaches the bridge in %d ms", took_ms)

    def reload(self) -> None:
        """Logs are opened anew by the command line; there is nothing else: before the outer world stands a proxy."""

    async def stop(self) -> None:
        """What was accepted is durable: whatever is not done the next process does."""
        await self._parts.stop()
        await self._listeners.stop(1.0)
        await self._tasks.stop(_STOP_S)
        await self._wire.close()
        self._database.stop()
        self._opened.close_database()
