"""The template of a membership that a resident server answers make_join, make_knock and make_leave with: pure.

Of the template is taken what only a server that is in the room can know: the event's place in the room's history, what
authorises it, and who lets a user into a restricted room. All else the event says is ours.

Source: server-server API, "Joining Rooms", "Knocking upon a room", "Leaving Rooms".
"""

import re
import secrets
from typing import Any

from attrs import frozen

from federation.outbound.errors import BadAnswer
from matrix.building import Draft, Reference, build
from matrix.errors import BadEvent, BadRequest
from matrix.event_format import MAX_AUTH_EVENTS, MAX_PREV_EVENTS, MAX_STRICT_INTEGER
from matrix.events import Event, Json
from matrix.ids import BadIdentifier, EventId, RoomId, ServerName, UserId
from matrix.room_versions import ROOM_VERSIONS, RoomVersion
from matrix.signing import SigningKey

AUTHORISED_VIA = "join_authorised_via_users_server"
_CREATE_HASH = re.compile(r"![A-Za-z0-9_-]{43}")


@frozen
class Wanted:
    """What a template must be about."""

    membership: str
    room_id: RoomId
    user_id: UserId


@frozen(kw_only=True)
class Template:
    """`authorised_via` is who lets the user into a restricted room."""

    version: RoomVersion
    prev_events: list[Reference]
    auth_events: list[Reference]
    depth: int
    authorised_via: UserId | None


def read_template(server: ServerName, answer: Json, wanted: Wanted) -> Template:
    """Raises: BadAnswer; BadRequest M_INCOMPATIBLE_ROOM_VERSION for a version that we do not know."""
    event = answer.get("event")
    if not isinstance(event, dict):
        raise BadAnswer(server, "the answer has no event")
    version = _version(server, answer.get("room_version", "1"), wanted.room_id)
    content = event.get("content")
    if not isinstance(content, dict) or content.get("membership") != wanted.membership:
        raise BadAnswer(server, "the template is of another membership")
    expected = {"room_id": wanted.room_id, "sender": wanted.user_id, "state_key": wanted.user_id}
    for name, value in {**expected, "type": "m.room.member"}.items():
        if event.get(name) != value:
            raise BadAnswer(server, f"the template has another {name}")
    depth = event.get("depth")
    if not isinstance(depth, int) or isinstance(depth, bool) or not 0 <= depth <= MAX_STRICT_INTEGER:
        raise BadAnswer(server, "the template has no depth")
    return Template(
        version=version,
        prev_events=_references(server, event.get("prev_events"), version, MAX_PREV_EVENTS),
        auth_events=_references(server, event.get("auth_events"), version, MAX_AUTH_EVENTS),
        depth=depth,
        authorised_via=_authorised_via(server, content, version) if wanted.membership == "join" else None,
    )


def complete(
    template: Template, wanted: Wanted, content: Json, server_name: ServerName, key: SigningKey, now_ms: int
) -> Event:
    """The event, signed by us. Unlike other events it has to say whose it is: PUT /send_join and its like.

    Raises: BadEvent.
    """
    content = {name: value for name, value in content.items() if name != AUTHORISED_VIA}
    if template.authorised_via is not None:
        content[AUTHORISED_VIA] = str(template.authorised_via)
    draft = Draft(
        type="m.room.member",
        sender=wanted.user_id,
        state_key=wanted.user_id,
        content=content,
        room_id=wanted.room_id,
        origin_server_ts=now_ms,
        depth=template.depth,
        prev_events=template.prev_events,
        auth_events=template.auth_events,
        event_id=None if template.version.event_id_is_hash else new_event_id(server_name),
        origin=server_name,
    )
    return build(draft, template.version, server_name, key)


def new_event_id(server_name: ServerName) -> EventId:
    """For room versions 1 and 2, in which it is chosen."""
    return EventId(f"${secrets.token_urlsafe(18)}:{server_name}")


def version_fits(version: RoomVersion, room_id: RoomId) -> bool:
    """May a room of this version have this id?"""
    if version.room_id_is_create_hash:
        return _CREATE_HASH.fullmatch(room_id) is not None
    return ":" in room_id


def _version(server: ServerName, version_id: Any, room_id: RoomId) -> RoomVersion:
    if not isinstance(version_id, str):
        raise BadAnswer(server, "room_version is not text")
    version = ROOM_VERSIONS.get(version_id)
    if version is None:
        raise BadRequest(
            "This server does not know the room's version",
            "M_INCOMPATIBLE_ROOM_VERSION",
            room_version=version_id[:32],
        )
    if not version_fits(version, room_id):
        raise BadAnswer(server, f"no room of version {version.id} has this id")
    return version


def _references(server: ServerName, value: Any, version: RoomVersion, most: int) -> list[Reference]:
    if not isinstance(value, list) or len(value) > most:
        raise BadAnswer(server, "the template's references are no list, or too many")
    return [_reference(server, one, version) for one in value]


def _reference(server: ServerName, value: Any, version: RoomVersion) -> Reference:
    try:
        if version.event_id_is_hash:
            return EventId.parse(value if isinstance(value, str) else "")
        event_id, hashes = value
        return EventId.parse(event_id), _text(hashes["sha256"]) if "sha256" in hashes else None
    except (BadIdentifier, BadEvent, KeyError, TypeError, ValueError) as error:
        raise BadAnswer(server, "the template's references cannot be read") from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 100:
        raise ValueError("not a hash")
    return value


def _authorised_via(server: ServerName, content: Json, version: RoomVersion) -> UserId | None:
    value = content.get(AUTHORISED_VIA)
    if value is None or not version.restricted_joins:
        return None
    try:
        return UserId.parse(value if isinstance(value, str) else "")
    except BadIdentifier as error:
        raise BadAnswer(server, f"{AUTHORISED_VIA} is not a user id") from error
