"""Who may invite whom, beside what the room says: users who take no invites, servers where only admins invite.

Source: client-server API, "Invite permission".
"""

from collections.abc import Collection, Sequence

import orjson

from homeserver.services.rooms.invite_rules import CONFIGS, LISTS, Verdict, judge
from homeserver.web.call import Requester
from matrix.errors import Forbidden
from matrix.events import Json
from matrix.ids import UserId
from storage import account_data
from storage.database import Database


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
        await self._check_targets(requester.user_id, targets)

    async def check_remote(self, sender: UserId, target: UserId) -> None:
        """For an invite by another server's user. Raises: as `check`."""
        if self._admins_only:
            raise Forbidden("This server does not accept room invites")
        await self._check_targets(sender, [target])

    async def hidden_from(self, user_id: UserId, senders: Collection[UserId]) -> set[UserId]:
        """Those of the senders whose invites the user does not want to see."""
        contents = (await self._contents([user_id])).get(user_id, {})
        return {sender for sender in senders if judge(contents, sender) is not Verdict.ALLOW}

    async def _check_targets(self, sender: UserId, targets: Sequence[UserId]) -> None:
        if not targets:
            return
        contents = await self._contents(targets)
        if any(judge(of_target, sender) is Verdict.BLOCK for of_target in contents.values()):
            raise Forbidden("You are not permitted to invite this user.", "M_INVITE_BLOCKED")

    async def _contents(self, user_ids: Sequence[UserId]) -> dict[str, dict[str, Json]]:
        """What they say of invites, by user and type; only of those who say anything."""
        found: dict[str, dict[str, Json]] = {}
        for user_id, kind, content in await self._database.read(
            account_data.contents_of_kinds, list(user_ids), [*CONFIGS, LISTS]
        ):
            found.setdefault(user_id, {})[kind] = orjson.loads(content)
        return found
