"""The test programs of Complement, built from the version that module/go.mod pins.

Go's tools fetch the module from its proxy and compare it with module/go.sum; the module brings the versions and sums of
all that it needs itself. Programs are built once for each version, into a directory that git ignores.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

_MODULE = Path(__file__).parent / "module"
_BUILT = Path(__file__).parents[2] / ".complement"
_NAME = "github.com/matrix-org/complement"
# Old names for what has none of its own there: the tests of the package `tests` itself.
_FOLDERS = {"tests": "tests"}

# In which a creator's level stands in the power levels, as Complement's tests of them presume; and of those the newest
# that the pinned version and later ones know.
ROOM_VERSION, NEWER_ROOM_VERSION = "10", "11"

NO_GO = """\
Complement is written in Go, and `go` is not installed. Debian, Ubuntu: sudo apt install golang; macOS: brew install go;
or go.dev/dl. Programs that are built already are named by --programs DIRECTORY or COMPLEMENT_PROGRAMS."""


class NotToBeHad(Exception):
    """There is no Go here, or the module could not be fetched or compiled. Says what to do."""


def built(packages: Iterable[str]) -> dict[str, Path]:
    """The program of each package; those that are not there yet are built first. Raises: NotToBeHad."""
    if shutil.which("go") is None:
        raise NotToBeHad(NO_GO)
    source, version = _downloaded()
    directory = _BUILT / version
    directory.mkdir(parents=True, exist_ok=True)
    return {package: _build(source, directory, package) for package in packages}


def given(directory: Path, packages: Iterable[str]) -> dict[str, Path]:
    """The programs of a directory, `PACKAGE.test` each. Raises: NotToBeHad."""
    found = {package: directory.absolute() / f"{package}.test" for package in packages}
    missing = [str(path) for path in found.values() if not path.exists()]
    if missing:
        raise NotToBeHad(f"There is no {', no '.join(missing)}.")
    return found


def _downloaded() -> tuple[Path, str]:
    """Where Go keeps the module's source, and its version."""
    output = json.loads(_go("mod", "download", "-json", _NAME, cwd=_MODULE))
    return Path(output["Dir"]), output["Version"]


def _build(source: Path, directory: Path, package: str) -> Path:
    program = directory / f"{package}.test"
    if not program.exists():
        print(f"Building {program.name} of Complement {directory.name} ...", flush=True)
        folder = "./" + _FOLDERS.get(package, f"tests/{package}")
        if not (source / folder).is_dir():
            raise NotToBeHad(f"Complement {directory.name} has no tests of the name {package}.")
        partial = program.with_suffix(".new")
        # The source lies where nobody may write: its go.mod is taken as it is.
        _go("test", "-c", "-mod=readonly", "-o", str(partial), folder, cwd=source)
        partial.replace(program)
    return program


def _go(*words: str, cwd: Path) -> str:
    # The toolchain that is there is new enough: none is fetched for the line `toolchain` of a go.mod.
    environment: Mapping[str, str] = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
    said = subprocess.run(["go", *words], cwd=cwd, env=environment, capture_output=True, text=True)
    if said.returncode:
        raise NotToBeHad(f"go {' '.join(words)} failed:\n{said.stdout}{said.stderr}")
    return said.stdout
