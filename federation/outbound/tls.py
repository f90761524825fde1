"""TLS to other servers: whom their certificates must be for, and who may vouch for them.

One context serves all connections, since loading the certificate authorities takes longer than a handshake.

Source: server-server API, "TLS".
"""

import fnmatch
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from attrs import frozen
from OpenSSL import SSL
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, CertificateOptions, TLSVersion, platformTrust, trustRootFromCertificates
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

_VERSIONS = {"1.3": TLSVersion.TLSv1_3}
# What goes wrong most often, by OpenSSL's number (x509_vfy.h).
_FAULTS = {
    9: "is not valid yet",
    10: "has expired",
    18: "is self-signed",
    19: "is of an authority that is not trusted",
    20: "is of an authority that is not known, or its chain is incomplete",
    21: "is of an authority that is not known, or its chain is incomplete",
}
_CREATORS: "WeakKeyDictionary[SSL.Connection, ConnectionCreator]" = WeakKeyDictionary()


@frozen(kw_only=True)
class TlsSettings:
    """`unverified`: patterns of names (`*.example.org`) whose certificates need not be good. `authorities`: in PEM."""

    verifies: bool = True
    unverified: tuple[str, ...] = ()
    authorities: tuple[Path, ...] = ()
    minimum_version: str = "1.2"


class ClientTls:
    """Makes the TLS side of outgoing connections. Raises, when made: OSError, ValueError for authorities in no PEM."""

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._verifying = _context(settings, verify=True)
        self._trusting = _context(settings, verify=False)

    def creator(self, name: str) -> "ConnectionCreator":
        """For a connection to who must prove to be `name`, a DNS name or an IP address."""
        verifies = self.verifies(name)
        return ConnectionCreator(self._verifying if verifies else self._trusting, name, verifies)

    def verifies(self, name: str) -> bool:
        settings = self._settings
        name = name.lower()
        return settings.verifies and not any(fnmatch.fnmatchcase(name, each.lower()) for each in settings.unverified)


@implementer(IOpenSSLClientConnectionCreator)
class ConnectionCreator:
    """`fault` says, in words, why the certificate will not do."""

    def __init__(self, context: SSL.Context, name: str, verifies: bool) -> None:
        self._context = context
        self._name = name.rstrip(".").encode("ascii", "replace").decode()
        self._is_address = _is_address(name)
        self._verifies = verifies
        self.fault: str | None = None

    def clientConnectionForTLS(self, tls_protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        # The context is everybody's: what is this connection's goes beside it. The app data is Twisted's.
        _CREATORS[connection] = self
        connection.set_app_data(tls_protocol)
        if not self._is_address:
            connection.set_tlsext_host_name(self._name.encode())
        return connection

    def check(self, connection: SSL.Connection) -> None:
        """The certificate's authority is checked already; is it for the name? Raises: VerificationError and others."""
        if not self._verifies:
            return
        if self._is_address:
            verify_ip_address(connection, self._name)
        else:
            verify_hostname(connection, self._name)


@implementer(IPolicyForHTTPS)
class WellKnownPolicy:
    """For /.well-known: by the same authorities as the federation itself."""

    def __init__(self, tls: ClientTls) -> None:
        self._tls = tls

    def creatorForNetloc(self, hostname: bytes, port: int) -> ConnectionCreator:
        return self._tls.creator(hostname.decode("ascii").strip("[]"))


def _context(settings: TlsSettings, *, verify: bool) -> SSL.Context:
    trust: Any = None
    if verify:
        trust = platformTrust()  # type: ignore[no-untyped-call]
        if settings.authorities:
            trust = trustRootFromCertificates(_certificates(settings.authorities))  # type: ignore[no-untyped-call]
    options = CertificateOptions(
        trustRoot=trust,
        acceptableProtocols=[b"http/1.1"],
        raiseMinimumTo=_VERSIONS.get(settings.minimum_version, TLSVersion.TLSv1_2),
    )
    context: SSL.Context = options.getContext()
    context.set_info_callback(_on_progress)
    if verify:
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _on_certificate)
    return context


def _certificates(files: Sequence[Path]) -> list[Any]:
    pem_end = b"-----END CERTIFICATE-----"
    found = []
    for file in files:
        parts = file.read_bytes().split(pem_end)[:-1]
        found += [Certificate.loadPEM(part + pem_end) for part in parts]
    if not found:
        raise ValueError("federation_custom_ca_list names no certificate")
    return found


def _on_progress(connection: SSL.Connection, where: int, _: int) -> None:
    """Called by OpenSSL, which swallows exceptions: all that fails here must end the connection."""
    if not where & SSL.SSL_CB_HANDSHAKE_DONE:
        return
    try:
        _CREATORS[connection].check(connection)
    except Exception:  # noqa: BLE001 - whatever it is, the connection must not be used
        _note(connection, "the certificate is for another name")
        connection.get_app_data().failVerification(Failure())  # type: ignore[no-untyped-call]


def _on_certificate(connection: SSL.Connection, _: object, error: int, depth: int, is_good: int) -> bool:
    """Called by OpenSSL for each certificate of the chain, with its own verdict, which stands."""
    if not is_good:
        _note(connection, f"the certificate {_FAULTS.get(error, f'is faulty (OpenSSL error {error})')}")
    return bool(is_good)


def _note(connection: SSL.Connection, fault: str) -> None:
    creator = _CREATORS.get(connection)
    if creator is not None and creator.fault is None:
        creator.fault = fault


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
