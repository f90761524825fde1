"""Fixtures for all tests. Coroutine tests run in the reactor by pytest-twisted."""

import os

from hypothesis import HealthCheck, settings

from tests.support.database import dsn, postgres
from tests.support.federation import network
from tests.support.homeserver import hs, start_homeserver

__all__ = ["dsn", "hs", "network", "postgres", "start_homeserver"]

# How fast the machine is today is no fault of what is tested. In CI the same examples each time: a new one that fails
# is found by who runs the tests by hand, and not by whoever lands next.
settings.register_profile(
    "hearth", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("hearth")
