"""The network in clients' search for rooms and people.

Source: application service API, "Third-party networks".
"""

from typing import Any

from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import NetworkError
from appservice.bridges.core.ids import ChannelId, PersonId
from appservice.bridges.core.incoming import Channel, RemotePerson
from appservice.bridges.core.people import People
from appservice.bridges.core.portals import Portals
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, route
from matrix.errors import NotFound

JsonDict = dict[str, Any]
# Both prefixes: the one of today, and that of older homeservers.
_PREFIXES = ("/_matrix/app/v1/thirdparty", "/_matrix/app/unstable/thirdparty")
_MAX_FOUND = 50


def _paths(path: str) -> tuple[str, ...]:
    return tuple(prefix + path for prefix in _PREFIXES)


class ThirdPartyApi:
    """Protocol, locations and people."""

    def __init__(self, *, context: Context, portals: Portals, people: People) -> None:
        self._context, self._portals, self._people = context, portals, people

    def _check(self, protocol: str) -> None:
        if protocol != self._context.network.name:
            raise NotFound()

    @route("GET", *_paths("/protocol/{protocol}"), access=Access.APPSERVICE)
    async def protocol(self, call: Call, protocol: str) -> Answer:
        self._check(protocol)
        network = self._context.network
        told = network.third_party
        fields = (*told.user_fields, *told.location_fields)
        try:
            spaces = [space for space in await network.spaces() if space.parent is None]
        except NetworkError:
            spaces = []
        instances = [
            {"network_id": network.name, "desc": space.name, "fields": {"space": space.id}, "icon": told.icon}
            for space in spaces
        ]
        return {
            "user_fields": [name for name, _, _ in told.user_fields],
            "location_fields": [name for name, _, _ in told.location_fields],
            "icon": told.icon,
            "field_types": {name: {"regexp": regexp, "placeholder": example} for name, regexp, example in fields},
            "instances": instances or [{"network_id": network.name, "desc": network.title, "fields": {}}],
        }

    @route("GET", *_paths("/location/{protocol}"), access=Access.APPSERVICE)
    async def locations(self, call: Call, protocol: str) -> Answer:
        self._check(protocol)
        term = self._term(call, [name for name, _, _ in self._context.network.third_party.location_fields])
        try:
            found = await self._context.network.search_channels(term, _MAX_FOUND)
        except NetworkError:
            return []
        return [self._location(channel) for channel in found if channel.is_public]

    @route("GET", *_paths("/user/{protocol}"), access=Access.APPSERVICE)
    async def users(self, call: Call, protocol: str) -> Answer:
        self._check(protocol)
        term = self._term(call, [name for name, _, _ in self._context.network.third_party.user_fields])
        try:
            found = await self._context.network.search_people(term, _MAX_FOUND)
        except NetworkError:
            return []
        return [self._user(person) for person in found if not person.is_ours]

    def _term(self, call: Call, fields: list[str]) -> str:
        words = [call.query.optional_text(name) for name in [*fields, "search"]]
        return next((word for word in words if word), "")[:200]

    @route("GET", *_paths("/location"), access=Access.APPSERVICE)
    async def location_of_alias(self, call: Call) -> Answer:
        channel = self._context.aliases.read(call.query.optional_text("alias") or "")
        if channel is None:
            return []
        try:
            return [self._location(await self._context.network.channel(ChannelId(channel)))]
        except NetworkError:
            return []

    @route("GET", *_paths("/user"), access=Access.APPSERVICE)
    async def user_of_id(self, call: Call) -> Answer:
        person = self._context.users.read(call.query.optional_text("userid") or "")
        if person is None:
            return []
        try:
            return [self._user(await self._context.network.person(PersonId(person)))]
        except NetworkError:
            return []

    def _location(self, channel: Channel) -> JsonDict:
        return {
            "alias": self._context.aliases.fill(channel.id),
            "protocol": self._context.network.name,
            "fields": self._fields(channel.id, channel.name, channel.space),
        }

    def _user(self, person: RemotePerson) -> JsonDict:
        return {
            "userid": self._people.ghost_id(person.id),
            "protocol": self._context.network.name,
            "fields": self._fields(person.id, person.name, None),
        }

    @staticmethod
    def _fields(id_: str, name: str | None, space: str | None) -> JsonDict:
        return {"id": id_, "name": name or ""} | ({} if space is None else {"space": space})
