"""The addresses of an account: listed, added, removed, published; and mails with a token.

Source: client-server API, "Adding Account Administrative Contact Information".
"""

from homeserver.services.users.address_checks import ADD, PASSWORD, REGISTER, AddressChecks, Asked
from homeserver.services.users.addresses import Addresses
from homeserver.services.users.ui_auth import UiAuth
from homeserver.web.call import Call
from homeserver.web.params import Fields
from homeserver.web.replies import Answer
from homeserver.web.router import Access, client, route
from matrix.errors import BadRequest, MatrixError
from matrix.ids import ServerName, UserId

MAX_BYTES = 512


class AddressesApi:
    def __init__(self, *, addresses: Addresses, ui_auth: UiAuth) -> None:
        self._addresses = addresses
        self._ui_auth = ui_auth

    @route("GET", *client("/account/3pid"))
    async def get_all(self, call: Call) -> Answer:
        return {
            "threepids": [
                {
                    "medium": one.medium,
                    "address": one.address,
                    "validated_at": one.validated_ms,
                    "added_at": one.added_ms,
                }
                for one in await self._addresses.list_of(call.user.user_id)
            ]
        }

    @route("POST", *client("/account/3pid/add"))
    async def add(self, call: Call) -> Answer:
        self._addresses.check_may_change()
        body = call.json()
        sid, secret = body.text("sid", max_bytes=MAX_BYTES), body.text("client_secret", max_bytes=MAX_BYTES)
        await self._ui_auth.require_password(call)
        await self._addresses.add(call.user.user_id, await self._addresses.find_passed(sid, secret))
        return {}

    @route("POST", *client("/account/3pid"))
    async def bind_by_old_name(self, call: Call) -> Answer:
        return await self._bind(call, call.json().object("three_pid_creds"))

    @route("POST", *client("/account/3pid/bind"))
    async def bind(self, call: Call) -> Answer:
        return await self._bind(call, call.json())

    async def _bind(self, call: Call, body: Fields) -> Answer:
        names = ("id_server", "id_access_token", "sid", "client_secret")
        server, token, sid, secret = [body.text(name, max_bytes=MAX_BYTES) for name in names]
        await self._addresses.bind(call.user.user_id, server, token, sid, secret)
        return {}

    @route("POST", *client("/account/3pid/unbind"))
    async def unbind(self, call: Call) -> Answer:
        body = call.json()
        return await self._unbind(call.user.user_id, *_address(body), _server(body))

    @route("POST", *client("/account/3pid/delete"))
    async def delete(self, call: Call) -> Answer:
        self._addresses.check_may_change()
        body = call.json()
        medium, address = _address(body)
        server = _server(body)
        await self._addresses.remove(call.user.user_id, medium, address)
        try:
            return await self._unbind(call.user.user_id, medium, address, server)
        except MatrixError:
            # It is gone here, which is what was asked for; that it is still published the client is told.
            return {"id_server_unbind_result": "no-support"}

    async def _unbind(self, user_id: UserId, medium: str, address: str, server: str | None) -> Answer:
        done = await self._addresses.unbind(user_id, medium, address, server)
        return {"id_server_unbind_result": "success" if done else "no-support"}


def _address(body: Fields) -> tuple[str, str]:
    return body.choice("medium", ("email", "msisdn")), body.text("address", max_bytes=MAX_BYTES)


def _server(body: Fields) -> str | None:
    server = body.optional_parsed("id_server", ServerName)
    return None if server is None else str(server)


class RequestTokenApi:
    """Mails with a token. Phones get none: there is nobody who sends them messages."""

    def __init__(self, *, checks: AddressChecks, addresses: Addresses) -> None:
        self._checks = checks
        self._addresses = addresses

    @route("POST", *client("/account/3pid/email/requestToken"), access=Access.PUBLIC)
    async def to_add(self, call: Call) -> Answer:
        self._addresses.check_may_change()
        return await self._begin(call, ADD)

    @route("POST", *client("/register/email/requestToken"), access=Access.PUBLIC)
    async def to_register(self, call: Call) -> Answer:
        return await self._begin(call, REGISTER)

    @route("POST", *client("/account/password/email/requestToken"), access=Access.PUBLIC)
    async def to_reset_the_password(self, call: Call) -> Answer:
        return await self._begin(call, PASSWORD)

    @route(
        "POST",
        *client("/account/3pid/msisdn/requestToken"),
        *client("/register/msisdn/requestToken"),
        *client("/account/password/msisdn/requestToken"),
        access=Access.PUBLIC,
    )
    async def to_phone(self, call: Call) -> Answer:
        body = call.json()
        for name in ("client_secret", "country", "phone_number"):
            body.text(name, max_bytes=MAX_BYTES)
        body.integer("send_attempt")
        raise BadRequest("This server sends no messages to phones", "M_THREEPID_MEDIUM_NOT_SUPPORTED")

    async def _begin(self, call: Call, purpose: str) -> Answer:
        body = call.json()
        asked = Asked(
            purpose=purpose,
            address=body.text("email", max_bytes=MAX_BYTES),
            client_secret=body.text("client_secret", max_bytes=MAX_BYTES),
            send_attempt=body.integer("send_attempt", minimum=0),
            next_link=body.optional_text("next_link"),
            client_ip=call.client_ip,
        )
        return {"sid": await self._checks.begin(asked)}
