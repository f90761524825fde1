"""The manual has the manifest and the scopes that the bridge uses."""

from pathlib import Path

import yaml

from appservice.bridges.slack.package import PACKAGE
from appservice.bridges.slack.scopes import BOT_SCOPES, OPTIONAL_BOT_SCOPES, USER_SCOPES, manifest

MANUAL = Path(__file__).parents[4] / "docs" / "bridges.md"


def test_the_manifest_of_the_manual_is_that_of_the_bridge() -> None:
    pasted = MANUAL.read_text().partition("```yaml\n")[2].partition("```")[0]
    assert yaml.safe_load(pasted) == manifest(None, None)


def test_the_manual_tells_what_each_scope_is_for() -> None:
    text = MANUAL.read_text()
    for scope, reason in [*BOT_SCOPES.items(), *OPTIONAL_BOT_SCOPES.items(), *USER_SCOPES.items()]:
        assert f"| `{scope}` | {reason} |" in text


def test_the_steps_of_init_hold_a_manifest_and_the_addresses() -> None:
    text = PACKAGE.instructions("https://bridge.test/")
    assert '"socket_mode_enabled": true' in text
    assert "https://bridge.test/slack/events" in text
    assert "request_url" not in PACKAGE.instructions(None)
