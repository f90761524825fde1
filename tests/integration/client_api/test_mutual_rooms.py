"""Rooms in which two users are together; networks that no bridge reaches."""

from typing import Any

import pytest

from homeserver.services.rooms import mutual_rooms
from tests.support.homeserver import Homeserver

STABLE = "/_matrix/client/v1/mutual_rooms"
OLD = "/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms"


@pytest.mark.parametrize("path", [STABLE, OLD])
async def test_only_rooms_that_both_are_joined_to_count(hs: Homeserver, path: str) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    together = await alice.create_room()
    await bob.join(together)
    await alice.create_room(invite=[bob])
    left = await alice.create_room()
    await bob.join(left)
    await bob.leave(left)
    await bob.create_room()
    assert await alice.get(path, user_id=bob.user_id) == {"joined": [together], "count": 1}
    assert await alice.get(path, user_id="@nobody:elsewhere.test") == {"joined": [], "count": 0}


@pytest.mark.parametrize(
    ("path", "token", "following"), [(STABLE, "from", "next_batch"), (OLD, "batch_token", "next_batch_token")]
)
async def test_pages_follow_one_another(
    hs: Homeserver, monkeypatch: pytest.MonkeyPatch, path: str, token: str, following: str
) -> None:
    monkeypatch.setattr(mutual_rooms, "PAGE", 2)
    alice, bob = await hs.register("alice"), await hs.register("bob")
    rooms = [await alice.create_room() for _ in range(3)]
    for room in rooms:
        await bob.join(room)
    first = await alice.get(path, user_id=bob.user_id)
    second = await alice.get(path, user_id=bob.user_id, **{token: first[following]})
    assert [*first["joined"], *second["joined"]] == rooms
    assert (first["count"], following in second) == (3, False)


@pytest.mark.parametrize("query", [{}, {"user_id": "nonsense"}, {"user_id": "@b:c", "from": "x"}])
async def test_a_broken_question_is_refused(hs: Homeserver, query: Any) -> None:
    alice = await hs.register("alice")
    assert (await alice.ask("GET", STABLE, **query)).errcode in ("M_MISSING_PARAM", "M_INVALID_PARAM")


async def test_nobody_asks_about_himself(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    response = await alice.ask("GET", STABLE, user_id=alice.user_id)
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_without_bridges_there_are_no_other_networks(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    assert await alice.get("/thirdparty/protocols") == {}
    for path in ("protocol/irc", "location/irc", "user/irc", "location?alias=%23a:b", "user?userid=%40a:b"):
        response = await alice.ask("GET", f"/thirdparty/{path}")
        assert (response.status, response.errcode) == (404, "M_NOT_FOUND"), path
    assert (await alice.ask("GET", "/thirdparty/user")).errcode == "M_MISSING_PARAM"
