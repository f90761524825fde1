import pytest

from appservice.registration import BadRegistration
from appservice.registry import Registry
from tests.unit.appservice.registrations import DOUBLE_PUPPETS, IRC, read


def test_services_are_found_by_id_and_token() -> None:
    irc = read(IRC)
    registry = Registry([irc])
    assert registry.by_id("irc") is irc
    assert registry.by_token("as-irc") is irc
    assert registry.by_id("slack") is None
    assert registry.by_token("hs-irc") is None


def test_a_user_may_have_several_owners_one_of_them_exclusive() -> None:
    irc, puppets = read(IRC), read(DOUBLE_PUPPETS)
    registry = Registry([puppets, irc])
    assert registry.owners_of_user("@_irc_alice:example.org") == (puppets, irc)
    assert registry.exclusive_owner("@_irc_alice:example.org") is irc
    assert registry.exclusive_owner("@alice:example.org") is None
    assert registry.exclusive_owner_of_alias("#_irc_a:example.org") is irc
    assert registry.exclusive_owner_of_alias("#a:example.org") is None


def test_what_was_remembered_of_users_ends_with_a_change() -> None:
    registry = Registry([read(IRC)])
    assert registry.owners_of_user("@_irc_alice:example.org")
    registry.replace([])
    assert registry.owners_of_user("@_irc_alice:example.org") == ()
    assert registry.by_token("as-irc") is None


def test_a_change_is_told_and_nothing_else() -> None:
    registry, told = Registry(), list[int]()
    registry.on_change(lambda: told.append(len(registry.all)))
    registry.replace([read(IRC)])
    registry.replace([read(IRC)])
    registry.replace([])
    assert told == [1, 0]


def test_two_services_with_one_id_or_token_are_refused_and_the_old_ones_stay() -> None:
    registry = Registry([read(IRC)])
    same_token = read(DOUBLE_PUPPETS.replace("as-puppets", "as-irc"))
    with pytest.raises(BadRegistration, match="as_token: 'irc' and 'doublepuppet' have the same"):
        registry.replace([read(IRC), same_token])
    with pytest.raises(BadRegistration, match="id: 'irc' is used by two"):
        registry.replace([read(IRC), read(IRC)])
    assert [each.id for each in registry.all] == ["irc"]
