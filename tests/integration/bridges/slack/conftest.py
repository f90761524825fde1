"""The fake of Slack, one for each test."""

from collections.abc import Iterator

import pytest

from tests.support.fake_slack import FakeSlack


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    fake = FakeSlack()
    # A minute takes a second, so that no test waits for a tier unless it wants to.
    fake.core.limits.minute_s = 1.0
    fake.start()
    yield fake
    fake.stop()
