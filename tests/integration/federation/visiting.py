"""A user of a server written by hand who comes into a room of a homeserver by the handshakes, step by step."""

import itertools
from typing import Any
from urllib.parse import urlencode

from attrs import define

from matrix.events import Json
from matrix.room_versions import ROOM_VERSIONS
from tests.support.fake_server import FakeServer, event_id_of
from tests.support.homeserver import q
from tests.support.http import Response

V1, V2 = "/_matrix/federation/v1", "/_matrix/federation/v2"
ALL_VERSIONS = tuple(ROOM_VERSIONS)
_numbers = itertools.count()


@define
class Visitor:
    """`host` is the name of the homeserver that is asked."""

    server: FakeServer
    host: str
    room: str
    localpart: str = "visitor"
    version: str = "12"

    @property
    def user_id(self) -> str:
        return self.server.user(self.localpart)

    async def get(self, path: str, **query: Any) -> Response:
        """A signed GET; a list in the query is a parameter that is repeated."""
        target = V1 + path + ("?" + urlencode(query, doseq=True) if query else "")
        return await self.server.ask(self.host, "GET", target)

    async def ok(self, path: str, **query: Any) -> Any:
        response = await self.get(path, **query)
        assert response.status == 200, (path, response)
        return response.json

    async def post(self, path: str, json: Any) -> Response:
        return await self.server.ask(self.host, "POST", V1 + path, json)

    async def make(self, what: str, *, user_id: str | None = None, **query: Any) -> Response:
        """make_join, make_leave or make_knock; all room versions are known unless `ver` says otherwise."""
        if what != "leave":
            query.setdefault("ver", ALL_VERSIONS)
        path = f"/make_{what}/{q(self.room)}/{q(user_id or self.user_id)}"
        return await self.get(path, **{name: value for name, value in query.items() if value is not None})

    async def template(self, what: str) -> Json:
        """What `make` gives, to be signed."""
        response = await self.make(what)
        assert response.status == 200, response
        self.version = response.json["room_version"]
        event: Json = response.json["event"]
        if not ROOM_VERSIONS[self.version].event_id_is_hash:
            event["event_id"] = f"${what}{next(_numbers)}:{self.server.name}"
        return event

    def signed(self, template: Json, **changes: Any) -> Json:
        """The event, ours; what is changed to None is left out."""
        event = {name: value for name, value in {**template, **changes}.items() if value is not None}
        return self.server.sign_event(event, self.version)

    async def send(
        self, what: str, pdu: Json, *, v: str = V2, event_id: str | None = None, room: str | None = None, **query: Any
    ) -> Response:
        """send_join, send_leave or send_knock."""
        path = f"/send_{what}/{q(room or self.room)}/{q(event_id or event_id_of(pdu, self.version))}"
        return await self.server.ask(self.host, "PUT", v + path + ("?" + urlencode(query) if query else ""), pdu)

    async def join(self, **query: Any) -> Json:
        """The answer of send_join."""
        response = await self.send("join", self.signed(await self.template("join")), **query)
        assert response.status == 200, response
        answer: Json = response.json
        return answer

    async def say(self, body: str, *, after: Json, auth: list[str]) -> str:
        """Sends a message that follows the event `after` and no other; gives its id."""
        pdu = self.server.pdu(
            self.version,
            sender=self.user_id,
            room_id=self.room,
            content={"msgtype": "m.text", "body": body},
            prev_events=[event_id_of(after, self.version)],
            auth_events=auth,
            depth=after["depth"] + 1,
        )
        response = await self.server.transaction(self.host, [pdu])
        event_id = event_id_of(pdu, self.version)
        assert response.json["pdus"] == {event_id: {}}, response
        return event_id

    async def leave(self) -> None:
        response = await self.send("leave", self.signed(await self.template("leave")))
        assert response.status == 200, response

    async def knock(self) -> Json:
        response = await self.send("knock", self.signed(await self.template("knock")), v=V1)
        assert response.status == 200, response
        answer: Json = response.json
        return answer


def keys_of(pdus: list[Json]) -> set[tuple[str, str]]:
    """(type, state_key) of state events."""
    return {(pdu["type"], pdu["state_key"]) for pdu in pdus}
