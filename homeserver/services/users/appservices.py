"""What accounts need to know of application services; the registrations themselves are another part's."""

from typing import Protocol

from matrix.ids import UserId


class Appservice(Protocol):
    """One registered application service."""

    @property
    def id(self) -> str: ...

    @property
    def sender(self) -> UserId:
        """Whom its token stands for when it names nobody."""
        ...

    def owns_user(self, user_id: UserId) -> bool:
        """Lies the user in its namespace? Then it may act as that user."""
        ...


class Appservices(Protocol):
    def by_token(self, token: str) -> Appservice | None:
        """The service with this as_token."""
        ...

    def exclusive_owner(self, user_id: UserId) -> Appservice | None:
        """The service that has reserved the user id for itself."""
        ...


class NoAppservices:
    """A server without any."""

    def by_token(self, token: str) -> Appservice | None:
        return None

    def exclusive_owner(self, user_id: UserId) -> Appservice | None:
        return None
