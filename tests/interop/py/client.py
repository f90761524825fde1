"""Drives matrix-nio, with its encryption, by lines of JSON: see protocol.py.

Arguments: the server's address, and an empty directory for the crypto store. Runs in an environment of its own
(scripts/interop-setup), in which nothing of Hearth is.
"""

import asyncio
import inspect
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from backup import Backup
from daily_life import DailyLife
from protocol import plain, serve
from rooms import Rooms
from session import Session, good
from verification import Verification


def methods(*parts: object) -> dict[str, Callable[..., Awaitable[Any]]]:
    """The public coroutine methods of these objects, by name."""
    return {
        name: method
        for part in parts
        for name, method in inspect.getmembers(part, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }


async def main() -> None:
    url, store = sys.argv[1:]
    session = Session(url, store)

    async def call(name: str, args: dict[str, Any]) -> Any:
        """Any method of nio's AsyncClient."""
        return plain(good(await getattr(session.client, name)(**args)))

    try:
        parts = (session, Rooms(session), DailyLife(session), Verification(session), Backup(session))
        await serve({**methods(*parts), "call": call})
    finally:
        await session.stop()


logging.basicConfig(stream=sys.stderr, level=logging.INFO)
asyncio.run(main())
