"""A signing key takes the place of another: at a start, and the old one is not forgotten."""

from pathlib import Path

import pytest

from matrix.signing import SigningKey
from synapse_like_config.load import ConfigFault
from synapse_like_config.signing_key_file import read_or_make
from synapse_like_config.signing_key_rotation import RetiredKey, prepare_rotation, read_retired, take_up


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hs.test.signing.key"


def retired(key: SigningKey, expired_ms: int) -> RetiredKey:
    return RetiredKey(key.key_id, key.verify_key, expired_ms)


def test_the_new_key_signs_from_the_next_start_on(path: Path) -> None:
    (old,) = read_or_make(path)
    new = prepare_rotation(path)
    assert read_or_make(path) == [old]
    assert take_up(path, 5)
    assert read_or_make(path) == [new]
    assert read_retired(path) == [retired(old, 5)]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_start_without_a_new_key_changes_nothing(path: Path) -> None:
    (old,) = read_or_make(path)
    assert not take_up(path, 5)
    assert (read_or_make(path), read_retired(path)) == ([old], [])


def test_all_keys_that_ever_signed_stay_known(path: Path) -> None:
    (first,) = read_or_make(path)
    second = prepare_rotation(path)
    take_up(path, 5)
    prepare_rotation(path)
    take_up(path, 6)
    assert read_retired(path) == [retired(first, 5), retired(second, 6)]


def test_a_second_new_key_is_refused_while_the_first_waits(path: Path) -> None:
    prepare_rotation(path)
    with pytest.raises(ConfigFault, match="already"):
        prepare_rotation(path)


def test_a_crash_half_way_is_made_good_by_the_next_start(path: Path) -> None:
    (old,) = read_or_make(path)
    new = prepare_rotation(path)
    take_up(path, 5)
    # The crash came before the last step: the new key seems to wait still.
    path.with_name(path.name + ".next").write_text(new.line())
    path.write_text(old.line())
    take_up(path, 9)
    assert read_or_make(path) == [new]
    assert read_retired(path) == [retired(old, 5)]


def test_two_processes_that_start_together_agree(path: Path) -> None:
    (old,) = read_or_make(path)
    new = prepare_rotation(path)
    take_up(path, 5)
    # The other one saw the new key waiting before the first took it away.
    path.with_name(path.name + ".next").write_text(new.line())
    take_up(path, 6)
    assert (read_or_make(path), read_retired(path)) == ([new], [retired(old, 5)])


def test_a_file_that_will_not_do_is_named(path: Path) -> None:
    path.with_name(path.name + ".old").write_text("ed25519 a nonsense\n")
    with pytest.raises(ConfigFault, match=r"signing\.key\.old: line 1"):
        read_retired(path)
