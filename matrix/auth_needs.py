"""Which state an event needs to be judged: what a service loads, and what stands in `auth_events`.

Source: server-server API, "Auth events selection".
"""

from collections.abc import Mapping
from typing import Any

from matrix.events import Event, StateKey
from matrix.room_versions import RoomVersion

CREATE: StateKey = ("m.room.create", "")
POWER_LEVELS: StateKey = ("m.room.power_levels", "")
JOIN_RULES: StateKey = ("m.room.join_rules", "")

_NEEDS_JOIN_RULES = frozenset(("join", "invite", "knock"))


def auth_keys(
    version: RoomVersion, event_type: str, sender: str, state_key: str | None, content: Mapping[str, Any]
) -> list[StateKey]:
    """The keys of the state that selects the event's auth events, none of them twice.

    From room version 12 on the create event is not among them, though the rules need it: see `state_keys`.
    """
    if event_type == "m.room.create":
        return []
    keys = [POWER_LEVELS, ("m.room.member", sender)]
    if not version.room_id_is_create_hash:
        keys.insert(0, CREATE)
    if event_type == "m.room.member" and state_key is not None:
        keys += (key for key in _member_keys(version, state_key, content) if key not in keys)
    return keys


def keys_of(event: Event) -> list[StateKey]:
    """`auth_keys` of an event that exists."""
    return auth_keys(event.version, event.type, event.sender, event.state_key, event.content)


def state_keys(
    version: RoomVersion, event_type: str, sender: str, state_key: str | None, content: Mapping[str, Any]
) -> list[StateKey]:
    """The keys of the state that `auth_rules.check` looks at: `auth_keys`, and the create event in every version."""
    keys = auth_keys(version, event_type, sender, state_key, content)
    return keys if event_type == "m.room.create" or CREATE in keys else [CREATE, *keys]


def _member_keys(version: RoomVersion, target: str, content: Mapping[str, Any]) -> list[StateKey]:
    keys: list[StateKey] = [("m.room.member", target)]
    membership = content.get("membership")
    if isinstance(membership, str) and membership in _NEEDS_JOIN_RULES:
        keys.append(JOIN_RULES)
    if membership == "invite":
        token = invite_token(content)
        if token is not None:
            keys.append(("m.room.third_party_invite", token))
    if membership == "join" and version.restricted_joins:
        authorising_user = content.get("join_authorised_via_users_server")
        if isinstance(authorising_user, str) and authorising_user != target:
            keys.append(("m.room.member", authorising_user))
    return keys


def invite_token(content: Mapping[str, Any]) -> str | None:
    """`content.third_party_invite.signed.token`, if it is there and text."""
    invite = content.get("third_party_invite")
    signed = invite.get("signed") if isinstance(invite, dict) else None
    token = signed.get("token") if isinstance(signed, dict) else None
    return token if isinstance(token, str) else None
