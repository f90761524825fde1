"""Making rooms.

Source: client-server API, "Creation".
"""

from typing import Any, cast

from homeserver.client_api.membership import read_invitee
from homeserver.services.rooms.creation import Creation, NewRoom
from homeserver.services.rooms.first_events import Preset
from homeserver.services.rooms.following import Following
from homeserver.services.rooms.third_party_invites import ThirdPartyInvites
from homeserver.web.call import Call
from homeserver.web.params import Fields
from homeserver.web.replies import Answer
from homeserver.web.router import client, route
from matrix.errors import BadRequest, InvalidParam
from matrix.events import Json, StateKey
from matrix.ids import BadIdentifier, RoomAlias, ServerName, UserId
from matrix.room_versions import ROOM_VERSIONS, RoomVersion

_PRESETS = ("private_chat", "trusted_private_chat", "public_chat")
# An event for each: as many as make a room of some seconds' work.
MAX_INITIAL_STATE, MAX_INVITES = 1000, 1000


class CreateRoomApi:
    def __init__(
        self,
        *,
        creation: Creation,
        third_party_invites: ThirdPartyInvites,
        following: Following,
        server_name: ServerName,
        default_version: str,
    ) -> None:
        self._third_party_invites = third_party_invites
        self._following = following
        self._creation = creation
        self._server_name = server_name
        self._default_version = default_version

    @route("POST", *client("/createRoom"))
    async def create_room(self, call: Call) -> Answer:
        body = call.json()
        new = self._parse(body)
        invitees = [read_invitee(one) for one in body.objects("invite_3pid", (), max_items=MAX_INVITES)]
        room_id = await self._creation.create(call.user, new)
        if "predecessor" in new.creation_content:
            await self._following.joined(call.user.user_id, room_id)
        for invitee in invitees:
            await self._third_party_invites.invite(call.user, room_id, invitee)
        return {"room_id": room_id}

    def _parse(self, body: Fields) -> NewRoom:
        visibility = body.choice("visibility", ("public", "private"), "private")
        version = parse_version(body.text("room_version", self._default_version))
        preset = body.choice("preset", _PRESETS, "public_chat" if visibility == "public" else "private_chat")
        return NewRoom(
            version=version,
            preset=cast(Preset, preset),
            is_public=visibility == "public",
            alias=self._alias(body.optional_text("room_alias_name")),
            name=body.optional_text("name"),
            topic=body.optional_text("topic"),
            invite=list(dict.fromkeys(body.all_parsed("invite", UserId, (), max_items=MAX_INVITES))),
            is_direct=body.boolean("is_direct", False),
            creation_content=_creation_content(body, version),
            initial_state=_initial_state(body),
            power_levels_override=_object(body, "power_level_content_override"),
        )

    def _alias(self, localpart: str | None) -> RoomAlias | None:
        if localpart is None:
            return None
        try:
            return RoomAlias.parse(f"#{localpart}:{self._server_name}")
        except BadIdentifier as error:
            raise InvalidParam(f"room_alias_name: {error}") from error


def parse_version(text: str) -> RoomVersion:
    """Raises: BadRequest M_UNSUPPORTED_ROOM_VERSION."""
    version = ROOM_VERSIONS.get(text)
    if version is None:
        raise BadRequest("This server does not support that room version", "M_UNSUPPORTED_ROOM_VERSION")
    return version


def parse_creators(body: Fields) -> list[UserId]:
    """additional_creators. Raises: BadRequest."""
    return list(dict.fromkeys(body.all_parsed("additional_creators", UserId, (), max_items=MAX_INVITES)))


def _creation_content(body: Fields, version: RoomVersion) -> Json:
    content = _object(body, "creation_content")
    if version.creators_have_infinite_power and "additional_creators" in content:
        content["additional_creators"] = parse_creators(body.object("creation_content"))
    return content


def _initial_state(body: Fields) -> dict[StateKey, Json]:
    """Of two events for one key the last counts."""
    state: dict[StateKey, Json] = {}
    for event in body.objects("initial_state", (), max_items=MAX_INITIAL_STATE):
        key = (event.text("type"), event.text("state_key", ""))
        state.pop(key, None)
        state[key] = dict(event.object("content").raw)
    return state


def _object(body: Fields, name: str) -> dict[str, Any]:
    value = body.optional_object(name)
    return {} if value is None else dict(value.raw)
