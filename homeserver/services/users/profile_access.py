"""Who may look up whose profile.

Source: client-server API, "Profiles", "Server behaviour".
"""

from collections.abc import Awaitable, Callable

from homeserver.services.users.settings import ProfileSettings
from homeserver.web.call import Requester
from matrix.errors import Forbidden, MatrixError
from matrix.ids import UserId

# May the first user see the second, because of the rooms they are in?
IsVisible = Callable[[UserId, UserId], Awaitable[bool]]


class ProfileAccess:
    """Everybody may, unless the operator says otherwise; admins always may."""

    def __init__(self, *, settings: ProfileSettings, is_visible: IsVisible) -> None:
        self._settings = settings
        self._is_visible = is_visible

    async def __call__(self, requester: Requester | None, user_id: UserId) -> None:
        """Raises: MatrixError M_MISSING_TOKEN, Forbidden."""
        settings = self._settings
        if requester is None:
            if settings.require_auth or settings.only_who_share_rooms:
                raise MatrixError(401, "M_MISSING_TOKEN", "Missing access token")
            return
        if not settings.only_who_share_rooms or requester.is_admin or requester.user_id == user_id:
            return
        if not await self._is_visible(requester.user_id, user_id):
            raise Forbidden("Profile lookup is disabled for users with whom you share no room")
