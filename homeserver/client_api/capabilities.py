"""What the user may do on this server.

Source: client-server API, "Capabilities negotiation".
"""

from typing import Any

from attrs import frozen

from homeserver.services.users.profiles import AVATAR_URL, DISPLAYNAME, Profiles
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, client, route
from matrix.room_versions import ROOM_VERSIONS


@frozen
class Abilities:
    """What the configuration allows."""

    default_room_version: str
    change_password: bool = True
    change_threepids: bool = False
    get_login_token: bool = False
    forgets_upon_leave: bool = False


class CapabilitiesApi:
    """`further` are capabilities of other parts, by name."""

    def __init__(self, *, abilities: Abilities, profiles: Profiles, further: dict[str, Any] | None = None) -> None:
        disallowed = profiles.disallowed_fields()
        self._capabilities: dict[str, Any] = {
            "m.change_password": {"enabled": abilities.change_password},
            "m.room_versions": {
                "default": abilities.default_room_version,
                "available": dict.fromkeys(ROOM_VERSIONS, "stable"),
            },
            "m.set_displayname": {"enabled": DISPLAYNAME not in disallowed},
            "m.set_avatar_url": {"enabled": AVATAR_URL not in disallowed},
            "m.profile_fields": {"enabled": True, **({"disallowed": disallowed} if disallowed else {})},
            "m.3pid_changes": {"enabled": abilities.change_threepids},
            "m.get_login_token": {"enabled": abilities.get_login_token},
            "m.forget_forced_upon_leave": {"enabled": abilities.forgets_upon_leave},
            **(further or {}),
        }
        # Only admins see this one. Source: "Account moderation".
        moderation = {"m.account_moderation": {"lock": True, "suspend": True}}
        self._of_admins = {**self._capabilities, **moderation}

    @route("GET", *client("/capabilities"), access=Access.GUEST)
    async def get_capabilities(self, call: Call) -> Answer:
        return {"capabilities": self._of_admins if call.user.is_admin else self._capabilities}
