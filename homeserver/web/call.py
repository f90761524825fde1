"""One request, as a handler sees it."""

from ipaddress import ip_address
from typing import Any

from attrs import frozen

from homeserver.web.body import MAX_JSON_DEPTH, BodyStream, decode_json
from homeserver.web.params import Fields, Query
from matrix.errors import BadRequest
from matrix.ids import DeviceId, ServerName, UserId


@frozen
class Requester:
    """Who makes the request, as the authenticator found out. `is_exempt`: from rate limits."""

    user_id: UserId
    device_id: DeviceId | None = None
    is_guest: bool = False
    is_admin: bool = False
    token_id: int | None = None
    appservice_id: str | None = None
    is_exempt: bool = False

    @property
    def limit_key(self) -> UserId | None:
        """Whom rate limits count, as RateLimit takes it."""
        return None if self.is_exempt else self.user_id


@frozen
class Peer:
    """The other end of the connection. `proxies`: how many reverse proxies of ours append to X-Forwarded-For."""

    ip: str
    is_secure: bool = False
    proxies: int = 0


class Headers:
    """Request headers by name, in any case. Values are decoded as latin-1, which never fails."""

    __slots__ = ("_values_by_name",)

    def __init__(self, values_by_name: dict[bytes, list[bytes]]) -> None:
        self._values_by_name = values_by_name

    def get(self, name: str) -> str | None:
        """The header's value; of a repeated one, all values joined by commas. Source: RFC 9110, 5.3."""
        values = self._values_by_name.get(name.lower().encode())
        return None if values is None else b", ".join(values).decode("latin-1")

    def get_all(self, name: str) -> list[str]:
        return [value.decode("latin-1") for value in self._values_by_name.get(name.lower().encode(), ())]


class Call:
    """One request.

    `target` is the request target as it was sent, which is what a federation signature covers. `requester` is set by
    the authenticator, `origin` by the federation's. `gone` says that the client has left.
    """

    __slots__ = (
        "_body", "_peer", "_query", "_query_bytes", "gone", "headers", "method", "origin", "received_ms", "requester",
        "stream", "target",
    )  # fmt: skip

    def __init__(self, method: str, target: bytes, headers: Headers, peer: Peer, received_ms: int) -> None:
        self.method = method
        self.target = target.decode("latin-1")
        self.headers = headers
        self.received_ms = received_ms
        self.requester: Requester | None = None
        self.origin: ServerName | None = None
        self.stream: BodyStream = _NO_STREAM
        self.gone = False
        self._peer = peer
        self._body: bytes | bytearray = b""
        self._query: Query | None = None
        self._query_bytes = target.partition(b"?")[2]

    def __repr__(self) -> str:
        """Without the query, which may hold an access token."""
        return f"<Call {self.method} {self.path}>"

    @property
    def path(self) -> str:
        """The path as it was sent, percent-encoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> Query:
        if self._query is None:
            self._query = Query.decode(self._query_bytes)
        return self._query

    @property
    def user(self) -> Requester:
        """The requester of a route that needs one."""
        assert self.requester is not None, "the route's access does not promise a requester"
        return self.requester

    @property
    def user_agent(self) -> str:
        return self.headers.get("user-agent") or ""

    @property
    def client_ip(self) -> str:
        """The client's address: the peer's, or what the outermost of our own proxies saw.

        Counted from the right: what stands further left is written by the client. (Synapse takes the leftmost entry,
        and so believes the client where the proxy appends.)
        """
        hops = self.headers.get_all("x-forwarded-for") if self._peer.proxies else []
        if not hops:
            return self._peer.ip
        entries = ",".join(hops).split(",")
        return _address(entries[-min(self._peer.proxies, len(entries))]) or self._peer.ip

    @property
    def is_secure(self) -> bool:
        """Did the client come by TLS, as far as we or our proxy can tell?"""
        forwarded = self.headers.get("x-forwarded-proto") if self._peer.proxies else None
        return self._peer.is_secure if forwarded is None else forwarded.rpartition(",")[2].strip() == "https"

    def access_token(self) -> str | None:
        """The token of the Authorization header, else of the deprecated query parameter.

        Source: client-server API, "Using access tokens".
        """
        scheme, _, token = (self.headers.get("authorization") or "").partition(" ")
        if scheme.lower() == "bearer" and token:
            return token.strip()
        # Most requests have no query at all: do not decode one that cannot hold a token.
        return self.query.optional_text("access_token") if b"access_token=" in self._query_bytes else None

    @property
    def body(self) -> bytes:
        """The body as it came (of a route that has Body.JSON)."""
        return bytes(self._body)

    def take_body(self, body: bytes | bytearray) -> None:
        """The connection has read the whole body."""
        self._body = body

    def raw_json(self) -> Any:
        """The body as any JSON value. Raises: BadRequest M_NOT_JSON."""
        return decode_json(self._body)

    def json(self, *, empty_ok: bool = False, max_depth: int = MAX_JSON_DEPTH) -> Fields:
        """The body as a JSON object; with `empty_ok` no body is an empty object.

        The Content-Type is not looked at: many clients forget it. Raises: BadRequest M_NOT_JSON or M_BAD_JSON.
        """
        if empty_ok and not self._body:
            return Fields({})
        value = decode_json(self._body, max_depth)
        if not isinstance(value, dict):
            raise BadRequest("The body must be a JSON object")
        return Fields(value)


def _address(text: str) -> str | None:
    """The IP address in an X-Forwarded-For entry, which may have a port."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return None


def _empty_stream() -> BodyStream:
    stream = BodyStream(0, on_first_read=lambda: None, on_flow=lambda: None)
    stream.finish()
    return stream


# What a call without a streamed body has: it ends at once. Ended for good, so it can be shared.
_NO_STREAM = _empty_stream()
