"""Other networks, which bridges reach, and the people and places there.

Source: client-server API, "Third-party Networks".
"""

from appservice.client import Kind
from homeserver.services.appservices.networks import Networks
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, client, route
from matrix.errors import InvalidParam, NotFound
from matrix.ids import RoomAlias, UserId

# The networks know two or three.
MAX_FIELDS, MAX_FIELD_CHARACTERS = 50, 1_000
# What stands in a query for us, not for the network.
_OURS = frozenset({"access_token", "user_id", "device_id", "org.matrix.msc3202.device_id"})


class ThirdPartyNetworksApi:
    def __init__(self, *, networks: Networks) -> None:
        self._networks = networks

    @route("GET", *client("/thirdparty/protocols"), access=Access.GUEST)
    async def get_protocols(self, call: Call) -> Answer:
        return await self._networks.protocols()

    @route("GET", *client("/thirdparty/protocol/{protocol}"), access=Access.GUEST)
    async def get_protocol(self, call: Call, protocol: str) -> Answer:
        told = await self._networks.protocol(protocol)
        if told is None:
            raise NotFound("Unknown protocol")
        return told

    @route("GET", *client("/thirdparty/location/{protocol}"), access=Access.GUEST)
    async def find_locations(self, call: Call, protocol: str) -> Answer:
        return await self._find(call, "location", protocol)

    @route("GET", *client("/thirdparty/user/{protocol}"), access=Access.GUEST)
    async def find_users(self, call: Call, protocol: str) -> Answer:
        return await self._find(call, "user", protocol)

    @route("GET", *client("/thirdparty/location"), access=Access.GUEST)
    async def find_location_of_alias(self, call: Call) -> Answer:
        found = await self._networks.locations_of_alias(call.query.parsed("alias", RoomAlias))
        if not found:
            raise NotFound("No location of another network has this alias")
        return found

    @route("GET", *client("/thirdparty/user"), access=Access.GUEST)
    async def find_user_of_id(self, call: Call) -> Answer:
        found = await self._networks.third_parties_of_user(call.query.parsed("userid", UserId))
        if not found:
            raise NotFound("No user of another network has this user id")
        return found

    async def _find(self, call: Call, kind: Kind, protocol: str) -> Answer:
        if not self._networks.has_protocol(protocol):
            raise NotFound("Unknown protocol")
        found = await self._networks.find(kind, protocol, _fields(call))
        if not found:
            raise NotFound(f"No {kind} of the network is like this")
        return found


def _fields(call: Call) -> dict[str, list[str]]:
    """What the network is asked for. Raises: InvalidParam."""
    fields = {name: values for name, values in call.query.raw.items() if name not in _OURS}
    texts = [text for name, values in fields.items() for text in (name, *values)]
    if len(texts) > 2 * MAX_FIELDS or any(len(text) > MAX_FIELD_CHARACTERS for text in texts):
        raise InvalidParam("Too many or too long fields")
    return fields
