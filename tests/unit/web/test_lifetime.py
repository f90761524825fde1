"""What is closed goes at once, without the collector of garbage.

A server that runs for months keeps the collector from what has lived long (homeserver/app/upkeep.py): a closed
connection that only the collector could find would stay for ever.
"""

import gc
import weakref
from collections.abc import Iterator

import pytest

from tests.support.http import MemoryClient
from tests.unit.web.api import Api, router_of

UPLOAD = b"POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345"


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /hel",
        b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n",
        b"this is no HTTP\r\n\r\n",
        UPLOAD,
        UPLOAD + b"67890",
    ],
)
def test_a_connection_that_is_lost_is_gone(sent: bytes) -> None:
    web = MemoryClient(router_of(Api()))
    transport = web.connect()
    protocol = transport.protocol
    if sent:
        protocol.dataReceived(sent)
    transport.disconnect()
    # A socket's transport lets go of its protocol by itself.
    transport.protocol = None
    lost = weakref.ref(protocol)
    del protocol
    assert lost() is None
