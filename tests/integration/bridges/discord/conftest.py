"""A fake Discord of each test's own, and a bridge between it and a homeserver."""

from collections.abc import Iterator

import pytest

from tests.integration.bridges.discord.town import town
from tests.support.fake_discord import FakeDiscord

__all__ = ["fake", "town"]


@pytest.fixture
def fake() -> Iterator[FakeDiscord]:
    fake = FakeDiscord()
    fake.start()
    yield fake
    fake.stop()
