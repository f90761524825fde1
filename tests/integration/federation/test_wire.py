"""Two servers ask each other over a network in memory: signatures, errors, back-off."""

import pytest

from federation.outbound.errors import Refused, Unreachable
from federation.outbound.transport import Terms
from homeserver import VERSION
from matrix.ids import ServerName
from tests.support.fake_server import FakeServer
from tests.support.federation import Network

ONE, TWO, EVIL = ServerName("one.test"), ServerName("two.test"), ServerName("evil.test")
WHO = "/_matrix/federation/v1/who"


async def test_a_server_tells_its_version(network: Network) -> None:
    one, _ = await network.start(ONE), await network.start(TWO)
    assert await one.server.federation.client.version(TWO) == {"server": {"name": "Hearth", "version": VERSION}}


async def test_who_cannot_be_reached_is_left_alone_for_a_while(network: Network) -> None:
    one, _ = await network.start(ONE), await network.start(TWO)
    network.cut(ONE, TWO)
    client, destinations = one.server.federation.client, one.server.federation.destinations
    with pytest.raises(Unreachable):
        await client.version(TWO, Terms(retries=0))
    tries = len(network.requests)
    network.mend(ONE, TWO)
    with pytest.raises(Unreachable, match="did not answer"):
        await client.version(TWO)
    assert len(network.requests) == tries
    assert destinations.retry_at_ms(TWO) is not None
    await client.version(TWO, Terms(even_if_backing_off=True))
    assert destinations.retry_at_ms(TWO) is None


async def test_an_error_is_told_with_its_code(network: Network) -> None:
    one = await network.start(ONE)
    evil = FakeServer(network, EVIL)
    evil.answers("GET", WHO, lambda sent: (403, {"errcode": "M_FORBIDDEN", "error": "no"}))
    with pytest.raises(Refused) as refused:
        await one.server.federation.transport.get(EVIL, WHO)
    assert (refused.value.status, refused.value.errcode) == (403, "M_FORBIDDEN")
