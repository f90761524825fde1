"""What another server says when it refuses: for clients and for the log."""

from typing import Any

import pytest

from federation.outbound.errors import Refused


def test_the_other_servers_words_are_kept() -> None:
    refused = Refused("two.test", 403, {"errcode": "ORG.EXAMPLE_NO", "error": "Nicht heute, \U0001f525"})
    assert (refused.is_matrix, refused.errcode, refused.message) == (True, "ORG.EXAMPLE_NO", "Nicht heute, \U0001f525")


@pytest.mark.parametrize("errcode", [None, 5, "", "M_NO\nERROR all is lost", "M_\x00", "X" * 101, ["M_FORBIDDEN"], "é"])
def test_an_error_code_that_is_none_is_unknown(errcode: Any) -> None:
    refused = Refused("two.test", 404, {"errcode": errcode, "error": "no"})
    assert (refused.is_matrix, refused.errcode, refused.message) == (False, "M_UNKNOWN", "no")


@pytest.mark.parametrize("body", [None, [], 17, "no", {"error": ["no"]}, {}])
def test_a_refusal_may_be_of_any_shape(body: Any) -> None:
    refused = Refused("two.test", 500, body)
    assert (refused.is_matrix, refused.errcode, refused.message) == (False, "M_UNKNOWN", "")


def test_nobody_writes_lines_into_our_log() -> None:
    refused = Refused(
        "two.test", 403, {"errcode": "M_FORBIDDEN", "error": "no\r\n2026 ERROR: gone\u2028\x1b[2J" + "x" * 2000}
    )
    assert str(refused).startswith("two.test: 403 M_FORBIDDEN no  2026 ERROR: gone  [2Jxxx")
    assert len(refused.message) == 1000 and len(str(refused).splitlines()) == 1
