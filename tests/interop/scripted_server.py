"""A homeserver of scripted rooms, over real HTTPS: what others ask of it is answered out of its rooms."""

import json
import ssl
import threading
from collections.abc import Sequence
from functools import partial
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from matrix import canonical_json
from matrix.events import Event
from matrix.ids import ServerName
from matrix.x_matrix import sign_request
from tests.support.certificates import Authority
from tests.support.scripted_room import pdus
from tests.support.scripted_rooms import FAR_MS, V1, Json, ScriptedRooms


class ScriptedServer:
    """One for all rooms."""

    def __init__(self, authority: Authority) -> None:
        certificate, key_file = authority.issue("127.0.0.1")
        self._transactions = 0
        self._trusted = ssl.create_default_context(cafile=authority.path)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key_file)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.name = ServerName(f"127.0.0.1:{self._server.server_port}")
        self.rooms = ScriptedRooms(self.name)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def tell(self, destination: str, events: Sequence[Event]) -> None:
        """One transaction. What becomes of each event is asked for later."""
        self._transactions += 1
        body = {"origin": self.name, "origin_server_ts": FAR_MS, "pdus": pdus(events), "edus": []}
        status, said = self.ask(destination, "PUT", f"{V1}/send/t{self._transactions}", body)
        assert status == 200, said

    def ask(self, destination: str, method: str, target: str, body: Json | None = None) -> tuple[int, Json]:
        """A signed request of another server."""
        authorization = sign_request(method, target, self.name, ServerName(destination), body, self.rooms.key)
        connection = HTTPSConnection(destination, context=self._trusted, timeout=60)
        headers = {"Authorization": authorization, "Content-Type": "application/json"}
        connection.request(method, target, None if body is None else canonical_json.encode(body), headers)
        answer = connection.getresponse()
        said = json.loads(answer.read())
        connection.close()
        return answer.status, said


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, server: ScriptedServer, *args: Any) -> None:
        self._scripted = server
        super().__init__(*args)

    def _reply(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, said = self._scripted.rooms.answer(self.path, body)
        content = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = _reply

    def log_message(self, format: str, *args: Any) -> None:
        """Not wanted."""
