"""What can go wrong when a service is asked. Whose fault it is, and what becomes of it, the caller knows."""


class AppserviceError(Exception):
    """The service gave no answer of use."""


class Refused(AppserviceError):
    """The service answered with another status than success. `body` is what it said, as text, cut."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"the service answered {status}")
        self.status = status
        self.body = body


class Unreachable(AppserviceError):
    """No connection, a broken one, an answer that is too large; or the service has no URL."""


class TimedOut(AppserviceError):
    """The service took too long."""


class BadAnswer(AppserviceError):
    """Success, with a body that is not what was asked for."""
