"""HTTP to the homeserver, with no Matrix in it. Tests put another one in its place."""

from collections.abc import Mapping
from typing import Any, BinaryIO, Protocol

import treq
from twisted.internet.interfaces import IReactorTime
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool

from appservice.bridges.core.connections import MAX_ANSWER_BYTES, Answer, Connections, WireBroken
from appservice.bridges.core.network import Spool
from homeserver.web.response_body import BodyBroken, ResponseBody

_TIMEOUT_S = 120.0


class Wire(Protocol):
    """`path` begins with a slash and is percent-encoded, its query included."""

    async def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | BinaryIO | None) -> Answer:
        """Raises: WireBroken."""
        ...

    async def fetch(self, path: str, headers: Mapping[str, str], spool: Spool) -> Answer:
        """Writes the body of a 200 into the spool; that of others is in the answer. Raises: WireBroken, and what the
        spool raises."""
        ...


class TreqWire:
    """To a homeserver at an address: files by treq, all that is small over connections of our own."""

    def __init__(self, *, address: str, reactor: IReactorTime) -> None:
        pool = HTTPConnectionPool(reactor, persistent=True)  # type: ignore[no-untyped-call]
        # One for each queue that runs.
        pool.maxPersistentPerHost = 32
        self._pool = pool
        self._reactor = reactor
        self._address = address.rstrip("/")
        self._small = Connections(address=address, reactor=reactor, timeout_s=_TIMEOUT_S)
        agent = Agent(reactor, connectTimeout=10, pool=pool)  # type: ignore[no-untyped-call]
        self._treq = treq.client.HTTPClient(agent)

    async def close(self) -> None:
        self._small.close()
        await self._pool.closeCachedConnections()  # type: ignore[no-untyped-call]

    async def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | BinaryIO | None) -> Answer:
        if body is None or isinstance(body, bytes):
            return await self._small.ask(method, path, headers, body)
        response = await self._begin(method, path, headers, body)
        gathered = _Gathered()
        await self._read(response, gathered)
        return Answer(response.code, _plain(response), bytes(gathered.body))

    async def fetch(self, path: str, headers: Mapping[str, str], spool: Spool) -> Answer:
        response = await self._begin("GET", path, headers, None)
        gathered = _Gathered()
        await self._read(response, spool if response.code == 200 else gathered)
        return Answer(response.code, _plain(response), bytes(gathered.body))

    async def _begin(self, method: str, path: str, headers: Mapping[str, str], body: BinaryIO | None) -> Any:
        try:
            return await self._treq.request(
                method,
                self._address + path,
                headers=dict(headers),
                data=None if body is None else _body_of(body),
                timeout=_TIMEOUT_S,
                reactor=self._reactor,
                unbuffered=True,
            )
        except Exception as error:
            # treq and Twisted have a dozen of them, and none says more than this one.
            raise WireBroken(f"{type(error).__name__}: {error}"[:300]) from error

    async def _read(self, response: Any, into: Spool) -> None:
        body = ResponseBody(self._reactor, _TIMEOUT_S)
        response.deliverBody(body)
        try:
            async for chunk in body:
                into.write(chunk)
        except BodyBroken as error:
            raise WireBroken(str(error)) from error
        finally:
            body.close()


def _body_of(file: BinaryIO) -> FileBodyProducer:
    """treq knows files of some classes only, and not the spools that a file comes in."""
    return FileBodyProducer(_Kept(file))  # type: ignore[no-untyped-call]


class _Kept:
    """A file that its owner closes: whoever has sent it must not."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        """Nothing."""


class _Gathered:
    def __init__(self) -> None:
        self.body = bytearray()

    def write(self, chunk: bytes) -> None:
        if len(self.body) + len(chunk) > MAX_ANSWER_BYTES:
            raise WireBroken(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
        self.body += chunk


def _plain(response: Any) -> dict[str, str]:
    pairs = response.headers.getAllRawHeaders()
    return {name.decode("latin-1").lower(): values[-1].decode("latin-1") for name, values in pairs}
