"""A line of JSON in, {id, method, args}; a line of JSON out, {id, result} or {id, error}. Requests run side by side."""

import asyncio
import json
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Methods = Mapping[str, Callable[..., Awaitable[Any]]]


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, answer: Any) -> None:
        super().__init__(str(answer))
        self.errcode = getattr(answer, "status_code", None)


async def serve(methods: Methods) -> None:
    """Answers the requests on stdin until it ends."""
    reader = asyncio.StreamReader(limit=2**26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    running = set()
    async for line in reader:
        task = asyncio.create_task(_answer(methods, **json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)


async def _answer(methods: Methods, id: int, method: str, args: dict[str, Any]) -> None:
    reply: dict[str, Any] = {"id": id}
    try:
        reply["result"] = plain(await methods[method](**args))
    except Exception as error:  # noqa: BLE001  whatever it is, the test has to hear of it
        reply["error"] = {
            "message": f"{type(error).__name__}: {error}",
            "stack": traceback.format_exc(),
            "errcode": getattr(error, "errcode", None),
        }
    print(json.dumps(reply), flush=True)


def plain(value: Any) -> Any:
    """What JSON can say of a value: of an object its attributes."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, bytes):
        return value.hex()
    return {name: plain(item) for name, item in getattr(value, "__dict__", {}).items() if _is_of_interest(name)}


def _is_of_interest(name: str) -> bool:
    return not name.startswith("_") and name not in ("transport_response", "source", "start_time", "end_time")
