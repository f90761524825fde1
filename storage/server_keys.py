"""The signing keys of other servers, and what they said of them."""

from collections.abc import Collection, Sequence

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from storage.statements import Insert

PUT = Insert(
    "server_keys",
    {
        "server_name": "text",
        "key_id": "text",
        "verify_key": "bytea",
        "valid_until_ms": "bigint",
        "fetched_ms": "bigint",
        "is_old": "bool",
    },
    key=("server_name", "key_id"),
    on_conflict="update",
)
PUT_ANSWER = Insert(
    "server_key_answers",
    {"server_name": "text", "answer": "text", "valid_until_ms": "bigint", "fetched_ms": "bigint"},
    key=("server_name",),
    on_conflict="update",
)


@frozen
class KeyRow:
    server_name: str
    key_id: str
    verify_key: bytes
    valid_until_ms: int
    fetched_ms: int
    is_old: bool


@frozen
class AnswerRow:
    """`answer` is JSON as the server has signed it."""

    server_name: str
    answer: str
    valid_until_ms: int
    fetched_ms: int


def find_keys(cur: Cursor, server_names: Collection[str]) -> list[KeyRow]:
    """All keys that these servers have ever shown."""
    cur.execute(
        "SELECT server_name, key_id, verify_key, valid_until_ms, fetched_ms, is_old FROM server_keys"
        " WHERE server_name = ANY(%s)",
        (list(server_names),),
    )
    return [KeyRow(name, key_id, bytes(key), *rest) for name, key_id, key, *rest in cur]


def find_answers(cur: Cursor, server_names: Collection[str]) -> list[AnswerRow]:
    cur.execute(
        "SELECT server_name, answer, valid_until_ms, fetched_ms FROM server_key_answers WHERE server_name = ANY(%s)",
        (list(server_names),),
    )
    return [AnswerRow(*row) for row in cur]


def put(cur: Cursor, keys: Sequence[KeyRow], answers: Sequence[AnswerRow]) -> None:
    """Takes up keys and answers, each name and key once."""
    if keys:
        PUT.execute(
            cur,
            [(k.server_name, k.key_id, k.verify_key, k.valid_until_ms, k.fetched_ms, k.is_old) for k in keys],
        )
    if answers:
        PUT_ANSWER.execute(cur, [(a.server_name, a.answer, a.valid_until_ms, a.fetched_ms) for a in answers])
