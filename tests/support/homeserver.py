"""A whole homeserver in memory: the real composition over a real database, and clients that ask it without a port.

    async def test_a_message_arrives(hs: Homeserver) -> None:
        alice, bob = await hs.register("alice"), await hs.register("bob")
        room = await alice.create_room(invite=[bob])
        await bob.join(room)
        await alice.send(room, "hello")
        assert "hello" in await bob.texts(room)

Passwords are hashed with argon2 at parameters that cost nothing: `REAL_HASHER` is what the server runs with.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg2
import pytest_twisted
from argon2 import PasswordHasher
from attrs import define, evolve, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from federation.outbound.wire import Wire
from homeserver.app import Server, assemble
from homeserver.app.core import Core
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.tasks import Tasks
from homeserver.services.rooms.intake import Signer
from homeserver.services.users import passwords
from matrix.ids import ServerName
from matrix.signing import SigningKey
from storage.opened import open_storage
from synapse_like_config import Config
from tests.support.http import MemoryClient, Response
from tests.support.no_wire import NoWire

# Real hashing was a third of the time of many tests.
REAL_HASHER = passwords.HASHER
passwords.HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

SERVER = ServerName("hearth.test")
V3 = "/_matrix/client/v3"
PASSWORD = "correct horse battery staple"

# Registration is open, nobody is held up by a limit.
_OPEN = """
server_name: hearth.test
public_baseurl: https://hearth.test/
enable_registration: true
enable_registration_without_verification: true
registration_shared_secret: a shared secret
allow_guest_access: true
room_list_publication_rules: [{action: allow}]
login_via_existing_session: {enabled: true}
rc_message: &free {per_second: 100000, burst_count: 100000}
rc_registration: *free
rc_registration_token_validity: *free
rc_login: {address: *free, account: *free, failed_attempts: *free}
rc_joins: {local: *free, remote: *free}
rc_joins_per_room: *free
rc_invites: {per_room: *free, per_user: *free, per_issuer: *free}
rc_key_requests: *free
rc_media_create: *free
rc_presence: {per_user: *free}
rc_room_creation: *free
rc_reports: *free
rc_federation: {window_size: 1000, sleep_limit: 100000, sleep_delay: 0, reject_limit: 100000, concurrent: 1000}
"""


def make_config(directory: Path, more: str = "") -> Config:
    """The tests' configuration; `more` is YAML that overrides it key by key."""
    files = []
    for name, text in (("a.yaml", _OPEN), ("b.yaml", more)):
        if text.strip():
            (directory / name).write_text(text)
            files.append(directory / name)
    return Config.load(files, environ={}, data_directory=directory / "data")


class Homeserver:
    """One process of Hearth. Several over one `dsn` are several processes of one server."""

    def __init__(self, server: Server, dsn: str) -> None:
        self.server = server
        self.dsn = dsn
        self.core = server.core
        self.http = MemoryClient(server.router, reactor=reactor)

    @classmethod
    async def start(
        cls, dsn: str, config: Config, *, wire: Wire | None = None, key: SigningKey | None = None
    ) -> "Homeserver":
        """`wire`: to other servers; nobody is reached without one."""
        clock, metrics = Clock(reactor), Metrics()
        core = Core(
            config=config,
            reactor=reactor,
            storage=open_storage(dsn, reactor=reactor, threads=2),
            clock=clock,
            tasks=Tasks(clock=clock, metrics=metrics),
            metrics=metrics,
            signer=Signer(server_name=config.server.server_name, key=key or SigningKey.from_seed("a", b"h" * 32)),
            wire=wire or NoWire(),
        )
        config.data_directory.mkdir(parents=True, exist_ok=True)
        return cls(await assemble(core), dsn)

    async def stop(self) -> None:
        await self.core.tasks.stop(0)
        self.http.server.close()
        self.server.close()

    async def has_heard(self, other: "Homeserver") -> None:
        """Comes back when this process has been told all that the other one has."""
        stream, wanted = self.core.storage.stream, other.core.storage.stream.position
        reached: Deferred[None] = Deferred()

        def look(entries: object) -> None:
            if stream.position >= wanted and not reached.called:
                reached.callback(None)

        stream.read_by(look)
        look(None)
        await reached

    async def ask(self, method: str, path: str, json: Any = None, token: str | None = None, **query: Any) -> Response:
        """A request; `path` without a leading /_ is one of v3."""
        whole = path if path.startswith(("/_", "/.")) else V3 + path
        if query:
            whole += "?" + urlencode({name: str(value) for name, value in query.items() if value is not None})
        return await self.http.request(method, whole, json=json, token=token)

    async def register(self, name: str, **body: Any) -> "Client":
        """A new user, signed in, by the dummy stage."""
        json = {"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}, **body}
        response = await self.ask("POST", "/register", json)
        assert response.status == 200, response
        return Client(self, response.json)

    async def log_in(self, name: str, **body: Any) -> "Client":
        """A further device of a user."""
        json = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": name}, "password": PASSWORD}
        response = await self.ask("POST", "/login", {**json, **body})
        assert response.status == 200, response
        return Client(self, response.json)

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Straight from the database."""
        connection = psycopg2.connect(self.dsn)
        connection.autocommit = True
        try:
            cur = connection.cursor()
            cur.execute(sql, values)
            return cur.fetchall() if cur.description else []
        finally:
            connection.close()


_transactions = itertools.count()


@define(eq=False)
class Client:
    """A device of a user, as a Matrix client would ask. `since` is where its last `sync` ended."""

    hs: Homeserver
    session: Mapping[str, Any]
    since: str | None = field(default=None)

    @property
    def user_id(self) -> str:
        return str(self.session["user_id"])

    @property
    def device_id(self) -> str:
        return str(self.session["device_id"])

    @property
    def token(self) -> str:
        return str(self.session["access_token"])

    def at(self, hs: Homeserver) -> "Client":
        """The same device, asking another process of the same server."""
        return evolve(self, hs=hs)

    async def ask(self, method: str, path: str, json: Any = None, **query: Any) -> Response:
        return await self.hs.ask(method, path, json, self.token, **query)

    async def ok(self, method: str, path: str, json: Any = None, **query: Any) -> Any:
        """The JSON of an answer that must be 200."""
        response = await self.ask(method, path, json, **query)
        assert response.status == 200, (method, path, response)
        return response.json

    async def get(self, path: str, **query: Any) -> Any:
        return await self.ok("GET", path, **query)

    async def create_room(self, *, invite: "Sequence[Client]" = (), **body: Any) -> str:
        json = {"preset": "public_chat", "invite": [client.user_id for client in invite], **body}
        return str((await self.ok("POST", "/createRoom", json))["room_id"])

    async def join(self, room: str) -> None:
        await self.ok("POST", f"/join/{q(room)}", {})

    async def invite(self, room: str, other: "Client") -> None:
        await self.ok("POST", f"/rooms/{q(room)}/invite", {"user_id": other.user_id})

    async def leave(self, room: str) -> None:
        await self.ok("POST", f"/rooms/{q(room)}/leave", {})

    async def send(self, room: str, body: str = "hello", **content: Any) -> str:
        """A text message; gives its event id."""
        return await self.send_event(room, "m.room.message", {"msgtype": "m.text", "body": body, **content})

    async def send_event(self, room: str, event_type: str, content: Any) -> str:
        path = f"/rooms/{q(room)}/send/{q(event_type)}/t{next(_transactions)}"
        return str((await self.ok("PUT", path, content))["event_id"])

    async def set_state(self, room: str, event_type: str, content: Any, state_key: str = "") -> str:
        path = f"/rooms/{q(room)}/state/{q(event_type)}/{q(state_key)}"
        return str((await self.ok("PUT", path, content))["event_id"])

    async def sync(self, **query: Any) -> Any:
        """The next sync of this client, without waiting."""
        query.setdefault("since", self.since)
        answer = await self.get("/sync", **query)
        self.since = answer["next_batch"]
        return answer

    async def timeline(self, room: str, **query: Any) -> list[dict[str, Any]]:
        """The events of a room in the next sync."""
        joined = (await self.sync(**query)).get("rooms", {}).get("join", {})
        events: list[dict[str, Any]] = joined.get(room, {}).get("timeline", {}).get("events", [])
        return events

    async def texts(self, room: str) -> list[str]:
        """The bodies of the messages of a room in the next sync."""
        events = await self.timeline(room)
        return [event["content"].get("body", "") for event in events if event["type"] == "m.room.message"]


def q(text: str) -> str:
    """A path segment."""
    return quote(text, safe="")


@pytest_twisted.async_yield_fixture
async def hs(dsn: str, tmp_path: Path) -> Iterator[Homeserver]:
    """A homeserver with open registration and no limits."""
    homeserver = await Homeserver.start(dsn, make_config(tmp_path))
    yield homeserver
    await homeserver.stop()


@pytest_twisted.async_yield_fixture
async def start_homeserver(dsn: str, tmp_path: Path) -> Iterator[Any]:
    """`await start_homeserver(more_yaml)`: a process with options of the test's own; all over one database."""
    started: list[Homeserver] = []

    async def start(more: str = "") -> Homeserver:
        started.append(await Homeserver.start(dsn, make_config(tmp_path, more)))
        return started[-1]

    yield start
    for homeserver in started:
        await homeserver.stop()


__all__ = ["Client", "Homeserver", "Response", "hs", "make_config", "q", "start_homeserver"]
