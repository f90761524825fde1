"""What these services ask of other parts: the committer, and the federation, which may be absent."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from attrs import field, frozen

from matrix.ids import ServerName, UserId
from storage.change import Change
from storage.remote_devices import RemoteKeys as Keys

Json = dict[str, Any]
Commit = Callable[[Change], Awaitable[Any]]
IsLocal = Callable[[ServerName], bool]
# Runs a function that only computes on a thread, away from the reactor.
InThread = Callable[[Callable[[], Any]], Awaitable[Any]]


@frozen
class RemoteAnswer:
    """What other servers answered to a query or a claim, by user; `failures` by server."""

    device_keys: Json = field(factory=dict)
    master_keys: Json = field(factory=dict)
    self_signing_keys: Json = field(factory=dict)
    one_time_keys: Json = field(factory=dict)
    failures: Json = field(factory=dict)


class RemoteKeys(Protocol):
    """Keys of users of other servers. Failures are part of the answer: neither method raises for them."""

    async def query(self, wanted: Mapping[UserId, Sequence[str]], timeout_ms: int) -> RemoteAnswer:
        """The keys of these users' devices; no devices named means all."""
        ...

    async def claim(self, wanted: Mapping[UserId, Mapping[str, str]], timeout_ms: int) -> RemoteAnswer:
        """A key for each device, of the algorithm named."""
        ...


class ServiceKeys(Protocol):
    """Keys that application services hand out for users of theirs. Failures are no keys."""

    async def query(self, wanted: Mapping[UserId, Collection[str]]) -> dict[str, Keys]:
        """The keys of those users whose service tells any; no devices named means all."""
        ...

    async def last_told(self, user_ids: Iterable[str]) -> dict[str, Keys]:
        """The same as far as it was heard before, without asking."""
        ...

    async def claim(self, wanted: Mapping[UserId, Mapping[str, str]]) -> Json:
        """A key for each device, of the algorithm named, by user, device and key id."""
        ...


class NoServices:
    """A server without application services."""

    async def query(self, wanted: Mapping[UserId, Collection[str]]) -> dict[str, Keys]:
        return {}

    async def last_told(self, user_ids: Iterable[str]) -> dict[str, Keys]:
        return {}

    async def claim(self, wanted: Mapping[UserId, Mapping[str, str]]) -> Json:
        return {}


class RemoteDevices(Protocol):
    """Messages to devices of other servers."""

    def put_messages(self, change: Change, server: ServerName, sender: UserId, event_type: str, messages: Json) -> None:
        """Queues messages by user and device, as part of the change that is their sender's acknowledgement."""
        ...


class NoFederation:
    """Stands for the other servers while there is no federation: none can be reached."""

    async def query(self, wanted: Mapping[UserId, Sequence[str]], timeout_ms: int) -> RemoteAnswer:
        return _unreachable(wanted)

    async def claim(self, wanted: Mapping[UserId, Mapping[str, str]], timeout_ms: int) -> RemoteAnswer:
        return _unreachable(wanted)


def _unreachable(wanted: Mapping[UserId, object]) -> RemoteAnswer:
    servers = {str(user_id.domain) for user_id in wanted}
    failure = {"status": 503, "message": "This server does not federate"}
    return RemoteAnswer(failures=dict.fromkeys(servers, failure))
