"""An API with one route for each thing that the web layer does."""

import io
from collections.abc import AsyncIterator

from twisted.internet.defer import Deferred

from homeserver.web.call import Call, Requester
from homeserver.web.replies import Answer, RawJson, Reply, StreamReply
from homeserver.web.router import Access, Body, Router, client, route
from matrix.errors import LimitExceeded, MatrixError
from matrix.ids import RoomAlias, RoomId, UserId


class Api:
    """`waiting` are the requests to /wait, each answered by its Deferred; `uploads` what /upload has read."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[Answer]] = []
        self.outcomes: list[str] = []
        self.uploads: list[bytes] = []
        self.seen: list[Call] = []
        self.gate: Deferred[None] | None = None
        self.file = io.BytesIO(b"f" * 1_000_000)

    @route("GET", *client("/hello"), "/hello", access=Access.PUBLIC)
    async def hello(self, call: Call) -> Answer:
        self.seen.append(call)
        return {"hello": "world"}

    @route("POST", "/hello", access=Access.PUBLIC)
    async def post_hello(self, call: Call) -> Answer:
        return {"raw": call.raw_json()}

    @route("POST", "/object", access=Access.PUBLIC)
    async def post_object(self, call: Call) -> Answer:
        return {"keys": sorted(call.json(empty_ok=True).raw)}

    @route("GET", "/me")
    async def me(self, call: Call) -> Answer:
        return {"user_id": call.user.user_id}

    @route("GET", "/rooms/{room_id}/state/{event_type}/{state_key}", access=Access.PUBLIC)
    @route("GET", "/rooms/{room_id}/state/{event_type}/", access=Access.PUBLIC)
    async def state(self, call: Call, room_id: RoomId, event_type: str, state_key: str = "") -> Answer:
        return {"room_id": room_id, "event_type": event_type, "state_key": state_key}

    @route("GET", "/rooms/{room_id}/state/m.room.create/fixed", access=Access.PUBLIC)
    async def fixed_state(self, call: Call, room_id: RoomId) -> Answer:
        return {"fixed": room_id}

    @route("GET", "/alias/{alias}", access=Access.PUBLIC)
    async def alias(self, call: Call, alias: RoomAlias) -> Answer:
        return {"alias": alias}

    @route("GET", "/numbers/{number}", access=Access.PUBLIC)
    async def number(self, call: Call, number: int) -> Answer:
        return {"number": number}

    @route("GET", "/files/{path...}", access=Access.PUBLIC)
    async def files(self, call: Call, path: str) -> Answer:
        return {"path": path}

    @route("GET", "/wait", access=Access.PUBLIC)
    @route("PUT", "/wait", access=Access.PUBLIC)
    async def wait(self, call: Call) -> Answer:
        waiting: Deferred[Answer] = Deferred()
        self.waiting.append(waiting)
        try:
            answer = await waiting
        except BaseException as error:
            self.outcomes.append(type(error).__name__)
            raise
        self.outcomes.append("done")
        return answer

    @route("POST", "/upload", access=Access.PUBLIC, body=Body.STREAM, max_body_bytes=1_000_000)
    async def upload(self, call: Call) -> Answer:
        if self.gate is not None:
            await self.gate
        data = bytearray()
        async for chunk in call.stream:
            data += chunk
        self.uploads.append(bytes(data))
        return {"bytes": len(data)}

    @route("POST", "/refuse-upload", access=Access.PUBLIC, body=Body.STREAM, max_body_bytes=1_000_000)
    async def refuse_upload(self, call: Call) -> Answer:
        raise MatrixError(403, "M_FORBIDDEN", "no")

    @route("GET", "/file", access=Access.PUBLIC)
    async def download(self, call: Call) -> Answer:
        return StreamReply(self.file, 1_000_000, "image/png", headers={"X-Test": "yes"})

    @route("GET", "/chunks", access=Access.PUBLIC)
    async def chunks(self, call: Call) -> Answer:
        async def generate() -> AsyncIterator[bytes]:
            yield b"one"
            yield b""
            yield b"two"

        length = call.query.optional_integer("length")
        return StreamReply(generate(), length)

    @route("GET", "/large", access=Access.PUBLIC)
    async def large(self, call: Call) -> Answer:
        return RawJson([b'["', b"x" * 1_000_000, b'"]'])

    @route("GET", "/limited", access=Access.PUBLIC)
    async def limited(self, call: Call) -> Answer:
        raise LimitExceeded(1500)

    @route("GET", "/bug", access=Access.PUBLIC)
    async def bug(self, call: Call) -> Answer:
        raise RuntimeError("secret detail")

    @route("GET", "/split", access=Access.PUBLIC)
    async def split(self, call: Call) -> Answer:
        return Reply(headers={"Location": call.query.text("to")})

    @route("DELETE", "/nothing", access=Access.PUBLIC)
    async def nothing(self, call: Call) -> Answer:
        return Reply(204)


async def authenticate(call: Call, access: Access) -> None:
    token = call.access_token()
    if token is None:
        raise MatrixError(401, "M_MISSING_TOKEN", "Missing access token")
    if token != "alice":
        raise MatrixError(401, "M_UNKNOWN_TOKEN", "Unknown access token")
    call.requester = Requester(UserId("@alice:hearth.test"))


def router_of(api: Api) -> Router:
    router = Router(authenticate=authenticate)
    router.add(api)
    return router
