"""What can go wrong when we ask another server. None of it reaches a client by itself: a service translates it."""

from typing import Any

from matrix.errors import MatrixError


class RemoteError(Exception):
    """No usable answer of another server."""

    def __init__(self, destination: str, reason: str) -> None:
        super().__init__(f"{destination}: {reason}")
        self.destination = destination
        self.reason = reason


class Unreachable(RemoteError):
    """It was not asked, or did not answer: name, network, TLS, time, back-off, a blocked address, not on our list."""


class BadAnswer(RemoteError):
    """It answered what nobody can use: no JSON, too large, the wrong shape."""


class Refused(RemoteError):
    """It answered with an error. `errcode` is M_UNKNOWN where the answer has none (`is_matrix` says so)."""

    def __init__(self, destination: str, status: int, body: Any) -> None:
        fields = body if isinstance(body, dict) else {}
        errcode, message = fields.get("errcode"), fields.get("error")
        self.status = status
        self.is_matrix = isinstance(errcode, str)
        self.errcode = errcode[:100] if isinstance(errcode, str) else "M_UNKNOWN"
        self.message = message[:1000] if isinstance(message, str) else ""
        self.body: dict[str, Any] = fields
        super().__init__(destination, f"{status} {self.errcode} {self.message}")

    @property
    def is_unsupported(self) -> bool:
        """Does the server not have the endpoint at all? Servers of old answer 404 or 400 without saying why.

        Source: server-server API, "Unsupported endpoints".
        """
        is_unexplained = not self.is_matrix or self.errcode == "M_UNRECOGNIZED"
        return is_unexplained and self.status in (400, 404, 405)

    def to_matrix_error(self) -> MatrixError:
        """The same error for a client, where the specification passes it on."""
        return MatrixError(self.status, self.errcode, self.message or "The other server refused")
