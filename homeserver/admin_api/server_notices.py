"""Sending a user a notice of the server.

Source: Synapse, "Server Notices" of the admin API; client-server API, "Transaction identifiers".
"""

from collections.abc import Awaitable, Callable

from attrs import frozen

from homeserver.services.server_notices import Notice, ServerNotices
from homeserver.services.users.accounts import Accounts
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, route
from matrix.errors import BadRequest, NotFound
from matrix.ids import ServerName, UserId
from storage.event_transactions import TransactionKey

PATH = "/_synapse/admin/v1/send_server_notice"
MAX_TYPE_BYTES = 255
# An event is at most 64 KiB, but the JSON around what is escaped may be larger.
MAX_BODY_BYTES = 512 * 1024


@frozen(kw_only=True)
class Sending:
    """`ensure_sender` makes the account that notices come from, if it is not there."""

    notices: ServerNotices
    ensure_sender: Callable[[], Awaitable[None]]


class ServerNoticesApi:
    """`sending` is None on a server without notices."""

    def __init__(self, *, sending: Sending | None, accounts: Accounts, server_name: ServerName) -> None:
        self._sending = sending
        self._accounts = accounts
        self._server_name = server_name

    @route("POST", PATH, access=Access.ADMIN, max_body_bytes=MAX_BODY_BYTES)
    async def post_notice(self, call: Call) -> Answer:
        return await self._send(call, None)

    @route("PUT", PATH + "/{transaction_id}", access=Access.ADMIN, max_body_bytes=MAX_BODY_BYTES)
    async def put_notice(self, call: Call, transaction_id: str) -> Answer:
        """Repeated, it is the same notice: also after a restart, by any process."""
        device = call.user.device_id or f"token {call.user.token_id}"
        return await self._send(call, TransactionKey(call.user.user_id, device, "send_server_notice", transaction_id))

    async def _send(self, call: Call, transaction: TransactionKey | None) -> Answer:
        body = call.json()
        user_id, content = body.parsed("user_id", UserId), body.object("content").raw
        notice = Notice(
            type=body.optional_text("type", max_bytes=MAX_TYPE_BYTES) or "m.room.message",
            content=dict(content),
            state_key=body.optional_text("state_key", max_bytes=MAX_TYPE_BYTES),
        )
        if self._sending is None:
            raise BadRequest("Server notices are not enabled on this server", "M_UNKNOWN")
        if user_id.domain != self._server_name:
            raise BadRequest("Server notices can only be sent to local users", "M_UNKNOWN")
        user = await self._accounts.get(user_id)
        if user.is_deactivated:
            raise NotFound("User not found")
        await self._sending.ensure_sender()
        return {"event_id": await self._sending.notices.send(user_id, notice, transaction)}
