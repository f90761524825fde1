"""Who is invited by an address, as an identity server has it; and requests of others than homeservers."""

import json
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from matrix import unpadded_base64
from matrix.signing import SigningKey, sign_json
from tests.interop.people import Person
from tests.interop.servers import Homeserver

GOOD_KEY, REVOKED_KEY = (SigningKey.from_seed("0", bytes([number]) * 32) for number in (1, 2))
REVOKED = unpadded_base64.encode(bytes(REVOKED_KEY.verify_key))


def ask_server(homeserver: Homeserver, method: str, target: str, body: Any = None) -> tuple[int, Any]:
    """A request at the federation port, by one who is no homeserver: status and JSON."""
    request = urllib.request.Request(
        f"https://{homeserver.server_name}/_matrix/federation/v1{target}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
        method=method,
    )
    try:
        # Whether the certificate is good is what the servers ask each other.
        with urllib.request.urlopen(request, timeout=60, context=ssl._create_unverified_context()) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture(scope="module")
def identity_server() -> Iterator[str]:
    """The URL where one says whether a key was revoked."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            [key] = parse_qs(urlsplit(self.path).query)["public_key"]
            body = json.dumps({"valid": key != REVOKED}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Not wanted."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/isvalid"
    server.shutdown()
    server.server_close()


def bind_address(host: Person, guest: Person, room: str, key: SigningKey, url: str) -> int:
    """The guest turns out to have an address that the host has invited: what the guest's server says to that."""
    token = f"token{len(host.timeline)}{key.key_id}{guest.user_id}"
    public_key = unpadded_base64.encode(bytes(key.verify_key))
    content = {"display_name": "g...", "public_key": public_key, "key_validity_url": url}
    content["public_keys"] = [{"public_key": public_key, "key_validity_url": url}]  # type: ignore[assignment]
    host.set_state(room, "m.room.third_party_invite", content, token)
    address = {"medium": "email", "address": "g@example.org", "mxid": guest.user_id}
    signed = sign_json({"mxid": guest.user_id, "sender": host.user_id, "token": token}, "id.example.org", key)
    invite = {**address, "room_id": room, "sender": host.user_id, "signed": signed}
    body = {**address, "invites": [invite]}
    status, _ = ask_server(guest.homeserver, "PUT", "/3pid/onbind", body)
    # Synapse has it by the name that identity servers use, and the specification has not.
    return ask_server(guest.homeserver, "POST", "/3pid/onbind", body)[0] if status == 405 else status
