"""Open ports: TCP, TLS, unix sockets, several processes on one port, and closing them."""

import datetime
import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.web.client import BrowserLikePolicyForHTTPS

from homeserver.web.addresses import AddressRules
from homeserver.web.agent import FetchFailed, OutgoingHttp
from homeserver.web.listeners import Listener, Listeners, TlsContext
from homeserver.web.server import HttpServer
from tests.support.ports import free_port
from tests.unit.web.api import Api, router_of

RULES = AddressRules.parse(allowed=["127.0.0.1"])
LOCAL = ("127.0.0.1",)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    made = Listeners(reactor=reactor)
    yield made
    pytest_twisted.blockon(Deferred.fromCoroutine(made.stop(0)))


def server_of(api: Api) -> HttpServer:
    return HttpServer(router=router_of(api), reactor=reactor)


def write_certificate(directory: Path, name: str) -> tuple[str, str]:
    """Paths of a new self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(addresses, critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = directory / f"{name}.crt", directory / f"{name}.key"
    pem = serialization.Encoding.PEM
    certificate_path.write_bytes(certificate.public_bytes(pem))
    key_path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return str(certificate_path), str(key_path)


def trusting(certificate_path: str) -> OutgoingHttp:
    root = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(Path(certificate_path).read_bytes())])
    return OutgoingHttp(reactor=reactor, rules=RULES, policy=BrowserLikePolicyForHTTPS(root))


@pytest_twisted.ensureDeferred
async def test_a_tcp_listener_serves(api: Api, listeners: Listeners) -> None:
    port = free_port()
    listeners.start(Listener(port=port, bind_addresses=LOCAL), server_of(api))
    http = OutgoingHttp(reactor=reactor, rules=RULES)
    assert (await http.get(f"http://127.0.0.1:{port}/hello")).json() == {"hello": "world"}
    assert (api.seen[0].client_ip, api.seen[0].is_secure) == ("127.0.0.1", False)
    await http.close()


@pytest_twisted.ensureDeferred
async def test_a_large_answer_reaches_a_slow_reader_whole(api: Api, listeners: Listeners) -> None:
    port = free_port()
    listeners.start(Listener(port=port, bind_addresses=LOCAL), server_of(api))

    def read_all() -> bytes:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            client.sendall(
                b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\nGET /file HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            )
            return b"".join(iter(lambda: client.recv(16384), b""))

    received = await deferToThread(read_all)
    assert received.endswith(b"\r\n\r\n" + b"f" * 1_000_000)


@pytest_twisted.ensureDeferred
async def test_processes_may_share_a_port(api: Api, listeners: Listeners) -> None:
    listener = Listener(port=free_port(), bind_addresses=LOCAL, reuse_port=True)
    listeners.start(listener, server_of(api))
    listeners.start(listener, server_of(api))


@pytest_twisted.ensureDeferred
async def test_a_port_in_use_is_an_error_at_the_start(api: Api, listeners: Listeners) -> None:
    listener = Listener(port=free_port(), bind_addresses=LOCAL)
    listeners.start(listener, server_of(api))
    with pytest.raises(OSError, match="in use"):
        listeners.start(listener, server_of(api))


@pytest_twisted.ensureDeferred
async def test_a_unix_listener_serves(api: Api, listeners: Listeners, tmp_path: Path) -> None:
    path = str(tmp_path / "hearth.sock")
    listeners.start(Listener(path=path, proxies=1), HttpServer(router=router_of(api), reactor=reactor, proxies=1))

    def ask() -> bytes:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(b"GET /hello HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n")
            return client.recv(65536)

    assert (await deferToThread(ask)).startswith(b"HTTP/1.1 200 OK")
    assert api.seen[0].client_ip == "1.1.1.1"


@pytest_twisted.ensureDeferred
async def test_a_tls_listener_serves_and_takes_up_a_renewed_certificate(
    api: Api, listeners: Listeners, tmp_path: Path
) -> None:
    port = free_port()
    certificate, key = write_certificate(tmp_path, "first")
    listener = Listener(port=port, bind_addresses=LOCAL, tls_certificate_path=certificate, tls_private_key_path=key)
    listeners.start(listener, server_of(api))
    http = trusting(certificate)
    assert len((await http.get(f"https://127.0.0.1:{port}/large")).body) == 1_000_004
    assert (await http.get(f"https://127.0.0.1:{port}/hello")).status == 200
    assert api.seen[0].is_secure
    await http.close()

    renewed, renewed_key = write_certificate(tmp_path, "second")
    os.replace(renewed, certificate)
    os.replace(renewed_key, key)
    listeners.reload_certificates()
    renewed_http = trusting(certificate)
    assert (await renewed_http.get(f"https://127.0.0.1:{port}/hello")).status == 200
    await renewed_http.close()
    with pytest.raises(FetchFailed):
        await http.get(f"https://127.0.0.1:{port}/hello")


def test_a_key_of_another_certificate_is_an_error_at_the_start(tmp_path: Path) -> None:
    certificate, _ = write_certificate(tmp_path, "first")
    _, other_key = write_certificate(tmp_path, "second")
    with pytest.raises((SSL.Error, ValueError)):
        TlsContext(certificate, other_key)


def test_a_faulty_renewal_leaves_the_old_certificate(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path, "first")
    context = TlsContext(certificate, key)
    before = context.getContext()
    Path(certificate).write_text("nothing")
    with pytest.raises(ValueError, match="no certificate"):
        context.reload()
    assert context.getContext() is before


@pytest_twisted.ensureDeferred
async def test_stopping_tells_long_polls_to_end(api: Api, listeners: Listeners) -> None:
    port = free_port()
    listeners.start(Listener(port=port, bind_addresses=LOCAL), server_of(api))
    http = OutgoingHttp(reactor=reactor, rules=RULES)
    polling = Deferred.fromCoroutine(http.get(f"http://127.0.0.1:{port}/wait"))
    while not api.waiting:
        await deferToThread(lambda: None)
    await listeners.stop(5, tell_waiting=lambda: api.waiting[0].callback({"bye": True}))
    answer = await polling
    assert answer.json() == {"bye": True}
    with pytest.raises(FetchFailed):
        await http.get(f"http://127.0.0.1:{port}/hello")
