"""Two homeservers and users of both, one pair for all tests of a file; and what tests of memberships ask often."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from attrs import frozen

from matrix.events import Json
from tests.support.database import TestServer
from tests.support.federation import Network
from tests.support.homeserver import Client, Homeserver, q

# So often a client comes again for what another server has yet to send; each time it waits so long.
MAX_SYNCS, WAIT_MS = 30, 2_000


@frozen
class Pair:
    """alice and anna are of one.test, bob and carol of two.test."""

    network: Network
    one: Homeserver
    two: Homeserver
    alice: Client
    anna: Client
    bob: Client
    carol: Client


@pytest_twisted.async_yield_fixture(scope="module")
async def pair(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    network = Network(postgres, tmp_path_factory.mktemp("pair"))
    one = await network.start("one.test", "allow_public_rooms_over_federation: true\n")
    two = await network.start("two.test")
    users = [await hs.register(name) for hs, name in ((one, "alice"), (one, "anna"), (two, "bob"), (two, "carol"))]
    yield Pair(network, one, two, *users)
    await network.close()


async def join(client: Client, room: str, *via: str) -> str:
    """The id of the room that was joined by its id or alias."""
    return str((await client.ok("POST", _joining(room, via), {}))["room_id"])


async def refused(client: Client, method: str, path: str, json: Any = None) -> tuple[int, str | None]:
    response = await client.ask(method, path, json)
    return response.status, response.errcode


async def refused_join(client: Client, room: str, *via: str) -> tuple[int, str | None]:
    return await refused(client, "POST", _joining(room, via), {})


def _joining(room: str, via: tuple[str, ...]) -> str:
    return f"/join/{q(room)}" + ("?" + "&".join(f"via={server}" for server in via) if via else "")


async def sync_until(client: Client, is_there: Callable[[Json], bool]) -> Json:
    """The first answer of which it is true, of those that come from now on."""
    for _ in range(MAX_SYNCS):
        answer: Json = await client.sync(timeout=WAIT_MS)
        if is_there(answer):
            return answer
    raise AssertionError(f"{client.user_id} was not told")


async def room_part(client: Client, kind: str, room: str) -> Json:
    """The part of a room that is told as `join`, `invite`, `knock` or `leave`, as soon as it is."""
    answer = await sync_until(client, lambda answer: room in answer.get("rooms", {}).get(kind, {}))
    part: Json = answer["rooms"][kind][room]
    return part


async def has_text(client: Client, room: str, *texts: str) -> None:
    """Comes back when the messages have arrived. One answer may bring several: who waits for them waits once."""
    seen: list[str] = []

    def look(answer: Json) -> bool:
        part = answer.get("rooms", {}).get("join", {}).get(room, {})
        seen.extend(event["content"].get("body", "") for event in part.get("timeline", {}).get("events", []))
        return set(texts) <= set(seen)

    await sync_until(client, look)


async def until_member(client: Client, room: str, user_id: str, membership: str) -> None:
    """Comes back when the client's server knows that the user is what it says."""
    for _ in range(MAX_SYNCS):
        response = await client.ask("GET", f"/rooms/{q(room)}/state/m.room.member/{q(user_id)}")
        if response.json.get("membership") == membership:
            return
        await client.sync(timeout=WAIT_MS)
    raise AssertionError(f"{client.user_id} was not told that {user_id} is {membership}")


async def member(client: Client, room: str, user_id: str) -> Json:
    content: Json = await client.get(f"/rooms/{q(room)}/state/m.room.member/{q(user_id)}")
    return content


def asked(pair: Pair, path: str) -> int:
    """How often a server was asked at paths that contain this."""
    return len(pair.network.sent(path))


INVITE_ONLY: Json = {"preset": "private_chat"}


def join_rule(rule: str, **more: Any) -> Json:
    return {"initial_state": [{"type": "m.room.join_rules", "content": {"join_rule": rule, **more}}]}
