"""The wire of a homeserver that stands alone: no test reaches the real network by mistake."""

from federation.outbound.errors import Unreachable
from federation.outbound.wire import WireAnswer, WireRequest, WireStream


class NoWire:
    """Nobody can be reached."""

    async def send(self, request: WireRequest) -> WireAnswer:
        raise Unreachable(request.destination, "there is no network")

    async def stream(self, request: WireRequest) -> WireStream:
        raise Unreachable(request.destination, "there is no network")

    async def close(self) -> None:
        """Nothing is open."""
