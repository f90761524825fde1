"""Account data and ignored users."""

import pytest

from storage import account_data
from storage.change import Entry, Kind
from tests.integration.client_api.accounts_server import Server, User, server

__all__ = ["server"]

ROOM = "!room:hearth.test"


def path(user: User, kind: str, room: str | None = None) -> str:
    where = "" if room is None else f"/rooms/{room}"
    return f"/user/{user.user_id}{where}/account_data/{kind}"


@pytest.mark.parametrize("room", [None, ROOM])
async def test_what_is_put_is_got(server: Server, room: str | None) -> None:
    alice = await server.register()
    content = {"a": [1, {"b": None}], "nul": "\x00"}
    assert (await alice.ask("PUT", path(alice, "org.example", room), {"old": True})).status == 200
    assert (await alice.ask("PUT", path(alice, "org.example", room), content)).json == {}
    assert (await alice.get(path(alice, "org.example", room))).json == content


async def test_rooms_do_not_inherit(server: Server) -> None:
    alice = await server.register()
    await alice.ask("PUT", path(alice, "org.example"), {"a": 1})
    response = await alice.get(path(alice, "org.example", ROOM))
    assert (response.status, response.errcode) == (404, "M_NOT_FOUND")


async def test_it_is_nobody_elses(server: Server) -> None:
    alice, bob = await server.register(), await server.register("bob")
    for method in ("GET", "PUT"):
        response = await bob.ask(method, path(alice, "a"), {} if method == "PUT" else None)
        assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize("kind", ["m.fully_read", "m.push_rules"])
@pytest.mark.parametrize("room", [None, ROOM])
async def test_what_the_server_manages_is_not_set(server: Server, kind: str, room: str | None) -> None:
    alice = await server.register()
    response = await alice.ask("PUT", path(alice, kind, room), {})
    assert (response.status, response.errcode) == (405, "M_BAD_JSON")


async def test_what_another_part_knows_is_read_like_the_rest(server: Server) -> None:
    alice = await server.register()
    assert (await alice.get(path(alice, "m.push_rules"))).json == {"global": {}}


async def test_what_is_no_object_or_no_room_is_refused(server: Server) -> None:
    alice = await server.register()
    assert (await alice.ask("PUT", path(alice, "a"), [1])).errcode == "M_BAD_JSON"
    assert (await alice.ask("PUT", path(alice, "a" * 300), {})).errcode == "M_INVALID_PARAM"
    assert (await alice.ask("PUT", path(alice, "a", "@no:room"), {})).errcode == "M_INVALID_PARAM"
    assert (await alice.ask("PUT", path(alice, "a"))).errcode == "M_NOT_JSON"


async def test_it_is_announced_and_found_by_sync(server: Server) -> None:
    told: list[Entry] = []
    server.stream.read_by(told.extend)
    alice = await server.register()
    await alice.ask("PUT", path(alice, "a"), {"n": 1})
    before = server.stream.position
    await alice.ask("PUT", path(alice, "b", ROOM), {"n": 2})
    bodies = [entry.body for entry in told if entry.kind is Kind.ACCOUNT_DATA]
    assert bodies == [{"room_id": "", "type": "a"}, {"room_id": ROOM, "type": "b"}]
    upto = server.stream.position
    assert await server.db.read(account_data.changed_since, alice.user_id, before, upto) == [(ROOM, "b", '{"n":2}')]
    assert sorted(await server.db.read(account_data.all_of, alice.user_id)) == [
        ("", "a", '{"n":1}'), (ROOM, "b", '{"n":2}')
    ]  # fmt: skip


async def test_deleted_data_is_gone_but_told(server: Server) -> None:
    alice = await server.register()
    await alice.ask("PUT", path(alice, "a"), {"n": 1})
    before = server.stream.position
    unstable = "/_matrix/client/unstable/org.matrix.msc3391" + path(alice, "a")
    assert (await alice.ask("DELETE", unstable)).status == 200
    assert (await alice.get(path(alice, "a"))).status == 404
    upto = server.stream.position
    assert await server.db.read(account_data.changed_since, alice.user_id, before, upto) == [("", "a", "{}")]
    assert await server.db.read(account_data.all_of, alice.user_id) == []


@pytest.mark.parametrize("room", [None, ROOM])
async def test_an_empty_content_deletes(server: Server, room: str | None) -> None:
    alice = await server.register()
    await alice.ask("PUT", path(alice, "a", room), {"n": 1})
    before = server.stream.position
    assert (await alice.ask("PUT", path(alice, "a", room), {})).status == 200
    assert (await alice.get(path(alice, "a", room))).status == 404
    changed = await server.db.read(account_data.changed_since, alice.user_id, before, server.stream.position)
    assert changed == [(room or "", "a", "{}")]
    assert (await alice.ask("DELETE", path(alice, "a", room))).status == 200


async def test_ignored_users_are_known_at_once(server: Server) -> None:
    alice = await server.register()
    assert await server.ignored_users.of(alice.user_id) == frozenset()
    ignored = {"@eve:x": {}, alice.user_id: {}}
    await alice.ask("PUT", path(alice, "m.ignored_user_list"), {"ignored_users": ignored})
    assert await server.ignored_users.of(alice.user_id) == {"@eve:x"}
    await alice.ask("PUT", path(alice, "m.ignored_user_list"), {"ignored_users": "nonsense"})
    assert await server.ignored_users.of(alice.user_id) == frozenset()
