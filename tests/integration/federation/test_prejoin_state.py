"""What those see of a room who are invited to it or knock at it, as the operator says."""

from typing import Any

from tests.integration.federation.remote_pair import room_part
from tests.support.federation import Network
from tests.support.homeserver import Client, Homeserver, q

MORE = """
room_prejoin_state:
  disable_default_event_types: {}
  additional_event_types: [org.any, [org.exact, key]]
"""


async def make_room(alice: Client, **more: Any) -> str:
    state = [
        {"type": kind, "state_key": key, "content": {}}
        for kind, key in (("org.any", "a"), ("org.any", "b"), ("org.exact", "key"), ("org.exact", "other"))
    ]
    return await alice.create_room(name="Tea", initial_state=[*state, *more.pop("initial_state", [])], **more)


def shown(events: list[Any]) -> set[tuple[str, str]]:
    return {(event["type"], event["state_key"]) for event in events if event["type"] != "m.room.member"}


ADDED = {("org.any", "a"), ("org.any", "b"), ("org.exact", "key")}


async def test_who_is_invited_sees_more(start_homeserver: Any) -> None:
    hs: Homeserver = await start_homeserver(MORE.format("false"))
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await make_room(alice, invite=[bob])
    events = (await bob.sync())["rooms"]["invite"][room]["invite_state"]["events"]
    assert shown(events) >= {("m.room.name", ""), ("m.room.create", ""), *ADDED}
    assert ("org.exact", "other") not in shown(events)


async def test_what_is_shown_by_default_can_be_hidden(start_homeserver: Any) -> None:
    hs: Homeserver = await start_homeserver(MORE.format("true"))
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await make_room(alice, invite=[bob])
    assert shown((await bob.sync())["rooms"]["invite"][room]["invite_state"]["events"]) == ADDED


async def test_users_of_other_servers_see_it_too(network: Network) -> None:
    one, two = await network.start("one.test", MORE.format("false")), await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    rule = [{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}]
    invited, knocked = await make_room(alice), await make_room(alice, initial_state=rule)
    await bob.sync()
    await alice.invite(invited, bob)
    part = await room_part(bob, "invite", invited)
    assert shown(part["invite_state"]["events"]) >= {("m.room.name", ""), *ADDED}
    await bob.ok("POST", f"/knock/{q(knocked)}?via=one.test", {})
    part = await room_part(bob, "knock", knocked)
    assert shown(part["knock_state"]["events"]) >= {("m.room.name", ""), *ADDED}
