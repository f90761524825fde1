"""What many of these tests begin with."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from storage import bridges_inbox as rows
from storage.bridges_inbox import NETWORK, Accepted
from tests.support.bridges import Town, eventually
from tests.support.homeserver import Client


async def opened(town: Town, *people: str) -> tuple[Client, str]:
    """Alice in the room of the channel C1, in which are these people (U1, if none are named)."""
    if "C1" not in town.remote.channels:
        town.remote.add_channel("C1", "general", people or ("U1",))
    alice = await town.user("alice")
    return alice, await town.open("C1", alice)


async def signed_in(town: Town, client: Client, person: str) -> str:
    """The client has signed in as that person of the network; gives the management room."""
    room = await town.management_room(client)
    await town.command(client, room, "login token")
    answer = await town.command(client, room, f"token-{person}")
    assert "signed in" in answer, answer
    return room


async def event_like(
    town: Town, client: Client, room: str, is_it: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    """The first event of the room of which it is so, as soon as there is one."""
    found: list[dict[str, Any]] = []

    async def look() -> bool:
        found.extend(event for event in await town.events(client, room) if is_it(event))
        return bool(found)

    await eventually(look, "such an event")
    return found[0]


async def comes_to(look: Callable[[], Awaitable[object]], wanted: object) -> None:
    """Comes back when the look-up gives what is wanted."""
    seen: list[object] = []

    async def is_so() -> bool:
        seen[:] = [await look()]
        return seen == [wanted]

    try:
        await eventually(is_so, f"{wanted!r}")
    except AssertionError:
        raise AssertionError(f"{seen[0]!r} is not {wanted!r}") from None


def kept_deliveries(monkeypatch: pytest.MonkeyPatch) -> list[Accepted]:
    """What of the network is put into the inbox, from now on."""
    kept: list[Accepted] = []
    accept = rows.accept

    def noting(cur, bridge, items, *args, **kwargs):  # type: ignore[no-untyped-def]
        kept.extend(item for item in items if item.source == NETWORK)
        return accept(cur, bridge, items, *args, **kwargs)

    monkeypatch.setattr(rows, "accept", noting)
    return kept
