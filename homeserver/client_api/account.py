"""The user's own account: who am I, a new password, closing it.

Source: client-server API, "Account management", "Current account information".
"""

from typing import Any

from homeserver.services.users.accounts import Accounts
from homeserver.services.users.deactivation import Deactivation
from homeserver.services.users.devices import Devices
from homeserver.services.users.passwords import Passwords
from homeserver.services.users.ui_auth import EMAIL, PASSWORD, PASSWORD_FLOWS, Flows, UiAuth
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, client, route
from matrix.errors import Forbidden
from matrix.ids import UserId


class AccountApi:
    def __init__(
        self,
        *,
        accounts: Accounts,
        passwords: Passwords,
        devices: Devices,
        deactivation: Deactivation,
        ui_auth: UiAuth,
        can_mail: bool = False,
    ) -> None:
        # Who has lost the password proves who they are by their address.
        self._flows: Flows = [*PASSWORD_FLOWS, *([[EMAIL]] if can_mail else [])]
        self._accounts = accounts
        self._passwords = passwords
        self._devices = devices
        self._deactivation = deactivation
        self._ui_auth = ui_auth

    @route("GET", *client("/account/whoami"), access=Access.GUEST)
    async def whoami(self, call: Call) -> Answer:
        user = call.user
        answer: dict[str, Any] = {"user_id": user.user_id, "is_guest": user.is_guest}
        if user.device_id is not None:
            answer["device_id"] = user.device_id
        return answer

    @route("POST", *client("/account/password"), access=Access.OPTIONAL)
    async def set_password(self, call: Call) -> Answer:
        body = call.json()
        if not self._passwords.settings.for_reauth:
            raise Forbidden("Passwords are disabled on this server")
        password = body.optional_text("new_password")
        if password is not None:
            self._passwords.check_new(password)
        logout_devices = body.boolean("logout_devices", True)
        user_id = await self._prove(call, may_skip=False)
        # After the stages: a client that asks for the flows need not send it.
        await self._accounts.set_password(user_id, body.text("new_password") if password is None else password)
        if logout_devices:
            await self._devices.delete_all(user_id, but=call.requester)
        return {}

    @route("POST", *client("/account/deactivate"), access=Access.OPTIONAL)
    async def deactivate(self, call: Call) -> Answer:
        body = call.json(empty_ok=True)
        erase = body.boolean("erase", False)
        if call.requester is not None and call.requester.appservice_id is not None:
            # Nobody could authenticate for a bridge's user.
            user_id = call.requester.user_id
        else:
            user_id = await self._prove(call, may_skip=True)
        await self._deactivation.deactivate(user_id, erase=erase)
        # What was published through this server is taken back in the background.
        return {"id_server_unbind_result": "success"}

    async def _prove(self, call: Call, *, may_skip: bool) -> UserId:
        """Whose password the client gives; the requester's, if there is one. Raises: AuthIncomplete, Forbidden."""
        requester = call.requester
        if requester is None:
            completed = await self._ui_auth.require(call, PASSWORD_FLOWS if may_skip else self._flows)
            return UserId(completed[PASSWORD] if PASSWORD in completed else completed[EMAIL]["user_id"])
        if requester.is_guest:
            raise Forbidden("Guest access not allowed", "M_GUEST_ACCESS_FORBIDDEN")
        flows = PASSWORD_FLOWS if may_skip else self._flows
        await self._ui_auth.require(call, flows, user_id=requester.user_id, may_skip=may_skip)
        return requester.user_id
