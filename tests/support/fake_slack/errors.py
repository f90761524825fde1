"""What a method of Slack's Web API refuses with."""

from typing import Any


class SlackError(Exception):
    """`{"ok": false, "error": ...}` with status 200, or 429 with Retry-After, or a bare status for a fault."""

    def __init__(self, error: str, *, status: int = 200, retry_after: int | None = None, **fields: Any) -> None:
        super().__init__(error)
        self.error = error
        self.status = status
        self.retry_after = retry_after
        self.fields = fields
