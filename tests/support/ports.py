"""Ports for servers that are started again and again, or in processes of their own."""

import random
import socket

# Below the ports from which the system chooses for connections that go out (32768 on Linux, 49152 on macOS): a port of
# those may be free now and the end of somebody's connection a moment later.
_FIRST, _LAST = 10_000, 29_999
_choose = random.SystemRandom()


def free_port(address: str = "127.0.0.1") -> int:
    """A port on which nobody listens.

    By chance: two runs of the tests beside each other would find the same ones in the same order.
    """
    while True:
        port = _choose.randint(_FIRST, _LAST)
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
