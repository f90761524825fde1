"""What to tell the operator: faults that a person can mend, each in words that say how, with an exit code.

Codes: 0 done, 1 it failed, 2 the command or the configuration is wrong. Only a bug of ours shows a traceback.
"""

import errno
import subprocess
from typing import Any

import click
from twisted.internet.error import CannotListenError

from homeserver.runtime.logs import LogConfigFault
from matrix.errors import MatrixError
from storage.database import DatabaseDown
from storage.migrate import MigrationFault
from synapse_like_config import ConfigFault

FAILED, MISCONFIGURED = 1, 2


class Fault(click.ClickException):
    """A message for the operator, and the exit code."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self._exit_code = exit_code

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # click reads it from the instance
        return self._exit_code


class Commands(click.Group):
    """A group whose commands may raise what they like: what a person can mend becomes a message."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            # The edge of the program: whatever is not the operator's to mend goes on, with its traceback.
            fault = explained(error)
            if fault is None:
                raise
            raise fault from None


def explained(error: BaseException) -> Fault | None:
    """The error in the operator's words; None if it is a bug of ours."""
    if isinstance(error, LogConfigFault | ConfigFault):
        return Fault(str(error), MISCONFIGURED)
    if isinstance(error, MigrationFault):
        return Fault(str(error))
    if isinstance(error, MatrixError):
        return Fault(error.message)
    if isinstance(error, CannotListenError):
        # A unix socket; what hinders a TCP port comes as an OSError.
        return Fault(f"Cannot listen on {error.interface or '*'}:{error.port}: {error.socketError}")
    if isinstance(error, DatabaseDown):
        return Fault(f"The database cannot be reached: {error}\nIs it running, and is `database:` right?")
    if isinstance(error, subprocess.SubprocessError):
        return Fault(
            f"Hearth's own PostgreSQL did not start ({error}).\nIts log is the file `log` in its directory, below the"
            " data directory. Is the disk full, or does another user own the files?"
        )
    return _explained_os_error(error) if isinstance(error, OSError) else None


def _explained_os_error(error: OSError) -> Fault | None:
    if error.errno == errno.ENOSPC:
        return Fault("No space left on the disk. Make some room and start again: nothing acknowledged is lost.")
    if error.filename is None:
        return None
    return Fault(f"{error.filename}: {error.strerror}.")
