"""Which servers are in which room: the table follows the memberships, whoever writes them."""

from collections.abc import Iterator

import psycopg2
import pytest
from psycopg2.extensions import cursor as Cursor

from storage import memberships
from storage.room_servers import find_server, find_servers, servers_before

ROOM, OTHER = 1, 2


@pytest.fixture
def cur(dsn: str) -> Iterator[Cursor]:
    connection = psycopg2.connect(dsn)
    yield connection.cursor()
    connection.close()


def put(cur: Cursor, *rows: tuple[str, str, int], room: int = ROOM) -> None:
    """(user, membership, position)"""
    memberships.PUT.execute(cur, [(room, user, membership, 1, at, False) for user, membership, at in rows])


def before(cur: Cursor, position: int) -> set[str]:
    return set(servers_before(cur, ROOM, position))


def test_a_server_is_in_the_room_behind_its_first_join_until_its_last_leave(cur: Cursor) -> None:
    put(cur, ("@a:one", "join", 5))
    put(cur, ("@b:one", "join", 6))
    put(cur, ("@a:one", "leave", 8))
    put(cur, ("@b:one", "ban", 10))
    assert [position for position in range(4, 13) if before(cur, position)] == [6, 7, 8, 9, 10]


def test_ports_and_addresses_are_part_of_a_servers_name(cur: Cursor) -> None:
    put(cur, ("@a:one:8448", "join", 1), ("@b:[::1]:99", "join", 2))
    assert before(cur, 3) == {"one:8448", "[::1]:99"}


def test_invites_knocks_and_new_names_move_no_server(cur: Cursor) -> None:
    put(cur, ("@a:one", "invite", 1), ("@b:two", "knock", 2), ("@c:three", "join", 3))
    put(cur, ("@c:three", "join", 4))
    assert before(cur, 5) == {"three"}
    cur.execute("SELECT server, since, until, members FROM room_servers")
    assert cur.fetchall() == [("three", 3, None, 1)]


def test_many_members_of_one_statement_are_counted_by_server(cur: Cursor) -> None:
    put(cur, *((f"@u{number}:s{number % 10}", "join", number + 1) for number in range(1000)))
    assert find_servers(cur, [ROOM])[ROOM].servers == {f"s{number}" for number in range(10)}
    put(cur, *((f"@u{number}:s{number % 10}", "leave", number + 2000) for number in range(1000) if number % 10 < 4))
    assert find_servers(cur, [ROOM])[ROOM].servers == {f"s{number}" for number in range(4, 10)}


def test_a_server_that_comes_back_has_two_times(cur: Cursor) -> None:
    for membership, position in (("join", 1), ("leave", 3), ("join", 6)):
        put(cur, ("@a:one", membership, position))
    assert [position for position in range(1, 9) if before(cur, position)] == [2, 3, 7, 8]
    assert find_server(cur, ROOM, ["one", "two"]) == {"one": (True, 6)}


def test_of_two_users_of_a_server_who_change_places_nothing_is_seen(cur: Cursor) -> None:
    put(cur, ("@a:one", "join", 1), ("@b:one", "invite", 2))
    put(cur, ("@a:one", "leave", 3), ("@b:one", "join", 4))
    assert find_servers(cur, [ROOM])[ROOM].since == 1 and before(cur, 4) == {"one"}


def test_rooms_are_told_apart_and_a_purged_one_has_no_servers(cur: Cursor) -> None:
    put(cur, ("@a:one", "join", 1))
    put(cur, ("@a:one", "join", 2), ("@b:two", "join", 3), room=OTHER)
    cur.execute("DELETE FROM memberships WHERE room_nid = %s", (OTHER,))
    found = find_servers(cur, [ROOM, OTHER])
    assert (found[ROOM].servers, found[OTHER].servers) == ({"one"}, set())
