"""Sizes, durations, networks and URLs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_like_config.units import (
    BadValue,
    parse_base_url,
    parse_duration,
    parse_network,
    parse_size,
    show_duration,
    show_size,
)


@pytest.mark.parametrize(
    ("raw", "ms"),
    [(5, 5), ("5", 5), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("7d", 604_800_000),
     ("2w", 1_209_600_000), ("1y", 31_536_000_000), (0, 0)],
)  # fmt: skip
def test_a_duration_has_a_unit_or_is_in_milliseconds(raw: object, ms: int) -> None:
    assert parse_duration(raw) == ms


@pytest.mark.parametrize("raw", ["", "1.5h", "h", "-1s", -1, 1.5, True, None, "1 h", "infinity", "٣s", []])
def test_what_is_no_duration_is_refused(raw: object) -> None:
    with pytest.raises(BadValue):
        parse_duration(raw)


@pytest.mark.parametrize(
    ("raw", "size"),
    [(7, 7), ("7", 7), ("10K", 10240), ("50M", 52_428_800), ("1G", 1 << 30), ("2T", 2 << 40), ("87KiB", 89_088)],
)
def test_a_size_has_a_unit_or_is_in_bytes(raw: object, size: int) -> None:
    assert parse_size(raw) == size


@pytest.mark.parametrize("raw", ["", "M", "1.5M", "50m", "-1K", -1, True, None, "1 M"])
def test_what_is_no_size_is_refused(raw: object) -> None:
    with pytest.raises(BadValue):
        parse_size(raw)


@given(st.integers(0, 10**14))
def test_what_is_shown_is_read_back(value: int) -> None:
    assert parse_duration(show_duration(value)) == value
    assert parse_size(show_size(value)) == value


def test_it_is_shown_with_the_largest_unit() -> None:
    assert (show_duration(3_600_000), show_duration(1500), show_duration(0)) == ("1h", 1500, 0)
    assert (show_size(50 << 20), show_size(7)) == ("50M", 7)


def test_a_network_may_be_an_address() -> None:
    assert parse_network("10.0.0.1") == "10.0.0.1/32"
    assert parse_network("10.1.0.0/8") == "10.0.0.0/8"
    for raw in ("10.0.0.0/33", "localhost", 7, None):
        with pytest.raises(BadValue):
            parse_network(raw)


def test_a_url_ends_without_a_slash() -> None:
    assert parse_base_url("https://matrix.example.org/") == "https://matrix.example.org"
    for raw in ("matrix.example.org", "ftp://a", "https://", "https://a?b", "https://a b", 3):
        with pytest.raises(BadValue):
            parse_base_url(raw)
