"""Runs test programs of Complement against processes of Hearth: see docs/testing.md."""

import argparse
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from attrs import define, field, frozen

from tests.complement import BASE_IMAGE, programs
from tests.complement.results import FAIL, PASS, Result, listed, lost, read_expected, results_of, summary

_HERE = Path(__file__).parent
# What passes of the pinned version, and what of a newer one whose programs are given.
EXPECTED, EXPECTED_NEWER = _HERE / "expected.txt", _HERE / "expected-newer.txt"
PACKAGES = ("csapi", "tests", "msc3391", "msc3874", "msc3890", "msc3930", "msc3967")
NEWER_PACKAGES = (*PACKAGES, "msc4155", "msc4222")
START_S = 60
# Not 1: whoever runs it may have to tell "could not be run" from "does not pass".
NOT_RUN = 3
# Complement puts this name among the hosts of each of its containers.
_HOSTNAME = "host.docker.internal"


@frozen
class Part:
    """Some tests of one program, run together by one process."""

    package: str
    program: Path
    tests: tuple[str, ...]
    subtests: str


@define
class Run:
    """All parts, a few at a time, each with an engine of its own."""

    directory: Path
    output: Path
    timeout_s: int
    results: list[Result] = field(factory=list)

    def all(self, parts: Sequence[Part], jobs: int) -> None:
        waiting: queue.SimpleQueue[Part] = queue.SimpleQueue()
        for part in parts:
            waiting.put(part)
        workers = [threading.Thread(target=self._work, args=(number, waiting)) for number in range(jobs)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def _work(self, number: int, waiting: "queue.SimpleQueue[Part]") -> None:
        while True:
            try:
                part = waiting.get_nowait()
            except queue.Empty:
                return
            found = list(results_of(part.package, self._run(part, number)))
            self.results += found
            for result in found:
                if "/" not in result.test:
                    print(f"{result.verdict} {result.name}", flush=True)

    def _run(self, part: Part, number: int) -> str:
        pattern = f"^({'|'.join(part.tests)})$" + part.subtests
        log = self.output / f"{part.package}.{part.tests[0]}.log"
        words = [str(part.program), "-test.v=test2json", "-test.run", pattern, f"-test.timeout={self.timeout_s}s"]
        with log.open("wb") as file:
            process = subprocess.Popen(
                words,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=environment(self.directory, number),
            )
            try:
                process.wait(self.timeout_s + 30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        output = log.read_text(errors="replace")
        if process.returncode and not any(result.verdict == FAIL for result in results_of(part.package, output)):
            print(f"FAIL {part.package}: the program ended with {process.returncode}; see {log}", flush=True)
            return output + "".join(f"\n=== RUN   {test}\n" for test in part.tests)
        return output


def environment(directory: Path, number: int) -> dict[str, str]:
    """What Complement reads: where its Docker is, what to start, and under which name it is reached itself."""
    # It writes the certificate of its own servers under a fixed name there.
    temporary = directory / f"{number}.tmp"
    temporary.mkdir(exist_ok=True)
    return {
        **os.environ,
        "TMPDIR": str(temporary),
        "DOCKER_HOST": f"unix://{directory / f'{number}.sock'}",
        "COMPLEMENT_BASE_IMAGE": BASE_IMAGE,
        "COMPLEMENT_HOSTNAME_RUNNING_COMPLEMENT": _HOSTNAME,
    }


def parts_of(package: str, program: Path, pattern: str, directory: Path, size: int) -> list[Part]:
    """The tests of a program that a pattern of Go names, `Test.*/subtest.*`, in parts of a size."""
    first, slash, rest = pattern.partition("/")
    words = [str(program), "-test.list", first or "."]
    said = subprocess.run(words, capture_output=True, text=True, env=environment(directory, 0), cwd=directory)
    tests = [line for line in said.stdout.splitlines() if re.fullmatch(r"(Test|Example|Fuzz)\w*", line)]
    if said.returncode:
        raise SystemExit(f"{program} cannot say what it tests:\n{said.stdout}{said.stderr}")
    chunks = [tuple(tests[start : start + size]) for start in range(0, len(tests), size)]
    return [Part(package, program, chunk, slash + rest) for chunk in chunks]


def started_engines(directory: Path, count: int, room_version: str = programs.ROOM_VERSION) -> "subprocess.Popen[str]":
    """The process of tests.complement.engine, ready. Rooms are of that version where a test does not say."""
    root = Path(__file__).parents[2]
    words = [sys.executable, "-m", "tests.complement.engine", str(directory), str(count)]
    # Every server that it starts reads this over its configuration.
    environ = {**os.environ, "HEARTH_DEFAULT_ROOM_VERSION": f"'{room_version}'"}
    engines = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root, env=environ)
    assert engines.stdout is not None
    if engines.stdout.readline().strip() != "ready":
        raise SystemExit("The stand-in for Docker did not start: see above.")
    return engines


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/complement", description=__doc__)
    parser.add_argument("packages", nargs="*", help=f"of Complement's tests; else {' '.join(PACKAGES)}, and newer ones")
    parser.add_argument(
        "-run", "--run", default="", metavar="REGEX", help="as for `go test`: which tests, and /which subtests"
    )
    parser.add_argument(
        "--programs",
        type=Path,
        default=os.environ.get("COMPLEMENT_PROGRAMS"),
        help="a directory with a PACKAGE.test for each package, of another version than the pinned one",
    )
    parser.add_argument(
        "--output", type=Path, help="where the programs' output and results.txt go; else a new directory"
    )
    parser.add_argument("--jobs", type=int, default=min(4, (os.cpu_count() or 1) + 1), help="how many at a time")
    parser.add_argument("--check", action="store_true", help="fail only if what the list names no longer passes")
    parser.add_argument("--update", action="store_true", help="add what passes to the list")
    return parser.parse_args()


def main() -> int:
    wish = options()
    try:
        if wish.programs:
            found = programs.given(Path(wish.programs), wish.packages or NEWER_PACKAGES)
        else:
            found = programs.built(wish.packages or PACKAGES)
    except programs.NotToBeHad as reason:
        print(reason, file=sys.stderr)
        return NOT_RUN
    output = wish.output or Path(tempfile.mkdtemp(prefix="complement-results-"))
    output.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="complement-"))
    started = time.monotonic()
    run = Run(directory=directory, output=output.absolute(), timeout_s=900)
    engines = started_engines(
        directory, wish.jobs, programs.NEWER_ROOM_VERSION if wish.programs else programs.ROOM_VERSION
    )
    try:
        parts = [
            part
            for package, program in found.items()
            for part in parts_of(package, program, wish.run, directory, size=5)
        ]
        run.all(parts, wish.jobs)
    finally:
        assert engines.stdin is not None
        engines.stdin.close()
        engines.wait(START_S)
        shutil.rmtree(directory, ignore_errors=True)
    return report(run, wish, time.monotonic() - started)


def report(run: Run, wish: argparse.Namespace, took_s: float) -> int:
    (run.output / "results.txt").write_text(listed(run.results))
    print(f"\n{summary(run.results)}\n\n{took_s:.0f} s; all results, sorted, are in {run.output}/results.txt")
    file = EXPECTED_NEWER if wish.programs else EXPECTED
    expected = read_expected(file) if file.exists() else set()
    if wish.update:
        passed = {result.name for result in run.results if result.verdict == PASS}
        file.write_text("".join(f"{name}\n" for name in sorted(expected | passed)))
    if wish.check:
        missed = lost(run.results, expected)
        for name in missed:
            print(f"no longer passes: {name}")
        return 1 if missed or not run.results else 0
    return 1 if any(result.verdict == FAIL for result in run.results) else 0


if __name__ == "__main__":
    sys.exit(main())
