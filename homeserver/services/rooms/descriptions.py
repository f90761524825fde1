"""A room as those see it who are not in it: the entry of a directory, the summary before a join.

Source: client-server API, GET /publicRooms, GET /room_summary/{roomIdOrAlias}, GET /rooms/{roomId}/hierarchy.
"""

from typing import Any

from homeserver.services.rooms.restricted_joins import allowed_rooms, is_restricted
from matrix.events import Json
from matrix.room_versions import ROOM_VERSIONS, RoomVersion
from matrix.visibility import visibility_of
from storage.published_rooms import RoomFacts

JOIN_RULES = "m.room.join_rules"


def content_of(facts: RoomFacts, event_type: str) -> Json:
    return facts.contents.get((event_type, ""), {})


def version_of(facts: RoomFacts) -> RoomVersion:
    return ROOM_VERSIONS[facts.version]


def join_rule_of(facts: RoomFacts) -> str:
    return _text(content_of(facts, JOIN_RULES).get("join_rule")) or "invite"


def room_type_of(facts: RoomFacts) -> str | None:
    return _text(content_of(facts, "m.room.create").get("type"))


def allowed_rooms_of(facts: RoomFacts) -> list[str]:
    """The rooms whose members may join a restricted room; none for other rooms."""
    if not is_restricted(version_of(facts), join_rule_of(facts)):
        return []
    return [str(room_id) for room_id in allowed_rooms(content_of(facts, JOIN_RULES))]


def is_world_readable(facts: RoomFacts) -> bool:
    return visibility_of(content_of(facts, "m.room.history_visibility")) == "world_readable"


def is_open(facts: RoomFacts) -> bool:
    """May anyone at least knock, or look in?"""
    rule, version = join_rule_of(facts), version_of(facts)
    knockable = (rule == "knock" and version.knocking) or (
        rule == "knock_restricted" and version.knock_restricted_joins
    )
    return rule == "public" or knockable or is_world_readable(facts)


def directory_entry(facts: RoomFacts) -> Json:
    """The room in a list of public rooms."""
    entry = {
        "room_id": facts.room_id,
        "name": _text(content_of(facts, "m.room.name").get("name")),
        "topic": _text(content_of(facts, "m.room.topic").get("topic")),
        "canonical_alias": _text(content_of(facts, "m.room.canonical_alias").get("alias")),
        "avatar_url": _text(content_of(facts, "m.room.avatar").get("url")),
        "num_joined_members": facts.joined_members,
        "world_readable": is_world_readable(facts),
        "guest_can_join": content_of(facts, "m.room.guest_access").get("guest_access") == "can_join",
        "join_rule": join_rule_of(facts),
        "room_type": room_type_of(facts),
    }
    return {key: value for key, value in entry.items() if value is not None}


def summary(facts: RoomFacts) -> Json:
    """The directory's entry, and what helps to decide on joining."""
    told = {**directory_entry(facts), "room_version": facts.version}
    algorithm = _text(content_of(facts, "m.room.encryption").get("algorithm"))
    if algorithm is not None:
        told["encryption"] = algorithm
    if allowed := allowed_rooms_of(facts):
        told["allowed_room_ids"] = allowed
    return told


def _text(value: Any) -> str | None:
    """What is not text, or empty, counts as not there."""
    return value if isinstance(value, str) and value else None
