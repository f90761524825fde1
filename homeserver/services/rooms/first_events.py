"""The events of a new room, in their order: pure.

Source: client-server API, POST /createRoom; room version 12, on creators and tombstones.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from attrs import field, frozen

from homeserver.services.rooms.intake import NewEvent
from homeserver.services.rooms.member_content import MEMBER
from matrix.events import Json, StateKey
from matrix.ids import RoomAlias, UserId
from matrix.room_versions import RoomVersion

Preset = Literal["private_chat", "trusted_private_chat", "public_chat"]

POWER_LEVELS: StateKey = ("m.room.power_levels", "")
ENCRYPTION: StateKey = ("m.room.encryption", "")
MEGOLM: Json = {"algorithm": "m.megolm.v1.aes-sha2"}


@frozen
class _PresetState:
    join_rule: str
    guest_access: str
    invite_level: int


_PRESETS: Mapping[str, _PresetState] = {
    "private_chat": _PresetState("invite", "can_join", 0),
    "trusted_private_chat": _PresetState("invite", "can_join", 0),
    "public_chat": _PresetState("public", "forbidden", 50),
}


@frozen(kw_only=True)
class Plan:
    """What a room is made of. `invites` are complete contents by user; `initial_state` is in the client's order."""

    version: RoomVersion
    creator: UserId
    creator_content: Json
    preset: Preset
    creation_content: Json = field(factory=dict)
    power_levels_override: Json = field(factory=dict)
    alias: RoomAlias | None = None
    initial_state: Mapping[StateKey, Json] = field(factory=dict)
    name: str | None = None
    topic: str | None = None
    invites: Mapping[UserId, Json] = field(factory=dict)
    trusted: Sequence[UserId] = ()  # whom a trusted_private_chat gives the creator's power
    is_encrypted: bool = False
    created_ms: int | None = None


def first_events(plan: Plan) -> list[NewEvent]:
    """The create event, the creator's join, power levels, alias, preset, initial state, name and topic, invites."""
    own = dict(plan.initial_state)
    levels = own.pop(POWER_LEVELS, None) or _power_levels(plan)
    state: dict[StateKey, Json] = {POWER_LEVELS: levels}
    if plan.alias is not None:
        state[("m.room.canonical_alias", "")] = {"alias": plan.alias}
    state.update(_preset_state(_PRESETS[plan.preset]))
    # What the client sets itself comes in its place of the order, not in the preset's.
    state = {key: content for key, content in state.items() if key not in own}
    state.update(own)
    if plan.is_encrypted and ENCRYPTION not in own:
        state[ENCRYPTION] = MEGOLM
    for key, content in _named(plan).items():
        state.pop(key, None)
        state[key] = content
    create = NewEvent(
        type="m.room.create",
        sender=plan.creator,
        state_key="",
        content=_create_content(plan),
        origin_server_ts=plan.created_ms,
    )
    join = _member(plan.creator, plan.creator, plan.creator_content)
    set_up = [
        NewEvent(type=type_, sender=plan.creator, state_key=state_key, content=content)
        for (type_, state_key), content in state.items()
    ]
    invites = [_member(plan.creator, user_id, content) for user_id, content in plan.invites.items()]
    return [create, join, *set_up, *invites]


def _member(sender: UserId, target: UserId, content: Json) -> NewEvent:
    return NewEvent(type=MEMBER, sender=sender, state_key=str(target), content=content)


def _create_content(plan: Plan) -> Json:
    content = {key: value for key, value in plan.creation_content.items() if key != "creator"}
    content["room_version"] = plan.version.id
    if not plan.version.creator_is_sender:
        content["creator"] = plan.creator
    if plan.version.creators_have_infinite_power and plan.trusted:
        named = content.get("additional_creators", [])
        content["additional_creators"] = list(dict.fromkeys([*named, *plan.trusted]))
    return content


def _power_levels(plan: Plan) -> Json:
    """The levels of a new room are Synapse's, with what is laid over them."""
    users: Json = {}
    if not plan.version.creators_have_infinite_power:
        users = {str(user_id): 100 for user_id in (plan.creator, *plan.trusted)}
    levels: Json = {
        "users": users,
        "users_default": 0,
        "events": {
            "m.room.name": 50,
            "m.room.power_levels": 100,
            "m.room.history_visibility": 100,
            "m.room.canonical_alias": 50,
            "m.room.avatar": 50,
            "m.room.tombstone": 100,
            "m.room.server_acl": 100,
            "m.room.encryption": 100,
        },
        "events_default": 0,
        "state_default": 50,
        "ban": 50,
        "kick": 50,
        "redact": 50,
        "invite": _PRESETS[plan.preset].invite_level,
        "historical": 100,
    }
    levels.update(plan.power_levels_override)
    if plan.version.creators_have_infinite_power:
        reserve_upgrades(levels)
    return levels


def reserve_upgrades(levels: Json) -> None:
    """Only creators upgrade the room, unless the client says otherwise: room version 12."""
    said = levels["events"] if isinstance(levels.get("events"), dict) else {}
    if said.get("m.room.tombstone", 100) == 100:
        levels["events"] = {**said, "m.room.tombstone": 150}


def _preset_state(preset: _PresetState) -> dict[StateKey, Json]:
    return {
        ("m.room.join_rules", ""): {"join_rule": preset.join_rule},
        ("m.room.history_visibility", ""): {"history_visibility": "shared"},
        ("m.room.guest_access", ""): {"guest_access": preset.guest_access},
    }


def _named(plan: Plan) -> dict[StateKey, Json]:
    named: dict[StateKey, Json] = {}
    if plan.name is not None:
        named[("m.room.name", "")] = {"name": plan.name}
    if plan.topic is not None:
        named[("m.room.topic", "")] = {"topic": plan.topic, "m.topic": {"m.text": [{"body": plan.topic}]}}
    return named
