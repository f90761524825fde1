"""What a network may raise. Whatever else it raises is a bug: logged, and the event is given up after some attempts.

Texts are for people: they are shown in the room or the management room as they are.
"""

from appservice.bridges.core.ids import ChannelId, LoginId


class NetworkError(Exception):
    """The network did not do what it was asked to."""


class Temporary(NetworkError):
    """It may work later: the same is tried again, and what comes after it in that channel waits.

    For limits of the network `retry_after_s` is what the network says. The network's own pace (buckets, tiers) is best
    kept in the network's package: whoever calls waits.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Refused(NetworkError):
    """It will not work, however often it is tried; the writer is told why."""


class Unsupported(Refused):
    """The network has no such thing, or not for bots."""


class MissingPermission(Refused):
    """A scope, a role's permission, an intent. `needed` is its name on the network."""

    def __init__(self, needed: str, message: str | None = None) -> None:
        super().__init__(message or f"the bridge lacks the permission {needed}")
        self.needed = needed


class NotAllowed(Refused):
    """The person who asks may not do that with this bridge, or in that room."""


class InUse(Refused):
    """What is asked for belongs to another room, channel or person already."""


class FileTooLarge(Refused):
    """`limit_bytes` is what would have been taken."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the file is larger than {limit_bytes // (1024 * 1024)} MB")
        self.limit_bytes = limit_bytes


class NotThere(Refused):
    """The message, person or file is not there (any more)."""


class ChannelGone(Refused):
    """The channel was deleted, or the bridge may no longer see it. Its portal says so and rests."""

    def __init__(self, channel: ChannelId, message: str = "the channel is gone, or closed to the bridge") -> None:
        super().__init__(message)
        self.channel = channel


class LoginLost(NetworkError):
    """Bad, revoked or expired credentials; `login` is None for those of the bridge itself.

    A user's login is marked as lost and its owner told; what it was to do is done by relay if it can be. With the
    bridge's own lost, everything waits until they are mended.
    """

    def __init__(self, message: str, login: LoginId | None = None) -> None:
        super().__init__(message)
        self.login = login
