"""The client-server API as a bridge uses it: everything is done as somebody.

A request that gets no answer, a 5xx or too many 429s raises HomeserverDown: whoever works a queue tries again later.
Every request of ours may be repeated: sends and redactions carry transaction ids that are made of remote ids, the rest
sets what it sets.
"""

import logging
from collections.abc import Mapping
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

import orjson
from attrs import frozen

from appservice.bridges.core.connections import Answer, WireBroken
from appservice.bridges.core.network import Spool
from appservice.bridges.core.wire import Wire
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.web.replies import dumps
from matrix.ids import UserId

JsonDict = dict[str, Any]
V3 = "/_matrix/client/v3"
V1 = "/_matrix/client/v1"
# How often and how long a request waits where it is told to.
_MAX_LIMITED = 6
_MAX_WAIT_S = 60.0
# Failures that come of a moment: then it is the queue's turn to wait.
_ATTEMPTS = 3
_PAUSE_S = 0.3

logger = logging.getLogger(__name__)


class HomeserverDown(Exception):
    """It does not answer as a homeserver should: later it will."""


class MatrixRefused(Exception):
    """An answer of 4xx."""

    def __init__(self, status: int, errcode: str, message: str) -> None:
        super().__init__(f"{status} {errcode}: {message}")
        self.status = status
        self.errcode = errcode
        self.message = message


@frozen
class Actor:
    """As whom something is done. `token` is that of the registration that may be this user."""

    user_id: UserId
    token: str
    is_puppet: bool = False


class MatrixClient:
    """`wire`: to the homeserver."""

    def __init__(self, *, wire: Wire, clock: Clock, metrics: Metrics, server_name: str) -> None:
        self._wire = wire
        self._clock = clock
        self.server_name = server_name
        self._requests = metrics.counter("bridge_matrix_requests", "Requests to the homeserver", ["status"])

    # --- asking

    async def ask(
        self,
        actor: Actor,
        method: str,
        path: str,
        json: Any = None,
        query: Mapping[str, Any] | None = None,
        *,
        body: bytes | BinaryIO | None = None,
        content_type: str = "application/json",
    ) -> JsonDict:
        """The JSON of a successful answer. Raises: MatrixRefused, HomeserverDown."""
        words: dict[str, str] = {"user_id": actor.user_id}
        words |= {name: str(value) for name, value in (query or {}).items() if value is not None}
        target = f"{path}?{urlencode(words)}"
        headers = {"Authorization": f"Bearer {actor.token}"}
        if json is not None:
            body = dumps(json)
        if body is not None:
            headers["Content-Type"] = content_type
        answer = await self._patiently(method, target, headers, body)
        if answer.status >= 400:
            raise _refusal(answer)
        return _object(answer)

    async def _patiently(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | BinaryIO | None
    ) -> Answer:
        limited = failed = 0
        while True:
            if body is not None and not isinstance(body, bytes):
                body.seek(0)
            try:
                answer = await self._wire.ask(method, target, headers, body)
            except WireBroken as error:
                self._requests.labels("none").inc()
                fault = str(error)
            else:
                self._requests.labels(str(answer.status)).inc()
                if answer.status == 429 and limited < _MAX_LIMITED:
                    limited += 1
                    await self._clock.sleep(_wait_s(answer))
                    continue
                if answer.status < 500 and answer.status != 429:
                    return answer
                fault = f"{answer.status} {answer.body[:200].decode('utf-8', 'replace')}"
            failed += 1
            if failed >= _ATTEMPTS:
                raise HomeserverDown(fault)
            await self._clock.sleep(_PAUSE_S * failed)

    # --- itself

    async def versions(self, actor: Actor) -> JsonDict:
        return await self.ask(actor, "GET", "/_matrix/client/versions")

    async def whoami(self, actor: Actor) -> str:
        return str((await self.ask(actor, "GET", f"{V3}/account/whoami")).get("user_id"))

    async def ping(self, actor: Actor, appservice_id: str) -> int:
        """Can the homeserver reach the bridge? Milliseconds."""
        answer = await self.ask(actor, "POST", f"{V1}/appservice/{q(appservice_id)}/ping", {"transaction_id": "hearth"})
        return int(answer.get("duration_ms", 0))

    # --- users

    async def register(self, token: str, localpart: str) -> None:
        """Makes the user; one that is there is no error."""
        actor = Actor(UserId(f"@{localpart}:{self.server_name}"), token)
        body = {"type": "m.login.application_service", "username": localpart, "inhibit_login": True}
        try:
            # Not as the user, who is not there yet.
            await self._register(actor, body)
        except MatrixRefused as error:
            if error.errcode != "M_USER_IN_USE":
                raise

    async def _register(self, actor: Actor, body: JsonDict) -> None:
        headers = {"Authorization": f"Bearer {actor.token}", "Content-Type": "application/json"}
        answer = await self._patiently("POST", f"{V3}/register", headers, orjson.dumps(body))
        if answer.status >= 400:
            raise _refusal(answer)

    async def set_name(self, actor: Actor, name: str) -> None:
        await self.ask(actor, "PUT", f"{V3}/profile/{q(actor.user_id)}/displayname", {"displayname": name})

    async def set_avatar(self, actor: Actor, mxc: str) -> None:
        await self.ask(actor, "PUT", f"{V3}/profile/{q(actor.user_id)}/avatar_url", {"avatar_url": mxc})

    async def profile(self, actor: Actor, user_id: str) -> JsonDict:
        return await self.ask(actor, "GET", f"{V3}/profile/{q(user_id)}")

    async def set_presence(self, actor: Actor, presence: str, status: str | None) -> None:
        body = {"presence": presence} | ({} if status is None else {"status_msg": status})
        await self.ask(actor, "PUT", f"{V3}/presence/{q(actor.user_id)}/status", body)

    async def account_data(self, actor: Actor, kind: str) -> JsonDict:
        try:
            return await self.ask(actor, "GET", f"{V3}/user/{q(actor.user_id)}/account_data/{q(kind)}")
        except MatrixRefused as error:
            if error.status != 404:
                raise
            return {}

    async def put_account_data(self, actor: Actor, kind: str, content: JsonDict) -> None:
        await self.ask(actor, "PUT", f"{V3}/user/{q(actor.user_id)}/account_data/{q(kind)}", content)

    # --- rooms

    async def create_room(self, actor: Actor, body: JsonDict) -> str:
        return str((await self.ask(actor, "POST", f"{V3}/createRoom", body))["room_id"])

    async def resolve(self, actor: Actor, alias: str) -> str | None:
        """The room of an alias."""
        try:
            return str((await self.ask(actor, "GET", f"{V3}/directory/room/{q(alias)}"))["room_id"])
        except MatrixRefused as error:
            if error.status != 404:
                raise
            return None

    async def put_alias(self, actor: Actor, alias: str, room_id: str) -> None:
        await self.ask(actor, "PUT", f"{V3}/directory/room/{q(alias)}", {"room_id": room_id})

    async def delete_alias(self, actor: Actor, alias: str) -> None:
        try:
            await self.ask(actor, "DELETE", f"{V3}/directory/room/{q(alias)}")
        except MatrixRefused as error:
            if error.status != 404:
                raise

    async def list_room(self, actor: Actor, network: str, room_id: str, is_public: bool) -> None:
        """In the directory of the network."""
        body = {"visibility": "public" if is_public else "private"}
        await self.ask(actor, "PUT", f"{V3}/directory/list/appservice/{q(network)}/{q(room_id)}", body)

    async def join(self, actor: Actor, room: str) -> str:
        return str((await self.ask(actor, "POST", f"{V3}/join/{q(room)}", {}))["room_id"])

    async def leave(self, actor: Actor, room_id: str, reason: str | None = None) -> None:
        body = {} if reason is None else {"reason": reason}
        await self.ask(actor, "POST", f"{V3}/rooms/{q(room_id)}/leave", body)

    async def set_membership(
        self, actor: Actor, room_id: str, action: str, user_id: str, reason: str | None = None
    ) -> None:
        """invite, kick, ban or unban."""
        body = {"user_id": user_id} | ({} if reason is None else {"reason": reason})
        await self.ask(actor, "POST", f"{V3}/rooms/{q(room_id)}/{action}", body)

    async def state(self, actor: Actor, room_id: str, event_type: str, state_key: str = "") -> JsonDict | None:
        try:
            return await self.ask(actor, "GET", f"{V3}/rooms/{q(room_id)}/state/{q(event_type)}/{q(state_key)}")
        except MatrixRefused as error:
            if error.status != 404:
                raise
            return None

    async def whole_state(self, actor: Actor, room_id: str, event_type: str, state_key: str = "") -> JsonDict:
        """The event with its sender; empty, if there is none or the server cannot tell."""
        path = f"{V3}/rooms/{q(room_id)}/state/{q(event_type)}/{q(state_key)}"
        try:
            return await self.ask(actor, "GET", path, query={"format": "event"})
        except MatrixRefused as error:
            if error.status not in (400, 404):
                raise
            return {}

    async def put_state(
        self, actor: Actor, room_id: str, event_type: str, content: JsonDict, state_key: str = "", ts: int | None = None
    ) -> str:
        path = f"{V3}/rooms/{q(room_id)}/state/{q(event_type)}/{q(state_key)}"
        return str((await self.ask(actor, "PUT", path, content, {"ts": ts})).get("event_id"))

    async def send(
        self, actor: Actor, room_id: str, event_type: str, content: JsonDict, txn: str, ts: int | None = None
    ) -> str:
        """The event's id; the same for the same `txn`."""
        path = f"{V3}/rooms/{q(room_id)}/send/{q(event_type)}/{q(txn)}"
        return str((await self.ask(actor, "PUT", path, content, {"ts": ts}))["event_id"])

    async def redact(self, actor: Actor, room_id: str, event_id: str, txn: str, reason: str | None = None) -> None:
        body = {} if reason is None else {"reason": reason}
        await self.ask(actor, "PUT", f"{V3}/rooms/{q(room_id)}/redact/{q(event_id)}/{q(txn)}", body)

    async def event(self, actor: Actor, room_id: str, event_id: str) -> JsonDict | None:
        try:
            return await self.ask(actor, "GET", f"{V3}/rooms/{q(room_id)}/event/{q(event_id)}")
        except MatrixRefused as error:
            if error.status not in (403, 404):
                raise
            return None

    async def joined(self, actor: Actor, room_id: str) -> dict[str, JsonDict]:
        """Members by user id, with display_name and avatar_url."""
        answer = await self.ask(actor, "GET", f"{V3}/rooms/{q(room_id)}/joined_members")
        joined = answer.get("joined")
        return joined if isinstance(joined, dict) else {}

    async def typing(self, actor: Actor, room_id: str, is_typing: bool, timeout_ms: int = 10_000) -> None:
        body = {"typing": True, "timeout": timeout_ms} if is_typing else {"typing": False}
        await self.ask(actor, "PUT", f"{V3}/rooms/{q(room_id)}/typing/{q(actor.user_id)}", body)

    async def mark_read(self, actor: Actor, room_id: str, event_id: str) -> None:
        body = {"m.fully_read": event_id, "m.read": event_id}
        await self.ask(actor, "POST", f"{V3}/rooms/{q(room_id)}/read_markers", body)

    async def batch(self, actor: Actor, room_id: str, body: JsonDict) -> list[str]:
        """Imports events into the history; their ids. Source: com.beeper.backfill."""
        path = f"/_matrix/client/unstable/com.beeper.backfill/rooms/{q(room_id)}/batch_send"
        return [str(each) for each in (await self.ask(actor, "POST", path, body)).get("event_ids", [])]

    # --- files

    async def upload(self, actor: Actor, file: bytes | BinaryIO, mimetype: str, name: str | None) -> str:
        """The mxc URI."""
        answer = await self.ask(
            actor, "POST", "/_matrix/media/v3/upload", query={"filename": name}, body=file, content_type=mimetype
        )
        return str(answer["content_uri"])

    async def download(self, actor: Actor, mxc: str, spool: Spool) -> tuple[str, str | None]:
        """Writes the file; its media type and name. Raises: MatrixRefused, HomeserverDown, and what the spool does."""
        server, media_id = split_mxc(mxc)
        target = f"{V1}/media/download/{q(server)}/{q(media_id)}?{urlencode({'user_id': actor.user_id})}"
        try:
            answer = await self._wire.fetch(target, {"Authorization": f"Bearer {actor.token}"}, spool)
        except WireBroken as error:
            raise HomeserverDown(str(error)) from error
        if answer.status >= 500 or answer.status == 429:
            raise HomeserverDown(f"{answer.status} for {mxc}")
        if answer.status != 200:
            raise _refusal(answer)
        return answer.headers.get("content-type", "application/octet-stream").partition(";")[0], None


def q(text: str) -> str:
    """A path segment."""
    return quote(text, safe="")


def split_mxc(mxc: str) -> tuple[str, str]:
    """(server, media id). Raises: MatrixRefused for what is no mxc URI."""
    server, _, media_id = mxc.removeprefix("mxc://").partition("/")
    if not mxc.startswith("mxc://") or not server or not media_id or "/" in media_id:
        raise MatrixRefused(400, "M_INVALID_PARAM", "not an mxc URI")
    return server, media_id


def _wait_s(answer: Answer) -> float:
    try:
        wait_s = float(answer.headers.get("retry-after") or orjson.loads(answer.body)["retry_after_ms"] / 1000)
    except (ValueError, TypeError, KeyError):
        wait_s = 1.0
    return min(max(wait_s, 0.05), _MAX_WAIT_S)


def _refusal(answer: Answer) -> MatrixRefused:
    try:
        body = orjson.loads(answer.body)
        return MatrixRefused(answer.status, str(body["errcode"]), str(body.get("error", "")))
    except (ValueError, TypeError, KeyError):
        return MatrixRefused(answer.status, "M_UNKNOWN", answer.body[:200].decode("utf-8", "replace"))


def _object(answer: Answer) -> JsonDict:
    try:
        value = orjson.loads(answer.body)
    except ValueError as error:
        raise HomeserverDown("the answer is not JSON: is `homeserver.address` right?") from error
    if not isinstance(value, dict):
        raise HomeserverDown("the answer is no object: is `homeserver.address` right?")
    return value
