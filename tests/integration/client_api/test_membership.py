"""Joining, inviting, leaving, kicking, banning, knocking, forgetting."""

from typing import Any

from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, gatherResults

from tests.support.homeserver import Client, Homeserver, q

Two = tuple[Client, Client]


async def two(hs: Homeserver) -> Two:
    return await hs.register("alice"), await hs.register("bob")


async def refused(client: Client, method: str, path: str, json: Any = None) -> tuple[int, str | None]:
    response = await client.ask(method, path, json)
    return response.status, response.errcode


async def act(client: Client, room: str, what: str, other: Client, **body: Any) -> tuple[int, str | None]:
    return await refused(client, "POST", f"/rooms/{q(room)}/{what}", {"user_id": other.user_id, **body})


async def member(client: Client, room: str, user: Client) -> dict[str, Any]:
    content: dict[str, Any] = await client.get(f"/rooms/{q(room)}/state/m.room.member/{q(user.user_id)}")
    return content


async def quiet(hs: Homeserver) -> None:
    """Waits until nothing runs in the background."""
    while any(name.startswith("rooms.") for name in hs.core.tasks.running()):
        await task.deferLater(reactor, 0.01)  # type: ignore[arg-type]


async def test_a_user_joins_by_id_by_alias_and_by_the_room_path(hs: Homeserver) -> None:
    alice, bob = await two(hs)
    carol, dora = await hs.register("carol"), await hs.register("dora")
    room = await alice.create_room(room_alias_name="pub")
    assert await bob.ok("POST", f"/join/{q(room)}", {}) == {"room_id": room}
    assert await carol.ok("POST", f"/join/{q('#pub:hearth.test')}?via=x.test&server_name=y.test") == {"room_id": room}
    assert await dora.ok("POST", f"/rooms/{q(room)}/join", {"reason": "thirst"}) == {"room_id": room}
    assert await member(dora, room, dora) == {"membership": "join", "displayname": "dora", "reason": "thirst"}
    assert await bob.get("/joined_rooms") == {"joined_rooms": [room]}


async def test_joining_again_is_no_event(hs: Homeserver) -> None:
    alice, bob = await two(hs)
    room = await alice.create_room()
    await bob.join(room)
    await bob.sync()
    await bob.join(room)
    assert await bob.timeline(room) == []


async def test_what_does_not_exist_cannot_be_joined(hs: Homeserver) -> None:
    alice, bob = await two(hs)
    room = await alice.create_room(preset="private_chat")
    assert await refused(bob, "POST", "/join/%23nothing:hearth.test", {}) == (404, "M_NOT_FOUND")
    assert await refused(bob, "POST", "/join/!nothing:hearth.test", {}) == (404, "M_NOT_FOUND")
    assert await refused(bob, "POST", "/join/nothing", {}) == (400, "M_INVALID_PARAM")
    assert await refused(bob, "POST", f"/join/{q(room)}", {}) == (403, "M_FORBIDDEN")
    assert await refused(bob, "POST", f"/join/{q(room)}", {"reason": 1}) == (400, "M_BAD_JSON")


async def test_an_invited_user_joins_or_declines(hs: Homeserver) -> None:
    alice, bob = await two(hs)
    carol = await hs.register("carol")
    room = await alice.create_room(preset="private_chat")
    await alice.ok("POST", f"/rooms/{q(room)}/invite", {"user_id": bob.user_id, "reason": "fun"})
    await alice.invite(room, carol)
    assert (await member(alice, room, bob))["reason"] == "fun"
    await bob.join(room)
    await carol.leave(room)
    assert (await member(bob, room, carol))["membership"] == "leave"
    assert await act(alice, room, "invite", bob) == (403, "M_FORBIDDEN")
    assert await refused(carol, "GET", f"/rooms/{q(room)}/state") == (403, "M_FORBIDDEN")


async def test_only_members_invite_and_only_users_can_be_invited(hs: Homeserver) -> None:
    alice, bob = await two(hs)
    carol = await hs.register("carol")
    room = await alice.create_room()
    assert await act(bob, room, "invite", carol) == (403, "M_FORBIDDEN")
    path = f"/rooms/{q(room)}/invite"
    assert await refused(alice, "POST", path, {}) == (400, "M_MISSING_PARAM")
    assert await refused(alice, "POST", path, {"user_id": "carol"}) == (400, "M_INVALID_PARAM")
    assert await refused(alice, "POST", path, {"user_id": "@x:elsewhere.test"}) == (502, "M_UNKNOWN")
    assert await refused(alice, "POST", path, {"medium": "email", "address": "a@b.test"}) == (400, "M_MISSING_PARAM")
    assert await refused(alice, "POST", "/rooms/!nothing:hearth.test/invite", {"user_id": bob.user_id}) == (
        404,
        "M_NOT_FOUND",
    )


async def test_who_takes_no_invites_is_not_invited(hs: Homeserver) -> None:
    alice, bob = await two(hs)
    room = await alice.create_room()
    config = f"/user/{q(bob.user_id)}/account_data/m.invite_permission_config"
    await bob.ok("PUT", config, {"default_action": "block"})
    assert await act(alice, room, "invite", bob) == (403, "M_INVITE_BLOCKED")
    path = f"/rooms/{q(room)}/state/m.room.member/{q(bob.user_id)}"
    assert await refused(alice, "PUT", path, {"membership": "invite"}) == (403, "M_INVITE_BLOCKED")
    await bob.ok("PUT", config, {})
    await alice.invite(room, bob)


async def test_a_kicked_user_is_out_and_may_come_back(hs: Homeserver) -> None:
    alice, bob = await two(hs)
    room = await alice.create_room()
    await bob.join(room)
    assert await act(bob, room, "kick", alice) == (403, "M_FORBIDDEN")
    assert await act(alice, room, "kick", bob, reason="noise") == (200, None)
    assert await member(alice, room, bob) == {"membership": "leave", "reason": "noise"}
    assert await act(alice, room, "kick", bob) == (403, "M_FORBIDDEN")
    assert await bob.get("/joined_rooms") == {"joined_rooms": []}
    await bob.join(room)


async def test_a_banned_user_stays_out_until_the_ban_is_lifted(hs: Homeserver) -> None:
    alice, bob = await two(hs)
    room = await alice.create_room()
    await bob.join(room)
    assert await act(bob, room, "ban", alice) == (403, "M_FORBIDDEN")
    assert await act(alice, room, "unban", bob) == (403, "M_BAD_STATE")
    assert await act(alice, room, "ban", bob, reason="noise") == (200, None)
    assert await refused(bob, "POST", f"/join/{q(room)}", {}) == (403, "M_FORBIDDEN")
    assert await act(alice, room, "invite", bob) == (403, "M_FORBIDDEN")
    assert await act(alice, room, "ban", bob, reason="noise") == (200, None)
    assert await act(alice, room, "unban", bob) == (200, None)
    await bob.join(room)


async def test_a_knock_is_answered_with_an_invite(hs: Homeserver) -> None:
    alice, bob = await two(hs)
    room = await alice.create_room(initial_state=[{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}])
    assert await bob.ok("POST", f"/knock/{q(room)}", {"reason": "please"}) == {"room_id": room}
    assert (await member(alice, room, bob))["reason"] == "please"
    assert room in (await bob.sync())["rooms"]["knock"]
    assert await refused(bob, "POST", f"/join/{q(room)}", {}) == (403, "M_FORBIDDEN")
    await alice.invite(room, bob)
    await bob.join(room)


async def test_a_knock_can_be_taken_back_and_rejected(hs: Homeserver) -> None:
    alice, bob = await two(hs)
    room = await alice.create_room(initial_state=[{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}])
    await bob.ok("POST", f"/knock/{q(room)}", {})
    await bob.leave(room)
    assert (await member(alice, room, bob))["membership"] == "leave"
    await bob.ok("POST", f"/knock/{q(room)}", {})
    assert await act(alice, room, "kick", bob) == (200, None)


async def test_nobody_knocks_where_it_is_not_allowed(hs: Homeserver) -> None:
    alice, bob = await two(hs)
    room = await alice.create_room(preset="private_chat")
    assert await refused(bob, "POST", f"/knock/{q(room)}", {}) == (403, "M_FORBIDDEN")
    assert await refused(bob, "POST", "/knock/%23nothing:hearth.test", {}) == (404, "M_NOT_FOUND")


async def test_members_of_the_allowed_room_join_a_restricted_one(hs: Homeserver) -> None:
    alice, bob = await two(hs)
    space = await alice.create_room(creation_content={"type": "m.space"})
    rules = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": space}]}
    room = await alice.create_room(initial_state=[{"type": "m.room.join_rules", "content": rules}])
    assert await refused(bob, "POST", f"/join/{q(room)}", {}) == (403, "M_FORBIDDEN")
    await bob.join(space)
    await bob.join(room)
    assert (await member(bob, room, bob))["join_authorised_via_users_server"] == alice.user_id
    await bob.sync()
    await bob.join(room)
    assert await bob.timeline(room) == []
    await bob.set_state(room, "m.room.member", {"membership": "join", "displayname": "Bobby"}, bob.user_id)
    assert await member(bob, room, bob) == {"membership": "join", "displayname": "Bobby"}


async def test_nobody_is_let_into_a_restricted_room_without_one_who_may_invite(hs: Homeserver) -> None:
    alice, bob = await two(hs)
    carol = await hs.register("carol")
    space = await alice.create_room()
    rules = {"join_rule": "knock_restricted", "allow": [{"type": "m.room_membership", "room_id": space}]}
    room = await alice.create_room(
        initial_state=[{"type": "m.room.join_rules", "content": rules}], power_level_content_override={"invite": 50}
    )
    await bob.join(space)
    await bob.join(room)
    await carol.join(space)
    await alice.leave(room)
    assert await refused(carol, "POST", f"/join/{q(room)}", {}) == (403, "M_UNABLE_TO_GRANT_JOIN")
    await carol.ok("POST", f"/knock/{q(room)}", {})


async def test_a_room_can_be_forgotten_after_leaving(hs: Homeserver) -> None:
    alice, bob = await two(hs)
    room = await alice.create_room()
    await bob.join(room)
    assert await refused(bob, "POST", f"/rooms/{q(room)}/forget", {}) == (400, "M_UNKNOWN")
    await bob.leave(room)
    await bob.ok("POST", f"/rooms/{q(room)}/forget", {})
    everything = await bob.get("/sync", filter='{"room":{"include_leave":true}}')
    assert room not in everything.get("rooms", {}).get("leave", {})
    assert await refused(bob, "GET", f"/rooms/{q(room)}/state") == (403, "M_FORBIDDEN")
    await bob.join(room)
    assert room in (await bob.sync())["rooms"]["join"]


async def test_leaving_twice_is_leaving(hs: Homeserver) -> None:
    alice, bob = await two(hs)
    room = await alice.create_room()
    await bob.join(room)
    await bob.leave(room)
    await bob.leave(room)
    carol = await hs.register("carol")
    assert await refused(carol, "POST", f"/rooms/{q(room)}/leave", {}) == (403, "M_FORBIDDEN")
    assert await refused(carol, "POST", "/rooms/!nothing:hearth.test/leave", {}) == (404, "M_NOT_FOUND")


async def test_a_member_event_can_be_set_as_state(hs: Homeserver) -> None:
    alice, bob = await two(hs)
    room = await alice.create_room(preset="private_chat")
    await alice.set_state(room, "m.room.member", {"membership": "invite", "org.test": 1}, bob.user_id)
    assert await member(alice, room, bob) == {"membership": "invite", "org.test": 1, "displayname": "bob"}
    path = f"/rooms/{q(room)}/state/m.room.member/"
    assert await refused(alice, "PUT", path + q(bob.user_id), {"membership": "join"}) == (403, "M_FORBIDDEN")
    assert await refused(alice, "PUT", path + q(bob.user_id), {"membership": "guest"}) == (400, "M_BAD_JSON")
    assert await refused(alice, "PUT", path + "bob", {"membership": "invite"}) == (400, "M_INVALID_PARAM")
    assert await refused(bob, "PUT", path + q(bob.user_id), {"membership": "join", "displayname": 1}) == (
        400,
        "M_BAD_JSON",
    )


async def test_a_new_name_is_told_in_all_rooms(hs: Homeserver) -> None:
    alice, bob = await two(hs)
    rooms = [await alice.create_room() for _ in range(15)]
    for room in rooms:
        await bob.join(room)
    await bob.ok("PUT", f"/profile/{q(bob.user_id)}/displayname", {"displayname": "Bobby"})
    await quiet(hs)
    for room in rooms:
        assert await member(alice, room, bob) == {"membership": "join", "displayname": "Bobby"}


async def test_a_deactivated_user_leaves_and_declines_everything(hs: Homeserver) -> None:
    alice, bob = await two(hs)
    joined, invited = await alice.create_room(), await alice.create_room(invite=[bob])
    await bob.join(joined)
    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "bob"},
        "password": "correct horse battery staple",
    }
    await bob.ok("POST", "/account/deactivate", {"auth": auth})
    while any(name.startswith(("rooms.", "users.leave")) for name in hs.core.tasks.running()):
        await task.deferLater(reactor, 0.01)  # type: ignore[arg-type]
    assert (await member(alice, joined, bob))["membership"] == "leave"
    assert (await member(alice, invited, bob))["membership"] == "leave"


async def guest(hs: Homeserver) -> Client:
    response = await hs.ask("POST", "/register?kind=guest", {})
    assert response.status == 200, response
    return Client(hs, response.json)


async def test_guests_join_only_where_they_are_let_in_and_leave_when_they_no_longer_are(hs: Homeserver) -> None:
    alice, visitor = await hs.register("alice"), await guest(hs)
    room = await alice.create_room()
    assert await refused(visitor, "POST", f"/join/{q(room)}", {}) == (403, "M_GUEST_ACCESS_FORBIDDEN")
    await alice.set_state(room, "m.room.guest_access", {"guest_access": "can_join"})
    await visitor.join(room)
    await visitor.send(room, "hello")
    await alice.set_state(room, "m.room.guest_access", {"guest_access": "forbidden"})
    await quiet(hs)
    assert (await member(alice, room, visitor))["membership"] == "leave"


async def test_joins_and_invites_are_limited_by_rate(start_homeserver: Any) -> None:
    one = "{per_second: 0.001, burst_count: 1}"
    hs = await start_homeserver(f"rc_joins: {{local: {one}}}\nrc_invites: {{per_issuer: {one}}}")
    alice, bob = await two(hs)
    carol = await hs.register("carol")
    first, second = await alice.create_room(), await alice.create_room()
    await bob.join(first)
    await bob.join(first)
    assert await refused(bob, "POST", f"/join/{q(second)}", {}) == (429, "M_LIMIT_EXCEEDED")
    await alice.invite(first, carol)
    assert await act(alice, second, "invite", carol) == (429, "M_LIMIT_EXCEEDED")


async def test_strangers_do_not_use_up_the_limits_of_a_room(start_homeserver: Any) -> None:
    one = "{per_second: 0.001, burst_count: 1}"
    hs = await start_homeserver(f"rc_joins_per_room: {one}\nrc_invites: {{per_room: {one}, per_user: {one}}}")
    alice, bob = await two(hs)
    stranger = await hs.register("stranger")
    room = await alice.create_room(preset="private_chat")
    for _ in range(3):
        assert await refused(stranger, "POST", f"/join/{q(room)}", {}) == (403, "M_FORBIDDEN")
        assert await act(stranger, room, "invite", bob) == (403, "M_FORBIDDEN")
    await alice.invite(room, bob)
    await bob.join(room)


async def test_many_join_at_once(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    others = [await hs.register(f"user{number}") for number in range(8)]
    joining = [Deferred.fromCoroutine(other.join(room)) for other in others]
    for one in joining:
        await one
    state = await alice.get(f"/rooms/{q(room)}/state")
    joined = [event for event in state if event["type"] == "m.room.member" and event["content"]["membership"] == "join"]
    assert len(joined) == 9


async def test_who_is_in_already_is_told_so_when_that_is_durable(hs: Homeserver) -> None:
    """Two devices join at once: the one whose join says nothing new may go on as well as the other."""
    alice, bob = await hs.register("alice"), await hs.register("bob")
    for _ in range(5):
        room = await alice.create_room()

        async def join_and_read(room: str = room) -> None:
            await bob.ok("POST", f"/join/{q(room)}", {})
            await bob.ok("GET", f"/rooms/{q(room)}/messages", dir="b")

        await gatherResults([Deferred.fromCoroutine(join_and_read()) for _ in range(3)])
