"""Fixtures for all tests. Coroutine tests run in the reactor by pytest-twisted."""

from tests.support.database import dsn, postgres

__all__ = ["dsn", "postgres"]
