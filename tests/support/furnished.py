"""A homeserver with something in it, and good requests to it: what bad ones are made of, one fault at a time."""

import itertools
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import orjson
from attrs import Factory, define

from homeserver.web.router import Access
from tests.support.endpoints import Endpoint
from tests.support.homeserver import PASSWORD, Client, Homeserver, q

_transactions = itertools.count()
# Names in the spec's examples, and who is meant by them here.
_PEOPLE = {"@alice:example.com": "admin", "@cheeky_monkey:matrix.org": "stranger"}
# Where the spec's example cannot be a good body; by the end of the spec's path. {user_id} and such are filled in.
_AUTH = {
    "type": "m.login.password",
    "identifier": {"type": "m.id.user", "user": "admin"},
    "password": PASSWORD,
}
_BODIES: Mapping[str, Any] = {
    "/login": {**_AUTH, "device_id": "LOGIN", "initial_device_display_name": "Phone"},
    "/register": {"auth": {"type": "m.login.dummy"}, "password": PASSWORD, "device_id": "REGISTER"},
    "/account/password": {
        "auth": {**_AUTH, "identifier": {"type": "m.id.user", "user": "stranger"}},
        "new_password": PASSWORD,
        "logout_devices": False,
    },
    # A success would end the account: nobody proves anything.
    "/account/deactivate": {"erase": False},
    "/delete_devices": {"auth": _AUTH, "devices": ["NOWHERE"]},
    "/devices/{deviceId}": {"auth": _AUTH, "display_name": "My phone"},
    "/login/get_token": {"auth": _AUTH},
    "/room_keys/version/{version}": {
        "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2",
        "auth_data": {"public_key": "abcdefg"},
        "version": "{version}",
    },
    "/rooms/{roomId}/read_markers": {
        "m.fully_read": "{event_id}",
        "m.read": "{event_id}",
        "m.read.private": "{event_id}",
    },
    "/createRoom": {
        "name": "Hearth",
        "topic": "warm",
        "preset": "public_chat",
        "visibility": "private",
        "room_version": "11",
        "creation_content": {"m.federate": False},
        "initial_state": [{"type": "m.some.state", "state_key": "", "content": {"a": 1}}],
        "power_level_content_override": {"ban": 50},
        "invite": ["{stranger}"],
        "is_direct": False,
    },
    "/rooms/{roomId}/join": {"reason": "curious"},
    "/rooms/{roomId}/kick": {"reason": "noisy", "user_id": "{member}"},
    "/join/{roomIdOrAlias}": {"reason": "curious"},
    "/directory/room/{roomAlias}": {"room_id": "{room_id}"},
    "/publicRooms": {"filter": {"generic_search_term": "foo", "room_types": [None, "m.space"]}, "limit": 10},
    "/rooms/{roomId}/upgrade": {"new_version": "12"},
}


@define(eq=False)
class Furnished:
    """An admin's private room with a plain member, and somebody who knows nobody."""

    hs: Homeserver
    admin: Client
    member: Client
    stranger: Client
    values: dict[str, str] = Factory(dict)

    @classmethod
    async def make(cls, hs: Homeserver) -> "Furnished":
        await hs.server.register_user("admin", PASSWORD, admin=True)
        world = cls(hs, await hs.log_in("admin"), await hs.register("member"), await hs.register("stranger"))
        await world.furnish()
        return world

    async def furnish(self) -> None:
        """A fresh room with a message; and the values of path parameters that name what is there."""
        room = await self.admin.create_room(preset="private_chat", invite=[self.member])
        await self.member.join(room)
        filters = f"/user/{q(self.admin.user_id)}/filter"
        backup = {"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": {"public_key": "a"}}
        rule = {"actions": ["notify"], "pattern": "cake*lie"}
        await self.admin.ok("PUT", "/pushrules/global/content/mine", rule)
        token = (await self.admin.get("/sync", filter='{"room":{"rooms":[]}}'))["next_batch"]
        self.values = {
            "user_id": self.admin.user_id,
            "admin": self.admin.user_id,
            "member": self.member.user_id,
            "stranger": self.stranger.user_id,
            "room_id": room,
            "room_id_or_alias": room,
            "event_id": await self.admin.send(room, "hello"),
            "device_id": self.admin.device_id,
            "filter_id": (await self.admin.ok("POST", filters, {}))["filter_id"],
            "version": (await self.admin.ok("POST", "/room_keys/version", backup))["version"],
            "room_alias": "#new:hearth.test",
            "alias": "#new:hearth.test",
            "server_name": "hearth.test",
            "event_type": "m.some.type",
            "kind": "m.some.type",
            "receipt_type": "m.read",
            "key": "displayname",
            "rule_id": "mine",
            "rel_type": "m.thread",
            "from": token,
            "to": token,
        }

    def asking(self, endpoint: Endpoint) -> Client:
        """Who asks: somebody whose password may be lost where it may be."""
        return self.stranger if endpoint.path.endswith("/account/password") else self.admin

    async def heal(self) -> None:
        """What was asked may have ended the admin's session."""
        if (await self.admin.ask("GET", "/account/whoami")).status != 200:
            self.admin = await self.hs.log_in("admin")
            self.values["device_id"] = self.admin.device_id

    def url(self, endpoint: Endpoint, **raw: str) -> str:
        """A good path, but for the `raw` parameters; the query is apart."""
        # Without one of its own a request would be taken for the last one, sent again.
        values = {**self.values, "transaction_id": f"t{next(_transactions)}"}
        if endpoint.route.access is Access.ADMIN:
            values["user_id"] = self.stranger.user_id
        if "/pushrules/" in endpoint.path:
            values["kind"] = "content"
        return endpoint.url(values, **raw)

    def good_query(self, endpoint: Endpoint) -> dict[str, str]:
        """What the endpoint cannot do without."""
        required = {name: schema for name, schema in endpoint.query.items() if schema.get("required")}
        return {name: self.values.get(name) or _example(schema) for name, schema in required.items()}

    def good_url(self, endpoint: Endpoint) -> str:
        query = self.good_query(endpoint)
        return self.url(endpoint) + ("?" + urlencode(query) if query else "")

    def good_body(self, endpoint: Endpoint) -> Any:
        """The spec's example, of those who are here."""
        path = endpoint.said.get("path", "").partition("/v3")[2] or endpoint.said.get("path", "").partition("/v1")[2]
        text = orjson.dumps(_BODIES.get(path, endpoint.said.get("example") or {})).decode()
        for name, who in _PEOPLE.items():
            text = text.replace(name, getattr(self, who).user_id)
        return orjson.loads(self.fill(text).replace("JLAFKJWSCS", self.admin.device_id))

    def fill(self, text: str) -> str:
        """With the values in place of their names in braces."""
        for name, value in self.values.items():
            text = text.replace(f"{{{name}}}", value)
        return text


def _example(schema: Mapping[str, Any]) -> str:
    return str(schema.get("example") or (schema.get("enum") or ["x"])[0])
