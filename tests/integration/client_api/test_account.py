"""Passwords, deactivation, locks, suspension, capabilities, versions."""

from typing import Any

from homeserver.services.users.settings import PasswordSettings, ProfileSettings
from matrix.ids import UserId
from tests.integration.client_api.accounts_server import SERVER, Server, Settings, User, make_server, server

__all__ = ["make_server", "server"]


async def change_password(user: User, **body: Any) -> Any:
    return await user.ask("POST", "/account/password", {"new_password": "new horse", "auth": user.auth, **body})


async def admin(server: Server) -> User:
    root = await server.register("root")
    await server.accounts.set_flags(UserId(root.user_id), admin=True)
    return root


async def test_a_password_is_changed_after_proving_the_old_one(server: Server) -> None:
    alice = await server.register()
    unproved = await alice.ask("POST", "/account/password", {"new_password": "new horse"})
    assert (unproved.status, unproved.json["flows"]) == (401, [{"stages": ["m.login.password"]}])
    assert (await change_password(alice)).status == 200
    assert (await server.login_as("alice")).status == 403
    assert (await server.login_as("alice", "new horse")).status == 200


async def test_a_new_password_keeps_its_own_session_with_its_refresh_token(server: Server) -> None:
    alice = await server.register(refresh_token=True)
    other = await alice.log_in_again()
    assert (await change_password(alice)).status == 200
    assert await alice.is_logged_in()
    assert not await other.is_logged_in()
    assert (await server.ask("POST", "/refresh", {"refresh_token": alice.session["refresh_token"]})).status == 200


async def test_other_sessions_stay_if_the_client_wishes(server: Server) -> None:
    alice = await server.register()
    other = await alice.log_in_again()
    assert (await change_password(alice, logout_devices=False)).status == 200
    assert await other.is_logged_in()


async def test_without_a_session_the_old_password_says_whose_it_is(server: Server) -> None:
    alice = await server.register()
    response = await server.ask("POST", "/account/password", {"new_password": "new horse", "auth": alice.auth})
    assert response.status == 200
    assert not await alice.is_logged_in()
    assert (await server.login_as("alice", "new horse")).status == 200


async def test_another_users_password_proves_nothing(server: Server) -> None:
    alice = await server.register()
    bob = await server.register("bob", "another horse")
    response = await change_password(alice, auth=bob.auth)
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")
    assert (await server.login_as("alice")).status == 200


async def test_a_weak_new_password_is_refused_before_any_stage(make_server: Any) -> None:
    server = make_server(Settings(passwords=PasswordSettings(minimum_length=10)))
    alice = await server.register()
    response = await alice.ask("POST", "/account/password", {"new_password": "short"})
    assert (response.status, response.errcode) == (400, "M_PASSWORD_TOO_SHORT")


async def test_a_closed_account_is_closed(server: Server) -> None:
    alice = await server.register(refresh_token=True)
    await alice.ask("PUT", f"/user/{alice.user_id}/account_data/a", {"b": 1})
    assert (await alice.ask("POST", "/account/deactivate", {})).status == 401
    response = await alice.ask("POST", "/account/deactivate", {"auth": alice.auth})
    assert (response.status, response.json) == (200, {"id_server_unbind_result": "success"})
    assert not await alice.is_logged_in()
    login = await server.login_as("alice")
    assert (login.status, login.errcode) == (403, "M_USER_DEACTIVATED")
    assert server.left == [alice.user_id]
    for table in ("access_tokens", "refresh_tokens", "devices", "account_data", "users_leaving"):
        assert server.rows(f"SELECT count(*) FROM {table}") == [(0,)], table
    taken = await server.ask("GET", "/register/available?username=alice")
    assert taken.errcode == "M_USER_IN_USE"


async def test_erasure_takes_the_profile_too(server: Server) -> None:
    alice, bob = await server.register(), await server.register("bob")
    await alice.ask("POST", "/account/deactivate", {"auth": alice.auth, "erase": True})
    assert (await bob.get(f"/profile/{alice.user_id}")).status == 404
    assert (await server.accounts.get(alice.user_id)).is_erased


async def test_leaving_rooms_goes_on_after_a_restart(server: Server) -> None:
    alice = await server.register()
    server.rows(f"INSERT INTO users_leaving VALUES ('{alice.user_id}')")
    await server.deactivation.resume()
    await server.deactivation.resume()
    assert server.left == [alice.user_id]


async def test_a_reactivated_account_has_a_new_password(server: Server) -> None:
    alice = await server.register()
    await alice.ask("POST", "/account/deactivate", {"auth": alice.auth})
    await server.accounts.reactivate(UserId(alice.user_id), "fresh horse")
    assert (await server.login_as("alice", "fresh horse")).status == 200


async def test_a_locked_user_may_only_log_out(server: Server) -> None:
    root, alice = await admin(server), await server.register()
    lock = f"/_matrix/client/v1/admin/lock/{alice.user_id}"
    assert (await root.ask("PUT", lock, {"locked": True})).json == {"locked": True}
    assert (await root.get(lock)).json == {"locked": True}
    refused = await alice.get("/account/whoami")
    assert (refused.status, refused.errcode, refused.json["soft_logout"]) == (401, "M_USER_LOCKED", True)
    assert (await server.login_as("alice")).errcode == "M_USER_LOCKED"
    await root.ask("PUT", lock, {"locked": False})
    assert await alice.is_logged_in()
    await root.ask("PUT", lock, {"locked": True})
    assert (await alice.ask("POST", "/logout")).status == 200


async def test_a_suspended_user_does_not_change_the_profile(server: Server) -> None:
    root, alice = await admin(server), await server.register()
    path = f"/_matrix/client/v1/admin/suspend/{alice.user_id}"
    assert (await root.ask("PUT", path, {"suspended": True})).json == {"suspended": True}
    refused = await alice.ask("PUT", f"/profile/{alice.user_id}/displayname", {"displayname": "A"})
    assert (refused.status, refused.errcode) == (403, "M_USER_SUSPENDED")
    assert await alice.is_logged_in()


async def test_only_admins_moderate_and_only_others(server: Server) -> None:
    root, alice = await admin(server), await server.register()
    path = "/_matrix/client/v1/admin/suspend/"
    assert (await alice.ask("PUT", path + root.user_id, {"suspended": True})).status == 403
    assert (await root.ask("PUT", path + root.user_id, {"suspended": True})).status == 403
    assert (await root.get(path + "@a:elsewhere.test")).errcode == "M_INVALID_PARAM"
    assert (await root.get(path + f"@nobody:{SERVER}")).errcode == "M_NOT_FOUND"
    other = await server.register("other")
    await server.accounts.set_flags(UserId(other.user_id), admin=True)
    assert (await root.ask("PUT", path + other.user_id, {"suspended": True})).status == 403


async def test_another_process_hears_of_what_ends_a_session(server: Server, make_server: Any) -> None:
    alice = await server.register()
    elsewhere = make_server(Settings())
    assert (await elsewhere.ask("GET", "/account/whoami", token=alice.token)).status == 200
    told: list[Any] = []
    server.stream.read_by(told.extend)
    await alice.ask("POST", "/logout")
    for part in (elsewhere.accounts, elsewhere.profiles, elsewhere.ignored_users):
        part.hear(told)
    assert (await elsewhere.ask("GET", "/account/whoami", token=alice.token)).status == 401


async def test_whoami_is_answered_from_memory(server: Server) -> None:
    alice = await server.register()
    assert await alice.is_logged_in()
    server.rows("DELETE FROM access_tokens")
    assert await alice.is_logged_in()


async def test_capabilities_say_what_the_server_allows(make_server: Any) -> None:
    server = make_server(Settings(profiles=ProfileSettings(enable_set_avatar_url=False)))
    alice, root = await server.register(), await admin(server)
    capabilities = (await alice.get("/capabilities")).json["capabilities"]
    assert capabilities["m.room_versions"]["default"] == "12"
    assert capabilities["m.room_versions"]["available"]["1"] == "stable"
    assert capabilities["m.profile_fields"] == {"enabled": True, "disallowed": ["avatar_url"]}
    assert capabilities["m.set_avatar_url"] == {"enabled": False}
    assert "m.account_moderation" not in capabilities
    assert "m.account_moderation" in (await root.get("/capabilities")).json["capabilities"]


async def test_every_version_is_listed_by_name(server: Server) -> None:
    response = await server.ask("GET", "/_matrix/client/versions", token="expired")
    assert response.status == 200
    assert {"r0.6.1", "v1.1", "v1.11", "v1.19"} <= set(response.json["versions"])
    assert response.json["unstable_features"] == {"org.example": True}


async def test_well_known_documents_are_served_where_there_are_any(server: Server) -> None:
    assert (await server.ask("GET", "/.well-known/matrix/client")).json == {"m.homeserver": {}}
    assert (await server.ask("GET", "/.well-known/matrix/server")).errcode == "M_NOT_FOUND"
    assert (await server.ask("GET", "/.well-known/matrix/support")).status == 404


async def test_passwords_may_be_for_confirmation_alone(make_server: Any) -> None:
    server = make_server(Settings(passwords=PasswordSettings(enabled=False)))
    alice = await server.register()
    assert (await server.login_as("alice")).status == 400
    assert (await change_password(alice)).status == 200


async def test_passwords_may_be_switched_off(make_server: Any) -> None:
    server = make_server(Settings(passwords=PasswordSettings(enabled=False, for_reauth=False)))
    alice = await server.register()
    assert (await change_password(alice)).errcode == "M_FORBIDDEN"
    assert (await alice.ask("DELETE", "/devices/ANY", {"auth": alice.auth})).status == 401
