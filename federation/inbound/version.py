"""What this server is. Source: server-server API, "Server implementation"."""

from homeserver import VERSION
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, route


class ServerVersionApi:
    @route("GET", "/_matrix/federation/v1/version", access=Access.PUBLIC)
    async def get_version(self, call: Call) -> Answer:
        return {"server": {"name": "Hearth", "version": VERSION}}
