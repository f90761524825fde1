"""Work that comes round: what only grows is trimmed, in small batches, by the topic that owns it."""

import gc
from collections.abc import Awaitable, Callable

from twisted.internet.threads import deferToThreadPool

from homeserver.app.core import Core
from homeserver.app.users import Users
from homeserver.runtime import garbage
from homeserver.services.users.last_seen import EVERY_S
from storage import (
    commit,
    destinations,
    devices,
    event_transactions,
    federation_queue,
    imported_events,
    received_transactions,
    redaction_pruning,
    stream,
    tail,
    to_device,
)
from storage.database import Query
from storage.embedded import EmbeddedPostgres

HOUR_S = 3600.0
WATCH_S = 2.0
FREEZE_EVERY_S = 60.0
COLLECT_EVERY_S = 6 * 3600.0
# A batch that was full is followed by another at once, but others must have their turn.
BATCH = 5_000
MAX_BATCHES = 200


def watch(core: Core, postgres: EmbeddedPostgres) -> None:
    """Our own PostgreSQL is started again when something has killed it: the kernel, short of memory."""

    async def ensure_running() -> None:
        await deferToThreadPool(core.reactor, core.reactor.getThreadPool(), postgres.ensure_running)

    core.tasks.repeat("postgres.watch", WATCH_S, ensure_running)


def start_upkeep(core: Core, users: Users) -> None:
    """Every hour, on whichever process: deleting twice does no harm."""
    now_ms = core.clock.now_ms
    day_ms = 24 * 3600 * 1000

    async def trim_ui_auth() -> int:
        await users.ui_auth.trim()
        await users.login_tokens.trim()
        return 0

    jobs: dict[str, Callable[[], Awaitable[int]]] = {
        "trim.stream": lambda: _run(core, stream.trim),
        "trim.destinations": lambda: _run(core, destinations.trim, now_ms() - 30 * day_ms),
        "trim.committers": lambda: _run(core, commit.trim_committers),
        "trim.listeners": lambda: _run(core, tail.trim_listeners),
        "trim.event_transactions": lambda: _run(core, event_transactions.trim, now_ms()),
        "trim.to_device_transactions": lambda: _run(core, to_device.trim_transactions, now_ms() - day_ms),
        "trim.to_device_orphans": lambda: _run(core, to_device.trim_orphans),
        "trim.federation_queue": lambda: _run(core, federation_queue.trim),
        "trim.federation_received": lambda: _run(core, received_transactions.trim, now_ms()),
        "trim.imported_events": lambda: _run(core, imported_events.trim, now_ms()),
        "trim.ui_auth": trim_ui_auth,
    }
    core.tasks.repeat("process.collections", FREEZE_EVERY_S, _keep_collections_short)
    core.tasks.repeat("process.whole_collection", COLLECT_EVERY_S, _look_through_all)
    core.tasks.repeat("users.last_seen", EVERY_S, users.last_seen.flush)
    core.tasks.background("users.deactivation", users.deactivation.resume())
    if (addresses_ms := core.config.server.user_ips_max_age) is not None:
        jobs["trim.addresses"] = lambda: _run(core, devices.forget_addresses, now_ms() - addresses_ms)
    if (stale_ms := core.config.server.delete_stale_devices_after) is not None:
        jobs["trim.devices"] = lambda: users.devices.delete_stale(now_ms() - stale_ms)
    if (redacted_ms := core.config.server.redaction_retention_period) is not None:
        jobs["trim.redacted"] = lambda: _run(core, redaction_pruning.prune, now_ms(), redacted_ms)
    for name, job in jobs.items():
        core.tasks.repeat(name, HOUR_S, lambda job=job: _until_done(job))  # type: ignore[misc]


async def _keep_collections_short() -> None:
    """What has lived for a minute lives long: caches, mostly. The collector need not look at it every minute."""
    gc.collect(1)
    garbage.leave_alone()


async def _look_through_all() -> None:
    """A few times a day: of what lived long and died as a part of a cycle, nothing else is ever freed.

    Stops the world for 100 ms with a million objects in caches.
    """
    garbage.look_through()


async def _run(core: Core, function: Query[..., int], *args: int) -> int:
    return await core.storage.database.run(function, *args)


async def _until_done(job: Callable[[], Awaitable[int]]) -> None:
    for _ in range(MAX_BATCHES):
        if await job() < BATCH:
            return
