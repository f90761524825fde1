"""Finding users.

Source: client-server API, "User Directory".
"""

from homeserver.services.users.directory import UserDirectory
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import client, route

DEFAULT_LIMIT = 10
MAX_TERM_BYTES = 2_048


class UserDirectoryApi:
    def __init__(self, *, directory: UserDirectory) -> None:
        self._directory = directory

    @route("POST", *client("/user_directory/search"))
    async def search(self, call: Call) -> Answer:
        body = call.json()
        term = body.text("search_term", max_bytes=MAX_TERM_BYTES)
        return await self._directory.search(call.user, term, body.integer("limit", DEFAULT_LIMIT, minimum=0))
