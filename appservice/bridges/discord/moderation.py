"""Who was put out of a server, by whom and why.

The gateway tells that a member is gone, and that somebody was banned; who did it, and why, stands in the server's audit
log, which the bot may read if it has the permission *View Audit Log*. Where it has not, a kick looks like leaving, and
a ban has its reason at least.

Source: Discord developer documentation, "Audit Logs", "Get Guild Ban".
"""

from typing import Any, Literal

from attrs import frozen

from appservice.bridges.core.errors import MissingPermission, NetworkError, Temporary
from appservice.bridges.core.ids import PersonId
from appservice.bridges.discord import shapes
from appservice.bridges.discord.directory import Directory
from appservice.bridges.discord.rest import Rest
from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock

Json = dict[str, Any]
Membership = Literal["leave", "kick", "ban", "unban"]

_KINDS: dict[int, Membership] = {20: "kick", 22: "ban", 23: "unban"}
# An entry that is so much older or newer than what the gateway told is about another time.
NEAR_MS = 30_000
_ENTRIES = 10
# A log that the bot may not read is not asked for again so soon: refusals count against the address.
_PAUSE_S = 3_600.0
_MAX_PAUSES = 1_000
_MAX_REASON = 500


@frozen(kw_only=True)
class Act:
    """`by` None: the bot itself, for somebody in Matrix, or nobody knows."""

    membership: Membership
    by: PersonId | None = None
    reason: str | None = None


class Moderation:
    """Raises: Temporary, LoginLost."""

    def __init__(self, *, rest: Rest, directory: Directory, clock: Clock) -> None:
        self._rest, self._directory = rest, directory
        self._closed: Lru[str, bool] = Lru("discord_audit_logs_closed", _MAX_PAUSES, clock, _PAUSE_S)

    async def of_leaving(self, guild_id: str, user_id: str, at_ms: int) -> Act:
        """A member is gone: by themselves, kicked or banned."""
        return await self._logged(guild_id, user_id, at_ms, ("kick", "ban")) or Act(membership="leave")

    async def of_ban(self, guild_id: str, user_id: str, at_ms: int) -> Act:
        logged = await self._logged(guild_id, user_id, at_ms, ("ban",))
        if logged is not None:
            return logged
        try:
            path = "/guilds/{guild_id}/bans/{user_id}"
            found = await self._rest.ask("GET", path, guild_id=guild_id, user_id=user_id, needs="Ban Members")
        except Temporary:
            raise
        except NetworkError:
            return Act(membership="ban")
        return Act(membership="ban", reason=_reason(found))

    async def of_unban(self, guild_id: str, user_id: str, at_ms: int) -> Act:
        return await self._logged(guild_id, user_id, at_ms, ("unban",)) or Act(membership="unban")

    async def _logged(self, guild_id: str, user_id: str, at_ms: int, wanted: tuple[Membership, ...]) -> Act | None:
        if self._closed.get(guild_id):
            return None
        try:
            path, query = "/guilds/{guild_id}/audit-logs", {"limit": _ENTRIES}
            log = await self._rest.ask("GET", path, query=query, guild_id=guild_id, needs="View Audit Log")
        except MissingPermission:
            self._closed.set(guild_id, True)
            return None
        except Temporary:
            raise
        except NetworkError:
            return None
        for entry in log.get("audit_log_entries") or ():
            kind = _KINDS.get(int(entry.get("action_type") or 0))
            is_near = abs(shapes.made_ms(str(entry["id"])) - at_ms) <= NEAR_MS
            if kind in wanted and str(entry.get("target_id")) == user_id and is_near:
                return self._act(kind, entry)
        return None

    def _act(self, kind: Membership, entry: Json) -> Act:
        by = str(entry.get("user_id") or "")
        is_other = bool(by) and not self._directory.is_me(by)
        return Act(membership=kind, by=PersonId(by) if is_other else None, reason=_reason(entry))


def _reason(found: Json) -> str | None:
    return str(found["reason"])[:_MAX_REASON] if found.get("reason") else None
