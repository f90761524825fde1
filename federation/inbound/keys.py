"""Our signing keys, and as a notary those of others.

Source: server-server API, "Publishing Keys", "Querying Keys Through Another Server".
"""

from typing import Any

from federation.outbound.notary import NotaryAnswers
from federation.outbound.own_keys import OwnKeys
from homeserver.runtime.clock import Clock
from homeserver.web.call import Call
from homeserver.web.params import MAX_INTEGER, Fields
from homeserver.web.replies import Answer, RawJson
from homeserver.web.router import Access, route
from matrix.canonical_json import encode
from matrix.errors import BadRequest, InvalidParam
from matrix.ids import BadIdentifier, ServerName

# Hearth asks for 100 in one question, as others do.
MAX_SERVERS = 250
MAX_KEY_IDS = 64


class ServerKeysApi:
    def __init__(self, *, own: OwnKeys, notary: NotaryAnswers, clock: Clock) -> None:
        self._own = own
        self._notary = notary
        self._clock = clock

    @route("GET", "/_matrix/key/v2/server", access=Access.PUBLIC)
    async def get_keys(self, call: Call) -> Answer:
        return self._published()

    @route("GET", "/_matrix/key/v2/server/{key_id}", access=Access.PUBLIC)
    async def get_keys_deprecated(self, call: Call, key_id: str) -> Answer:
        """The same: which key was asked for does not matter any more."""
        return self._published()

    @route(
        "GET", "/_matrix/key/v2/query/{server_name}", "/_matrix/key/v2/query/{server_name}/{key_id}",
        access=Access.PUBLIC,
    )  # fmt: skip
    async def query_server(self, call: Call, server_name: ServerName, key_id: str = "") -> Answer:
        at_ms = call.query.optional_integer("minimum_valid_until_ts", minimum=0)
        return await self._told({server_name: {}}, {server_name: at_ms})

    @route("POST", "/_matrix/key/v2/query", access=Access.PUBLIC)
    async def query_servers(self, call: Call) -> Answer:
        asked = call.json().object("server_keys")
        if len(asked.raw) > MAX_SERVERS:
            raise InvalidParam(f"server_keys has more than {MAX_SERVERS} servers")
        wanted: dict[ServerName, dict[str, int]] = {}
        latest: dict[ServerName, int | None] = {}
        for text in asked.raw:
            name = _server_name(text)
            keys = asked.object(text)
            if len(keys.raw) > MAX_KEY_IDS:
                raise InvalidParam(f"server_keys has more than {MAX_KEY_IDS} keys of a server")
            times = {key_id: _minimum(keys, key_id) for key_id in keys.raw}
            wanted[name] = {key_id: self._clock.now_ms() if at is None else at for key_id, at in times.items()}
            latest[name] = max((at for at in times.values() if at is not None), default=None)
        return await self._told(wanted, latest)

    def _published(self) -> Answer:
        # In the very form that is signed: there are those who do not make it canonical before they verify.
        return RawJson([encode(self._own.published(self._clock.now_ms()))])

    async def _told(
        self, wanted: dict[ServerName, dict[str, int]], latest: dict[ServerName, int | None]
    ) -> dict[str, Any]:
        now_ms = self._clock.now_ms()
        needed = {name: now_ms if at is None else at for name, at in latest.items()}
        return {"server_keys": await self._notary.tell(wanted, needed)}


def _server_name(text: str) -> ServerName:
    try:
        return ServerName.parse(text)
    except BadIdentifier as error:
        raise InvalidParam(str(error)) from error


def _minimum(keys: Fields, key_id: str) -> int | None:
    value = keys.raw[key_id]
    if not isinstance(value, dict):
        raise BadRequest(f"server_keys: {key_id[:80]!r} is no object")
    return Fields(value).optional_integer("minimum_valid_until_ts", minimum=0, maximum=MAX_INTEGER)
