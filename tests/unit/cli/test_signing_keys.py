"""`hearth rotate-key`."""

from pathlib import Path

from click.testing import CliRunner

from homeserver.cli.commands import hearth
from synapse_like_config.signing_key_file import read_or_make
from synapse_like_config.signing_key_rotation import read_retired, take_up


def test_the_key_is_rotated_by_a_command_and_a_start(tmp_path: Path) -> None:
    path = tmp_path / "localhost.signing.key"
    (old,) = read_or_make(path)
    result = CliRunner().invoke(hearth, ["rotate-key", "--data", str(tmp_path)])
    assert result.exit_code == 0
    assert old.key_id in result.output
    take_up(path, 5)
    (new,) = read_or_make(path)
    assert new.key_id in result.output
    assert [key.key_id for key in read_retired(path)] == [old.key_id]


def test_a_second_rotation_waits_for_the_first(tmp_path: Path) -> None:
    words = ["rotate-key", "--data", str(tmp_path)]
    CliRunner().invoke(hearth, words)
    result = CliRunner().invoke(hearth, words)
    assert result.exit_code == 2
    assert "start the server again" in result.output
