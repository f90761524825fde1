"""The life of a server process: start, say where it is, run until a signal, drain, end."""

import contextlib
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from types import FrameType
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

from homeserver.runtime import garbage
from homeserver.runtime.clock import Clock

# What a container or systemd grants between the polite signal and the other one, less a margin.
DRAIN_S = 10.0
# The default of 5 ms lets a busy reactor keep the GIL from a database thread for 5 ms at each of its steps: look-ups
# took 20-40 ms under load, and take 2-5 ms so.
SWITCH_INTERVAL_S = 0.0005


class Server(Protocol):
    """A server that is built: its database is open and of this version; it listens from `start` to `stop`."""

    @property
    def first_user_token(self) -> str | None:
        """The token of the one-time link, while there is no user."""
        ...

    async def start(self) -> None:
        """Listens."""
        ...

    def reload(self) -> None:
        """Takes up what may change while it runs: certificates, registrations of bridges."""
        ...

    async def stop(self) -> None:
        """Accepts nothing more, answers what waits, commits what was begun, closes the database."""
        ...


class Signals:
    """SIGTERM and SIGINT: the first asks to stop, a second ends the process at once. SIGHUP: `on_hangup` is called."""

    def __init__(self, reactor: IReactorFromThreads, *, exit_now: Callable[[int], object] = os._exit) -> None:
        self.stop_asked: Deferred[None] = Deferred()
        self.on_hangup: list[Callable[[], object]] = []
        self._reactor = reactor
        self._exit_now = exit_now
        self._seen = False

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.caught)
        signal.signal(signal.SIGHUP, self.hung_up)

    def hung_up(self, number: int, frame: FrameType | None) -> None:
        """What may be read anew while the server runs is to be read anew."""
        for reload in self.on_hangup:
            self._reactor.callFromThread(reload)

    def caught(self, number: int, frame: FrameType | None) -> None:
        if self._seen:
            # As a shell says it of a process that a signal ended.
            self._exit_now(128 + number)
            return
        self._seen = True
        # A signal handler interrupts anything: only this wakes the reactor safely.
        self._reactor.callFromThread(self.stop_asked.callback, None)


async def live(
    build: Callable[[], Awaitable[Server]],
    *,
    signals: Signals,
    clock: Clock,
    on_ready: Callable[[Server], None],
    say: Callable[[str], None],
) -> None:
    """From the building of a server to its end. Raises what `build` and `start` raise."""
    server = await build()
    try:
        if not signals.stop_asked.called:
            await server.start()
            signals.on_hangup.append(server.reload)
            settle()
            on_ready(server)
            await signals.stop_asked
        say("Stopping: answering what waits ... (a second signal ends it at once)")
    finally:
        await drain(server, clock, say)


async def drain(server: Server, clock: Clock, say: Callable[[str], None]) -> None:
    """Stops the server, and waits no longer than DRAIN_S for it."""
    try:
        await clock.timeout(server.stop(), DRAIN_S)
    except TimeoutError:
        say(f"Not everything had ended within {DRAIN_S:g} s; what was acknowledged is safe.")


def settle() -> None:
    """What is alive now lives as long as the process: the collector need not look at it again.

    What is garbage among it, some thousand objects, is not worth the 60 ms that finding it takes, while somebody may
    wait for the first answer.
    """
    garbage.leave_alone()


def prepare_process(open_files: int = 0) -> None:
    """Settings that a busy server wants. `open_files`: how many it may open; 0 for as many as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if open_files <= 0 else open_files if hard == resource.RLIM_INFINITY else min(open_files, hard)
    if wanted != soft:
        # Where the hard limit is none at all, some systems refuse it as the soft one.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    garbage.look_seldom()


def announcement(
    *, listening: Sequence[str], server_name: str, base_url: str, token: str | None, register_command: str
) -> str:
    """What the operator reads when the server is ready."""
    lines = [
        "",
        f"Hearth is ready. Its server name is {server_name}.",
        *(f"  listening on {url}" for url in listening),
        "",
        "To connect: open a Matrix client (Element, for one), choose to sign in, and change the homeserver to",
        f"  {base_url}",
    ]
    if token is not None:
        lines += [
            "",
            "There is no account yet. Make the first one, an administrator, by this link (it works once):",
            f"  {base_url}/_hearth/setup?token={token}",
            "or in another terminal:",
            f"  {register_command}",
        ]
    return "\n".join([*lines, ""])
