"""Filters that are named by a number.

Source: client-server API, "Filtering".
"""

from homeserver.client_api.ownership import check_own
from homeserver.services.users.filters import Filters
from homeserver.web.call import Call
from homeserver.web.replies import Answer, RawJson
from homeserver.web.router import Access, client, route
from matrix.ids import UserId


class FiltersApi:
    def __init__(self, *, filters: Filters) -> None:
        self._filters = filters

    @route("POST", *client("/user/{user_id}/filter"), access=Access.GUEST)
    async def add_filter(self, call: Call, user_id: UserId) -> Answer:
        check_own(call, user_id)
        return {"filter_id": await self._filters.add(user_id, dict(call.json().raw))}

    @route("GET", *client("/user/{user_id}/filter/{filter_id}"), access=Access.GUEST)
    async def get_filter(self, call: Call, user_id: UserId, filter_id: str) -> Answer:
        check_own(call, user_id)
        return RawJson([await self._filters.get(user_id, filter_id)])
