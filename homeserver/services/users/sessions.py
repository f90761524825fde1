"""Sessions: access tokens and refresh tokens, and who stands behind a token, answered from memory.

A token that is in use is in the cache of each process; what changes about its user is announced on the stream
(see invalidation.py), and then all that is remembered of the user is forgotten. So only the first request after a
start or a change asks the database.

Source: client-server API, "Client Authentication": "Refreshing access tokens", "Soft logout".
"""

from collections.abc import Iterable

from attrs import define, frozen

from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock
from homeserver.services.users import invalidation
from homeserver.services.users.settings import SessionSettings
from homeserver.services.users.tokens import new_token, token_hash
from homeserver.web.call import Requester
from matrix.errors import MatrixError
from matrix.ids import DeviceId, UserId
from storage import device_lists
from storage import devices as device_rows
from storage import sessions as rows
from storage.change import Change
from storage.commit import Committer
from storage.database import Database

MAX_CACHED = 100_000


@define(eq=False)
class Session:
    """A valid token. `expires_ms` is 0 if it never expires. `last_seen_ms` belongs to last_seen.py."""

    requester: Requester
    expires_ms: int
    is_locked: bool
    validated_ms: int | None
    last_seen_ms: int = 0


@frozen
class Tokens:
    """What a client gets that logs in or refreshes."""

    access_token: str
    refresh_token: str | None
    expires_in_ms: int | None

    def fields(self) -> dict[str, str | int]:
        """The members of the answer."""
        found: dict[str, str | int] = {"access_token": self.access_token}
        if self.refresh_token is not None:
            found["refresh_token"] = self.refresh_token
        if self.expires_in_ms is not None:
            found["expires_in_ms"] = self.expires_in_ms
        return found


@frozen
class NewSession:
    """What a login asks for. `is_new_device`: other users must hear of the device."""

    user_id: UserId
    device_id: DeviceId
    is_new_device: bool
    display_name: str | None = None
    wants_refresh_token: bool = False
    appservice_id: str | None = None


class UnknownToken(MatrixError):
    """401. With `soft_logout` the client may keep its data and log in again."""

    def __init__(self, message: str, *, soft_logout: bool) -> None:
        super().__init__(401, "M_UNKNOWN_TOKEN", message, soft_logout=soft_logout)


class Sessions:
    """What the stream says of accounts comes by way of Accounts, which calls `forget`."""

    def __init__(self, *, db: Database, commit: Committer, clock: Clock, settings: SessionSettings) -> None:
        self._db = db
        self._commit = commit
        self._clock = clock
        self._settings = settings
        self._sessions: Lru[str, Session] = Lru("sessions", MAX_CACHED)
        self._tokens_by_user: dict[str, set[str]] = {}

    def forget(self, user_id: str) -> None:
        """What is remembered of the user's sessions may no longer be true."""
        # Every time, even if nothing is remembered: a look-up may be under way.
        self._sessions.version += 1
        for token in self._tokens_by_user.pop(user_id, ()):
            self._sessions.invalidate(token)

    async def authenticate(self, token: str) -> Session:
        """The session of an access token. Raises: UnknownToken. Whether the user is locked is not checked."""
        session = self._sessions.get(token)
        if session is None:
            session = await self._load(token)
        if session.expires_ms and session.expires_ms <= self._clock.now_ms():
            raise UnknownToken("The access token has expired", soft_logout=True)
        return session

    async def _load(self, token: str) -> Session:
        version = self._sessions.version
        found = await self._db.read(rows.find_access_token, token_hash(token))
        if found is None:
            raise UnknownToken("Unrecognised access token", soft_logout=False)
        if not found.used:
            await self._db.run(rows.mark_used, found.token_id)
        session = _session(found)
        if version == self._sessions.version:
            self._remember(token, session)
        return session

    def _remember(self, token: str, session: Session) -> None:
        self._sessions.set(token, session)
        tokens = self._tokens_by_user.setdefault(session.requester.user_id, set())
        tokens.add(token)
        # The cache pushes out what is old without telling; a user's set must not grow by it.
        if len(tokens) % 100 == 0:
            tokens.intersection_update([known for known in tokens if known in self._sessions])

    def open(self, change: Change, new: NewSession) -> Tokens:
        """Adds a login to a change. What tokens the device had are revoked with it."""
        now_ms, settings = self._clock.now_ms(), self._settings
        user_id, device_id = new.user_id, new.device_id
        revoke_device(change, user_id, [device_id])
        change.put(device_rows.ADD, (user_id, device_id, new.display_name, now_ms))
        if new.is_new_device:
            device_lists.record(change, user_id, {"device_id": device_id})
        else:
            invalidation.announce(change, user_id)
        # Sessions of bridges do not end.
        ends_ms = None if new.appservice_id else _after(now_ms, settings.session_ms)
        refresh_token = refresh_hash = None
        lifetime_ms = None if new.appservice_id else settings.access_ms
        if new.wants_refresh_token and settings.refreshable_access_ms is not None:
            lifetime_ms = settings.refreshable_access_ms
            refresh_token = new_token("hrt")
            refresh_hash = token_hash(refresh_token)
            refresh_expires_ms = _after(now_ms, settings.refresh_ms)
            change.put(rows.ADD_REFRESH, (refresh_hash, user_id, device_id, refresh_expires_ms, ends_ms))
        expires_ms = _earlier(_after(now_ms, lifetime_ms), ends_ms)
        token = new_token("hat")
        row = (token_hash(token), user_id, device_id, now_ms, expires_ms, refresh_hash, True, now_ms, None)
        change.put(rows.ADD_ACCESS, row)
        return Tokens(token, refresh_token, None if expires_ms is None else expires_ms - now_ms)

    async def open_for_admin(self, user_id: UserId, admin: UserId, expires_ms: int | None) -> str:
        """A token by which an admin acts as the user. It belongs to no device, so nobody sees it in a list."""
        token = new_token("hat")
        row = (token_hash(token), user_id, None, self._clock.now_ms(), expires_ms, None, True, None, admin)
        await self._commit(Change().put(rows.ADD_ACCESS, row))
        return token

    async def refresh(self, refresh_token: str) -> Tokens:
        """New tokens for a session. The old refresh token counts until one of the new ones is used.

        Raises: UnknownToken.
        """
        now_ms = self._clock.now_ms()
        old = await self._db.read(rows.find_refresh_token, token_hash(refresh_token))
        if old is None or old.is_spent:
            raise UnknownToken("Unrecognised refresh token", soft_logout=False)
        if (end_ms := _earlier(old.expires_ms, old.ends_ms)) is not None and end_ms <= now_ms:
            raise UnknownToken("The refresh token has expired", soft_logout=True)
        access, refresh = new_token("hat"), new_token("hrt")
        expires_ms = _earlier(_after(now_ms, self._settings.refreshable_access_ms), old.ends_ms)
        new = rows.NewTokens(
            token_hash(access),
            token_hash(refresh),
            now_ms,
            expires_ms,
            _earlier(_after(now_ms, self._settings.refresh_ms), old.ends_ms),
        )
        change = Change().run(lambda cur: rows.exchange(cur, old.token_hash, new))
        # Tokens from before the last refresh are gone now.
        invalidation.announce(change, old.user_id)
        if not await self._commit(change):
            raise UnknownToken("Unrecognised refresh token", soft_logout=False)
        self.forget(old.user_id)
        return Tokens(access, refresh, None if expires_ms is None else expires_ms - now_ms)

    async def end_token(self, requester: Requester) -> None:
        """Ends a session that belongs to no device."""
        if requester.token_id is not None:
            change = Change().put(rows.DELETE_ACCESS, (requester.token_id,))
            invalidation.announce(change, requester.user_id)
            await self._commit(change)
            self.forget(requester.user_id)

    async def mark_validated(self, requester: Requester) -> None:
        """The user has just proved who they are, beyond having the token."""
        if requester.token_id is not None:
            change = Change()
            invalidation.announce(change, requester.user_id)
            token_id, now_ms = requester.token_id, self._clock.now_ms()
            await self._commit(change.run(lambda cur: rows.mark_validated(cur, token_id, now_ms)))
            self.forget(requester.user_id)


def revoke_device(change: Change, user_id: UserId, device_ids: Iterable[str]) -> None:
    """Adds to a change the end of all tokens of devices."""
    for device_id in device_ids:
        change.put(rows.DELETE_ACCESS_OF_DEVICE, (user_id, device_id))
        change.put(rows.DELETE_REFRESH_OF_DEVICE, (user_id, device_id))


def _session(found: rows.AccessToken) -> Session:
    requester = Requester(
        user_id=found.user_id,
        device_id=found.device_id,
        is_guest=found.is_guest,
        is_admin=found.is_admin,
        token_id=found.token_id,
    )
    return Session(requester, found.expires_ms or 0, found.is_locked, found.validated_ms)


def _after(now_ms: int, lifetime_ms: int | None) -> int | None:
    return None if lifetime_ms is None else now_ms + lifetime_ms


def _earlier(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)
