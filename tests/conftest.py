"""Fixtures for all tests. Coroutine tests run in the reactor by pytest-twisted."""

from tests.support.database import dsn, postgres
from tests.support.federation import network
from tests.support.homeserver import hs, start_homeserver

__all__ = ["dsn", "hs", "network", "postgres", "start_homeserver"]
