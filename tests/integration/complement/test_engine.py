"""The stand-in for Docker, used as Complement uses it, with real processes of Hearth behind it."""

import http.client
import io
import json
import socket
import ssl
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.complement import BASE_IMAGE
from tests.complement.__main__ import START_S, started_engines

LABELS = {"complement_pkg": "csapi", "complement_context": "csapi.blueprint.hs1"}


class Docker:
    """A client of the stand-in: what goes wrong is an AssertionError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ask(self, method: str, path: str, json_body: Any = None, raw: bytes | None = None, **query: Any) -> Any:
        connection = http.client.HTTPConnection("docker")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(START_S)
        connection.sock.connect(str(self._path))
        body = raw if json_body is None else json.dumps(json_body).encode()
        connection.request(method, f"/v1.47{path}?{urlencode(query, doseq=True)}", body)
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        assert answer.status < 300, (method, path, answer.status, said)
        return json.loads(said) if answer.getheader("Content-Type") == "application/json" and said else said

    def start(self, server_name: str, image: str, authority: dict[str, bytes]) -> str:
        """A server, as Complement deploys one; gives its id."""
        wish = {
            "Image": image,
            "Env": [f"SERVER_NAME={server_name}"],
            "Labels": LABELS,
            "HostConfig": {"ExtraHosts": ["complement.test:host-gateway"]},
            "NetworkingConfig": {"EndpointsConfig": {"net": {"Aliases": [server_name]}}},
        }
        number = str(self.ask("POST", "/containers/create", wish, name=f"test_{server_name}")["Id"])
        for name, content in authority.items():
            self.ask("PUT", f"/containers/{number}/archive", raw=packed(f"/complement/ca/{name}", content))
        self.ask("POST", f"/containers/{number}/start")
        return number

    def port(self, number: str, port: int) -> int:
        ports = self.ask("GET", f"/containers/{number}/json")["NetworkSettings"]["Ports"]
        return int(ports[f"{port}/tcp"][0]["HostPort"])

    def state(self, number: str) -> str:
        return str(self.ask("GET", f"/containers/{number}/json")["State"]["Status"])


def packed(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as files:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        files.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def ask(port: int, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, START_S) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def authority() -> dict[str, bytes]:
    """A certificate authority such as Complement makes for each run."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Complement")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    return {"ca.crt": certificate.public_bytes(pem), "ca.key": private}


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    with tempfile.TemporaryDirectory(prefix="complement-", ignore_cleanup_errors=True) as directory:
        engines: subprocess.Popen[str] = started_engines(Path(directory), 1)
        docker = Docker(Path(directory) / "0.sock")
        docker.ask("POST", "/networks/create", {"Name": "net", "Labels": LABELS})
        yield docker
        assert engines.stdin is not None and engines.stdout is not None
        engines.stdin.close()
        assert engines.wait(START_S) == 0
        engines.stdout.close()


def test_a_server_answers_clients_when_it_has_started(docker: Docker, authority: dict[str, bytes]) -> None:
    number = docker.start("hs1", BASE_IMAGE, authority)
    assert ask(docker.port(number, 8008), "/_matrix/client/versions")["versions"]
    assert b"Hearth is ready" in docker.ask("GET", f"/containers/{number}/logs")
    docker.ask("DELETE", f"/containers/{number}", force=1)


def test_its_certificate_for_other_servers_is_of_the_authority(docker: Docker, authority: dict[str, bytes]) -> None:
    number = docker.start("hs1", BASE_IMAGE, authority)
    trusting = ssl.create_default_context(cadata=authority["ca.crt"].decode())
    plain = socket.create_connection(("127.0.0.1", docker.port(number, 8448)), START_S)
    with trusting.wrap_socket(plain, server_hostname="hs1") as connection:
        assert connection.getpeercert()
    docker.ask("DELETE", f"/containers/{number}", force=1)


def test_a_server_is_stopped_started_paused_and_goes_on(docker: Docker, authority: dict[str, bytes]) -> None:
    number = docker.start("hs1", BASE_IMAGE, authority)
    port = docker.port(number, 8008)
    for act, state in (("pause", "paused"), ("unpause", "running"), ("stop", "exited"), ("start", "running")):
        docker.ask("POST", f"/containers/{number}/{act}")
        assert docker.state(number) == state
    assert docker.port(number, 8008) == port
    assert ask(port, "/_matrix/client/versions")["versions"]
    docker.ask("POST", f"/containers/{number}/kill", signal="KILL")
    assert docker.state(number) == "exited"
    docker.ask("DELETE", f"/containers/{number}", force=1)


def test_servers_of_an_image_have_its_users_and_not_each_others(docker: Docker, authority: dict[str, bytes]) -> None:
    first = docker.start("hs1", BASE_IMAGE, authority)
    register(docker.port(first, 8008), "alice")
    docker.ask("POST", f"/containers/{first}/stop")
    labels = ['LABEL "access_token_@alice:hs1"="a b"', 'LABEL "application_service_x"="id: x\\nurl: \'y\'\\n"']
    image = docker.ask("POST", "/commit", {}, container=first, changes=labels)["Id"]
    docker.ask("DELETE", f"/containers/{first}", force=1)
    listed = docker.ask("GET", "/images/json", filters='{"label":{"complement_pkg=csapi":true}}')
    assert [one["Labels"]["access_token_@alice:hs1"] for one in listed] == ["a b"]
    assert listed[0]["Labels"]["application_service_x"] == "id: x\\nurl: 'y'\\n"
    second, third = (docker.start("hs1", image.removeprefix("sha256:"), authority) for _ in range(2))
    register(docker.port(second, 8008), "bob")
    for number, name, free in ((second, "alice", False), (third, "alice", False), (third, "bob", True)):
        assert is_free(docker.port(number, 8008), name) is free
    for number in (second, third):
        docker.ask("DELETE", f"/containers/{number}", force=1)
    docker.ask("DELETE", f"/images/{image}", force=1)
    assert docker.ask("GET", "/images/json", filters='{"label":{"complement_pkg=csapi":true}}') == []
    assert docker.ask("GET", "/containers/json", all=1, filters="{}") == []


def test_servers_reach_each_other_by_name(docker: Docker, authority: dict[str, bytes]) -> None:
    first, second = docker.start("hs1", BASE_IMAGE, authority), docker.start("hs2", BASE_IMAGE, authority)
    register(docker.port(first, 8008), "alice")
    profile = ask(docker.port(second, 8008), "/_matrix/client/v3/profile/@alice:hs1")
    assert profile["displayname"] == "alice"
    for number in (first, second):
        docker.ask("DELETE", f"/containers/{number}", force=1)


def register(port: int, name: str) -> None:
    body = {"username": name, "password": "correct horse", "auth": {"type": "m.login.dummy"}}
    assert ask(port, "/_matrix/client/v3/register", body)["user_id"] == f"@{name}:hs1"


def is_free(port: int, name: str) -> bool:
    try:
        return bool(ask(port, f"/_matrix/client/v3/register/available?username={name}")["available"])
    except urllib.error.HTTPError as error:
        error.close()
        return False
