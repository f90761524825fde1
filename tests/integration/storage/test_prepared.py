"""Statements that run often are parsed and planned once for a connection, and a failure leaves nothing in doubt."""

import psycopg2
import pytest
from psycopg2 import errors

from storage.database import connect
from storage.prepared import Often, PreparingConnection

TEXT = Often("SELECT %s::text || 'b'")


@pytest.fixture
def connection(dsn: str):
    connection = connect(dsn)
    yield connection
    connection.close()


def ask(connection: PreparingConnection, sql: str, *values: object) -> list[tuple]:
    with connection.cursor() as cur:
        cur.execute(sql, values)
        return cur.fetchall()


def prepared(connection: PreparingConnection) -> list[tuple]:
    return ask(connection, "SELECT statement FROM pg_prepared_statements")


def test_it_is_prepared_when_it_first_runs(connection: PreparingConnection) -> None:
    assert prepared(connection) == []
    assert [ask(connection, TEXT, "a"), ask(connection, TEXT, "%s'")] == [[("ab",)], [("%s'b",)]]
    assert len(prepared(connection)) == 1


def test_what_is_not_declared_is_not(connection: PreparingConnection) -> None:
    ask(connection, str(TEXT), "a")
    assert prepared(connection) == []


def test_any_other_connection_just_runs_it(dsn: str) -> None:
    connection = psycopg2.connect(dsn)
    with connection.cursor() as cur:
        cur.execute(TEXT, ("a",))
        assert cur.fetchall() == [("ab",)]
    connection.close()


@pytest.mark.parametrize("numbers", [[], [3], list(range(2000)), [1 << 40]])
def test_lists_of_numbers_are_values(connection: PreparingConnection, numbers: list[int]) -> None:
    rows = ask(connection, Often("SELECT n FROM unnest(%s::bigint[]) AS n"), numbers)
    assert [number for (number,) in rows] == numbers


def test_lists_of_texts_are_values(connection: PreparingConnection) -> None:
    texts = ["", 'a"b', "c,{}", "d\\"]
    assert ask(connection, Often("SELECT t FROM unnest(%s::text[]) AS t"), texts) == [(text,) for text in texts]


def test_a_value_that_cannot_be_sent_hinders_no_other(connection: PreparingConnection) -> None:
    with pytest.raises(ValueError, match="NUL"):
        ask(connection, TEXT, "\x00")
    assert ask(connection, TEXT, "a") == [("ab",)]


def test_a_value_that_fails_hinders_no_other(connection: PreparingConnection) -> None:
    share = Often("SELECT 6 / %s::int")
    for _ in range(2):
        with pytest.raises(errors.DivisionByZero):
            ask(connection, share, 0)
        assert ask(connection, share, 3) == [(2,)]


def test_it_is_not_taken_for_prepared_in_a_transaction_that_has_failed(connection: PreparingConnection) -> None:
    with connection.cursor() as cur:
        cur.execute("BEGIN")
        with pytest.raises(errors.DivisionByZero):
            cur.execute("SELECT 1 / 0")
        with pytest.raises(errors.InFailedSqlTransaction):
            cur.execute(TEXT, ("a",))
        cur.execute("ROLLBACK")
    assert ask(connection, TEXT, "a") == [("ab",)]


def test_settings_of_the_operators_dsn_are_kept(dsn: str) -> None:
    connection = connect(psycopg2.extensions.make_dsn(dsn, options="-c statement_timeout=12345"))
    assert ask(connection, "SHOW statement_timeout") == [("12345ms",)]
    assert ask(connection, "SHOW plan_cache_mode") == [("force_generic_plan",)]
    connection.close()
