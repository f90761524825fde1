"""What can go wrong: errors that a client may hear, and the core's own, which an edge translates.

Source: client-server API, "Standard error response".
"""

from typing import Any


class MatrixError(Exception):
    """An answer other than success: the router alone turns it into JSON.

    `fields` are further keys of the body (`retry_after_ms`, `soft_logout`, ...).
    """

    def __init__(self, status: int, errcode: str, message: str, **fields: Any) -> None:
        super().__init__(f"{status} {errcode}: {message}")
        self.status = status
        self.errcode = errcode
        self.message = message
        self.fields = fields

    def body(self) -> dict[str, Any]:
        return {"errcode": self.errcode, "error": self.message, **self.fields}


class NotFound(MatrixError):
    def __init__(self, message: str = "Not found", errcode: str = "M_NOT_FOUND", **fields: Any) -> None:
        super().__init__(404, errcode, message, **fields)


class Forbidden(MatrixError):
    def __init__(self, message: str, errcode: str = "M_FORBIDDEN", **fields: Any) -> None:
        super().__init__(403, errcode, message, **fields)


class BadRequest(MatrixError):
    """400. The errcode says which: M_BAD_JSON, M_NOT_JSON, M_MISSING_PARAM, M_INVALID_PARAM, ..."""

    def __init__(self, message: str, errcode: str = "M_BAD_JSON", **fields: Any) -> None:
        super().__init__(400, errcode, message, **fields)


class InvalidParam(BadRequest):
    def __init__(self, message: str) -> None:
        super().__init__(message, "M_INVALID_PARAM")


class MissingParam(BadRequest):
    def __init__(self, name: str) -> None:
        super().__init__(f"Missing parameter: {name}", "M_MISSING_PARAM")


class TooLarge(MatrixError):
    def __init__(self, message: str) -> None:
        super().__init__(413, "M_TOO_LARGE", message)


class LimitExceeded(MatrixError):
    """429; the router adds the Retry-After header."""

    def __init__(self, retry_after_ms: int, message: str = "Too many requests") -> None:
        super().__init__(429, "M_LIMIT_EXCEEDED", message, retry_after_ms=retry_after_ms)


class Unrecognized(MatrixError):
    def __init__(self, status: int = 404, message: str = "Unrecognized request") -> None:
        super().__init__(status, "M_UNRECOGNIZED", message)


class CoreError(Exception):
    """What `matrix/` raises of its own: no status, since whose fault it is only an edge knows."""


class NotCanonical(CoreError):
    """The value cannot be held by canonical JSON, or the bytes are no JSON that we take."""


class BadEvent(CoreError):
    """The event breaks the format, the grammar or a size limit of its room version."""


class EventTooLarge(BadEvent):
    """The event, or one of its keys, is beyond its size limit: 413 M_TOO_LARGE to a client who sends it."""


class BadSignature(CoreError):
    """A signature is missing, malformed or does not verify."""


class AuthRuleFailed(CoreError):
    """An authorization rule refuses the event. `rule` is its number in the room version's page."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(f"{reason} (rule {rule})")
        self.rule = rule
        self.reason = reason
