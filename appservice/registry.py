"""The application services of this server, as everything in the process asks for them."""

from collections.abc import Callable, Iterable, Sequence

from appservice.registration import BadRegistration, Registration
from homeserver.runtime.caches import Lru

# Users whose owners are remembered: asked for with each event, for each member.
MAX_CACHED = 100_000


class Registry:
    """One in a process; empty for a server without any. `replace` puts other registrations in the place of all."""

    def __init__(self, registrations: Iterable[Registration] = ()) -> None:
        self.all: Sequence[Registration] = ()
        self._by_id: dict[str, Registration] = {}
        self._by_token: dict[str, Registration] = {}
        self._owners: Lru[str, Sequence[Registration]] = Lru("appservice_users", MAX_CACHED)
        self._callbacks: list[Callable[[], None]] = []
        self._take(tuple(registrations))

    def replace(self, registrations: Iterable[Registration]) -> None:
        """From here on these are the services; who asked for it is told.

        Raises: BadRegistration where two have one id or as_token; the old ones stay.
        """
        taken = tuple(registrations)
        if taken == self.all:
            return
        self._take(taken)
        for callback in tuple(self._callbacks):
            callback()

    def on_change(self, callback: Callable[[], None]) -> None:
        """Called after each change."""
        self._callbacks.append(callback)

    def by_id(self, id: str) -> Registration | None:
        return self._by_id.get(id)

    def by_token(self, as_token: str) -> Registration | None:
        return self._by_token.get(as_token)

    def owners_of_user(self, user_id: str) -> Sequence[Registration]:
        """The services in whose namespaces a user of this server lies."""
        if not self.all:
            return ()
        known = self._owners.get(user_id)
        if known is None:
            known = tuple(each for each in self.all if each.owns_user(user_id))
            self._owners.set(user_id, known)
        return known

    def exclusive_owner(self, user_id: str) -> Registration | None:
        """The service that has reserved the user id for itself."""
        return next((each for each in self.all if each.has_reserved_user(user_id)), None)

    def exclusive_owner_of_alias(self, alias: str) -> Registration | None:
        """The service that has reserved the alias for itself."""
        return next((each for each in self.all if each.has_reserved_alias(alias)), None)

    def _take(self, registrations: Sequence[Registration]) -> None:
        if faults := clashes(registrations):
            raise BadRegistration(faults)
        self.all = registrations
        self._by_id = {each.id: each for each in registrations}
        self._by_token = {each.as_token: each for each in registrations}
        self._owners.clear()


def clashes(registrations: Iterable[Registration]) -> list[str]:
    """What two registrations have in common and must not. Source: application service API, "Registration"."""
    faults: list[str] = []
    ids: set[str] = set()
    tokens: dict[str, str] = {}
    for each in registrations:
        if each.id in ids:
            faults.append(f"id: {each.id!r} is used by two application services")
        elif each.as_token in tokens:
            faults.append(f"as_token: {tokens[each.as_token]!r} and {each.id!r} have the same")
        ids.add(each.id)
        tokens.setdefault(each.as_token, each.id)
    return faults
