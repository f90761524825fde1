"""Tags of rooms."""

from twisted.internet.defer import gatherResults

from tests.integration.client_api.accounts_server import Server, User, server

__all__ = ["server"]

ROOM = "!room:hearth.test"


def tags(user: User, tag: str | None = None) -> str:
    return f"/user/{user.user_id}/rooms/{ROOM}/tags" + ("" if tag is None else f"/{tag}")


async def test_tags_are_put_and_taken_off(server: Server) -> None:
    alice = await server.register()
    assert (await alice.get(tags(alice))).json == {"tags": {}}
    assert (await alice.ask("PUT", tags(alice, "m.favourite"), {"order": 0.5})).json == {}
    assert (await alice.ask("PUT", tags(alice, "u.%E2%98%95"), {})).status == 200
    assert (await alice.get(tags(alice))).json == {"tags": {"m.favourite": {"order": 0.5}, "u.☕": {}}}
    assert (await alice.ask("DELETE", tags(alice, "m.favourite"))).status == 200
    assert (await alice.ask("DELETE", tags(alice, "m.favourite"))).status == 200
    assert (await alice.get(tags(alice))).json == {"tags": {"u.☕": {}}}


async def test_tags_are_the_rooms_account_data(server: Server) -> None:
    alice = await server.register()
    await alice.ask("PUT", tags(alice, "u.a"), {"order": 1})
    response = await alice.get(f"/user/{alice.user_id}/rooms/{ROOM}/account_data/m.tag")
    assert response.json == {"tags": {"u.a": {"order": 1}}}


async def test_tags_put_at_the_same_time_are_all_kept(server: Server) -> None:
    alice = await server.register()
    await gatherResults(
        [
            alice.server._client.request(
                "PUT", "/_matrix/client/v3" + tags(alice, f"u.{n}"), json={}, token=alice.token
            )
            for n in range(20)
        ]
    )
    assert len((await alice.get(tags(alice))).json["tags"]) == 20


async def test_bad_tags_are_refused(server: Server) -> None:
    alice, bob = await server.register(), await server.register("bob")
    assert (await alice.ask("PUT", tags(alice, "x" * 256), {})).errcode == "M_INVALID_PARAM"
    assert (await alice.ask("PUT", tags(alice, "u.a"), {"order": []})).errcode == "M_BAD_JSON"
    assert (await alice.ask("PUT", tags(alice, "u.a"), [])).errcode == "M_BAD_JSON"
    assert (await bob.ask("PUT", tags(alice, "u.a"), {})).errcode == "M_FORBIDDEN"
    assert (await bob.get(tags(alice))).status == 403


async def test_an_m_tag_of_another_shape_has_no_tags(server: Server) -> None:
    alice = await server.register()
    await alice.ask("PUT", f"/user/{alice.user_id}/rooms/{ROOM}/account_data/m.tag", {"tags": [1]})
    assert (await alice.get(tags(alice))).json == {"tags": {}}
    assert (await alice.ask("PUT", tags(alice, "u.a"), {})).status == 200
    assert (await alice.get(tags(alice))).json == {"tags": {"u.a": {}}}
