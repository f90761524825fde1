"""What a client asks of sync, and what is known of the asker when the answer is made."""

from attrs import frozen

from homeserver.services.sync.digest import Digest
from matrix.filters import Filter
from matrix.ids import DeviceId, UserId


@frozen(kw_only=True)
class SyncRequest:
    """Source: client-server API, "Syncing", GET /sync. `since` is a stream position."""

    user_id: UserId
    device_id: DeviceId | None
    device_key: str  # as transaction ids know the device
    since: int | None
    filter: Filter
    full_state: bool = False
    # "state", or the name by which the state after the timeline was asked for: a client of MSC4222 reads no other.
    state_name: str = "state"

    @property
    def use_state_after(self) -> bool:
        return self.state_name != "state"


@frozen(kw_only=True)
class Window:
    """The part of the stream that one answer tells: (since, upto]. `since` 0: everything."""

    request: SyncRequest
    since: int
    upto: int
    now_ms: int
    ignored: frozenset[str] = frozenset()
    # What the window is about, if it is in memory, not long, and not told whole.
    digest: Digest | None = None

    @property
    def is_initial(self) -> bool:
        return self.request.since is None

    @property
    def user_id(self) -> UserId:
        return self.request.user_id
