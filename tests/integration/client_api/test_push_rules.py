"""Push rules: every endpoint, and what a change does."""

from typing import Any

import pytest

from tests.support.homeserver import Client, Homeserver, q

NOTIFY = {"actions": ["notify"]}
CAKE = {"pattern": "cake", "actions": ["notify", {"set_tweak": "sound", "value": "bing"}]}


async def order(client: Client, kind: str) -> list[str]:
    return [rule["rule_id"] for rule in (await client.get("/pushrules/global/"))[kind]]


async def refused(client: Client, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, str | None]:
    response = await client.ask(method, f"/pushrules/{path}", body, **query)
    return response.status, response.errcode


async def test_all_rules_are_read_with_and_without_the_last_slash(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    whole = await alice.get("/pushrules/")
    assert whole == await alice.get("/pushrules")
    assert set(whole["global"]) == {"override", "content", "room", "sender", "underride"}
    assert whole["global"] == await alice.get("/pushrules/global/") == await alice.get("/pushrules/global")
    mention = await alice.get("/pushrules/global/override/.m.rule.is_user_mention")
    assert mention["conditions"][0]["value"] == alice.user_id


async def test_a_rule_is_made_read_changed_and_deleted(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    path = "/pushrules/global/content/cake"
    assert await alice.ok("PUT", path, CAKE) == {}
    assert await alice.get(path) == {"rule_id": "cake", "default": False, "enabled": True, **CAKE}
    assert await alice.get(f"{path}/enabled") == {"enabled": True}
    assert await alice.get(f"{path}/actions") == {"actions": CAKE["actions"]}
    assert await alice.ok("PUT", f"{path}/enabled", {"enabled": False}) == {}
    assert await alice.ok("PUT", f"{path}/actions", {"actions": []}) == {}
    assert await alice.get(path) == {
        "rule_id": "cake", "default": False, "enabled": False, "pattern": "cake", "actions": []
    }  # fmt: skip
    assert await alice.ok("DELETE", path) == {}
    assert await refused(alice, "GET", "global/content/cake") == (404, "M_NOT_FOUND")
    assert await refused(alice, "DELETE", "global/content/cake") == (404, "M_NOT_FOUND")


async def test_rules_stand_where_one_puts_them(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    for rule_id in ("a", "b"):
        await alice.ok("PUT", f"/pushrules/global/content/{rule_id}", CAKE)
    assert await order(alice, "content") == ["b", "a"]
    await alice.ok("PUT", "/pushrules/global/content/c", CAKE, after="b")
    await alice.ok("PUT", "/pushrules/global/content/d", CAKE, before="a")
    assert await order(alice, "content") == ["b", "c", "d", "a"]
    assert (await refused(alice, "PUT", "global/content/e", CAKE, before="unknown"))[0] in (400, 404)


async def test_a_default_rule_is_switched_off_but_not_deleted(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    path = "/pushrules/global/underride/.m.rule.message"
    await alice.ok("PUT", f"{path}/enabled", {"enabled": False})
    await alice.ok("PUT", f"{path}/actions", {"actions": ["notify", {"set_tweak": "highlight"}]})
    rule = await alice.get(path)
    assert (rule["default"], rule["enabled"]) == (True, False)
    assert rule["actions"][0] == "notify"
    assert (await refused(alice, "DELETE", "global/underride/.m.rule.message"))[0] in (400, 404)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("override", {**NOTIFY, "conditions": [{"kind": "event_match", "key": "type", "pattern": "m.x"}]}),
        ("underride", {**NOTIFY, "conditions": []}),
        ("content", CAKE),
        ("room", NOTIFY),
        ("sender", NOTIFY),
    ],
)
async def test_each_kind_has_its_rules(hs: Homeserver, kind: str, body: Any) -> None:
    alice = await hs.register("alice")
    rule_id = {"room": "!room:hearth.test", "sender": "@bob:hearth.test"}.get(kind, "mine")
    await alice.ok("PUT", f"/pushrules/global/{kind}/{q(rule_id)}", body)
    assert rule_id in await order(alice, kind)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "device/content/x", None, 404),
        ("GET", "global/unknown/x", None, 404),
        ("PUT", "global/unknown/x", NOTIFY, 400),
        ("GET", "global/content/unknown", None, 404),
        ("GET", "global/content/unknown/enabled", None, 404),
        ("PUT", "global/content/unknown/enabled", {"enabled": True}, 404),
        ("PUT", "global/content/x", {"pattern": "x"}, 400),
        ("PUT", "global/content/x", {"actions": ["notify"]}, 400),
        ("PUT", "global/content/x", {"pattern": "x", "actions": ["sing"]}, 400),
        ("PUT", "global/content/.starts.with.dot", CAKE, 400),
        ("PUT", "global/override/x", {**NOTIFY, "conditions": {}}, 400),
        ("PUT", "global/underride/.m.rule.message/enabled", {"enabled": "no"}, 400),
        ("PUT", "global/underride/.m.rule.message/actions", {}, 400),
        ("GET", "global/underride/.m.rule.message/colour", None, 404),
        ("PUT", "global/content/x", [], 400),
    ],
)
async def test_what_is_no_rule_is_refused(hs: Homeserver, method: str, path: str, body: Any, status: int) -> None:
    alice = await hs.register("alice")
    assert (await refused(alice, method, path, body))[0] == status


async def test_a_change_comes_in_the_next_sync(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    for client in (alice, bob):
        await client.sync()
    await alice.ok("PUT", "/pushrules/global/content/cake", CAKE)
    events = (await alice.sync())["account_data"]["events"]
    (rules,) = [event["content"] for event in events if event["type"] == "m.push_rules"]
    assert rules["global"]["content"][0]["rule_id"] == "cake"
    assert "account_data" not in await bob.sync()


async def test_rules_belong_to_their_user(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    await alice.ok("PUT", "/pushrules/global/content/cake", CAKE)
    assert "cake" not in await order(bob, "content")
    assert (await hs.ask("GET", "/pushrules/")).errcode == "M_MISSING_TOKEN"
