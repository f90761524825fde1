"""From a request to the handler's answer: routes, access, path parameters, and errors as the spec words them.

    class Tags:
        @route("GET", *client("/user/{user_id}/rooms/{room_id}/tags"))
        async def get_tags(self, call: Call, user_id: UserId, room_id: RoomId) -> Answer: ...

    router = Router(authenticate=authenticator)
    router.add(Tags(...))

This is the one place where a request's coroutine starts, and the one where its exceptions become an answer.
"""

import enum
import functools
import inspect
import time
import typing
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from homeserver.web import cors
from homeserver.web.body import DEFAULT_JSON_BYTES, UNWANTED_BYTES, ClientGone
from homeserver.web.call import Call
from homeserver.web.paths import Paths, decode_segment
from homeserver.web.replies import Answer, Prepared, Reply, prepare, prepare_error
from matrix.errors import InvalidParam, MatrixError, Unrecognized
from matrix.ids import BadIdentifier
from storage.commit import CommitterStopped
from storage.database import CommitUnknown, DatabaseDown


class Access(enum.Enum):
    """Who may call a route; the authenticator refuses the others."""

    PUBLIC = "public"  # the token is not looked at
    OPTIONAL = "optional"  # a requester or None
    USER = "user"  # a valid token, no guest
    GUEST = "guest"  # a valid token, guests too
    ADMIN = "admin"  # a server admin
    APPSERVICE = "appservice"  # an application service's as_token
    SERVER = "server"  # another homeserver's signature


class Body(enum.Enum):
    """What a route does with the request's body."""

    NONE = "none"
    JSON = "json"  # whole in memory when the handler starts
    STREAM = "stream"  # the handler starts with the headers and reads `call.stream`


Handler = Callable[..., Awaitable[Answer]]
Authenticate = Callable[[Call, Access], Awaitable[None]]
# Told of every answer: the call, its route's first path, the status, and how long it took.
Observer = Callable[[Call, str, int, float], None]
# Writes an answer to the connection; gives what to wait for where it does not fit into one write.
Send = Callable[[Prepared], Awaitable[None] | None]
Parse = Callable[[str], Any]
F = TypeVar("F", bound=Callable[..., Awaitable[Answer]])

_ROUTES = "__routes__"
# Looked for once for each class of API.
_HANDLERS: dict[type, Sequence[tuple[str, Callable[..., Any]]]] = {}
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


@frozen
class _Declared:
    method: str
    paths: tuple[str, ...]
    access: Access
    body: Body
    max_body_bytes: int


@frozen
class Route:
    """A handler ready to be called. `parsers` are by parameter name."""

    pattern: str
    handler: Handler
    access: Access
    body: Body
    max_body_bytes: int
    authenticate: Authenticate | None
    parsers: dict[str, Parse]

    def arguments(self, names: tuple[str, ...], values: Sequence[bytes]) -> dict[str, Any]:
        """The path's parameters by name. Raises: InvalidParam, BadIdentifier."""
        return {name: self.parsers[name](decode_segment(value)) for name, value in zip(names, values, strict=True)}


@frozen
class Match:
    """A route, and the parameters that the path gives it, still encoded."""

    route: Route
    names: tuple[str, ...] = ()
    values: Sequence[bytes] = ()


def client(path: str, *, unstable: str | None = None) -> tuple[str, ...]:
    """The paths of a client-server endpoint: v3, the r0 that old clients use, and an MSC's unstable one."""
    stable = (f"/_matrix/client/v3{path}", f"/_matrix/client/r0{path}")
    return stable if unstable is None else (*stable, f"/_matrix/client/unstable/{unstable}{path}")


def route(
    method: str,
    *paths: str,
    access: Access = Access.USER,
    body: Body | None = None,
    max_body_bytes: int | None = None,
) -> Callable[[F], F]:
    """Declares a handler. `body` is JSON for POST, PUT and PATCH, none for the others, unless it is given."""
    body = body or (Body.JSON if method in _BODY_METHODS else Body.NONE)
    if body is Body.STREAM and max_body_bytes is None:
        raise ValueError("a streamed body needs its limit")
    limit = UNWANTED_BYTES if body is Body.NONE else max_body_bytes or DEFAULT_JSON_BYTES

    def declare(function: F) -> F:
        declared = _Declared(method, paths, access, body, limit)
        function.__dict__.setdefault(_ROUTES, []).append(declared)
        return function

    return declare


class Router:
    """All routes of a listener."""

    _log = Logger()

    def __init__(
        self,
        *,
        authenticate: Authenticate | None = None,
        observer: Observer | None = None,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._authenticate = authenticate
        self._observer = observer
        self._seconds = seconds
        self._paths: Paths[Route] = Paths()
        self._routes: list[tuple[str, str, Route]] = []

    def routes(self) -> Sequence[tuple[str, str, Route]]:
        """All that is served: method, pattern of the path, route. An alias is an entry of its own."""
        return tuple(self._routes)

    def add(self, api: object, *, authenticate: Authenticate | None = None) -> None:
        """Takes up the @route methods of an object. Raises: ValueError for a path that is taken or unparseable."""
        for name, function in _handlers(type(api)):
            for declared in getattr(function, _ROUTES):
                self._add(declared, getattr(api, name), function, authenticate or self._authenticate)

    def _add(
        self, declared: _Declared, handler: Handler, function: Callable[..., Any], authenticate: Authenticate | None
    ) -> None:
        if authenticate is None and declared.access is not Access.PUBLIC:
            raise ValueError(f"{declared.paths[0]} needs an authenticator")
        parameters = _parameters(function)
        compiled = Route(
            declared.paths[0],
            handler,
            declared.access,
            declared.body,
            declared.max_body_bytes,
            authenticate,
            parameters.parsers,
        )
        for path in declared.paths:
            names = self._paths.add(declared.method, path, compiled)
            self._routes.append((declared.method, path, compiled))
            # Every parameter of the path is the handler's, and the handler's others have defaults.
            if not parameters.required <= set(names) <= parameters.parsers.keys():
                raise ValueError(f"{path}: {function.__qualname__} takes other parameters")

    def find(self, method: str, path: bytes) -> Match:
        """The route of a request; for one that we do not have, a route that says so."""
        if method == "OPTIONS":
            return _PREFLIGHT
        endpoint, values, known = self._paths.find(method, path)
        if endpoint is None and method == "HEAD":
            endpoint, values, known = self._paths.find("GET", path)
        if endpoint is None:
            return _OTHER_METHOD if known else _UNKNOWN_PATH
        return Match(endpoint.route, endpoint.names, values)

    def start(self, call: Call, match: Match, send: Send) -> Deferred[None]:
        """Runs the handler and sends its answer. Cancel it when the client of a GET goes away."""
        return Deferred.fromCoroutine(self._serve(call, match, send))

    async def _serve(self, call: Call, match: Match, send: Send) -> None:
        started = 0.0 if self._observer is None else self._seconds()
        try:
            prepared = prepare(await self._answer(call, match))
        except MatrixError as error:
            prepared = prepare_error(error)
        except BadIdentifier as error:
            prepared = prepare_error(InvalidParam(str(error)))
        except ClientGone:
            prepared = _INTERNAL  # that nobody will read
        except (DatabaseDown, CommitUnknown, CommitterStopped) as error:
            self._log.warn("{call!r}: the database is not there: {error}", call=call, error=error)
            prepared = _UNAVAILABLE
        except Exception:  # noqa: BLE001 - a bug of ours: the client must hear of it, but no more than that
            # What a handler raises after its client has gone is the cancellation.
            if not call.gone:
                self._log.failure("{call!r} failed", call=call)
            prepared = _INTERNAL
        if self._observer is not None:
            self._observer(call, match.route.pattern, prepared.status, self._seconds() - started)
        sending = send(prepared)
        if sending is not None:
            await self._finish(call, sending)

    async def _finish(self, call: Call, sending: Awaitable[None]) -> None:
        """Waits until an answer is written that does not fit into one write."""
        try:
            await sending
        except ClientGone:
            pass
        except Exception:  # noqa: BLE001 - the status is out: the connection breaks off, which `send` sees to
            if not call.gone:
                self._log.failure("{call!r} broke off while it was answered", call=call)

    @staticmethod
    async def _answer(call: Call, match: Match) -> Answer:
        found = match.route
        if found.authenticate is not None and found.access is not Access.PUBLIC:
            await found.authenticate(call, found.access)
        if match.names:
            return await found.handler(call, **found.arguments(match.names, match.values))
        return await found.handler(call)


@frozen
class _Parameters:
    """A handler's path parameters: how each is read from text, and which have no default."""

    parsers: dict[str, Parse]
    required: frozenset[str]


def _handlers(api: type) -> Sequence[tuple[str, Callable[..., Any]]]:
    """Its @route methods by name."""
    if api not in _HANDLERS:
        _HANDLERS[api] = [one for one in inspect.getmembers(api, inspect.isfunction) if hasattr(one[1], _ROUTES)]
    return _HANDLERS[api]


@functools.cache
def _parameters(function: Callable[..., Any]) -> _Parameters:
    """By the annotations. Kept: to look at a signature takes as long as to answer a request."""
    hints = typing.get_type_hints(function)
    found = dict(list(inspect.signature(function).parameters.items())[2:])
    return _Parameters(
        parsers={name: _parser(function, name, hints.get(name, str)) for name in found},
        required=frozenset(name for name, parameter in found.items() if parameter.default is parameter.empty),
    )


def _parser(function: Callable[..., Any], name: str, annotation: Any) -> Parse:
    if annotation is str:
        return str
    if annotation is int:
        return _parse_integer
    parse = getattr(annotation, "parse", None)
    if not callable(parse):
        raise ValueError(f"{function.__qualname__}: no way to read {name} from text")
    return typing.cast(Parse, parse)


def _parse_integer(text: str) -> int:
    # Sixteen digits: what canonical JSON can carry, and int() stays cheap.
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) <= 17):
        raise BadIdentifier(f"{text[:80]!r} is not an integer")
    return int(text)


async def _preflight(call: Call) -> Answer:
    """Nothing is run for OPTIONS, and no token looked at. Source: client-server API, "Web Browser Clients"."""
    return Reply(204, headers=cors.MAX_AGE)


async def _unknown_path(call: Call) -> Answer:
    raise Unrecognized(404)


async def _other_method(call: Call) -> Answer:
    raise Unrecognized(405)


def _fixed(pattern: str, handler: Handler) -> Match:
    return Match(Route(pattern, handler, Access.PUBLIC, Body.NONE, UNWANTED_BYTES, None, {}))


# PostgreSQL restarts within seconds. What was to be written may or may not be there: clients ask again, with the same
# transaction id.
_UNAVAILABLE = prepare(
    Reply(503, MatrixError(503, "M_UNKNOWN", "The database is not available").body(), headers={"Retry-After": "5"})
)
_INTERNAL = prepare_error(MatrixError(500, "M_UNKNOWN", "Internal server error"))
_PREFLIGHT = _fixed("(pre-flight)", _preflight)
_UNKNOWN_PATH = _fixed("(unknown path)", _unknown_path)
_OTHER_METHOD = _fixed("(other method)", _other_method)
