"""What the tests of Complement said, and what it comes to."""

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from attrs import frozen

PASS, FAIL, SKIP = "PASS", "FAIL", "SKIP"
# As Go's test programs write it with -test.v=test2json: \x16 before what is not a test's own output.
_VERDICT = re.compile(r"\x16?\s*--- (PASS|FAIL|SKIP): (\S+) \([0-9.]+s\)")
_STARTED = re.compile(r"\x16?=== RUN\s+(\S+)")


@frozen(order=True)
class Result:
    """One test or subtest, whose names stand behind each other with slashes."""

    package: str
    test: str
    verdict: str

    @property
    def name(self) -> str:
        return f"{self.package} {self.test}"


def results_of(package: str, output: str) -> Iterator[Result]:
    """From the output of a test program. A test that began and did not end has failed."""
    started: dict[str, None] = {}
    for line in output.splitlines():
        if match := _STARTED.match(line):
            started[match[1]] = None
        elif match := _VERDICT.match(line):
            started.pop(match[2], None)
            yield Result(package, match[2], match[1])
    for test in started:
        yield Result(package, test, FAIL)


def summary(results: Collection[Result]) -> str:
    """A line for each package: tests, and subtests in brackets."""
    lines = [f"{'package':<10} {'passed':>16} {'failed':>16} {'skipped':>16}   tests (and their subtests)"]
    for package in [*sorted({result.package for result in results}), "all"]:
        some = [result for result in results if package in (result.package, "all")]
        lines.append(f"{package:<10} " + " ".join(_count(some, verdict) for verdict in (PASS, FAIL, SKIP)))
    return "\n".join(lines)


def _count(results: Iterable[Result], verdict: str) -> str:
    tests = [result.test for result in results if result.verdict == verdict]
    subtests = sum("/" in test for test in tests)
    return f"{len(tests) - subtests} ({subtests})".rjust(16)


def listed(results: Iterable[Result]) -> str:
    """One line for each, sorted: equal runs give equal files."""
    return "".join(f"{result.verdict} {result.name}\n" for result in sorted(set(results)))


def read_expected(path: Path) -> set[str]:
    """The names of what must pass: `package Test/subtest`, a line each. A line that begins with # is a remark."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return {line for line in lines if line and not line.startswith("#")}


def lost(results: Collection[Result], expected: Collection[str]) -> list[str]:
    """What was expected and ran, or belongs to a test that ran, and did not pass."""
    ran = {f"{result.package} {result.test.split('/')[0]}" for result in results}
    passed = {result.name for result in results if result.verdict == PASS}
    return sorted(name for name in expected if name.split("/")[0] in ran and name not in passed)
