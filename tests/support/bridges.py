"""A bridge to a FakeRemote beside a real Hearth, to be killed at any moment.

    async def test_a_message_comes_over(town: Town) -> None:
        town.remote.add_channel("C1", "general", ["U1"])
        alice = await town.user("alice")
        room = await town.open("C1", alice)
        town.remote.say("C1", "U1", "hello")
        await until(...)

The homeserver tells the bridge over a real port; the bridge asks the homeserver in memory.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pytest_twisted
import yaml
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from appservice.bridges.core.assembly import Assembled, World
from appservice.bridges.core.connections import Answer, WireBroken
from appservice.bridges.core.ids import ChannelId
from appservice.bridges.core.network import Network, Spool
from appservice.bridges.core.settings import (
    AppserviceOptions,
    BridgeSettings,
    HomeserverOptions,
    PortalOptions,
    ProvisioningOptions,
    PublicOptions,
)
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.tasks import Tasks
from homeserver.web.server import HttpServer
from matrix.ids import ServerName
from storage.database import Database
from synapse_like_config.units import BaseUrl
from tests.support.fake_network import FakeNetwork
from tests.support.fake_remote import FakeRemote
from tests.support.fake_service import until
from tests.support.homeserver import SERVER, Client, Homeserver, Response, q
from tests.support.ports import free_port

AS_TOKEN, HS_TOKEN, PUPPET_TOKEN, SECRET = "as token of fake", "hs token of fake", "puppet token", "a secret"
Hook = Callable[[str, str], Awaitable[None]]


class MemoryWire:
    """To the homeserver in memory. `before` and `after` are called with the method and path of each request."""

    def __init__(self, hs: Homeserver) -> None:
        self.hs = hs
        self.is_dead = False
        self.is_cut = False
        self.before: Hook = _nothing
        self.after: Hook = _nothing
        self.asked: list[tuple[str, str]] = []

    async def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | BinaryIO | None) -> Answer:
        await self._begin(method, path)
        content = body if body is None or isinstance(body, bytes) else body.read()
        response = await self.hs.http.request(method, path, body=content, headers=headers)
        await self.after(method, path)
        return Answer(response.status, response.headers, response.body)

    async def fetch(self, path: str, headers: Mapping[str, str], spool: Spool) -> Answer:
        await self._begin("GET", path)
        response = await self.hs.http.request("GET", path, headers=headers)
        if response.status == 200:
            spool.write(response.body)
            return Answer(200, response.headers, b"")
        return Answer(response.status, response.headers, response.body)

    async def _begin(self, method: str, path: str) -> None:
        if self.is_dead:
            await Deferred()  # for ever
        if self.is_cut:
            raise WireBroken("the cable is cut")
        self.asked.append((method, path))
        await self.before(method, path)


async def _nothing(method: str, path: str) -> None:
    return None


class RunningBridge:
    """One process of a bridge."""

    def __init__(self, hs: Homeserver, network: Network, settings: BridgeSettings) -> None:
        self.network = network
        self.wire = MemoryWire(hs)
        self.clock, self.metrics = Clock(reactor), Metrics()
        self.tasks = Tasks(clock=self.clock, metrics=self.metrics)
        self.database = Database(hs.dsn, reactor=reactor, threads=2)  # type: ignore[arg-type]
        world = World(
            reactor=reactor,  # type: ignore[arg-type]
            database=self.database,
            wire=self.wire,
            clock=self.clock,
            tasks=self.tasks,
            metrics=self.metrics,
        )
        self.parts = Assembled(settings, network, world)
        self._settings = settings
        self._port: Any = None
        self._server = HttpServer(router=self.parts.router(), reactor=reactor)  # type: ignore[arg-type]

    async def start(self) -> None:
        self.database.start()
        await self.parts.load()
        self._port = reactor.listenTCP(self._settings.appservice.port, self._server, interface="127.0.0.1")  # type: ignore[attr-defined]
        await self.parts.start()

    async def kill(self) -> None:
        """As the kernel would: nothing that was begun goes on."""
        self.wire.is_dead = True
        if isinstance(self.network, FakeNetwork):
            self.network.kill()
        await self._port.stopListening()
        await self._server.drain(0)
        self.database.stop()
        # What repeats itself would go on, and fail, in other tests.
        await self.tasks.stop(0)

    async def stop(self) -> None:
        await self.parts.stop()
        await self._port.stopListening()
        await self._server.drain(1)
        await self.tasks.stop(5)
        self.database.stop()


class People:
    """What people do at the homeserver, beside a bridge, and what they see."""

    hs: Homeserver
    # How long they wait for something.
    wait_s = 15.0

    @property
    def parts(self) -> Assembled:
        """Those of the bridge that runs."""
        raise NotImplementedError

    @property
    def bot_user(self) -> str:
        return str(self.parts.context.bot.user_id)

    def ghost(self, person: str) -> str:
        return str(self.parts.people.ghost_id(person))

    async def user(self, name: str, **body: Any) -> Client:
        return await self.hs.register(name, **body)

    async def open(self, channel: str, *members: Client) -> str:
        """The room of the channel, with these in it."""
        portal = await self.parts.bridging.open(ChannelId(channel), None)
        for member in members:
            await member.join(portal.room_id)
        await self.parts.inbox.idle()
        return str(portal.room_id)

    async def management_room(self, client: Client) -> str:
        body = {"preset": "trusted_private_chat", "is_direct": True, "invite": [self.bot_user]}
        room = str((await client.ok("POST", "/createRoom", body))["room_id"])
        await self.says(client, room, "Hello! This is the bridge")
        return room

    async def command(self, client: Client, room: str, text: str) -> str:
        """What the bot answers."""
        before = {event["event_id"] for event in await self.events(client, room)}
        await client.send(room, text)

        def is_answer(event: dict[str, Any]) -> bool:
            return event["event_id"] not in before and event["sender"] == self.bot_user and "body" in event["content"]

        return str((await self.find(client, room, is_answer, f"an answer to {text!r}"))["content"]["body"])

    # What they see.

    async def events(self, client: Client, room: str) -> list[dict[str, Any]]:
        """The room's timeline, oldest first."""
        answer = await client.get(f"/rooms/{q(room)}/messages", dir="b", limit=200)
        return list(reversed(answer["chunk"]))

    async def messages(self, client: Client, room: str) -> list[str]:
        """The texts of a room, each with its sender."""
        found = await self.events(client, room)
        return [
            f"{event['sender']}: {event['content'].get('body')}"
            for event in found
            if event["type"] == "m.room.message" and event["content"]
        ]

    async def find(self, client: Client, room: str, test: Callable[[dict[str, Any]], Any], what: str) -> dict[str, Any]:
        """Comes back with the event of the room of which that is true, when it is there."""
        found: list[dict[str, Any]] = []

        async def look() -> bool:
            found[:] = [event for event in await self.events(client, room) if passes(test, event)]
            return bool(found)

        await self.eventually(look, f"{what} in {room}")
        return found[0]

    async def says(self, client: Client, room: str, text: str) -> dict[str, Any]:
        """Comes back with the event when somebody has said that (or something that holds it)."""
        return await self.find(client, room, lambda event: text in str(event["content"].get("body", "")), f"{text!r}")

    async def state(self, client: Client, room: str, event_type: str, key: str = "") -> Any:
        response = await client.ask("GET", f"/rooms/{q(room)}/state/{q(event_type)}/{q(key)}")
        return response.json if response.status == 200 else None

    async def eventually(self, look: Callable[[], Awaitable[bool]], what: str) -> None:
        await eventually(look, what, self.wait_s)

    async def until(self, condition: Callable[[], Any], what: str) -> None:
        async def look() -> bool:
            return bool(condition())

        await self.eventually(look, what)

    # What they do.

    async def upload(self, client: Client, data: bytes, mimetype: str, name: str) -> str:
        path = f"/_matrix/media/v3/upload?filename={q(name)}"
        headers = {"Authorization": f"Bearer {client.token}", "Content-Type": mimetype}
        response = await self.hs.http.request("POST", path, body=data, headers=headers)
        return str(response.json["content_uri"])

    async def react(self, client: Client, room: str, event_id: str, key: str) -> str:
        relates = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
        return await client.send_event(room, "m.reaction", {"m.relates_to": relates})

    async def edit(self, client: Client, room: str, event_id: str, text: str) -> str:
        relates = {"rel_type": "m.replace", "event_id": event_id}
        new = {"msgtype": "m.text", "body": text}
        return await client.send(room, f"* {text}", **{"m.new_content": new, "m.relates_to": relates})

    async def redact(self, client: Client, room: str, event_id: str) -> None:
        await client.ok("PUT", f"/rooms/{q(room)}/redact/{q(event_id)}/r{event_id[1:9]}", {})

    async def api(self, method: str, path: str, json: Any = None, token: str = HS_TOKEN) -> Response:
        """A request to the bridge."""
        from tests.support.http import MemoryClient

        client = MemoryClient(self.parts.router(), reactor=reactor)  # type: ignore[arg-type]
        return await client.request(method, path, json=json, token=token)


class Town(People):
    """The homeserver, the remote, and the bridge between them."""

    def __init__(self, hs: Homeserver, settings: BridgeSettings) -> None:
        self.hs = hs
        self.settings = settings
        self.remote = FakeRemote()
        self.bridge: RunningBridge = self._new()

    @property
    def parts(self) -> Assembled:
        return self.bridge.parts

    def _new(self) -> RunningBridge:
        return RunningBridge(self.hs, FakeNetwork(self.remote), self.settings)

    @property
    def network(self) -> FakeNetwork:
        assert isinstance(self.bridge.network, FakeNetwork)
        return self.bridge.network

    async def restart(self, **options: Any) -> None:
        """A new process, after a kill or a stop."""
        self.settings = evolve(self.settings, **options)
        self.bridge = self._new()
        await self.bridge.start()
        # As every process does; the homeserver tries again what it could not tell.
        await self.bridge.parts.context.matrix.whoami(self.bridge.parts.context.bot)

    async def settle(self, channel: str, client: Client, room: str) -> None:
        """Comes back when all that was done before has come over, both ways: marks follow it."""
        number = self.remote.now_ms()
        self.remote.say(channel, self.remote.channels[ChannelId(channel)].members[0], f"mark {number} in")
        await self.says(client, room, f"mark {number} in")
        await client.send(room, f"mark {number} out")
        await until(lambda: any(f"mark {number} out" in text for text in self.remote.texts(channel)))
        await self.has_heard()

    async def has_heard(self) -> None:
        """Comes back when the bridge has been told all that happened on the network, and has done with it."""
        await until(lambda: self.remote.is_delivered)
        await self.bridge.parts.inbox.idle()


async def eventually(look: Callable[[], Awaitable[bool]], what: str, seconds: float = 60.0) -> None:
    """Comes back when it is so."""
    clock = Clock(reactor)
    end = clock.seconds() + seconds
    while not await look():
        assert clock.seconds() < end, f"never: {what}"
        await clock.sleep(0.02)


def settings_of(name: str, port: int) -> BridgeSettings:
    """Of a bridge to the network of that name."""
    appservice = AppserviceOptions(
        id=name,
        as_token=AS_TOKEN,
        hs_token=HS_TOKEN,
        puppet_token=PUPPET_TOKEN,
        bot=f"{name}bot",
        users=f"{name}_{{}}",
        aliases=f"{name}_{{}}",
        port=port,
    )
    return BridgeSettings(
        homeserver=HomeserverOptions(server_name=ServerName(SERVER)),
        appservice=appservice,
        public=PublicOptions(address=BaseUrl("https://bridge.test"), secret=SECRET),
        provisioning=ProvisioningOptions(shared_secret=SECRET),
        portals=PortalOptions(create="asked"),
        permissions={"*": "relay", SERVER: "user", "@admin:hearth.test": "admin"},
    )


def registrations(name: str, directory: Path, port: int) -> list[Path]:
    """Those of the bridge and of its double puppets, in files."""
    spec = {
        "id": name,
        "url": f"http://127.0.0.1:{port}",
        "as_token": AS_TOKEN,
        "hs_token": HS_TOKEN,
        "sender_localpart": f"{name}bot",
        "rate_limited": False,
        "receive_ephemeral": True,
        "protocols": [name],
        "namespaces": {
            "users": [{"regex": f"@{name}_.+:hearth.test", "exclusive": True}],
            "aliases": [{"regex": f"#{name}_.+:hearth.test", "exclusive": True}],
            "rooms": [],
        },
    }
    puppets = {
        "id": f"{name}-puppets",
        "url": None,
        "as_token": PUPPET_TOKEN,
        "hs_token": "unused",
        "sender_localpart": f"{name}-puppets",
        "rate_limited": False,
        "namespaces": {"users": [{"regex": "@.*:hearth.test", "exclusive": False}]},
    }
    files = []
    for each in (spec, puppets):
        file = directory / f"{each['id']}.yaml"
        file.write_text(yaml.safe_dump(each))
        files.append(file)
    return files


@pytest_twisted.async_yield_fixture
async def town(start_homeserver: Any, tmp_path: Path) -> Iterator[Town]:
    """A bridge that runs beside a homeserver."""
    port = free_port()
    files = ", ".join(map(str, registrations("fake", tmp_path, port)))
    hs = await start_homeserver(f"app_service_config_files: [{files}]\n")
    found = Town(hs, settings_of("fake", port))
    await found.bridge.start()
    yield found
    await found.bridge.stop()
    await hs.server.appservices.stop()


def passes(test: Callable[[dict[str, Any]], Any], value: dict[str, Any]) -> bool:
    """Is it true of the value? What it lacks, it is not."""
    try:
        return bool(test(value))
    except (KeyError, TypeError, IndexError):
        return False
