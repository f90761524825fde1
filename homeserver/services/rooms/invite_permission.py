"""Who may invite whom, beside what the room says: users who take no invites, servers where only admins invite.

Source: client-server API, "Invite permission".
"""

from collections.abc import Sequence

import orjson

from homeserver.web.call import Requester
from matrix.errors import Forbidden
from matrix.ids import UserId
from storage import account_data
from storage.database import Database

CONFIG = "m.invite_permission_config"


class InvitePermission:
    """`admins_only`: the configuration's block_non_admin_invites."""

    def __init__(self, *, database: Database, admins_only: bool = False) -> None:
        self._database = database
        self._admins_only = admins_only

    async def check(self, requester: Requester, targets: Sequence[UserId]) -> None:
        """`targets` are users of ours. Raises: Forbidden, M_INVITE_BLOCKED if one of them takes no invites."""
        if requester.is_admin:
            return
        if self._admins_only:
            raise Forbidden("Invites have been disabled on this server")
        await self._check_targets(targets)

    async def check_remote(self, sender: UserId, target: UserId) -> None:
        """For an invite by another server's user. Raises: as `check`."""
        if self._admins_only:
            raise Forbidden("This server does not accept room invites")
        await self._check_targets([target])

    async def _check_targets(self, targets: Sequence[UserId]) -> None:
        if not targets:
            return
        configs = await self._database.read(account_data.contents_of, list(targets), CONFIG)
        if any(orjson.loads(config).get("default_action") == "block" for config in configs.values()):
            raise Forbidden("You are not permitted to invite this user.", "M_INVITE_BLOCKED")
