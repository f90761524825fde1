"""What stands in the member events that we make: the membership, the profile, and what the client adds.

Source: client-server API, `m.room.member`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from matrix.errors import BadRequest
from matrix.events import Json
from matrix.ids import UserId

# The profiles of those of the users who are ours, by user. In `homeserver.services.users`: Profiles.of_local_users.
CheckAvatar = Callable[[str], Awaitable[None]]
ProfilesOf = Callable[[Sequence[str]], Awaitable[Mapping[str, Mapping[str, Any]]]]

MEMBER = "m.room.member"
AUTHORISED_VIA = "join_authorised_via_users_server"
_WITH_PROFILE = frozenset(("join", "invite", "knock"))
_PROFILE = ("displayname", "avatar_url")
# As of the global profile; Synapse's.
_MAX_LENGTH = {"displayname": 256, "avatar_url": 1000}


def member_content(membership: str, added: Mapping[str, Any], profile: Mapping[str, Any]) -> Json:
    """The content. What the client says of the profile is for this room only and goes before the global one.

    Who authorises a restricted join is for us to say. Raises: BadRequest.
    """
    content: Json = {key: value for key, value in added.items() if key != AUTHORISED_VIA}
    content["membership"] = membership
    for name, limit in _MAX_LENGTH.items():
        value = content.get(name)
        if value is not None and (not isinstance(value, str) or len(value) > limit):
            raise BadRequest(f"{name} must be a string of at most {limit} characters")
    if membership in _WITH_PROFILE:
        content.update({name: profile[name] for name in _PROFILE if name in profile and name not in content})
    return content


def with_reason(reason: str | None) -> Json:
    return {} if reason is None else {"reason": reason}


@frozen(kw_only=True)
class MemberRules:
    """What the operator says. `check_avatar` raises Forbidden; `own_in_rooms`: users may be called otherwise in single
    rooms; `in_invites`: an invite says how the invited is called.
    """

    check_avatar: CheckAvatar | None = None
    own_in_rooms: bool = True
    in_invites: bool = True


NO_RULES = MemberRules()


class MemberContents:
    def __init__(self, *, profiles_of: ProfilesOf, rules: MemberRules = NO_RULES) -> None:
        self._profiles_of = profiles_of
        self._rules = rules

    async def of(self, user_id: UserId, membership: str, added: Mapping[str, Any]) -> Json:
        return (await self.of_many([user_id], membership, added))[user_id]

    async def of_many(
        self, user_ids: Sequence[UserId], membership: str, added: Mapping[str, Any]
    ) -> dict[UserId, Json]:
        """Raises: BadRequest, Forbidden."""
        if not self._rules.own_in_rooms:
            added = {key: value for key, value in added.items() if key not in _PROFILE}
        avatar = added.get("avatar_url")
        if self._rules.check_avatar is not None and isinstance(avatar, str) and avatar and membership in _WITH_PROFILE:
            await self._rules.check_avatar(avatar)
        with_profile = membership in _WITH_PROFILE and (membership != "invite" or self._rules.in_invites)
        profiles = await self._profiles_of(user_ids) if with_profile and user_ids else {}
        return {user_id: member_content(membership, added, profiles.get(user_id, {})) for user_id in user_ids}
