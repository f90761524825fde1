"""The fake of Slack, one for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.bridges.slack.rig import Workspace
from tests.integration.bridges.slack.town import town
from tests.support.fake_slack import FakeSlack

__all__ = ["slack", "town", "work"]


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    fake = FakeSlack()
    # A minute takes a second, so that no test waits for a tier unless it wants to, nor to connect again.
    fake.core.limits.minute_s = 1.0
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def work(slack: FakeSlack, tmp_path: Path) -> Iterator[Workspace]:
    """An app and a person in a channel, and the bridge's side of Slack connected to them."""
    workspace = Workspace(slack, tmp_path)
    yield workspace
    workspace.stop()
