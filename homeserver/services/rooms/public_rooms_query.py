"""What a search of the room directory says, alike from clients and from other servers.

Source: client-server API and server-server API, "Published room directory".
"""

from homeserver.services.rooms.directory import OWN
from homeserver.web.params import Fields
from matrix.errors import BadRequest, InvalidParam
from storage.published_rooms import RoomList

MAX_TYPES = 100


def room_types_of(wanted: Fields) -> frozenset[str | None] | None:
    """The filter's room types; None stands for rooms without one, and for no such filter."""
    if wanted.raw.get("room_types") is None:
        return None
    types = wanted.items("room_types", max_items=MAX_TYPES)
    if not all(one is None or isinstance(one, str) for one in types):
        raise BadRequest("filter.room_types must hold strings and null")
    return frozenset(types)


def list_of(fields: Fields) -> RoomList | None:
    """Which list is searched; None: all of them.

    An instance id is ours: the application service's id and its network's, as /thirdparty/protocols gives it.
    """
    instance = fields.optional_text("third_party_instance_id")
    if fields.boolean("include_all_networks", False):
        if instance is not None:
            raise InvalidParam("Can't use include_all_networks with an explicit third_party_instance_id")
        return None
    if not instance:
        return OWN
    appservice_id, separator, network_id = instance.partition("|")
    if not separator:
        raise InvalidParam("Invalid third_party_instance_id")
    return RoomList(appservice_id, network_id)
