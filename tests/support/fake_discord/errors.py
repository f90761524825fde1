"""Refusals as Discord words them: a status and a code of its own."""

from typing import Any


class Refused(Exception):
    """Answered with this status and JSON."""

    def __init__(self, status: int, code: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.json = {"code": code, "message": message, **more}


UNAUTHORIZED = (401, 0, "401: Unauthorized")
UNKNOWN_CHANNEL = (404, 10003, "Unknown Channel")
UNKNOWN_GUILD = (404, 10004, "Unknown Guild")
UNKNOWN_MEMBER = (404, 10007, "Unknown Member")
UNKNOWN_MESSAGE = (404, 10008, "Unknown Message")
UNKNOWN_ROLE = (404, 10011, "Unknown Role")
UNKNOWN_USER = (404, 10013, "Unknown User")
UNKNOWN_EMOJI = (400, 10014, "Unknown Emoji")
UNKNOWN_BAN = (404, 10026, "Unknown Ban")
UNKNOWN_WEBHOOK = (404, 10015, "Unknown Webhook")
UNKNOWN_STICKER = (404, 10060, "Unknown Sticker")
UNKNOWN_INTERACTION = (404, 10062, "Unknown interaction")
TOO_MANY_WEBHOOKS = (400, 30007, "Maximum number of webhooks reached (15)")
TOO_MANY_PINS = (400, 30003, "Maximum number of pins reached (250)")
TOO_LARGE = (413, 40005, "Request entity too large")
ALREADY_ACKNOWLEDGED = (400, 40060, "Interaction has already been acknowledged.")
MISSING_ACCESS = (403, 50001, "Missing Access")
NOT_THE_AUTHOR = (403, 50005, "Cannot edit a message authored by another user")
EMPTY_MESSAGE = (400, 50006, "Cannot send an empty message")
CANNOT_MESSAGE_USER = (403, 50007, "Cannot send messages to this user")
MISSING_PERMISSIONS = (403, 50013, "Missing Permissions")
INVALID_WEBHOOK_TOKEN = (401, 50027, "Invalid Webhook Token")
INVALID_FORM = (400, 50035, "Invalid Form Body")
SYSTEM_MESSAGE = (403, 50021, "Cannot execute action on a system message")


def invalid_form(field: str, reason: str) -> Refused:
    """A field that is not as it must be, with its path."""
    tree: dict[str, Any] = {"_errors": [{"code": "BASE_TYPE_BAD_LENGTH", "message": reason}]}
    for part in reversed(field.split(".")):
        tree = {part: tree}
    return Refused(*INVALID_FORM, errors=tree)
