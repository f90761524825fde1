"""The PostgreSQL of our own."""

from pathlib import Path

from tests.support.database import TestServer


def test_its_lock_is_beside_its_data(postgres: TestServer) -> None:
    """In a folder that all users of a machine share, the first would keep all others out."""
    server = postgres.postgres._server
    data = Path(server.pgdata)
    assert Path(server._lock.path.decode()) == data.parent / f".{data.name}.lock"
    assert (data.parent / f".{data.name}.lock").exists()
