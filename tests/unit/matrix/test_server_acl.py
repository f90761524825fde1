"""Server access control lists."""

from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.server_acl import allowed

EVERYONE = {"allow": ["*"]}


def test_without_a_list_every_server_is_allowed() -> None:
    assert allowed(None, "evil.com")


def test_a_list_that_allows_nobody_allows_nobody() -> None:
    assert not allowed({}, "good.com")


def test_who_is_denied_is_not_allowed_in_spite_of_the_allow_list() -> None:
    assert not allowed({"allow": ["evil.com"], "deny": ["evil.com"]}, "evil.com")


@pytest.mark.parametrize("server", ["evil.com", "evil.com:8448", "EVIL.com", "a.evil.com:1"])
def test_ports_and_case_do_not_matter(server: str) -> None:
    assert not allowed({**EVERYONE, "deny": ["evil.COM", "*.evil.com"]}, server)


@pytest.mark.parametrize("server", ["notevil.com", "evil.com.good.org", "evilxcom"])
def test_a_pattern_matches_the_whole_name(server: str) -> None:
    assert allowed({**EVERYONE, "deny": ["evil.com"]}, server)


@pytest.mark.parametrize("server", ["1.2.3.4", "1.2.3.4:8448", "[::1]", "[2001:db8::1]:8448"])
def test_ip_literals_can_be_denied(server: str) -> None:
    assert not allowed({**EVERYONE, "allow_ip_literals": False}, server)
    assert allowed({**EVERYONE, "allow_ip_literals": True}, server)


@pytest.mark.parametrize("flag", [None, 0, "false", []])
def test_what_is_no_truth_value_leaves_ip_literals_allowed(flag: Any) -> None:
    assert allowed({**EVERYONE, "allow_ip_literals": flag}, "1.2.3.4")


@pytest.mark.parametrize("server", ["1.2.3.4.example", "1.2.3", "example.1"])
def test_names_with_numbers_are_no_ip_literals(server: str) -> None:
    assert allowed({**EVERYONE, "allow_ip_literals": False}, server)


def test_an_ipv6_literal_keeps_its_last_group() -> None:
    assert not allowed({**EVERYONE, "deny": ["[2001:db8::8448]"]}, "[2001:db8::8448]:8448")


@pytest.mark.parametrize("junk", [None, "*", {"*": 1}, [None, 7, ["*"]]])
def test_junk_lists_match_nobody(junk: Any) -> None:
    assert not allowed({"allow": junk}, "good.com")
    assert allowed({**EVERYONE, "deny": junk}, "good.com")


def test_a_pattern_of_many_stars_is_no_trap() -> None:
    assert not allowed({"allow": ["*a" * 2000 + "b", "*a?" * 2000 + "b"]}, "a" * 255)


@given(st.text("ab*?[.", max_size=12), st.text("ab.[", max_size=12))
def test_globs_match_as_fnmatch_does_without_its_brackets(pattern: str, text: str) -> None:
    assert allowed({"allow": [pattern]}, text) == fnmatchcase(text, pattern.replace("[", "[[]"))
