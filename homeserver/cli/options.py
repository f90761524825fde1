"""The options that most commands share, and the configuration that they lead to."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
from attrs import evolve

from homeserver.cli.faults import MISCONFIGURED, Fault
from synapse_like_config import Config, ConfigFault
from synapse_like_config.sections.listeners import Listeners

F = TypeVar("F", bound=Callable[..., object])

# Found in the data directory, it needs no -c.
DEFAULT_FILE = "homeserver.yaml"


def with_configuration(command: F) -> F:
    """Adds `-c FILE ...` and `--data DIR`, as the arguments `files` and `data`."""
    command = click.option(
        "--data",
        envvar="HEARTH_DATA",
        default="data",
        show_default=True,
        type=click.Path(file_okay=False, path_type=Path),
        help="Directory of the database, media and keys; also $HEARTH_DATA.",
    )(command)
    return click.option(
        "-c",
        "--config",
        "files",
        multiple=True,
        type=click.Path(exists=True, readable=True, path_type=Path),
        help=f"Configuration file, or a directory of them; may be repeated. Else {DEFAULT_FILE} in the data directory.",
    )(command)


def load(files: tuple[Path, ...], data: Path) -> Config:
    """The configuration of these files, or of the one in the data directory, or the defaults.

    Raises: Fault, with all that is wrong in the files.
    """
    data = data.absolute()
    if not files and (data / DEFAULT_FILE).is_file():
        files = (data / DEFAULT_FILE,)
    try:
        return Config.load(files, environ=os.environ, data_directory=data)
    except ConfigFault as fault:
        raise Fault(str(fault), MISCONFIGURED) from None


def bound_to(config: Config, addresses: tuple[str, ...]) -> Config:
    """The configuration with its one default listener on these addresses; unchanged, if it names listeners itself."""
    if not addresses or config.listeners != Listeners():
        return config
    (default,) = config.listeners.listeners
    bound = evolve(default, bind_addresses=addresses)
    return evolve(config, listeners=evolve(config.listeners, listeners=(bound,)))


def prepare_data(directory: Path) -> None:
    """Makes the data directory, for its owner alone, and tries whether it can be written to. Raises: Fault."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise Fault(
            f"The data directory {directory} cannot be used: {error.strerror}.\n"
            "Choose another with --data DIR, or make this one writable for the user that runs Hearth."
        ) from None
