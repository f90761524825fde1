"""Other networks, which bridges reach. Of a server without bridges there are none.

Source: client-server API, "Third-party Networks".
"""

from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import client, route
from matrix.errors import NotFound


class ThirdPartyNetworksApi:
    @route("GET", *client("/thirdparty/protocols"))
    async def get_protocols(self, call: Call) -> Answer:
        return {}

    @route("GET", *client("/thirdparty/protocol/{protocol}"))
    async def get_protocol(self, call: Call, protocol: str) -> Answer:
        raise NotFound("Unknown protocol")

    @route("GET", *client("/thirdparty/location/{protocol}"))
    async def find_locations(self, call: Call, protocol: str) -> Answer:
        raise NotFound("Unknown protocol")

    @route("GET", *client("/thirdparty/user/{protocol}"))
    async def find_users(self, call: Call, protocol: str) -> Answer:
        raise NotFound("Unknown protocol")

    @route("GET", *client("/thirdparty/location"))
    async def find_location_of_alias(self, call: Call) -> Answer:
        call.query.text("alias")
        raise NotFound("No location of another network has this alias")

    @route("GET", *client("/thirdparty/user"))
    async def find_user_of_id(self, call: Call) -> Answer:
        call.query.text("userid")
        raise NotFound("No user of another network has this user id")
