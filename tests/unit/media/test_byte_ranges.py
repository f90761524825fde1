"""Which part of a file a request asks for. Source: RFC 9110, 14."""

import pytest

from homeserver.services.media.byte_ranges import ByteRange, Unsatisfiable, read_range

TAG = '"tag"'


@pytest.mark.parametrize(
    ("header", "start", "length"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=2-4", 2, 3),
        ("bytes=2-", 2, 8),
        ("bytes=-3", 7, 3),
        ("bytes=-99", 0, 10),
        ("bytes=9-99", 9, 1),
        (" Bytes = 1-2 ", 1, 2),
    ],
)
def test_a_range(header: str, start: int, length: int) -> None:
    found = read_range(header, None, TAG, 10)
    assert found == ByteRange(start, length)
    assert found is not None and found.content_range(10) == f"bytes {start}-{start + length - 1}/10"


@pytest.mark.parametrize("header", [None, "", "bytes", "bytes=", "bytes=-", "bytes=4-2", "bytes=0-1,3-4", "lines=1-2"])
def test_what_is_no_range_means_the_whole_file(header: str | None) -> None:
    assert read_range(header, None, TAG, 10) is None


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_a_part_that_is_not_there_is_refused(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        read_range(header, None, TAG, 10)


def test_a_range_counts_only_for_the_version_that_it_is_meant_for() -> None:
    assert read_range("bytes=0-0", TAG, TAG, 10) == ByteRange(0, 1)
    for other in ('"other"', f"W/{TAG}", "Sat, 29 Oct 1994 19:43:31 GMT"):
        assert read_range("bytes=0-0", other, TAG, 10) is None
