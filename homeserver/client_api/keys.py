"""Keys of devices, cross-signing keys, and signatures of both.

Source: client-server API, "Key management API" and "Cross-signing".
"""

from collections.abc import Awaitable, Callable

from homeserver.services.e2ee import shapes
from homeserver.services.e2ee.cross_signing import CrossSigning
from homeserver.services.e2ee.device_lists import DeviceLists
from homeserver.services.e2ee.keys import Keys
from homeserver.web.call import Call
from homeserver.web.params import Fields
from homeserver.web.replies import Answer
from homeserver.web.router import Access, client, route
from matrix.errors import BadRequest, InvalidParam, MissingParam
from matrix.tokens import BadToken, SyncToken

# How long other servers may take; the specification recommends the first.
DEFAULT_TIMEOUT_MS = 10_000
MAX_TIMEOUT_MS = 60_000

# Asks for user-interactive authentication; raises until it is complete.
RequireAuth = Callable[[Call], Awaitable[None]]


def _paths(path: str) -> tuple[str, ...]:
    """Synapse serves them as unstable too, and some clients ask there."""
    return (*client(f"/keys{path}"), f"/_matrix/client/unstable/keys{path}")


class KeysApi:
    def __init__(
        self,
        *,
        keys: Keys,
        cross_signing: CrossSigning,
        device_lists: DeviceLists,
        require_auth: RequireAuth,
    ) -> None:
        self._keys = keys
        self._cross_signing = cross_signing
        self._device_lists = device_lists
        self._require_auth = require_auth

    @route("POST", *_paths("/upload"), access=Access.GUEST)
    async def upload(self, call: Call) -> Answer:
        body = call.json()
        if call.user.device_id is None:
            raise BadRequest("To upload keys, the access token must be that of a device", "M_UNKNOWN")
        return {"one_time_key_counts": await self._keys.upload(call.user.user_id, call.user.device_id, body.raw)}

    @route("POST", *_paths("/query"), access=Access.GUEST)
    async def query(self, call: Call) -> Answer:
        body = call.json()
        wanted = shapes.read_query(_member(body, "device_keys"))
        return await self._keys.query(call.user.user_id, wanted, _timeout_ms(body))

    @route("POST", *_paths("/claim"), access=Access.GUEST)
    async def claim(self, call: Call) -> Answer:
        body = call.json()
        wanted = shapes.read_claim(_member(body, "one_time_keys"))
        return await self._keys.claim(wanted, _timeout_ms(body))

    @route("GET", *_paths("/changes"))
    async def changes(self, call: Call) -> Answer:
        since, upto = _position(call, "from"), _position(call, "to")
        changed, left = await self._device_lists.changes(call.user.user_id, since, upto)
        return {"changed": sorted(changed), "left": sorted(left)}

    @route("POST", *_paths("/device_signing/upload"))
    async def upload_cross_signing_keys(self, call: Call) -> Answer:
        async def confirm() -> None:
            # Application services may replace the keys of their users: nobody could authenticate for them.
            if call.user.appservice_id is None:
                await self._require_auth(call)

        await self._cross_signing.upload(call.user.user_id, call.json().raw, confirm)
        return {}

    @route("POST", *_paths("/signatures/upload"))
    async def upload_signatures(self, call: Call) -> Answer:
        return {"failures": await self._cross_signing.upload_signatures(call.user.user_id, call.json().raw)}


def _member(body: Fields, name: str) -> object:
    if name not in body:
        raise MissingParam(name)
    return body.raw[name]


def _position(call: Call, name: str) -> int:
    """The position that a sync token stands for."""
    try:
        return SyncToken.parse(call.query.text(name)).position
    except BadToken as error:
        raise InvalidParam(f"{name}: {error}") from error


def _timeout_ms(body: Fields) -> int:
    return body.integer("timeout", DEFAULT_TIMEOUT_MS, minimum=0, clamp=MAX_TIMEOUT_MS)
