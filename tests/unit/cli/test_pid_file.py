"""The file with the process id."""

import os
import resource
from pathlib import Path

import pytest

from homeserver.cli.faults import Fault
from homeserver.cli.pid_file import pid_file
from homeserver.cli.serving import prepare_process


def test_the_file_is_there_while_the_process_runs(tmp_path: Path) -> None:
    file = tmp_path / "hearth.pid"
    with pid_file(str(file)):
        assert file.read_text() == f"{os.getpid()}\n"
    assert not file.exists()


def test_another_processs_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "hearth.pid"
    with pid_file(str(file)):
        file.write_text("1\n")
    assert file.read_text() == "1\n"


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="pid_file"), pid_file(str(tmp_path / "nowhere" / "pid")):
        pass


def test_as_many_files_may_be_open_as_the_operator_says() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        prepare_process(256)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 256
        prepare_process(0)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
