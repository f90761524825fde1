"""The room directories of other servers.

Source: client-server API, GET and POST /publicRooms, `server`; server-server API, POST /publicRooms.
"""

from typing import Any, Protocol

from federation.outbound.errors import RemoteError
from homeserver.services.remote_errors import for_client
from homeserver.services.rooms.directory import OWN
from homeserver.services.rooms.public_rooms import PageQuery
from homeserver.services.rooms.remote_rooms import room_entry
from matrix.events import Json
from matrix.ids import ServerName


class DirectoriesElsewhere(Protocol):
    """Raises: RemoteError."""

    async def public_rooms(self, server: ServerName, body: Json) -> Json: ...


class RemotePublicRooms:
    def __init__(self, *, elsewhere: DirectoriesElsewhere) -> None:
        self._elsewhere = elsewhere

    async def page(self, server: ServerName, query: PageQuery) -> Json:
        """The body of the answer, without what is no entry of a directory. Raises: MatrixError."""
        try:
            told = await self._elsewhere.public_rooms(server, _body(query))
        except RemoteError as error:
            raise for_client(error) from error
        rooms = [entry for one in told["chunk"][: query.limit] if (entry := room_entry(one)) is not None]
        answer: Json = {"chunk": rooms}
        for name in ("next_batch", "prev_batch", "total_room_count_estimate"):
            if name in told:
                answer[name] = told[name]
        return answer


def _body(query: PageQuery) -> Json:
    wanted: dict[str, Any] = {}
    if query.search:
        wanted["generic_search_term"] = query.search
    if query.room_types is not None:
        wanted["room_types"] = list(query.room_types)
    body: Json = {"limit": query.limit}
    if wanted:
        body["filter"] = wanted
    if query.since is not None:
        body["since"] = query.since
    if query.of is None:
        body["include_all_networks"] = True
    elif query.of != OWN:
        body["third_party_instance_id"] = f"{query.of.appservice_id}|{query.of.network_id}"
    return body
