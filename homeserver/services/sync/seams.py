"""What the edge of sync asks of other parts."""

from collections.abc import Awaitable
from typing import Protocol

from matrix.filters import Filter
from matrix.ids import UserId


class FilterOf(Protocol):
    """The filter that a user uploaded under this id. Raises: NotFound."""

    def __call__(self, user_id: UserId, filter_id: str) -> Awaitable[Filter]: ...


class SetPresence(Protocol):
    """A device of the user syncs, who is so present ("online", "unavailable", "offline")."""

    def __call__(self, user_id: UserId, device: str, wish: str) -> Awaitable[None]: ...
