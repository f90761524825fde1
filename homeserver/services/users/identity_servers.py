"""Asking identity servers: publishing addresses, taking that back, and finding users by address.

Source: identity service API, "Establishing associations", "Association lookup", "Invitation storage", "Key management".
"""

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from homeserver.web.agent import Bounds, Fetched, FetchFailed, OutgoingHttp
from matrix.errors import InvalidParam, MatrixError
from matrix.ids import BadIdentifier, ServerName, UserId
from matrix.signing import SigningKey
from matrix.unpadded_base64 import encode_url_safe
from matrix.x_matrix import sign_request

_BOUNDS = Bounds(timeout_s=15.0, max_bytes=64 * 1024)
_PATH = "/_matrix/identity/v2"


class IdentityServers:
    """`server_name` and `key` sign what is asked without a user's token."""

    def __init__(self, *, http: OutgoingHttp, server_name: ServerName, key: SigningKey) -> None:
        self._http = http
        self._server_name = server_name
        self._key = key

    async def bind(self, server: str, token: str, sid: str, client_secret: str, user_id: UserId) -> tuple[str, str]:
        """Publishes the address of a session at the identity server; gives medium and address.

        Raises: MatrixError, the server's own where it says one.
        """
        body = {"sid": sid, "client_secret": client_secret, "mxid": user_id}
        answer = await self._post(server, f"{_PATH}/3pid/bind", body, _bearer(token))
        medium, address = answer.get("medium"), answer.get("address")
        if not isinstance(medium, str) or not isinstance(address, str):
            raise _unusable(server)
        return medium, address

    async def unbind(self, server: str, user_id: UserId, medium: str, address: str) -> bool:
        """False if the server has no means of it. Raises: MatrixError."""
        name = _name(server)
        target = f"{_PATH}/3pid/unbind"
        body = {"mxid": user_id, "threepid": {"medium": medium, "address": address}}
        header = sign_request("POST", target, self._server_name, name, body, self._key)
        try:
            await self._post(server, target, body, {"Authorization": header})
        except MatrixError as error:
            if error.status in (400, 404, 501):
                return False
            raise
        return True

    async def look_up(self, server: str, token: str, medium: str, address: str) -> UserId | None:
        """Whose address it is, as far as the server knows. Raises: MatrixError."""
        details = await self._ask(server, "GET", f"{_PATH}/hash_details", None, _bearer(token))
        pepper, algorithms = details.get("lookup_pepper"), details.get("algorithms")
        if not isinstance(pepper, str) or not isinstance(algorithms, list) or "sha256" not in algorithms:
            raise _unusable(server)
        digest = hashlib.sha256(f"{address} {medium} {pepper}".encode()).digest()
        hashed = encode_url_safe(digest)
        body = {"addresses": [hashed], "algorithm": "sha256", "pepper": pepper}
        mappings = (await self._post(server, f"{_PATH}/lookup", body, _bearer(token))).get("mappings")
        found = mappings.get(hashed) if isinstance(mappings, dict) else None
        try:
            return UserId.parse(found) if isinstance(found, str) else None
        except BadIdentifier as error:
            raise _unusable(server) from error

    async def store_invite(self, server: str, token: str, invite: Mapping[str, Any]) -> dict[str, Any]:
        """Leaves an invite for whoever proves to own the address; the server's answer. Raises: MatrixError."""
        return await self._post(server, f"{_PATH}/store-invite", invite, _bearer(token))

    async def is_valid(self, url: str, public_key: str) -> bool:
        """Has the server at that place not revoked its key? Raises: MatrixError if it does not say."""
        asked = f"{url}{'&' if '?' in url else '?'}{urlencode({'public_key': public_key})}"
        try:
            answer = await self._http.get(asked, bounds=_BOUNDS)
            value = answer.json()
        except FetchFailed as error:
            raise MatrixError(502, "M_UNKNOWN", "The key of the invite could not be checked") from error
        if answer.status != 200 or not isinstance(value, dict):
            raise MatrixError(502, "M_UNKNOWN", "The key of the invite could not be checked")
        return value.get("valid") is True

    async def _post(
        self, server: str, target: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> dict[str, Any]:
        return await self._ask(server, "POST", target, body, headers)

    async def _ask(
        self, server: str, method: str, target: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> dict[str, Any]:
        url = f"https://{_name(server)}{quote(target)}"
        try:
            if body is None:
                answer = await self._http.get(url, headers=headers, bounds=_BOUNDS)
            else:
                answer = await self._http.send_json(method, url, body, headers=headers, bounds=_BOUNDS)
            value = answer.json()
        except FetchFailed as error:
            raise MatrixError(502, "M_UNKNOWN", f"The identity server {server} did not answer") from error
        if answer.status != 200:
            raise _refusal(server, answer, value)
        if not isinstance(value, dict):
            raise _unusable(server)
        return value


def _name(server: str) -> ServerName:
    """Raises: InvalidParam."""
    try:
        return ServerName.parse(server)
    except BadIdentifier as error:
        raise InvalidParam("id_server is no server name") from error


def _bearer(token: str) -> dict[str, str]:
    if not token.isascii() or not token.isprintable():
        raise InvalidParam("id_access_token is no access token")
    return {"Authorization": f"Bearer {token}"}


def _refusal(server: str, answer: Fetched, value: Any) -> MatrixError:
    """What the server says, handed on. What is wrong on its side is not the client's fault."""
    errcode = value.get("errcode") if isinstance(value, dict) else None
    if not (400 <= answer.status < 500 or answer.status == 501) or not isinstance(errcode, str):
        return _unusable(server)
    message = value.get("error")
    return MatrixError(answer.status, errcode[:100], message[:500] if isinstance(message, str) else "Refused")


def _unusable(server: str) -> MatrixError:
    return MatrixError(502, "M_UNKNOWN", f"The identity server {server} gave no usable answer")
