"""Room versions as data: each is the previous one, except for what its page in the specification changes.

No code compares version numbers; it asks for the flag that it needs.

Source: specification, "Room Versions".
"""

from typing import Literal

from attrs import evolve, frozen

EventIdFormat = Literal["opaque", "hash", "url_safe_hash"]
StateResolution = Literal["v1", "v2", "v2.1"]


@frozen(cache_hash=True)
class RoomVersion:
    """What one room version does. The comment names the version in which a flag changes."""

    id: str
    event_id_format: EventIdFormat = "opaque"  # 3: hash in base64; 4: in url-safe base64
    state_resolution: StateResolution = "v1"  # 2: v2; 12: v2.1
    enforces_key_validity: bool = False  # 5
    strict_canonical_json: bool = False  # 6
    aliases_have_auth_rule: bool = True  # 6: no more; m.room.aliases is also no longer kept by redaction
    notification_levels_have_auth_rule: bool = False  # 6
    redaction_has_auth_rule: bool = True  # 3: no more, the redaction is judged when it is applied
    knocking: bool = False  # 7
    restricted_joins: bool = False  # 8
    redaction_keeps_authorising_user: bool = False  # 9
    knock_restricted_joins: bool = False  # 10
    integer_power_levels_only: bool = False  # 10
    updated_redactions: bool = False  # 11: create whole, redacts in content, third_party_invite.signed, invite level
    creator_is_sender: bool = False  # 11: content.creator is no more
    room_id_is_create_hash: bool = False  # 12: and the create event is no auth event
    creators_have_infinite_power: bool = False  # 12: additional_creators, and tombstone level 150

    @property
    def event_id_is_hash(self) -> bool:
        """Then a PDU has no `event_id`, and refers to others by bare ids."""
        return self.event_id_format != "opaque"

    @property
    def redacts_in_content(self) -> bool:
        return self.updated_redactions


V1 = RoomVersion(id="1")
V2 = evolve(V1, id="2", state_resolution="v2")
V3 = evolve(V2, id="3", event_id_format="hash", redaction_has_auth_rule=False)
V4 = evolve(V3, id="4", event_id_format="url_safe_hash")
V5 = evolve(V4, id="5", enforces_key_validity=True)
V6 = evolve(
    V5,
    id="6",
    strict_canonical_json=True,
    aliases_have_auth_rule=False,
    notification_levels_have_auth_rule=True,
)
V7 = evolve(V6, id="7", knocking=True)
V8 = evolve(V7, id="8", restricted_joins=True)
V9 = evolve(V8, id="9", redaction_keeps_authorising_user=True)
V10 = evolve(V9, id="10", knock_restricted_joins=True, integer_power_levels_only=True)
V11 = evolve(V10, id="11", updated_redactions=True, creator_is_sender=True)
V12 = evolve(
    V11,
    id="12",
    state_resolution="v2.1",
    room_id_is_create_hash=True,
    creators_have_infinite_power=True,
)

ROOM_VERSIONS: dict[str, RoomVersion] = {
    version.id: version for version in (V1, V2, V3, V4, V5, V6, V7, V8, V9, V10, V11, V12)
}
DEFAULT_ROOM_VERSION = V12
