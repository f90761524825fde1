"""One-time keys: each handed out once, in order, whoever asks at the same time."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2
import pytest

from storage.one_time_keys import Counts, Slot, find_available, find_counts, take

ALICE = Slot("@alice:a", "A", "signed_curve25519")


@pytest.fixture
def connections(dsn: str) -> Iterator[list[Any]]:
    """Two processes, each in a transaction of its own; 20 keys to take, k0 being the oldest."""
    opened = [psycopg2.connect(dsn) for _ in range(2)]
    with opened[0], opened[0].cursor() as cur:
        for n in range(20):
            cur.execute(
                "INSERT INTO one_time_keys (user_id, device_id, algorithm, key_id, json) VALUES (%s, %s, %s, %s, '{}')",
                (ALICE.user_id, ALICE.device_id, ALICE.algorithm, f"k{n}"),
            )
    yield opened
    for connection in opened:
        connection.close()


def taken(connection: Any) -> str:
    with connection.cursor() as cur:
        return take(cur, [ALICE])[ALICE].key_id


def test_a_key_that_another_transaction_is_taking_is_passed_over(connections: list[Any]) -> None:
    first, second = connections
    assert [taken(first), taken(second), taken(first)] == ["k0", "k1", "k2"]
    first.rollback()
    second.commit()
    # What was not taken in the end is the oldest again; what was taken is gone.
    assert [taken(second), taken(second)] == ["k0", "k2"]


def test_concurrent_claims_never_hand_out_one_key_twice(dsn: str, connections: list[Any]) -> None:
    def claim_ten(connection: Any) -> list[str]:
        keys = []
        for _ in range(10):
            with connection:
                keys.append(taken(connection))
        return keys

    with ThreadPoolExecutor(2) as threads:
        both = [key for keys in threads.map(claim_ten, connections) for key in keys]
    assert sorted(both) == sorted(f"k{n}" for n in range(20))
    with connections[0].cursor() as cur:
        assert take(cur, [ALICE]) == {}
        assert find_counts(cur, "@alice:a", "A") == Counts({}, [])


def test_keys_of_many_devices_are_taken_at_once(connections: list[Any]) -> None:
    bob, nobody = Slot("@bob:a", "B", "signed_curve25519"), Slot("@nobody:a", "N", "signed_curve25519")
    with connections[0].cursor() as cur:
        cur.execute("INSERT INTO fallback_keys VALUES ('@bob:a', 'B', 'signed_curve25519', 'fb', '{}')")
        available = find_available(cur, [ALICE, bob, nobody])
        assert {slot: have.one_time for slot, have in available.items()} == {ALICE: True, bob: False}
        assert {slot: key.key_id for slot, key in take(cur, [ALICE, bob, nobody]).items()} == {ALICE: "k0", bob: "fb"}
        assert find_available(cur, [bob])[bob].fallback_used
