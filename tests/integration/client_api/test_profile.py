"""Profiles."""

from typing import Any

import pytest

from homeserver.services.users.settings import ProfileSettings
from matrix.ids import UserId
from tests.integration.client_api.accounts_server import SERVER, Server, Settings, make_server, server

__all__ = ["make_server", "server"]


async def test_the_display_name_and_the_avatar_are_set(server: Server) -> None:
    alice = await server.register()
    profile = f"/profile/{alice.user_id}"
    assert (await alice.ask("PUT", f"{profile}/displayname", {"displayname": "Alice"})).status == 200
    assert (await alice.ask("PUT", f"{profile}/avatar_url", {"avatar_url": "mxc://a/b"})).status == 200
    assert (await server.ask("GET", profile)).json == {"displayname": "Alice", "avatar_url": "mxc://a/b"}
    assert (await server.ask("GET", f"{profile}/displayname")).json == {"displayname": "Alice"}
    assert server.profile_changes == [alice.user_id] * 2


async def test_any_further_field_may_be_set_and_removed(server: Server) -> None:
    alice = await server.register()
    profile = f"/profile/{alice.user_id}"
    value = {"list": [1, 2.5, None], "text": "a\x00b"}
    assert (await alice.ask("PUT", f"{profile}/m.tz", {"m.tz": "Europe/Berlin"})).status == 200
    assert (await alice.ask("PUT", f"{profile}/org.example.x", {"org.example.x": value})).status == 200
    assert (await alice.get(profile)).json == {
        "displayname": "alice", "m.tz": "Europe/Berlin", "org.example.x": value
    }  # fmt: skip
    assert (await alice.ask("DELETE", f"{profile}/org.example.x")).status == 200
    assert (await alice.get(f"{profile}/org.example.x")).errcode == "M_NOT_FOUND"
    assert (await alice.ask("DELETE", f"{profile}/org.example.x")).status == 200
    assert server.profile_changes == []


async def test_an_empty_name_is_none(server: Server) -> None:
    alice = await server.register()
    name = f"/profile/{alice.user_id}/displayname"
    assert (await alice.ask("PUT", name, {"displayname": ""})).status == 200
    assert (await alice.get(name)).status == 404
    assert (await alice.get(f"/profile/{alice.user_id}")).json == {}


@pytest.mark.parametrize(
    ("key", "body", "errcode"),
    [
        ("displayname", {}, "M_MISSING_PARAM"),
        ("displayname", {"displayname": 1}, "M_INVALID_PARAM"),
        ("displayname", {"displayname": None}, "M_INVALID_PARAM"),
        ("displayname", {"displayname": "a\x00"}, "M_INVALID_PARAM"),
        ("displayname", {"displayname": "x" * 257}, "M_INVALID_PARAM"),
        ("avatar_url", {"avatar_url": "https://elsewhere.test/a.png"}, "M_INVALID_PARAM"),
        ("m.tz", {"m.tz": 1}, "M_INVALID_PARAM"),
        ("Capital", {"Capital": 1}, "M_INVALID_PARAM"),
        ("a%00", {"a": 1}, "M_INVALID_PARAM"),
        ("a" * 256, {"a": 1}, "M_KEY_TOO_LARGE"),
        ("org.example", {"org.example": "x" * 65_536}, "M_PROFILE_TOO_LARGE"),
        ("org.example", [], "M_BAD_JSON"),
    ],
)
async def test_what_cannot_be_in_a_profile_is_refused(server: Server, key: str, body: Any, errcode: str) -> None:
    alice = await server.register()
    response = await alice.ask("PUT", f"/profile/{alice.user_id}/{key}", body)
    assert (response.status, response.errcode) == (400, errcode)


async def test_the_whole_profile_has_a_limit(server: Server) -> None:
    alice = await server.register()
    first = await alice.ask("PUT", f"/profile/{alice.user_id}/org.a", {"org.a": "x" * 40_000})
    second = await alice.ask("PUT", f"/profile/{alice.user_id}/org.b", {"org.b": "x" * 40_000})
    assert (first.status, second.errcode) == (200, "M_PROFILE_TOO_LARGE")
    assert "org.b" not in (await alice.get(f"/profile/{alice.user_id}")).json


async def test_only_the_owner_and_an_admin_change_it(server: Server) -> None:
    alice, root = await server.register(), await server.register("root")
    name = f"/profile/{alice.user_id}/displayname"
    assert (await root.ask("PUT", name, {"displayname": "x"})).errcode == "M_FORBIDDEN"
    await server.accounts.set_flags(UserId(root.user_id), admin=True)
    assert (await root.ask("PUT", name, {"displayname": "x"})).status == 200


async def test_a_guest_changes_the_display_name_alone(server: Server) -> None:
    guest = (await server.ask("POST", "/register?kind=guest", {})).json
    profile, token = f"/profile/{guest['user_id']}", guest["access_token"]
    name = await server.ask("PUT", f"{profile}/displayname", {"displayname": "G"}, token=token)
    avatar = await server.ask("PUT", f"{profile}/avatar_url", {"avatar_url": "mxc://a/b"}, token=token)
    assert (name.status, avatar.status) == (200, 403)


async def test_nobody_has_no_profile(server: Server) -> None:
    for user in (f"@nobody:{SERVER}", "@a:elsewhere.test"):
        response = await server.ask("GET", f"/profile/{user}")
        assert (response.status, response.errcode) == (404, "M_NOT_FOUND")
    assert (await server.ask("GET", "/profile/nonsense")).errcode == "M_INVALID_PARAM"


async def test_the_server_may_keep_names_to_itself(make_server: Any) -> None:
    server = make_server(Settings(profiles=ProfileSettings(enable_set_displayname=False)))
    alice = await server.register()
    response = await alice.ask("PUT", f"/profile/{alice.user_id}/displayname", {"displayname": "x"})
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_profiles_of_many_are_read_at_once(server: Server) -> None:
    alice, bob = await server.register(), await server.register("bob")
    found = await server.profiles.of_local_users([alice.user_id, bob.user_id, "@nobody:x"])
    assert found == {
        alice.user_id: {"displayname": "alice"}, bob.user_id: {"displayname": "bob"}, "@nobody:x": {}
    }  # fmt: skip
