"""From listener settings to open ports: TCP, TLS, unix sockets.

Sockets are opened here and handed to the reactor, which cannot set SO_REUSEPORT (several processes on one port, the
kernel spreading the connections) or IPV6_V6ONLY (`::` and `0.0.0.0` side by side) by itself.
"""

import errno
import re
import socket
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

from attrs import frozen
from OpenSSL import SSL
from OpenSSL.crypto import FILETYPE_PEM
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IOpenSSLContextFactory, IProtocolFactory
from twisted.internet.ssl import Certificate, CertificateOptions, KeyPair, TLSVersion
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from homeserver.web.server import HttpServer

# Connections that the kernel completes while the reactor is busy; Linux cuts it to net.core.somaxconn.
BACKLOG = 1024

_NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@frozen
class Listener:
    """One listener: a port on some addresses, or the path of a unix socket.

    `resources` names what it serves (client, federation, ...), which the composition root makes a router of.
    `proxies`: how many reverse proxies of ours append to X-Forwarded-For; `x_forwarded: true` is one.
    """

    port: int = 0
    bind_addresses: tuple[str, ...] = ("::", "0.0.0.0")  # noqa: S104 - a server is there to be reached
    path: str | None = None
    mode: int = 0o666
    tls_certificate_path: str | None = None
    tls_private_key_path: str | None = None
    proxies: int = 0
    resources: tuple[str, ...] = ("client", "federation")
    reuse_port: bool = False
    backlog: int = BACKLOG


@implementer(IOpenSSLContextFactory)
class TlsContext:
    """The TLS settings of a listener; `reload` takes up a renewed certificate without closing the port."""

    def __init__(self, certificate_path: str, private_key_path: str) -> None:
        self._certificate_path = certificate_path
        self._private_key_path = private_key_path
        self._options = self._load()

    def getContext(self) -> SSL.Context:
        """Asked for each connection."""
        return self._options.getContext()

    def reload(self) -> None:
        """Reads the files again. Raises: OSError, ValueError, SSL.Error if they will not do; the old ones stay."""
        self._options = self._load()

    def _load(self) -> CertificateOptions:
        chain = [Certificate.loadPEM(pem).original for pem in _PEM.findall(Path(self._certificate_path).read_bytes())]
        if not chain:
            raise ValueError(f"{self._certificate_path} holds no certificate")
        options = CertificateOptions(
            privateKey=KeyPair.load(Path(self._private_key_path).read_bytes(), FILETYPE_PEM).original,
            certificate=chain[0],
            extraCertChain=chain[1:],
            raiseMinimumTo=TLSVersion.TLSv1_2,
            acceptableProtocols=[b"http/1.1"],
        )
        options.getContext()  # tells now whether key and certificate belong together
        return options


class CannotBind(OSError):
    """The port cannot be had; `errno` says why."""

    def __init__(self, error: OSError, port: int) -> None:
        super().__init__(error.errno, error.strerror)
        self.port = port


@frozen
class _Open:
    """An open listener."""

    server: HttpServer
    ports: list[IListeningPort]
    tls: TlsContext | None


class Listeners:
    """All listeners of the process."""

    _log = Logger()

    def __init__(self, *, reactor: Any) -> None:
        self._reactor = reactor
        self._open: list[_Open] = []

    def start(self, listener: Listener, server: HttpServer) -> None:
        """Opens the listener's ports. Raises: CannotBind, OSError, and what a faulty certificate raises."""
        tls, factory = None, cast(IProtocolFactory, server)
        if listener.tls_certificate_path is not None and listener.tls_private_key_path is not None:
            tls = TlsContext(listener.tls_certificate_path, listener.tls_private_key_path)
            factory = cast(IProtocolFactory, TLSMemoryBIOFactory(tls, False, server, clock=self._reactor))
        if listener.path is not None:
            ports = [self._reactor.listenUNIX(listener.path, factory, listener.backlog, listener.mode)]
        else:
            ports = self._listen_all(listener, factory)
        self._open.append(_Open(server, ports, tls))

    def _listen_all(self, listener: Listener, factory: IProtocolFactory) -> list[IListeningPort]:
        ports = []
        for address in listener.bind_addresses:
            try:
                ports.append(self._listen(address, listener, factory))
            except OSError as error:
                # The default asks for both families; a host without IPv6 serves what it has.
                if address not in ("::", "::1") or error.errno not in _NO_IPV6 or len(listener.bind_addresses) == 1:
                    raise
                self._log.warn("no IPv6 here: {error}", error=error)
        return ports

    def _listen(self, address: str, listener: Listener, factory: IProtocolFactory) -> IListeningPort:
        family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as opened:
            opened.setblocking(False)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if listener.reuse_port:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            try:
                opened.bind((address, listener.port))
                opened.listen(listener.backlog)
            except OSError as error:
                raise CannotBind(error, listener.port) from None
            # The reactor makes a duplicate of the socket: ours is closed here.
            return cast(IListeningPort, self._reactor.adoptStreamPort(opened.fileno(), family, factory))

    def reload_certificates(self) -> None:
        """Takes up renewed certificates; a faulty one is logged and the old one stays."""
        for opened in self._open:
            if opened.tls is None:
                continue
            try:
                opened.tls.reload()
            except (OSError, ValueError, SSL.Error):
                self._log.failure("the certificate could not be reloaded")

    async def stop_accepting(self) -> None:
        """Closes the ports; connections go on."""
        ports = [port for opened in self._open for port in opened.ports]
        await gatherResults([maybeDeferred(port.stopListening) for port in ports])

    async def stop(self, timeout_s: float, *, tell_waiting: Callable[[], None] | None = None) -> None:
        """Closes the ports, lets running requests end for so long, then closes all. `tell_waiting` ends long-polls."""
        await self.stop_accepting()
        for opened in self._open:
            opened.server.begin_drain()
        if tell_waiting is not None:
            tell_waiting()
        await gatherResults([Deferred.fromCoroutine(opened.server.drain(timeout_s)) for opened in self._open])
        self._open.clear()
