"""Finding users by name."""

from typing import Any

import psycopg2
import pytest

from homeserver.runtime.ratelimit import RateLimit
from homeserver.services.users.directory import DirectorySettings, UserDirectory
from matrix.ids import UserId
from storage import user_directory, user_words
from tests.support.homeserver import Client, Homeserver, q


async def find(client: Client, term: str, **body: Any) -> list[str]:
    answer = await client.ok("POST", "/user_directory/search", {"search_term": term, **body})
    return [result["user_id"] for result in answer["results"]]


async def set_name(client: Client, name: str) -> None:
    await client.ok("PUT", f"/profile/{q(client.user_id)}/displayname", {"displayname": name})


async def test_who_is_in_a_public_room_is_found_by_all(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    assert await find(bob, "alice") == []
    room = await alice.create_room()
    assert await find(bob, "alice") == [alice.user_id]
    await alice.leave(room)
    assert await find(bob, "alice") == []


async def test_who_shares_a_private_room_is_found_by_its_members_alone(hs: Homeserver) -> None:
    alice, bob, eve = [await hs.register(name) for name in ("alice", "bob", "eve")]
    room = await alice.create_room(preset="private_chat", invite=[bob])
    assert await find(bob, "alice") == []
    await bob.join(room)
    assert await find(bob, "alice") == [alice.user_id]
    assert await find(alice, "bob") == [bob.user_id]
    assert await find(eve, "alice") == []


async def test_a_room_becomes_public_and_private_again(hs: Homeserver) -> None:
    alice, eve = await hs.register("alice"), await hs.register("eve")
    room = await alice.create_room(preset="private_chat")
    assert await find(eve, "alice") == []
    await alice.set_state(room, "m.room.history_visibility", {"history_visibility": "world_readable"})
    assert await find(eve, "alice") == [alice.user_id]
    await alice.set_state(room, "m.room.history_visibility", {"history_visibility": "joined"})
    assert await find(eve, "alice") == []
    await alice.set_state(room, "m.room.join_rules", {"join_rule": "public"})
    assert await find(eve, "alice") == [alice.user_id]


async def test_nobody_finds_himself(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    await alice.create_room()
    assert await find(alice, "alice") == []


async def test_the_profile_is_searched_and_shown_as_it_is_now(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    await alice.create_room()
    await set_name(alice, "Maria Müller")
    await alice.ok("PUT", f"/profile/{q(alice.user_id)}/avatar_url", {"avatar_url": "mxc://hearth.test/m"})
    answer = await bob.ok("POST", "/user_directory/search", {"search_term": "mül"})
    expected = {"user_id": alice.user_id, "display_name": "Maria Müller", "avatar_url": "mxc://hearth.test/m"}
    assert answer == {"results": [expected], "limited": False}
    await set_name(alice, "Someone Else")
    assert await find(bob, "Müller") == []
    assert await find(bob, "else some") == [alice.user_id]


async def test_a_name_for_one_room_is_known_in_that_room_alone(hs: Homeserver) -> None:
    alice, bob, eve = [await hs.register(name) for name in ("alice", "bob", "eve")]
    await set_name(alice, "Alice Cooper")
    await alice.create_room()
    room = await bob.create_room(preset="private_chat", invite=[alice])
    await alice.join(room)
    await alice.set_state(room, "m.room.member", {"membership": "join", "displayname": "Freddy"}, alice.user_id)
    for searcher in (bob, eve):
        assert await find(searcher, "Freddy") == []
        answer = await searcher.ok("POST", "/user_directory/search", {"search_term": "@alice"})
        assert [one["display_name"] for one in answer["results"]] == ["Alice Cooper"]


async def test_all_words_must_match_and_their_beginnings_do(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice.of-wonderland"), await hs.register("bob")
    await alice.create_room()
    await set_name(alice, "Queen 田中さくら")
    for term in ("WONDER", "@alice.of-wonderland:hearth.test", "queen alice", "hearth", "田中", "さくら", "ｑｕｅｅｎ"):
        assert await find(bob, term) == [alice.user_id], term
    for term in ("onder", "queen bob", "", "  ", "'", "':*", "\\", "!@#"):
        assert await find(bob, term) == [], term


async def test_the_best_match_comes_first_and_the_list_is_cut(hs: Homeserver) -> None:
    searcher = await hs.register("searcher")
    room = await searcher.create_room()
    named = {"annabel": "Annabel", "second": "Ann Lee", "third": "Ann", "ann": "Nobody"}
    for localpart, name in named.items():
        user = await hs.register(localpart)
        await set_name(user, name)
        await user.join(room)
    answer = await searcher.ok("POST", "/user_directory/search", {"search_term": "ann", "limit": 3})
    found = [one["user_id"].partition(":")[0] for one in answer["results"]]
    assert (found[0], len(found), answer["limited"]) == ("@third", 3, True)
    assert (await find(searcher, "ann", limit=10))[-1].startswith("@annabel")
    assert (await find(searcher, "@ann:hearth.test"))[0] == "@ann:hearth.test"


async def test_deactivated_users_are_not_found(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    await alice.create_room()
    assert await find(bob, "alice") == [alice.user_id]
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}}
    auth["password"] = "correct horse battery staple"
    await alice.ok("POST", "/account/deactivate", {"auth": auth})
    assert await find(bob, "alice") == []


async def test_locked_users_are_found_only_where_the_operator_wants_it(start_homeserver: Any) -> None:
    hs = await start_homeserver()
    alice, bob = await hs.register("alice"), await hs.register("bob")
    await alice.create_room()
    await hs.server.users.accounts.set_flags(alice.user_id, locked=True)
    assert await find(bob, "alice") == []
    open_one = await start_homeserver("user_directory: {show_locked_users: true}")
    assert await find(bob.at(open_one), "alice") == [alice.user_id]


async def test_the_operator_may_let_all_users_be_found(start_homeserver: Any) -> None:
    hs = await start_homeserver("user_directory: {search_all_users: true}")
    alice, bob = await hs.register("alice"), await hs.register("bob")
    assert await find(bob, "alice") == [alice.user_id]


async def test_the_operator_may_close_the_directory(start_homeserver: Any) -> None:
    hs = await start_homeserver("user_directory: {enabled: false, search_all_users: true}")
    await hs.register("alice")
    bob = await hs.register("bob")
    answer = await bob.ok("POST", "/user_directory/search", {"search_term": "alice"})
    assert answer == {"results": [], "limited": False}


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"search_term": 1}, "M_BAD_JSON"),
        ({"search_term": "x", "limit": "1"}, "M_BAD_JSON"),
        ({"search_term": "x", "limit": -1}, "M_INVALID_PARAM"),
        ({"search_term": "x" * 3000}, "M_INVALID_PARAM"),
        ({"search_term": "\x00"}, "M_INVALID_PARAM"),
    ],
)
async def test_a_broken_search_is_refused(hs: Homeserver, body: Any, errcode: str) -> None:
    alice = await hs.register("alice")
    response = await alice.ask("POST", "/user_directory/search", body)
    assert (response.status, response.errcode) == (400, errcode)


async def test_users_who_were_there_before_the_directory_are_taken_up(start_homeserver: Any) -> None:
    hs = await start_homeserver()
    searcher = await hs.register("searcher")
    room = await searcher.create_room()
    for number in range(5):
        await (await hs.register(f"user{number}")).join(room)
    run = hs.core.storage.database.run
    for _ in range(20):
        if not await run(user_directory.take_up, 2):
            break
    assert len(await find(searcher, "user")) == 5


async def test_two_processes_that_begin_the_directory_at_once_do_so_one_after_the_other(start_homeserver: Any) -> None:
    hs = await start_homeserver()
    await (await hs.register("alice")).create_room()
    hs.rows("DELETE FROM user_directory_progress")
    other = psycopg2.connect(hs.dsn)
    user_directory.take_up(other.cursor(), 100)
    ours = hs.core.storage.database.run(user_directory.take_up, 100)
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while not hs.rows(waiting):
        await hs.core.clock.sleep(0)
    other.commit()
    assert await ours
    other.close()


async def test_searching_has_a_limit(start_homeserver: Any) -> None:
    hs = await start_homeserver("rc_user_directory: {per_second: 0.01, burst_count: 1}")
    alice = await hs.register("alice")
    await find(alice, "x")
    assert (await alice.ask("POST", "/user_directory/search", {"search_term": "x"})).errcode == "M_LIMIT_EXCEEDED"


def test_a_text_has_a_bounded_number_of_words() -> None:
    assert len(user_words.words("a b " * 10_000)) <= user_words.MAX_WORDS
    assert all(len(word) <= user_words.MAX_WORD_CHARACTERS for word in user_words.words("x" * 10_000))


async def put_remote_member(hs: Homeserver, room: str, user_id: str) -> None:
    """As if a user of another server had joined, with the member event of whoever made the room."""
    hs.rows(
        "INSERT INTO memberships (room_nid, user_id, membership, event_nid, position)"
        " SELECT room_nid, %s, 'join', event_nid, position FROM memberships JOIN rooms USING (room_nid)"
        " WHERE room_id = %s LIMIT 1",
        user_id,
        room,
    )


async def test_the_name_of_a_remote_user_is_that_of_public_rooms_or_is_asked_for(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    public, private = await alice.create_room(), await alice.create_room(preset="private_chat")
    await put_remote_member(hs, public, "@open:elsewhere.test")
    await put_remote_member(hs, private, "@closed:elsewhere.test")
    # The directory may have come to the rooms before these members did, of whom no stream tells.
    hs.rows("UPDATE user_directory_progress SET position = 0")
    await alice.send(public, "hello")
    answer = await alice.ok("POST", "/user_directory/search", {"search_term": "elsewhere"})
    assert answer["results"] == [
        {"user_id": "@open:elsewhere.test", "display_name": "alice"},
        {"user_id": "@closed:elsewhere.test"},
    ]
    asked: list[str] = []

    async def profile_of(user_id: UserId) -> dict[str, Any]:
        asked.append(user_id)
        return {"displayname": "Mallory", "avatar_url": 1}

    directory = UserDirectory(
        database=hs.core.storage.database,
        stream=hs.core.storage.stream,
        clock=hs.core.clock,
        rooms_of=hs.server.rooms.members.joined_rooms,
        profile_of=profile_of,
        settings=DirectorySettings(),
        limit=RateLimit(1, 1, hs.core.clock),
    )
    # The homeserver itself, which reaches nobody, may have asked by now.
    hs.rows("UPDATE user_directory SET ask_after_ms = 0 WHERE ask_after_ms > 0")
    await directory.ask_servers()
    await directory.ask_servers()
    assert asked == ["@closed:elsewhere.test"]
    answer = await alice.ok("POST", "/user_directory/search", {"search_term": "mallory"})
    assert answer["results"] == [{"user_id": "@closed:elsewhere.test", "display_name": "Mallory"}]


async def test_the_operator_may_leave_out_users_of_other_servers(start_homeserver: Any) -> None:
    hs = await start_homeserver("user_directory: {exclude_remote_users: true}")
    alice = await hs.register("alice")
    await put_remote_member(hs, await alice.create_room(), "@open:elsewhere.test")
    assert await find(alice, "open") == []
