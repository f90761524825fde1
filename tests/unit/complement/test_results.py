"""What is made of the output of Complement's test programs."""

from pathlib import Path

from tests.complement.results import FAIL, PASS, SKIP, Result, listed, lost, read_expected, results_of, summary

OUTPUT = """\
2026/01/01 00:00:00 config: &{...}
\x16=== RUN   TestA
\x16=== RUN   TestA/one_(of_two)
    a_test.go:1: says --- PASS: TestA (0.00s) itself
\x16=== RUN   TestA/two
\x16    --- PASS: TestA/one_(of_two) (0.10s)
\x16    --- FAIL: TestA/two (5.00s)
\x16--- FAIL: TestA (5.10s)
\x16=== RUN   TestB
\x16--- SKIP: TestB (0.00s)
\x16=== RUN   TestC
panic: test timed out
"""
RESULTS = list(results_of("csapi", OUTPUT))


def test_each_test_and_subtest_has_its_verdict() -> None:
    assert [(one.test, one.verdict) for one in RESULTS[:4]] == [
        ("TestA/one_(of_two)", PASS),
        ("TestA/two", FAIL),
        ("TestA", FAIL),
        ("TestB", SKIP),
    ]


def test_what_began_and_did_not_end_has_failed() -> None:
    assert RESULTS[4:] == [Result("csapi", "TestC", FAIL)]


def test_the_list_is_sorted_and_has_each_once() -> None:
    lines = listed([*reversed(RESULTS), *RESULTS]).splitlines()
    assert len(lines) == len(RESULTS)
    assert lines[0] == "FAIL csapi TestA" and lines[-2:] == ["SKIP csapi TestB", "FAIL csapi TestC"]


def test_the_summary_counts_tests_and_subtests_by_package() -> None:
    _, csapi, whole = summary(RESULTS).splitlines()
    assert csapi.split() == ["csapi", "0", "(1)", "2", "(1)", "1", "(0)"]
    assert whole.split()[1:] == csapi.split()[1:]


def test_what_is_expected_and_did_not_pass_is_lost() -> None:
    expected = {"csapi TestA/one_(of_two)", "csapi TestA/two", "csapi TestA/gone", "csapi TestB"}
    assert lost(RESULTS, expected) == ["csapi TestA/gone", "csapi TestA/two", "csapi TestB"]


def test_what_was_not_run_is_not_lost() -> None:
    assert lost(RESULTS, {"csapi TestOther", "msc1 TestA"}) == []


def test_the_list_of_what_is_expected_may_have_remarks(tmp_path: Path) -> None:
    path = tmp_path / "expected.txt"
    path.write_text("# a remark\ncsapi TestA/b_c#01\n\nmsc1 TestB\n")
    assert read_expected(path) == {"csapi TestA/b_c#01", "msc1 TestB"}
