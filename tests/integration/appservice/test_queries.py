"""Users and rooms that come to be when somebody wants them."""

from twisted.internet.defer import Deferred

from tests.integration.appservice.asked import NOT_FOUND, Services, knows_aliases, knows_users
from tests.integration.appservice.bridge import Bridge, refusal
from tests.support.appservice import Asked
from tests.support.federation import Network
from tests.support.homeserver import q

GHOST = "@_irc_ann:hearth.test"
ALIAS = "#_irc_x:hearth.test"


async def test_whoever_is_invited_comes_to_be_before_the_invite(services: Services) -> None:
    service = services.add()
    bridge = await services.start()
    service.answer = knows_users(bridge, GHOST)
    alice = await bridge.hs.register("alice")
    room = await alice.create_room()
    await alice.ok("POST", f"/rooms/{q(room)}/invite", {"user_id": GHOST})
    assert [asked.segments[-2:] for asked in service.asked] == [["users", GHOST]]
    member = await alice.get(f"/rooms/{q(room)}/state/m.room.member/{q(GHOST)}")
    assert (member["membership"], member["displayname"]) == ("invite", f"{GHOST} here")
    await bridge.ok("POST", f"/join/{q(room)}", {}, user_id=GHOST)


async def test_a_direct_chat_is_begun_with_whoever_a_service_knows(services: Services) -> None:
    service = services.add()
    bridge = await services.start()
    service.answer = knows_users(bridge, GHOST)
    alice = await bridge.hs.register("alice")
    body = {"invite": [GHOST], "is_direct": True, "preset": "trusted_private_chat"}
    room = (await alice.ok("POST", "/createRoom", body))["room_id"]
    member = await alice.get(f"/rooms/{q(room)}/state/m.room.member/{q(GHOST)}")
    assert (member["displayname"], member["is_direct"]) == (f"{GHOST} here", True)


async def test_a_profile_is_looked_up_of_whoever_a_service_knows(services: Services) -> None:
    service = services.add()
    bridge = await services.start()
    service.answer = knows_users(bridge, GHOST)
    alice = await bridge.hs.register("alice")
    assert await alice.get(f"/profile/{q(GHOST)}") == {"displayname": f"{GHOST} here"}
    assert await alice.get(f"/profile/{q(GHOST)}/displayname") == {"displayname": f"{GHOST} here"}
    assert len(service.asked) == 1


async def test_a_no_is_not_remembered(services: Services) -> None:
    service = services.add()
    bridge = await services.start()
    service.answer = lambda asked: NOT_FOUND
    alice = await bridge.hs.register("alice")
    assert refusal(await alice.ask("GET", f"/profile/{q(GHOST)}")) == (404, "M_NOT_FOUND")
    service.answer = knows_users(bridge, GHOST)
    assert (await alice.get(f"/profile/{q(GHOST)}"))["displayname"] == f"{GHOST} here"


async def test_only_users_in_a_namespace_are_asked_for(services: Services) -> None:
    service = services.add()
    bridge = await services.start()
    alice = await bridge.hs.register("alice")
    for user_id in ("@nobody:hearth.test", "@_irc_ann:elsewhere.test"):
        assert (await alice.ask("GET", f"/profile/{q(user_id)}")).status != 200
    assert service.asked == []


async def test_who_wants_the_same_user_shares_one_question(services: Services) -> None:
    service = services.add()
    bridge = await services.start()
    came, go = Deferred[None](), Deferred[None]()
    make = knows_users(bridge, GHOST)

    async def answer(asked: Asked) -> object:
        came.callback(None)
        await go
        return await make(asked)

    service.answer = answer
    alice = await bridge.hs.register("alice")
    asking = [Deferred.fromCoroutine(alice.get(f"/profile/{q(GHOST)}")) for _ in range(3)]
    await came
    go.callback(None)
    assert [await each for each in asking] == [{"displayname": f"{GHOST} here"}] * 3
    assert len(service.asked) == 1


async def test_a_service_that_looks_up_whom_it_is_asked_for_does_not_wait_for_itself(services: Services) -> None:
    service = services.add()
    bridge = await services.start()
    make = knows_users(bridge, GHOST)
    looked: list[object] = []

    async def answer(asked: Asked) -> object:
        looked.append(refusal(await bridge.ask("GET", f"/profile/{q(GHOST)}")))
        return await make(asked)

    service.answer = answer
    alice = await bridge.hs.register("alice")
    assert (await alice.ask("GET", f"/profile/{q(GHOST)}")).status == 200
    assert looked == [(404, "M_NOT_FOUND")]


async def test_an_invite_goes_out_though_the_service_is_down(services: Services) -> None:
    services.add(url="http://127.0.0.1:1")
    bridge = await services.start()
    alice = await bridge.hs.register("alice")
    room = await alice.create_room()
    await alice.ok("POST", f"/rooms/{q(room)}/invite", {"user_id": GHOST})


async def test_each_service_of_a_namespace_is_asked_until_one_says_yes(services: Services) -> None:
    no, yes = services.add(exclusive=False), services.add("two", exclusive=False)
    no.answer = lambda asked: NOT_FOUND
    bridge = await services.start(id="two")
    yes.answer = knows_users(bridge, GHOST)
    alice = await bridge.hs.register("alice")
    assert (await alice.ask("GET", f"/profile/{q(GHOST)}")).status == 200
    assert (len(no.asked), len(yes.asked)) == (1, 1)


async def test_a_yes_that_is_not_true_is_a_no(services: Services) -> None:
    services.add(exclusive=False).answer = lambda asked: (200, {})
    true = services.add("two", exclusive=False)
    bridge = await services.start(id="two")
    alice = await bridge.hs.register("alice")
    true.answer = knows_users(bridge, GHOST)
    assert (await alice.ask("GET", f"/profile/{q(GHOST)}")).status == 200
    true.answer = knows_aliases(bridge, ALIAS)
    assert (await alice.ask("GET", f"/directory/room/{q(ALIAS)}")).status == 200
    assert refusal(await alice.ask("GET", f"/profile/{q('@_irc_no:hearth.test')}")) == (404, "M_NOT_FOUND")
    assert refusal(await alice.ask("GET", f"/directory/room/{q('#_irc_no:hearth.test')}")) == (404, "M_NOT_FOUND")


async def test_a_room_comes_to_be_when_its_alias_is_looked_up(services: Services) -> None:
    service = services.add()
    bridge = await services.start()
    service.answer = knows_aliases(bridge, ALIAS)
    found = await bridge.hs.ask("GET", f"/directory/room/{q(ALIAS)}")
    assert found.status == 200
    assert found.json["servers"] == ["hearth.test"]
    assert [asked.segments[-2:] for asked in service.asked] == [["rooms", ALIAS]]


async def test_a_room_comes_to_be_when_somebody_joins_by_alias(services: Services) -> None:
    service = services.add()
    bridge = await services.start()
    service.answer = knows_aliases(bridge, ALIAS)
    alice, bob = await bridge.hs.register("alice"), await bridge.hs.register("bob")
    await alice.join(ALIAS)
    await bob.join(ALIAS)
    assert len(service.asked) == 1
    assert refusal(await alice.ask("POST", f"/join/{q('#_irc_y:hearth.test')}", {})) == (404, "M_NOT_FOUND")


async def test_others_than_a_services_own_aliases_are_not_asked_for(services: Services) -> None:
    service = services.add()
    bridge = await services.start()
    for alias in ("#other:hearth.test", "#_irc_x:elsewhere.test"):
        assert (await bridge.hs.ask("GET", f"/directory/room/{q(alias)}")).status != 200
    assert service.asked == []


async def test_an_alias_of_a_service_that_does_not_answer_times_out(services: Services) -> None:
    services.add(url="http://127.0.0.1:1")
    bridge = await services.start()
    assert refusal(await bridge.hs.ask("GET", f"/directory/room/{q(ALIAS)}")) == (408, "M_UNKNOWN")


async def test_an_alias_of_a_service_without_url_is_not_found(services: Services) -> None:
    services.add(url="null")
    bridge = await services.start()
    assert refusal(await bridge.hs.ask("GET", f"/directory/room/{q(ALIAS)}")) == (404, "M_NOT_FOUND")
    assert refusal(await bridge.hs.ask("GET", f"/profile/{q(GHOST)}")) == (404, "M_NOT_FOUND")


async def test_other_servers_find_and_invite_what_a_service_knows(services: Services, network: Network) -> None:
    service = services.add()
    one, two = await network.start("one.test", services.options()), await network.start("two.test")
    services.started.append(one)
    bridge = Bridge(one, token="as-irc")
    ghost, alias = "@_irc_ann:one.test", "#_irc_x:one.test"
    service.answer = knows_users(bridge, ghost)
    bob = await two.register("bob")
    assert (await bob.get(f"/profile/{q(ghost)}"))["displayname"] == f"{ghost} here"
    other = "@_irc_other:one.test"
    service.answer = knows_users(bridge, other)
    room = await bob.create_room()
    await bob.ok("POST", f"/rooms/{q(room)}/invite", {"user_id": other})
    assert refusal(await bob.ask("POST", f"/rooms/{q(room)}/invite", {"user_id": "@_irc_no:one.test"}))[0] == 403
    service.answer = knows_aliases(bridge, alias)
    await bob.join(alias)


async def test_the_token_is_in_the_query_of_a_service_that_knows_it_only_there(services: Services) -> None:
    service = services.add()
    bridge = await services.start("use_appservice_legacy_authorization: true\n")
    service.answer = lambda asked: NOT_FOUND
    await bridge.hs.ask("GET", f"/directory/room/{q(ALIAS)}")
    assert [(asked.query, asked.authorization) for asked in service.asked] == [
        ({"access_token": "hs-irc"}, "Bearer hs-irc")
    ]


async def test_who_is_asked_while_the_server_stops_holds_it_up_for_nothing(services: Services) -> None:
    service = services.add()
    bridge = await services.start()
    came = Deferred[None]()
    service.answer = lambda asked: came.callback(None)
    asking = Deferred.fromCoroutine(bridge.hs.ask("GET", f"/directory/room/{q(ALIAS)}"))
    asking.addErrback(lambda failure: None)
    await came
    await bridge.hs.core.tasks.stop(0)
