"""TLS for tests: an authority, its certificates, and servers on 127.0.0.1 that answer whatever a test says."""

import datetime
import socket
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import DefaultOpenSSLContextFactory

from federation.outbound.errors import Unreachable
from federation.outbound.https import HttpsWire
from federation.outbound.resolve import Resolver
from federation.outbound.srv import Srv, SrvRecord
from federation.outbound.tls import ClientTls, TlsSettings
from federation.outbound.well_known import WellKnown
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.web.addresses import AddressRules
from homeserver.web.agent import Bounds, Fetched, FetchFailed

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority. `path` is its own certificate."""

    def __init__(self, directory: Path, name: str = "Test CA") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._count = 0
        certificate = (
            self._builder(self._name, self._key.public_key(), NOW + DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.path = directory / f"{name}.pem"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, *names: str, until: datetime.datetime = NOW + DAY) -> tuple[Path, Path]:
        """The files of a certificate for DNS names and IP addresses, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        certificate = (
            self._builder(subject, key.public_key(), until)
            .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self._count += 1
        stem = self._directory / f"certificate{self._count}"
        certificate_path, key_path = stem.with_suffix(".crt"), stem.with_suffix(".key")
        certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate_path, key_path

    def _builder(self, subject: x509.Name, key: Any, until: datetime.datetime) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 10 * DAY)
            .not_valid_after(until)
        )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Raw(Protocol):
    """A connection of a raw server. `head` is the request so far; `answer` is called when its headers are complete."""

    transport: Any

    def __init__(self, answer: "Callable[[Raw], None]") -> None:
        self.head = b""
        self.is_lost = False
        self._answer = answer

    def dataReceived(self, data: bytes) -> None:
        self.head += data
        if b"\r\n\r\n" in self.head:
            self._answer(self)
            self.head = b""

    def connectionLost(self, reason: Any = None) -> None:
        self.is_lost = True

    def write(self, data: bytes) -> None:
        if not self.is_lost:
            self.transport.write(data)


class RawServer:
    """Speaks TLS by a certificate, and whatever `answer` writes. `connections` are all there ever were."""

    def __init__(self, files: tuple[Path, Path], answer: Callable[[Raw], None]) -> None:
        self.connections: list[Raw] = []
        self.heads: list[bytes] = []

        def answered(raw: Raw) -> None:
            self.heads.append(raw.head)
            answer(raw)

        def build() -> Raw:
            self.connections.append(Raw(answered))
            return self.connections[-1]

        context = DefaultOpenSSLContextFactory(str(files[1]), str(files[0]))
        context.getContext().use_certificate_chain_file(str(files[0]))
        factory = Factory.forProtocol(build)
        self._port: Any = reactor.listenSSL(0, factory, context, interface="127.0.0.1")

    @property
    def port(self) -> int:
        return int(self._port.getHost().port)

    async def stop(self) -> None:
        for connection in self.connections:
            if not connection.is_lost:
                connection.transport.abortConnection()
        if self._port.connected:
            await self._port.stopListening()


def make_wire(
    authority: Authority | None,
    *,
    delegations: dict[str, str] | None = None,
    records: dict[str, list[SrvRecord]] | None = None,
    rules: AddressRules | None = None,
    tls: TlsSettings | None = None,
) -> HttpsWire:
    """The real wire, which may connect to this machine. `delegations` stand in for .well-known, `records` for DNS."""
    clock = Clock(reactor)

    async def get(url: str, *, bounds: Bounds) -> Fetched:
        host = url.split("/")[2]
        if host not in (delegations or {}):
            raise FetchFailed("none")
        return Fetched(200, {}, b'{"m.server": "%s"}' % (delegations or {})[host].encode(), url)

    async def ask(name: str) -> list[SrvRecord]:
        return (records or {}).get(name, [])

    settings = tls or TlsSettings(authorities=(authority.path,) if authority else ())
    return HttpsWire(
        reactor=reactor,
        clock=clock,
        resolver=Resolver(well_known=WellKnown(get=get, clock=clock), srv=Srv(ask=ask, clock=clock)),
        tls=ClientTls(settings),
        rules=rules or AddressRules.parse(allowed=["127.0.0.0/8", "::1"]),
        metrics=Metrics(),
    )


def free_port(address: str) -> int:
    with socket.socket() as opened:
        opened.bind((address, 0))
        return int(opened.getsockname()[1])


async def fault_of(asking: Awaitable[Any]) -> str:
    """Why a server could not be reached."""
    try:
        await asking
    except Unreachable as error:
        return error.reason
    raise AssertionError("it was reached")
