"""From where a user's devices came: for themselves and for admins."""

from tests.support.homeserver import PASSWORD, Homeserver, q


async def test_a_user_sees_from_where_their_devices_came(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    found = await alice.get(f"/admin/whois/{q(alice.user_id)}")
    assert found["user_id"] == alice.user_id
    [session] = found["devices"][alice.device_id]["sessions"]
    [connection] = session["connections"]
    assert connection["ip"]
    assert connection["last_seen"] > 0


async def test_an_admin_sees_it_of_all_users_of_this_server(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    await hs.server.register_user("admin", PASSWORD, admin=True)
    admin = await hs.log_in("admin")
    assert (await admin.get(f"/admin/whois/{q(alice.user_id)}"))["devices"].keys() == {alice.device_id}
    assert (await admin.ask("GET", f"/admin/whois/{q('@nobody:hearth.test')}")).status == 404
    assert (await admin.ask("GET", f"/admin/whois/{q('@alice:elsewhere.test')}")).status == 400


async def test_others_do_not(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    assert (await bob.ask("GET", f"/admin/whois/{q(alice.user_id)}")).status == 403
