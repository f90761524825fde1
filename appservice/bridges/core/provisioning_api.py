"""JSON over HTTP for programs that manage the bridge for people: `/_bridge/v1/...`, with a shared secret.

Whom a request is for says its `user_id`. What people may do by commands they may do here, no more.
"""

import hmac
from typing import Any

from appservice.bridges.core.bridging import Bridging
from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import (
    ChannelGone,
    InUse,
    LoginLost,
    MissingPermission,
    NetworkError,
    NotAllowed,
    NotThere,
    Temporary,
)
from appservice.bridges.core.ids import PersonId
from appservice.bridges.core.incoming import Channel
from appservice.bridges.core.logging_in import LoggingIn
from appservice.bridges.core.logins import Logins
from appservice.bridges.core.matrix_client import HomeserverDown, MatrixRefused
from appservice.bridges.core.network import LoginField, LoginStep
from appservice.bridges.core.portals import Portals
from appservice.bridges.core.starting import Starting
from appservice.bridges.core.status import Status
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, route
from matrix.errors import Forbidden, InvalidParam, MatrixError, MissingParam, NotFound
from matrix.ids import UserId
from storage.bridges import PortalRow

JsonDict = dict[str, Any]
_V1 = "/_bridge/v1"
_MAX_FOUND = 100


class ProvisioningApi:
    """One method an endpoint."""

    def __init__(
        self, *, context: Context, logins: Logins, logging_in: LoggingIn, bridging: Bridging, starting: Starting,
        status: Status, portals: Portals,
    ) -> None:  # fmt: skip
        self._context, self._logins, self._logging_in = context, logins, logging_in
        self._bridging, self._starting, self._status, self._portals = bridging, starting, status, portals

    async def authenticate(self, call: Call, access: Access) -> None:
        """Raises: MatrixError."""
        secret, token = self._context.settings.provisioning.shared_secret, call.access_token()
        if secret is None:
            raise Forbidden("This bridge has no provisioning API: its configuration names no secret")
        if token is None:
            raise MatrixError(401, "M_MISSING_TOKEN", "The shared secret is missing")
        if not hmac.compare_digest(token.encode(), secret.encode()):
            raise MatrixError(401, "M_UNKNOWN_TOKEN", "This is not the shared secret")

    def _user(self, call: Call, level: str = "relay") -> UserId:
        text = call.query.optional_text("user_id")
        if text is None:
            raise MissingParam("user_id")
        user_id = UserId.parse(text)
        ranks = ["none", "relay", "user", "admin"]
        if ranks.index(self._context.settings.level_of(user_id)) < ranks.index(level):
            raise Forbidden(f"{user_id} may not do that with this bridge")
        return user_id

    @route("GET", f"{_V1}/whoami", access=Access.APPSERVICE)
    async def whoami(self, call: Call) -> Answer:
        user_id, network = self._user(call), self._context.network
        return {
            "network": {"id": network.name, "name": network.title},
            "bridge_bot": self._context.bot.user_id,
            "level": self._context.settings.level_of(user_id),
            "is_connected": self._status.is_connected,
            "logins": [
                {"id": row.login_id, "name": row.name, "person": row.person_id, "lost": row.lost}
                for row in self._logins.of_user(user_id)
            ],
            "login_flows": [
                {"id": flow.id, "name": flow.name, "instructions": flow.instructions, "fields": _fields(flow.fields)}
                for flow in network.login_flows()
            ],
        }

    @route("GET", f"{_V1}/status", access=Access.APPSERVICE)
    async def status(self, call: Call) -> Answer:
        return {"lines": await _known(self._status.lines(self._user(call)))}

    # --- signing in

    @route("POST", f"{_V1}/login/start/{{flow}}", access=Access.APPSERVICE)
    async def start_login(self, call: Call, flow: str) -> Answer:
        user_id, found = self._user(call, "user"), self._logging_in.flow(flow)
        if found is None:
            raise NotFound("There is no such way to sign in")
        await self._logging_in.begin(user_id, found)
        if found.fields:
            return {"type": "fields", "text": found.instructions, "fields": _fields(found.fields)}
        return await self._step(user_id, {})

    @route("POST", f"{_V1}/login/step", access=Access.APPSERVICE)
    async def step_login(self, call: Call) -> Answer:
        body = call.raw_json()
        if not isinstance(body, dict) or not all(isinstance(value, str) for value in body.values()):
            raise InvalidParam("the body must hold texts by the ids of the fields")
        return await self._step(self._user(call, "user"), body)

    async def _step(self, user_id: UserId, values: dict[str, str]) -> Answer:
        result = await _known(self._logging_in.give(user_id, values))
        if isinstance(result, LoginStep):
            return {"type": "fields", "text": result.text, "url": result.open_url, "fields": _fields(result.fields)}
        return {"type": "complete", "login": {"id": result.id, "name": result.name, "person": result.person}}

    @route("POST", f"{_V1}/logout/{{login}}", access=Access.APPSERVICE)
    async def log_out(self, call: Call, login: str) -> Answer:
        wanted = None if login == "all" else login
        names = await _known(self._logging_in.log_out(self._user(call, "user"), wanted))
        if wanted is not None and not names:
            raise NotFound("There is no such login")
        return {"signed_out": names}

    # --- rooms and people

    @route("GET", f"{_V1}/channels", access=Access.APPSERVICE)
    async def channels(self, call: Call) -> Answer:
        user_id = self._user(call)
        found = await _known(self._bridging.search(user_id, call.query.optional_text("search") or "", _MAX_FOUND))
        return {"channels": [_channel(channel, portal) for channel, portal in found]}

    @route("GET", f"{_V1}/people", access=Access.APPSERVICE)
    async def people(self, call: Call) -> Answer:
        self._user(call)
        found = await _known(self._context.network.search_people(call.query.optional_text("search") or "", _MAX_FOUND))
        users = self._context.users
        return {"people": [{"id": each.id, "name": each.name, "user_id": users.fill(each.id)} for each in found]}

    @route("POST", f"{_V1}/channels/{{channel}}/open", access=Access.APPSERVICE)
    async def open(self, call: Call, channel: str) -> Answer:
        user_id = self._user(call, "user")
        author = await _known(self._bridging.author(user_id, ""))
        found = await _known(self._bridging.find(channel, author))
        portal = await _known(self._bridging.open_for(user_id, found))
        return _channel(found, portal)

    @route("PUT", f"{_V1}/rooms/{{room_id}}/channel", access=Access.APPSERVICE)
    async def bridge(self, call: Call, room_id: str) -> Answer:
        user_id, body = self._user(call, "user"), call.raw_json()
        if not isinstance(body, dict) or not isinstance(body.get("channel"), str):
            raise MissingParam("channel")
        author = await _known(self._bridging.author(user_id, room_id))
        channel = await _known(self._bridging.find(body["channel"], author))
        return _channel(channel, await _known(self._bridging.bridge(user_id, room_id, channel)))

    @route("DELETE", f"{_V1}/rooms/{{room_id}}/channel", access=Access.APPSERVICE)
    async def unbridge(self, call: Call, room_id: str) -> Answer:
        user_id, portal = self._user(call, "user"), self._portals.of_room(room_id)
        if portal is None:
            raise NotFound("The room is not bridged")
        await _known(self._bridging.unbridge(user_id, portal))
        return {}

    @route("POST", f"{_V1}/people/{{person}}/chat", access=Access.APPSERVICE)
    async def chat(self, call: Call, person: str) -> Answer:
        user_id = self._user(call)
        portal = await _known(self._starting.start(user_id, "", PersonId(person)))
        return {"room_id": portal.room_id}


async def _known(asking: Any) -> Any:
    """What was asked for; what can go wrong as an answer. Raises: MatrixError."""
    try:
        return await asking
    except (Temporary, HomeserverDown) as error:
        raise MatrixError(503, "M_UNKNOWN", str(error)) from error
    except (NotThere, ChannelGone) as error:
        raise NotFound(str(error)) from error
    except (NotAllowed, MissingPermission, LoginLost) as error:
        raise Forbidden(str(error)) from error
    except InUse as error:
        raise MatrixError(409, "M_ROOM_IN_USE", str(error)) from error
    except MatrixRefused as error:
        # What the homeserver has against it, as it says it.
        status = error.status if error.status in (403, 404, 409) else 400
        raise MatrixError(status, error.errcode, error.message) from error
    except NetworkError as error:
        raise MatrixError(400, "M_UNKNOWN", str(error)) from error


def _fields(fields: tuple[LoginField, ...]) -> list[JsonDict]:
    return [{"id": each.id, "label": each.label, "secret": each.is_secret, "pattern": each.pattern} for each in fields]


def _channel(channel: Channel, portal: PortalRow | None) -> JsonDict:
    return {
        "id": channel.id,
        "name": channel.name,
        "topic": channel.topic,
        "kind": channel.kind.value,
        "room_id": None if portal is None else portal.room_id,
    }
