"""What users say of being invited: the specification's switch, and MSC4155's lists."""

from typing import Any

import pytest

from homeserver.services.rooms.invite_rules import Verdict, judge
from matrix.ids import UserId
from tests.support.homeserver import Client, Homeserver, q

LISTS = "org.matrix.msc4155.invite_permission_config"
BOB = UserId("@bob:hs2.test")


async def say(client: Client, kind: str, **content: Any) -> None:
    await client.ok("PUT", f"/user/{q(client.user_id)}/account_data/{kind}", content)


async def invite(inviter: Client, target: Client) -> Any:
    room = await inviter.create_room(preset="private_chat")
    return await inviter.ask("POST", f"/rooms/{q(room)}/invite", {"user_id": target.user_id})


async def invites(client: Client) -> list[str]:
    return list((await client.get("/sync")).get("rooms", {}).get("invite", {}))


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("m.invite_permission_config", {"default_action": "block"}),
        ("org.matrix.msc4380.invite_permission_config", {"default_action": "block"}),
        (LISTS, {"blocked_users": ["@bob:hearth.test"]}),
        (LISTS, {"blocked_servers": ["hearth.*"]}),
    ],
)
async def test_a_blocked_invite_is_refused(hs: Homeserver, kind: str, content: Any) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    await say(alice, kind, **content)
    response = await invite(bob, alice)
    assert (response.status, response.errcode) == (403, "M_INVITE_BLOCKED")
    assert await invites(alice) == []


async def test_an_ignored_invite_is_made_and_not_shown(hs: Homeserver) -> None:
    alice, bob, carol = [await hs.register(name) for name in ("alice", "bob", "carol")]
    await say(alice, LISTS, ignored_users=[bob.user_id])
    assert (await invite(bob, alice)).status == 200
    assert await invites(alice) == []
    assert (await invite(carol, alice)).status == 200
    assert len(await invites(alice)) == 1
    await say(alice, LISTS, ignored_users=[])
    assert len(await invites(alice)) == 2


async def test_a_room_with_a_blocked_invite_is_not_made(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    await say(alice, LISTS, blocked_users=["@b*"])
    response = await bob.ask("POST", "/createRoom", {"invite": [alice.user_id]})
    assert (response.status, response.errcode) == (403, "M_INVITE_BLOCKED")


@pytest.mark.parametrize(
    ("lists", "verdict"),
    [
        ({}, Verdict.ALLOW),
        ({"blocked_users": [BOB]}, Verdict.BLOCK),
        ({"ignored_users": [BOB], "blocked_users": [BOB]}, Verdict.IGNORE),
        ({"allowed_users": [BOB], "ignored_users": [BOB]}, Verdict.ALLOW),
        ({"allowed_users": ["@BOB:hs2.test"], "blocked_servers": ["*"]}, Verdict.ALLOW),
        ({"blocked_users": ["@b?b:*"], "allowed_servers": ["hs2.test"]}, Verdict.BLOCK),
        ({"allowed_servers": ["hs?.test"], "blocked_servers": ["*"]}, Verdict.ALLOW),
        ({"ignored_servers": ["hs*"]}, Verdict.IGNORE),
        ({"blocked_servers": ["hs"]}, Verdict.ALLOW),
        ({"blocked_servers": ["*"], "enabled": False}, Verdict.ALLOW),
        ({"blocked_users": None, "blocked_servers": "*"}, Verdict.ALLOW),
        ({"blocked_users": [1, None, {}]}, Verdict.ALLOW),
    ],
)
def test_the_first_list_that_names_the_inviter_decides(lists: Any, verdict: Verdict) -> None:
    assert judge({LISTS: lists}, BOB) is verdict
