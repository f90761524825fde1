"""Options of the operator, each with its effect: profiles, avatars, sync, downloads, how to reach the administrator."""

from typing import Any

import pytest

from tests.integration.federation.test_remote_media import download, upload
from tests.support.federation import Network
from tests.support.homeserver import Client, q

PATH = "/profile/{}/avatar_url"


async def set_avatar(client: Client, key: str) -> int:
    response = await client.ask("PUT", PATH.format(client.user_id), {"avatar_url": f"mxc://{key}"})
    return response.status


@pytest.mark.parametrize("option", ["max_avatar_size: 10", "allowed_avatar_mimetypes: [text/plain]"])
async def test_an_avatar_must_be_as_the_operator_wants(start_homeserver: Any, option: str) -> None:
    alice = await (await start_homeserver(option)).register("alice")
    good, bad = await upload(alice, b"small"), await upload(alice, b"much too large", "image/png")
    room = await alice.create_room()
    assert await set_avatar(alice, bad) == 403
    assert await set_avatar(alice, "hearth.test/nothing") == 403
    path = f"/rooms/{q(room)}/state/m.room.member/{q(alice.user_id)}"
    content = {"membership": "join", "avatar_url": f"mxc://{bad}"}
    assert (await alice.ask("PUT", path, content)).status == 403
    assert await set_avatar(alice, good) == 200
    assert (await alice.ask("PUT", path, {**content, "avatar_url": f"mxc://{good}"})).status == 200


async def test_users_are_called_the_same_in_all_rooms_if_the_operator_says_so(start_homeserver: Any) -> None:
    alice = await (await start_homeserver("allow_per_room_profiles: false")).register("alice")
    room = await alice.create_room()
    path = f"/rooms/{q(room)}/state/m.room.member/{q(alice.user_id)}"
    await alice.ok("PUT", path, {"membership": "join", "displayname": "Somebody", "org.own": 1})
    content = await alice.get(path)
    assert (content["displayname"], content["org.own"]) == ("alice", 1)


async def test_invites_need_not_name_the_invited(start_homeserver: Any) -> None:
    hs = await start_homeserver("include_profile_data_on_invite: false")
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await alice.invite(room, bob)
    assert await alice.get(f"/rooms/{q(room)}/state/m.room.member/{q(bob.user_id)}") == {"membership": "invite"}


async def test_an_excluded_room_is_in_no_sync(start_homeserver: Any) -> None:
    hs = await start_homeserver()
    alice = await hs.register("alice")
    hidden, shown = await alice.create_room(), await alice.create_room()
    again = alice.at(await start_homeserver(f"exclude_rooms_from_sync: ['{hidden}', '!unknown:hearth.test']"))
    assert list((await again.sync())["rooms"]["join"]) == [shown]
    await again.send(hidden)
    await again.send(shown)
    assert list((await again.sync())["rooms"]["join"]) == [shown]


@pytest.mark.parametrize(("option", "count"), [("filter_timeline_limit: 2", 2), ("filter_timeline_limit: -1", 110)])
async def test_a_timeline_is_as_long_as_the_operator_allows(start_homeserver: Any, option: str, count: int) -> None:
    hs = await start_homeserver(option)
    alice = await hs.register("alice")
    room = await alice.create_room()
    for _ in range(105):
        await alice.send(room)
    timeline = await alice.timeline(room, filter='{"room":{"timeline":{"limit":110}}}')
    assert len(timeline) == count


async def test_of_other_servers_media_each_address_gets_so_much(network: Network) -> None:
    one = await network.start("one.test")
    options = "remote_media_download_per_second: 1\nremote_media_download_burst_count: 1000"
    two = await network.start("two.test", options)
    alice, bob = await one.register("alice"), await two.register("bob")
    large, small = await upload(alice, b"x" * 5000), await upload(alice, b"y")
    assert (await download(bob, large)).status == 200
    response = await download(bob, small)
    assert (response.status, response.json["errcode"]) == (429, "M_LIMIT_EXCEEDED")
    assert (await download(bob, large)).status == 200


@pytest.mark.parametrize(
    ("contact", "said"),
    [
        ("mailto:admin@hearth.test", {"contacts": [{"role": "m.role.admin", "email_address": "admin@hearth.test"}]}),
        ("@admin:hearth.test", {"contacts": [{"role": "m.role.admin", "matrix_id": "@admin:hearth.test"}]}),
        ("https://hearth.test/help", {"support_page": "https://hearth.test/help"}),
    ],
)
async def test_the_administrator_can_be_found(start_homeserver: Any, contact: str, said: Any) -> None:
    hs = await start_homeserver(f"admin_contact: '{contact}'")
    assert (await hs.ask("GET", "/.well-known/matrix/support")).json == said


async def test_users_may_know_with_whom_the_server_speaks(start_homeserver: Any) -> None:
    path = "/_synapse/client/v1/config/federation_whitelist"
    alice = await (await start_homeserver()).register("alice")
    assert (await alice.ask("GET", path)).status == 404
    more = "federation_whitelist_endpoint_enabled: true"
    hs = await start_homeserver(more)
    assert await alice.at(hs).get(path) == {"whitelist_enabled": False, "whitelist": []}
    hs = await start_homeserver(more + "\nfederation_domain_whitelist: [friend.test]")
    assert await alice.at(hs).get(path) == {"whitelist_enabled": True, "whitelist": ["friend.test"]}
    assert (await hs.ask("GET", path)).status == 401
