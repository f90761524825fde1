"""What the edge of sync asks of other parts."""

from collections.abc import Awaitable
from typing import Protocol

from matrix.filters import Filter
from matrix.ids import UserId


class FilterOf(Protocol):
    """The filter that a user uploaded under this id. Raises: NotFound."""

    def __call__(self, user_id: UserId, filter_id: str) -> Awaitable[Filter]: ...


class SetPresence(Protocol):
    """The user syncs, and is so present ("online", "unavailable", "offline"). Does its work in the background."""

    def __call__(self, user_id: UserId, wish: str) -> None: ...
