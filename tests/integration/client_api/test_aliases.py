"""Room aliases."""

from typing import Any

from tests.support.homeserver import Client, Homeserver, q

PUB = "#pub:hearth.test"


async def refused(client: Client, method: str, path: str, json: Any = None) -> tuple[int, str | None]:
    response = await client.ask(method, path, json)
    return response.status, response.errcode


def path_of(alias: str = PUB) -> str:
    return f"/directory/room/{q(alias)}"


async def test_an_alias_leads_to_its_room_for_everybody(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    await alice.ok("PUT", path_of(), {"room_id": room})
    answer = await hs.ask("GET", path_of())
    assert answer.json == {"room_id": room, "servers": ["hearth.test"]}
    assert await alice.get(f"/rooms/{q(room)}/aliases") == {"aliases": [PUB]}


async def test_an_alias_is_taken_once(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    await alice.ok("PUT", path_of(), {"room_id": room})
    assert await refused(alice, "PUT", path_of(), {"room_id": room}) == (409, "M_UNKNOWN")


async def test_what_is_no_alias_of_ours_is_refused(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    assert await refused(alice, "PUT", path_of("pub"), {"room_id": room}) == (400, "M_INVALID_PARAM")
    assert await refused(alice, "PUT", path_of("#p:else.test"), {"room_id": room}) == (400, "M_INVALID_PARAM")
    assert await refused(alice, "PUT", path_of("#p p:hearth.test"), {"room_id": room}) == (400, "M_INVALID_PARAM")
    assert await refused(alice, "PUT", path_of(), {}) == (400, "M_MISSING_PARAM")
    assert await refused(alice, "PUT", path_of(), {"room_id": "!none:hearth.test"}) == (404, "M_NOT_FOUND")
    assert await refused(bob, "PUT", path_of(), {"room_id": room}) == (403, "M_FORBIDDEN")
    assert await refused(alice, "GET", path_of()) == (404, "M_NOT_FOUND")
    assert await refused(alice, "GET", path_of("#pub:else.test")) == (502, "M_UNKNOWN")
    assert await refused(bob, "GET", f"/rooms/{q(room)}/aliases") == (403, "M_FORBIDDEN")


async def test_an_alias_is_deleted_by_its_maker_or_a_moderator(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    carol = await hs.register("carol")
    room = await alice.create_room()
    await bob.join(room)
    await carol.join(room)
    await bob.ok("PUT", path_of(), {"room_id": room})
    assert await refused(carol, "DELETE", path_of()) == (403, "M_FORBIDDEN")
    await bob.ok("DELETE", path_of())
    assert await refused(bob, "DELETE", path_of()) == (404, "M_NOT_FOUND")
    await bob.ok("PUT", path_of(), {"room_id": room})
    await alice.ok("DELETE", path_of())
    assert await alice.get(f"/rooms/{q(room)}/aliases") == {"aliases": []}


async def test_the_canonical_alias_goes_with_the_alias(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room(room_alias_name="pub")
    other = "#bar:hearth.test"
    await alice.ok("PUT", path_of(other), {"room_id": room})
    await alice.set_state(room, "m.room.canonical_alias", {"alias": PUB, "alt_aliases": [PUB, other]})
    await alice.ok("DELETE", path_of())
    canonical = f"/rooms/{q(room)}/state/m.room.canonical_alias"
    assert await alice.get(canonical) == {"alt_aliases": [other]}
    await alice.ok("DELETE", path_of(other))
    assert await alice.get(canonical) == {}


async def test_the_alias_goes_even_where_the_canonical_alias_must_stay(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    await bob.ok("PUT", path_of(), {"room_id": room})
    await alice.set_state(room, "m.room.canonical_alias", {"alias": PUB})
    await bob.ok("DELETE", path_of())
    assert await alice.get(f"/rooms/{q(room)}/state/m.room.canonical_alias") == {"alias": PUB}


async def test_the_operator_says_who_makes_which_alias(start_homeserver: Any) -> None:
    hs = await start_homeserver("alias_creation_rules: [{action: allow, alias: '#free*'}]")
    alice = await hs.register("alice")
    room = await alice.create_room()
    await alice.ok("PUT", path_of("#freehouse:hearth.test"), {"room_id": room})
    assert await refused(alice, "PUT", path_of(), {"room_id": room}) == (403, "M_FORBIDDEN")
    assert await refused(alice, "POST", "/createRoom", {"room_alias_name": "pub"}) == (403, "M_FORBIDDEN")
