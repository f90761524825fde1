"""What goes over the wire to another server, below signatures and JSON: the place where tests put a network of theirs.

The real one is `https.HttpsWire`.
"""

from collections.abc import AsyncIterator, Mapping
from io import BytesIO
from typing import Protocol

from attrs import field, frozen

from matrix.ids import ServerName


@frozen
class WireRequest:
    """A request. `target` is path and query, percent-encoded; `timeout_s` and `max_bytes` are for the whole answer.

    Of a stream `timeout_s` is the time to the headers, and then for each pause.
    """

    destination: ServerName
    method: str
    target: str
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes | None = field(default=None, repr=False)
    timeout_s: float = 30.0
    max_bytes: int = 1024 * 1024


@frozen
class WireAnswer:
    """An answer of any status. `headers` are by small name."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class WireStream(Protocol):
    """An answer whose body comes as it is read: `async for chunk in stream`.

    Iteration raises Unreachable when it breaks off or pauses for too long, BadAnswer beyond `max_bytes`. Whoever does
    not read to the end calls `close`; called twice or after the end it does nothing.
    """

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def close(self) -> None: ...


class Wire(Protocol):
    """Finds the server of a name and asks it. Redirects are answers like any other, and not followed."""

    async def send(self, request: WireRequest) -> WireAnswer:
        """Raises: Unreachable; BadAnswer if the answer is too large or no HTTP."""
        ...

    async def stream(self, request: WireRequest) -> WireStream:
        """Comes back with the headers. Raises: Unreachable, BadAnswer."""
        ...

    async def close(self) -> None:
        """Closes what is open."""
        ...


async def collect(stream: WireStream) -> bytes:
    """The whole body. Raises: Unreachable, BadAnswer."""
    # It grows in place, and is given without another copy: to join tens of megabytes at once takes a whole turn.
    body = BytesIO()
    async for chunk in stream:
        body.write(chunk)
    return body.getvalue()
