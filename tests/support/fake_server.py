"""A server that a test writes by hand: it has a key and a name, signs what it is told to, and answers by functions.

    evil = FakeServer(network, "evil.test")
    evil.answers("GET", "/_matrix/federation/v1/event/", lambda sent: {"pdus": []})
    response = await evil.ask("one.test", "GET", "/_matrix/federation/v1/version")
    await evil.transaction("one.test", pdus=[evil.pdu(version, type="m.room.message", ...)])

It publishes its key; everything else is 404 M_UNRECOGNIZED until a test says otherwise.
"""

import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from federation.outbound.wire import WireAnswer, WireRequest
from homeserver.web.replies import dumps
from matrix import canonical_json, hashing, signing, unpadded_base64
from matrix.events import Json
from matrix.ids import EventId, ServerName
from matrix.room_versions import ROOM_VERSIONS, RoomVersion
from matrix.server_keys import publish
from matrix.signing import SigningKey
from matrix.x_matrix import XMatrix, sign_request, signed_forms
from tests.support.federation import Network, Sent
from tests.support.http import Response

# The JSON of a 200, or (status, JSON), or a whole WireAnswer; also as an awaitable.
Said = Any
Answering = Callable[[Sent], Said]

FAR_MS = 4_000_000_000_000
_numbers = itertools.count()


class FakeServer:
    """`requests` is what it was asked, its keys aside. `key` may be replaced, to rotate or to forge."""

    def __init__(self, network: Network, name: str, *, key: SigningKey | None = None) -> None:
        self.network = network
        self.name = ServerName(name)
        self.key = key or SigningKey.from_seed("fake", sha256(name.encode()).digest())
        self.valid_until_ms = FAR_MS
        self.requests: list[Sent] = []
        self._answers: list[tuple[str, str, Answering]] = []
        network.peers[name] = self

    def answers(self, method: str, path: str, answering: Answering | Mapping[str, Any]) -> None:
        """What is asked at paths that begin so; what is said last goes first."""
        function = answering if callable(answering) else lambda _: answering
        self._answers.insert(0, (method, path, function))

    async def answer(self, sent: Sent) -> WireAnswer:
        for method, path, answering in self._answers:
            if sent.method == method and sent.path.startswith(path):
                self.requests.append(sent)
                said = answering(sent)
                return _wire_answer(await said if isinstance(said, Awaitable) else said)
        if sent.path.startswith("/_matrix/key/v2/server"):
            return _wire_answer(self.published())
        self.requests.append(sent)
        return _wire_answer((404, {"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request"}))

    def published(self) -> Json:
        """Its keys, as it publishes them."""
        return publish(self.name, [self.key], {}, self.valid_until_ms)

    async def ask(
        self,
        destination: str,
        method: str,
        target: str,
        json: Any = None,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """A signed request, of JSON or of any bytes. `headers` go out on top of the usual ones."""
        if body is None:
            body = b"" if json is None else canonical_json.encode(json)
        sent = {"Authorization": self.authorization_of_bytes(destination, method, target, body)}
        if body:
            sent["Content-Type"] = "application/json"
        request = WireRequest(
            ServerName(destination), method, target, {**sent, **(headers or {})}, body, max_bytes=100 << 20
        )
        answer = await self.network.carry(Sent(self.name, request))
        return Response(answer.status, answer.headers, answer.body)

    def authorization(self, destination: str, method: str, target: str, json: Any = None) -> str:
        return sign_request(method, target, self.name, ServerName(destination), json, self.key)

    def authorization_of_bytes(self, destination: str, method: str, target: str, body: bytes) -> str:
        """For a body as it is, be it JSON or not."""
        signed = next(signed_forms(method, target, self.name, ServerName(destination), body))
        signature = unpadded_base64.encode(self.key.sign(signed))
        return XMatrix(self.name, ServerName(destination), self.key.key_id, signature).header()

    async def transaction(
        self,
        destination: str,
        pdus: Sequence[Json] = (),
        edus: Sequence[Json] = (),
        *,
        transaction_id: str | None = None,
    ) -> Response:
        """PUT /send. An EDU is `{"edu_type": ..., "content": ...}`."""
        body = {"origin": str(self.name), "origin_server_ts": 1, "pdus": list(pdus), "edus": list(edus)}
        name = transaction_id or f"fake{next(_numbers)}"
        return await self.ask(destination, "PUT", f"/_matrix/federation/v1/send/{name}", body)

    def user(self, localpart: str) -> str:
        return f"@{localpart}:{self.name}"

    def sign_event(self, pdu: Json, version: RoomVersion | str) -> Json:
        """The PDU with content hash and our signature; what it has of both already is kept."""
        version = _version(version)
        return signing.sign_event(hashing.add_content_hash(pdu, version), self.name, self.key, version)

    def pdu(self, version: RoomVersion | str, **fields: Any) -> Json:
        """A signed PDU of these fields, with something in each that is not given. `event_id_of` says its id."""
        version = _version(version)
        pdu: Json = {
            "type": "m.room.message",
            "sender": self.user("fake"),
            "content": {},
            "depth": 1,
            "origin_server_ts": 1_600_000_000_000,
            "prev_events": [],
            "auth_events": [],
            **fields,
        }
        if not version.event_id_is_hash:
            pdu.setdefault("event_id", f"$fake{next(_numbers)}:{self.name}")
        return self.sign_event(pdu, version)


def event_id_of(pdu: Json, version: RoomVersion | str) -> EventId:
    return hashing.event_id_of(pdu, _version(version))


def _version(version: RoomVersion | str) -> RoomVersion:
    return ROOM_VERSIONS[version] if isinstance(version, str) else version


def _wire_answer(said: Said) -> WireAnswer:
    if isinstance(said, WireAnswer):
        return said
    status, json = said if isinstance(said, tuple) else (200, said)
    return WireAnswer(status, {"content-type": "application/json"}, dumps(json))
