"""Who makes a request: from the access token to the requester, and whether the route is open to them.

Source: client-server API, "Using access tokens"; application service API, "Identity assertion".
"""

from appservice.registration import Registration
from homeserver.services.users.accounts import Accounts, UserLocked
from homeserver.services.users.appservice_tokens import AppserviceTokens, MissingToken
from homeserver.services.users.last_seen import LastSeen
from homeserver.services.users.sessions import Sessions
from homeserver.web.call import Call, Requester
from homeserver.web.router import Access
from matrix.errors import BadRequest, Forbidden
from matrix.ids import DeviceId, UserId
from storage.database import Database
from storage.devices import find_device

# What a locked user may still do. Source: client-server API, "Account locking".
_OPEN_TO_LOCKED = ("/logout", "/logout/all")


class Authenticator:
    """`await authenticator(call, access)` sets `call.requester`, as the router wants it."""

    def __init__(
        self,
        *,
        db: Database,
        sessions: Sessions,
        accounts: Accounts,
        last_seen: LastSeen,
        appservices: AppserviceTokens,
    ) -> None:
        self._db = db
        self._sessions = sessions
        self._accounts = accounts
        self._last_seen = last_seen
        self._appservices = appservices

    async def __call__(self, call: Call, access: Access) -> None:
        assert access is not Access.SERVER, "other servers sign their requests: they have an authenticator of their own"
        token = call.access_token()
        if token is None:
            if access is Access.OPTIONAL:
                return
            raise MissingToken()
        call.requester = requester = await self._requester(call, token)
        if requester.is_guest and access not in (Access.GUEST, Access.OPTIONAL):
            raise Forbidden("Guest access not allowed", "M_GUEST_ACCESS_FORBIDDEN")
        if access is Access.ADMIN and not requester.is_admin:
            raise Forbidden("You are not a server admin")
        if access is Access.APPSERVICE and requester.appservice_id is None:
            raise Forbidden("Only application services may do this")

    async def _requester(self, call: Call, token: str) -> Requester:
        service = self._appservices.find(call, token)
        if service is not None:
            return await self._of_appservice(call, service)
        session = await self._sessions.authenticate(token)
        if session.is_locked and not call.path.endswith(_OPEN_TO_LOCKED):
            raise UserLocked()
        self._last_seen.note(session, call)
        return session.requester

    async def _of_appservice(self, call: Call, service: Registration) -> Requester:
        """The user whom the service names, or else its own."""
        user_id = call.query.optional_parsed("user_id", UserId) or service.sender
        device_id = _asserted_device(call)
        if user_id != service.sender:
            if not service.owns_user(user_id):
                raise Forbidden("Application service cannot masquerade as this user.")
            user = await self._accounts.find(user_id)
            if user is None or user.is_deactivated:
                raise Forbidden("Application service has not registered this user.")
            if user.is_locked:
                raise UserLocked()
        if device_id is not None:
            if await self._db.read(find_device, user_id, device_id) is None:
                raise BadRequest("The device does not belong to the user", "M_UNKNOWN_DEVICE")
            self._last_seen.note_device(user_id, device_id, call)
        # Its own user is never limited: "The sender is excluded", says the specification of `rate_limited`.
        is_exempt = not service.is_rate_limited or user_id == service.sender
        return Requester(user_id=user_id, device_id=device_id, appservice_id=service.id, is_exempt=is_exempt)


def _asserted_device(call: Call) -> DeviceId | None:
    stable = call.query.optional_parsed("device_id", DeviceId)
    return stable or call.query.optional_parsed("org.matrix.msc3202.device_id", DeviceId)
