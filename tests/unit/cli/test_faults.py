"""What the operator is told."""

import errno
import subprocess

import click
import pytest
from click.testing import CliRunner
from twisted.internet.error import CannotListenError

from homeserver.cli.faults import Commands, Fault, explained
from homeserver.runtime.logs import LogConfigFault
from matrix.errors import BadRequest
from storage.database import DatabaseDown
from storage.migrate import MigrationFault


@pytest.mark.parametrize(
    ("error", "said", "code"),
    [
        (CannotListenError("", "/run/x.sock", OSError(errno.EACCES, "denied")), "/run/x.sock", 1),
        (DatabaseDown("connection refused"), "connection refused", 1),
        (MigrationFault("made by a newer Hearth"), "newer Hearth", 1),
        (LogConfigFault("log.yaml: bad"), "log.yaml", 2),
        (BadRequest("User ID already taken", "M_USER_IN_USE"), "already taken", 1),
        (PermissionError(errno.EACCES, "Permission denied", "/srv/key"), "/srv/key: Permission denied", 1),
        (OSError(errno.ENOSPC, "full", "/srv/x"), "No space left", 1),
        (subprocess.CalledProcessError(1, "pg_ctl"), "PostgreSQL did not start", 1),
    ],
)
def test_what_a_person_can_mend_is_put_in_words(error: Exception, said: str, code: int) -> None:
    fault = explained(error)
    assert fault is not None
    assert said in fault.message
    assert fault.exit_code == code


@pytest.mark.parametrize("error", [KeyError("x"), AttributeError("y"), OSError("no file")])
def test_a_bug_is_not_explained_away(error: Exception) -> None:
    assert explained(error) is None


def commands(error: Exception) -> click.Group:
    @click.group(cls=Commands)
    def group() -> None: ...

    @group.command("fail")
    def fail() -> None:
        raise error

    return group


def test_a_command_shows_the_message_and_gives_the_code() -> None:
    result = CliRunner().invoke(commands(LogConfigFault("log.yaml: bad")), ["fail"])
    assert result.exit_code == 2
    assert result.output == "Error: log.yaml: bad\n"


def test_a_fault_keeps_its_code() -> None:
    assert CliRunner().invoke(commands(Fault("no", 2)), ["fail"]).exit_code == 2


def test_an_unknown_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(commands(KeyError("x")), ["nothing"]).exit_code == 2


def test_a_bug_keeps_its_traceback() -> None:
    assert isinstance(CliRunner().invoke(commands(KeyError("x")), ["fail"]).exception, KeyError)
