"""What can go wrong when we ask another server. None of it reaches a client by itself: a service translates it."""

import re
from typing import Any

from matrix.errors import MatrixError

_ERRCODE = re.compile(r"[A-Za-z0-9_.-]{1,100}")
# What would begin a new line of a log, or hide something in it.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


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
    """It answered with an error. `errcode` is M_UNKNOWN where the answer has none (`is_matrix` says so).

    Both texts go into the log, and to clients: they are of one line.
    """

    def __init__(self, destination: str, status: int, body: Any) -> None:
        fields = body if isinstance(body, dict) else {}
        errcode, message = fields.get("errcode"), fields.get("error")
        self.status = status
        self.is_matrix = isinstance(errcode, str) and _ERRCODE.fullmatch(errcode) is not None
        self.errcode = str(errcode) if self.is_matrix else "M_UNKNOWN"
        self.message = _CONTROLS.sub(" ", message[:1000]) if isinstance(message, str) else ""
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
