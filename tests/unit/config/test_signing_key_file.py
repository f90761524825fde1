"""The file with the signing keys."""

import stat
from pathlib import Path

import pytest

from synapse_like_config import ConfigFault
from synapse_like_config.signing_key_file import read_or_make


def test_a_file_that_is_not_there_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "a.signing.key"
    (made,) = read_or_make(path)
    (read,) = read_or_make(path)
    assert made.line() == read.line() == path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["a.signing.key"]


def test_what_is_no_key_is_a_fault(tmp_path: Path) -> None:
    for text in ("", "ed25519 a_b", "rsa a b\n", "ed25519 a_1 !!!"):
        path = tmp_path / "key"
        path.write_text(text)
        with pytest.raises(ConfigFault, match="signing_key_path"):
            read_or_make(path)


def test_a_file_that_cannot_be_made_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigFault):
        read_or_make(tmp_path / "file" / "key")
