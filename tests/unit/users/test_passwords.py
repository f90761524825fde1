"""Which passwords will do, and whose hashes are known."""

from typing import Any

import bcrypt
import pytest
from twisted.internet import reactor

from homeserver.services.users.passwords import MAX_LENGTH, WRONG, Passwords, Verdict
from homeserver.services.users.settings import PasswordSettings
from matrix.errors import BadRequest


def passwords(**settings: Any) -> Passwords:
    return Passwords(settings=PasswordSettings(**settings), reactor=reactor)


@pytest.mark.parametrize(
    ("settings", "password", "errcode"),
    [
        ({"minimum_length": 8}, "short", "M_PASSWORD_TOO_SHORT"),
        ({"require_digit": True}, "no digit", "M_PASSWORD_NO_DIGIT"),
        ({"require_symbol": True}, "nosymbol1", "M_PASSWORD_NO_SYMBOL"),
        ({"require_uppercase": True}, "lower", "M_PASSWORD_NO_UPPERCASE"),
        ({"require_lowercase": True}, "UPPER", "M_PASSWORD_NO_LOWERCASE"),
        ({}, "x" * (MAX_LENGTH + 1), "M_INVALID_PARAM"),
        ({}, "nul\x00", "M_INVALID_PARAM"),
    ],
)
def test_a_password_that_will_not_do_is_told_why(settings: dict[str, Any], password: str, errcode: str) -> None:
    with pytest.raises(BadRequest) as caught:
        passwords(**settings).check_new(password)
    assert caught.value.errcode == errcode


def test_a_good_password_will_do() -> None:
    policy = dict.fromkeys(("require_digit", "require_symbol", "require_uppercase", "require_lowercase"), True)
    passwords(minimum_length=8, **policy).check_new("Correct-horse 1")


async def test_a_hash_is_of_its_password_alone() -> None:
    service = passwords()
    stored = await service.hash("right")
    assert await service.verify("right", stored) == Verdict(True)
    assert await service.verify("wrong", stored) == WRONG


async def test_another_normal_form_is_the_same_password() -> None:
    service = passwords()
    stored = await service.hash("caf\u00e9")
    assert (await service.verify("cafe\u0301", stored)).is_right


async def test_another_pepper_makes_it_wrong() -> None:
    stored = await passwords(pepper="one").hash("right")
    assert await passwords(pepper="two").verify("right", stored) == WRONG


async def test_a_hash_of_synapse_is_right_and_outdated() -> None:
    stored = bcrypt.hashpw(b"right" + b"pepper", bcrypt.gensalt(4)).decode()
    assert await passwords(pepper="pepper").verify("right", stored) == Verdict(True, is_outdated=True)


async def test_bcrypt_looks_at_72_bytes() -> None:
    stored = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    assert (await passwords().verify("x" * 100, stored)).is_right
    long = await passwords(bcrypt_rounds=4).hash("x" * 100)
    assert bcrypt.checkpw(b"x" * 72, long.encode())


async def test_who_wants_bcrypt_gets_hashes_that_a_synapse_reads() -> None:
    service = passwords(bcrypt_rounds=5, pepper="pepper")
    stored = await service.hash("right")
    assert stored.startswith("$2b$05$")
    assert bcrypt.checkpw(b"right" + b"pepper", stored.encode())
    assert await service.verify("right", stored) == Verdict(True)
    assert await service.verify("wrong", stored) == WRONG


async def test_hashes_of_another_kind_than_the_wanted_are_outdated() -> None:
    by_argon2, by_four = await passwords().hash("right"), await passwords(bcrypt_rounds=4).hash("right")
    for stored in (by_argon2, by_four):
        assert await passwords(bcrypt_rounds=5).verify("right", stored) == Verdict(True, is_outdated=True)


@pytest.mark.parametrize("stored", [None, "", "nonsense", "$2b$nonsense", "$argon2id$v=19$nonsense"])
async def test_what_is_no_hash_opens_nothing(stored: str | None) -> None:
    assert await passwords().verify("nobody", stored) == WRONG
