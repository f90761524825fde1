"""What is left of an event after its redaction: also what its signatures and its reference hash cover.

Source: room versions 1, 6, 8, 9 and 11, "Redactions".
"""

from functools import cache

from attrs import frozen

from matrix.events import Event, Json, from_pdu
from matrix.room_versions import RoomVersion

_KEYS = (
    "auth_events",
    "depth",
    "event_id",
    "hashes",
    "origin_server_ts",
    "prev_events",
    "room_id",
    "sender",
    "signatures",
    "state_key",
    "type",
)
_KEYS_BEFORE_V11 = ("membership", "origin", "prev_state")
_LEVELS = ("ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default")


@frozen
class _Kept:
    """What one room version keeps."""

    keys: tuple[str, ...]
    content_keys_by_type: dict[str, tuple[str, ...]]
    whole_content_type: str | None
    keeps_signed_invite: bool


def redact(pdu: Json, version: RoomVersion) -> Json:
    """A new PDU with what the room version protects, and no `unsigned`. Values are shared with `pdu`."""
    kept = _kept(version)
    redacted = {key: pdu[key] for key in kept.keys if key in pdu}
    redacted["content"] = _redact_content(pdu["type"], pdu.get("content", {}), kept)
    return redacted


def redact_event(event: Event) -> Event:
    """The event as it is after its redaction; its id is the same."""
    return from_pdu(redact(event.pdu, event.version), event.version, event.event_id)


def _redact_content(event_type: str, content: Json, kept: _Kept) -> Json:
    if event_type == kept.whole_content_type:
        return content
    redacted = {key: content[key] for key in kept.content_keys_by_type.get(event_type, ()) if key in content}
    if kept.keeps_signed_invite and event_type == "m.room.member":
        invite = content.get("third_party_invite")
        if isinstance(invite, dict):
            # Without `signed` the empty object stays, as in Synapse: the event id depends on it.
            redacted["third_party_invite"] = {"signed": invite["signed"]} if "signed" in invite else {}
    return redacted


@cache
def _kept(version: RoomVersion) -> _Kept:
    new = version.updated_redactions
    by_type: dict[str, tuple[str, ...]] = {
        "m.room.member": ("membership",),
        "m.room.create": ("creator",),
        "m.room.join_rules": ("join_rule",),
        "m.room.power_levels": (*_LEVELS, "invite") if new else _LEVELS,
        "m.room.history_visibility": ("history_visibility",),
    }
    if version.aliases_have_auth_rule:
        by_type["m.room.aliases"] = ("aliases",)
    if version.restricted_joins:
        by_type["m.room.join_rules"] = ("join_rule", "allow")
    if version.redaction_keeps_authorising_user:
        by_type["m.room.member"] = ("membership", "join_authorised_via_users_server")
    if new:
        by_type["m.room.redaction"] = ("redacts",)
    return _Kept(
        keys=_KEYS if new else _KEYS + _KEYS_BEFORE_V11,
        content_keys_by_type=by_type,
        whole_content_type="m.room.create" if new else None,
        keeps_signed_invite=new,
    )
