"""A fake Discord of each test's own."""

from collections.abc import Iterator

import pytest

from tests.support.fake_discord import FakeDiscord


@pytest.fixture
def fake() -> Iterator[FakeDiscord]:
    fake = FakeDiscord()
    fake.start()
    yield fake
    fake.stop()
