"""What a client hears when another server was asked and did not give what was wanted.

Source: server-server API, on the errors of make_join and its like: "The error should be passed through to clients".
"""

from federation.outbound.errors import Refused, RemoteError
from matrix.errors import MatrixError, NotFound

_PASSED_ON = (400, 403, 404)
# These speak of our request to the other server, or of the client's account here: the client has no part in them.
_OURS = frozenset(
    (
        "M_BAD_JSON",
        "M_CONSENT_NOT_GIVEN",
        "M_INVALID_PARAM",
        "M_MISSING_PARAM",
        "M_MISSING_TOKEN",
        "M_NOT_JSON",
        "M_UNAUTHORIZED",
        "M_UNKNOWN_TOKEN",
        "M_UNRECOGNIZED",
        "M_USER_DEACTIVATED",
        "M_USER_LOCKED",
        "M_USER_SUSPENDED",
    )
)
MAX_RETRY_AFTER_MS = 60_000


def for_client(error: RemoteError) -> MatrixError:
    """The other server's own words where they are for the client; else 502."""
    if isinstance(error, Refused):
        if error.status == 429:
            return _limited(error)
        if error.status in _PASSED_ON and error.is_matrix and error.errcode not in _OURS:
            return MatrixError(error.status, error.errcode, error.message or "Refused", **_fields(error))
    return unusable(f"{error.destination} cannot be asked")


def unusable(message: str) -> MatrixError:
    """502: other servers were asked, and none gave an answer that can be used."""
    return MatrixError(502, "M_UNKNOWN", message)


def found_nothing(error: RemoteError) -> bool:
    """Does the other server say that there is no such thing?"""
    return isinstance(error, Refused) and error.status == 404 and error.errcode in ("M_NOT_FOUND", "M_UNKNOWN")


def not_found_or(error: RemoteError, message: str) -> MatrixError:
    return NotFound(message) if found_nothing(error) else for_client(error)


def _fields(error: Refused) -> dict[str, str]:
    version = error.body.get("room_version")
    return {"room_version": version[:32]} if isinstance(version, str) else {}


def _limited(error: Refused) -> MatrixError:
    wait = error.body.get("retry_after_ms")
    wait = min(max(wait, 0), MAX_RETRY_AFTER_MS) if isinstance(wait, int) else 1000
    return MatrixError(429, "M_LIMIT_EXCEEDED", f"{error.destination} has a limit", retry_after_ms=wait)
