import pytest

from appservice.registration import BadRegistration
from tests.unit.appservice.registrations import DOUBLE_PUPPETS, IRC, read


def faults(text: str) -> tuple[str, ...]:
    with pytest.raises(BadRegistration) as caught:
        read(text)
    return caught.value.faults


def test_a_registration_says_who_the_service_is() -> None:
    irc = read(IRC)
    assert (irc.id, irc.url, irc.as_token, irc.hs_token) == ("irc", "http://127.0.0.1:1234", "as-irc", "hs-irc")
    assert irc.sender == "@_irc_bot:example.org"
    assert irc.is_rate_limited
    assert not (irc.wants_ephemeral or irc.wants_encryption or irc.manages_devices)


def test_tokens_are_not_in_the_repr() -> None:
    assert "as-irc" not in repr(read(IRC))
    assert "hs-irc" not in repr(read(IRC))


def test_a_service_owns_its_namespaces_and_its_own_user() -> None:
    irc = read(IRC)
    assert irc.owns_user("@_irc_alice:example.org")
    assert irc.owns_user("@_irc_bot:example.org")
    assert not irc.owns_user("@alice:example.org")
    assert irc.owns_alias("#_irc_python:example.org")
    assert not irc.owns_alias("#python:example.org")
    assert irc.owns_room_id("!irc1:example.org")


def test_users_of_other_servers_are_nobodys() -> None:
    assert not read(IRC).owns_user("@_irc_alice:elsewhere.org")


def test_a_namespace_is_anchored_at_its_beginning_only() -> None:
    irc = read(IRC.replace("@_irc_.*", "@_irc_"))
    assert irc.owns_user("@_irc_alice:example.org")
    assert not irc.owns_user("@x@_irc_alice:example.org")


def test_only_an_exclusive_namespace_is_reserved() -> None:
    irc, puppets = read(IRC), read(DOUBLE_PUPPETS)
    assert irc.has_reserved_user("@_irc_alice:example.org")
    assert puppets.owns_user("@alice:example.org")
    assert not puppets.has_reserved_user("@alice:example.org")
    assert puppets.has_reserved_user("@Xk3vPq:example.org")


def test_a_service_without_an_address_says_so() -> None:
    assert read(DOUBLE_PUPPETS).url is None
    assert faults(DOUBLE_PUPPETS.replace("url:\n", "")) == (
        "url: must be given: an address, or null for a service that is told nothing",
    )


@pytest.mark.parametrize("key", ["receive_ephemeral", "de.sorunome.msc2409.push_ephemeral"])
def test_ephemeral_data_is_asked_for_by_either_name(key: str) -> None:
    assert read(f"{IRC}{key}: true\n").wants_ephemeral


def test_what_is_optional_is_read() -> None:
    text = "rate_limited: false\nprotocols: [irc]\norg.matrix.msc3202: true\nio.element.msc4190: true\n"
    irc = read(f"{IRC}{text}ip_range_whitelist: [10.0.0.0/8]\n")
    assert not irc.is_rate_limited
    assert irc.protocols == ("irc",)
    assert irc.wants_encryption
    assert irc.manages_devices
    assert irc.ip_range_whitelist == ("10.0.0.0/8",)


def test_an_empty_list_of_namespaces_may_have_no_value() -> None:
    assert read(IRC.replace('    - {exclusive: true, regex: "#_irc_.*"}\n', "")).aliases == ()


def test_everything_that_is_wrong_is_told_at_once_with_its_path() -> None:
    text = """
id: "a|b"
url: 7
as_token: 12345
sender_localpart: "irc bot"
rate_limited: maybe
protocols: irc
receive_ephemeral: 1
ip_range_whitelist: [nowhere]
namespaces:
  users:
    - {exclusive: "yes", regex: "@("}
    - everybody
  aliases: {}
"""
    assert [fault.partition(":")[0] for fault in faults(text)] == [
        "as_token",
        "sender_localpart",
        "namespaces.users[0].exclusive",
        "namespaces.users[0].regex",
        "namespaces.users[1]",
        "namespaces.aliases",
        "id",
        "url",
        "hs_token",
        "rate_limited",
        "protocols",
        "receive_ephemeral",
        "ip_range_whitelist[0]",
    ]


@pytest.mark.parametrize("text", ["", "- a", "a: [", "7", "&a [*a]", "a: 2024-13-77", "[" * 5000])
def test_what_is_no_mapping_is_one_fault(text: str) -> None:
    assert len(faults(text)) == 1


def test_a_very_long_file_is_not_read() -> None:
    assert faults("#" * (1024 * 1024 + 1)) == ("the file is longer than 1048576 characters",)


@pytest.mark.parametrize("localpart", ["a:b", "\u00e4", "a" * 250])
def test_the_sender_must_make_a_user_id(localpart: str) -> None:
    (fault,) = faults(IRC.replace("_irc_bot", f'"{localpart}"'))
    assert fault.startswith("sender_localpart: ")
