"""Which addresses are refused, in all their disguises."""

from ipaddress import ip_address

import pytest

from homeserver.web.addresses import AddressRefused, AddressRules

RULES = AddressRules.parse()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.31.255.255", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::10.0.0.1", "2002:7f00:1::", "::10.0.0.1",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe", "localhost", "example.com", "",
    ],
)  # fmt: skip
def test_what_is_not_the_public_internet_is_refused(host: str) -> None:
    with pytest.raises(AddressRefused):
        RULES.check(host)


@pytest.mark.parametrize("host", ["1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"])
def test_public_addresses_are_let_through(host: str) -> None:
    RULES.check(host)


def test_the_allowed_go_before_the_blocked() -> None:
    rules = AddressRules.parse(allowed=["10.1.0.0/16"])
    assert not rules.refuses(ip_address("10.1.2.3"))
    assert not rules.refuses(ip_address("::ffff:10.1.2.3"))
    assert rules.refuses(ip_address("10.2.0.1"))
