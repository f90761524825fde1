"""The decisions of accounts that need neither a clock nor a database."""

import hashlib
import hmac

import pytest

from homeserver.services.users import invalidation
from homeserver.services.users.ignored_users import read_ignored
from homeserver.services.users.profiles import check_key
from homeserver.services.users.shared_secret import mac
from homeserver.services.users.tokens import new_device_id, new_token, token_hash
from homeserver.services.users.ui_auth import next_stages
from matrix.errors import BadRequest
from storage.account_data import tags_of
from storage.change import Change, Entry, Kind
from storage.profiles import profile_row

FLOWS = [["a", "b", "c"], ["a", "d"], ["e"]]


@pytest.mark.parametrize(
    ("done", "expected"),
    [([], {"a", "e"}), (["a"], {"b", "d"}), (["a", "b"], {"c"}), (["a", "d"], set()), (["b"], set()), (["x"], set())],
)
def test_the_next_stages_go_on_with_a_flow(done: list[str], expected: set[str]) -> None:
    assert next_stages(FLOWS, done) == expected


def test_the_proof_of_the_shared_secret_is_synapses() -> None:
    signed = hmac.new(b"secret", digestmod=hashlib.sha1)
    for part in (b"nonce", b"\x00", "näme".encode(), b"\x00", b"password", b"\x00", b"admin", b"\x00", b"bot"):
        signed.update(part)
    assert mac(b"secret", "nonce", "näme", "password", admin=True, user_type="bot") == signed.hexdigest()


def test_without_a_user_type_the_proof_ends_with_the_flag() -> None:
    expected = hmac.new(b"s", b"n\x00u\x00p\x00notadmin", hashlib.sha1).hexdigest()
    assert mac(b"s", "n", "u", "p", admin=False) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, set()),
        ('{"ignored_users":{"@a:b":{}}}', {"@a:b"}),
        ('{"ignored_users":["@a:b"]}', set()),
        ("{}", set()),
    ],
)
def test_an_ignored_user_list_of_any_shape_is_read(content: str | None, expected: set[str]) -> None:
    assert read_ignored(content) == expected


@pytest.mark.parametrize("content", [None, "{}", '{"tags":[]}', '{"tags":null}'])
def test_an_m_tag_of_another_shape_has_no_tags(content: str | None) -> None:
    assert tags_of(content) == {}


@pytest.mark.parametrize("key", ["displayname", "m.tz", "org.example.a_b-c1", "a" * 255])
def test_profile_keys_follow_the_common_grammar(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize(
    ("key", "errcode"),
    [("", "M_INVALID_PARAM"), ("A", "M_INVALID_PARAM"), ("1a", "M_INVALID_PARAM"), ("é" * 128, "M_KEY_TOO_LARGE")],
)
def test_other_profile_keys_are_refused(key: str, errcode: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check_key(key)
    assert caught.value.errcode == errcode


def test_a_profile_row_holds_what_is_set() -> None:
    assert profile_row("@a:b", {"displayname": "A", "m.tz": "UTC"}) == ("@a:b", "A", None, '{"m.tz":"UTC"}')


def test_an_account_is_announced_once_in_a_change() -> None:
    change = Change()
    invalidation.announce(change, "@a:b")
    invalidation.announce(change, "@a:b")
    invalidation.announce(change, "@c:d")
    assert list(invalidation.users_in(change.entries)) == ["@a:b", "@c:d"]


def test_other_entries_concern_no_account() -> None:
    entries = [Entry(Kind.PROFILE, user_id="@a:b", body={}), Entry(Kind.CACHE, user_id="@a:b", body={"other": True})]
    assert list(invalidation.users_in(entries)) == []


def test_tokens_are_long_different_and_stored_as_hashes() -> None:
    one, other = new_token("hat"), new_token("hat")
    assert one != other
    assert len(one) == len("hat_") + 43
    assert token_hash(one) == hashlib.sha256(one.encode()).digest()


def test_device_ids_are_ten_letters() -> None:
    device_id = new_device_id()
    assert len(device_id) == 10
    assert device_id.isalpha()
    assert device_id.isupper()
