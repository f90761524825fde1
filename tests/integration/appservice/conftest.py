"""Fixtures of these tests."""

from tests.integration.appservice.asked import services
from tests.integration.appservice.listening import town

__all__ = ["services", "town"]
