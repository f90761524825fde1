"""Canonical JSON: the one encoding of a value that hashes and signatures are made over.

orjson does the work, since it is fifteen times faster than the `canonicaljson` package, which is the reference. Their
bytes are equal but for four things, and each is looked for before orjson is trusted:

- floats are written differently (and NaN becomes null): found in the output, then encoded by canonicaljson;
- integers beyond 64 bits, and keys that are of a subclass of str: orjson refuses, then canonicaljson encodes;
- orjson decodes an integer beyond 64 bits as a float without a word: found in the input, then refused;
- orjson encodes 254 levels but decodes 1,024: `decode` refuses what could not be sent on.

Source: appendices, "Canonical JSON".
"""

import re
from collections.abc import Iterable
from math import inf, isfinite
from typing import Any

import orjson
from canonicaljson import encode_canonical_json

from matrix.errors import NotCanonical

# As serde_json, with which half of the network reads JSON: an event deeper than this does not reach everyone anyway,
# and below it an event can be wrapped in a transaction or a sync answer and stay within orjson's 254 levels.
MAX_DEPTH = 128
# A whole request: an event at its limit, and what is wrapped around it.
MAX_BODY_DEPTH = 160
# Far beyond what `check` lets in, and safely within Python's own recursion, which canonicaljson uses.
_ENCODABLE_DEPTH = 250

# The range in which a double holds every integer: room version 6 on.
_STRICT_LOW, _STRICT_HIGH = -(2**53) + 1, 2**53 - 1
# Older versions set no bound. What orjson can hold is ours: beyond it an event could be stored but not served.
_LOOSE_LOW, _LOOSE_HIGH = -(2**63), 2**64 - 1

# Finds, in orjson's output, every float, every integer of 16 digits or more, and null, which may have been NaN.
# A text may look like one, as a list of IP addresses: then it is looked at again without texts. Before the colon of a
# member stands a quote, but not in a user id whose server is an IP address.
# The pattern begins with a set, which `re` can look for quickly; the look-ahead spares most attempts.
_SUSPECT = re.compile(rb"[:,\[](?=[-n0-9])(?<![^\"]:)(?:null|-?[0-9]+[.e]|-?[0-9]{16})")
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
# Every run of digits becomes zeros, so that a long one is found by a search for a constant.
_DIGITS_TO_ZERO = bytes(ord("0") if chr(byte).isdecimal() and byte < 128 else ord("x") for byte in range(256))
_LONG_NUMBER = b"0" * 19
_TEXT_OR_NUMBER = re.compile(rb'"(?:[^"\\]++|\\.)*+"|-?[0-9]++(?:\.[0-9]++)?+(?:[eE][-+]?[0-9]++)?+', re.DOTALL)


def encode(value: Any) -> bytes:
    """The canonical JSON of a value, byte for byte as the `canonicaljson` package gives it.

    Numbers are not held to the strict range; see `encode_checked`.

    Raises: NotCanonical for what JSON cannot hold (NaN, keys that are no text, lone surrogates).
    """
    try:
        data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return _encode_slowly(value)
    return _encode_slowly(value) if _is_suspect(data) else data


def encode_known(value: Any) -> bytes:
    """The canonical JSON of what `check` has passed as strict: there is no float in it to look for."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # A key of a subclass of str, as a user id in power levels.
        return _encode_slowly(value)


def to_keep(data: bytes) -> bytes:
    """The same bytes without the room beside them: what orjson encodes takes 4 kB each, be it ever so short."""
    return bytes(memoryview(data))


def encode_checked(value: Any, *, strict: bool = True, max_depth: int = MAX_DEPTH) -> bytes:
    """`check` and `encode` in one, cheaper than one after the other."""
    try:
        data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        data = b""
    # What orjson has encoded has text for keys and no lone surrogate; the rest shows in its bytes.
    if not _is_suspect(data) and data.count(b"[") + data.count(b"{") <= max_depth:
        return data
    low, high = (_STRICT_LOW, _STRICT_HIGH) if strict else (_LOOSE_LOW, _LOOSE_HIGH)
    _check_structure(value, floats=not strict, low=low, high=high, max_depth=max_depth)
    return _encode_slowly(value)


def check(value: Any, *, strict: bool = True, max_depth: int = MAX_DEPTH) -> None:
    """Refuse what canonical JSON cannot hold; `strict` is the room version's `strict_canonical_json`.

    Strict refuses every float and integers beyond 2^53 - 1; else finite floats and 64-bit integers pass.

    Raises: NotCanonical.
    """
    encode_checked(value, strict=strict, max_depth=max_depth)


def decode(data: bytes, *, max_depth: int = MAX_BODY_DEPTH) -> Any:
    """The value of JSON from outside: any JSON, not only canonical. Of equal keys the last one counts.

    Raises: NotCanonical if it is no JSON, is nested too deeply, or has an integer beyond 64 bits.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise NotCanonical(f"not JSON: {error}") from error
    if _LONG_NUMBER in data.translate(_DIGITS_TO_ZERO):
        _check_long_numbers(data)
    if data.count(b"[") + data.count(b"{") > max_depth:
        _check_depth(value, max_depth)
    return value


def _is_suspect(data: bytes) -> bool:
    if data[:1] not in (b"{", b"[", b'"'):
        return True
    return _SUSPECT.search(data) is not None and _SUSPECT.search(_TEXT.sub(b'""', data)) is not None


def _encode_slowly(value: Any) -> bytes:
    # canonicaljson writes an integer key as text; for us that is a mistake.
    _check_structure(value, floats=True, low=-inf, high=inf, max_depth=_ENCODABLE_DEPTH)
    try:
        data: bytes = encode_canonical_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotCanonical(f"not JSON: {type(error).__name__}") from error
    return data


def _check_structure(value: Any, *, floats: bool, low: float, high: float, max_depth: int) -> None:
    """Level by level, so that depth costs no recursion."""
    level: list[Any] = [(value,)]
    for _ in range(max_depth + 1):
        deeper: list[Any] = []
        for container in level:
            for member in _members(container):
                kind = type(member)
                if kind is dict or kind is list:
                    deeper.append(member)
                elif kind is int:
                    if not low <= member <= high:
                        raise NotCanonical("an integer is out of range")
                elif kind is not str:
                    _check_rare(member, floats, deeper)
        if not deeper:
            return
        level = deeper
    raise NotCanonical(f"nested more than {max_depth} deep")


def _members(container: Any) -> Iterable[Any]:
    if not isinstance(container, dict):
        return container  # type: ignore[no-any-return]
    for key in container:
        if not isinstance(key, str):
            raise NotCanonical("a key is not text")
    return container.values()


def _check_rare(member: Any, floats: bool, deeper: list[Any]) -> None:
    if member is None or isinstance(member, bool | str):
        return
    if isinstance(member, float):
        if not floats:
            raise NotCanonical("a number is not an integer")
        if not isfinite(member):
            raise NotCanonical("a number is not finite")
    elif isinstance(member, dict | list | tuple):
        deeper.append(member)
    else:
        raise NotCanonical(f"{type(member).__name__} is no JSON")


def _check_depth(value: Any, max_depth: int) -> None:
    level = [value]
    for _ in range(max_depth):
        level = [
            member
            for container in level
            if isinstance(container, dict | list)
            for member in (container.values() if isinstance(container, dict) else container)
        ]
        if not level:
            return
    if any(isinstance(member, dict | list) for member in level):
        raise NotCanonical(f"nested more than {max_depth} deep")


def _check_long_numbers(data: bytes) -> None:
    """Refuse integers that orjson has made floats of. `data` is known to be JSON."""
    for match in _TEXT_OR_NUMBER.finditer(data):
        token = match.group()
        if len(token) < len(_LONG_NUMBER) or not token.removeprefix(b"-").isdigit():
            continue
        # Twenty digits and a sign hold every 64-bit integer; int() of megabytes of digits would be a gift.
        if len(token) > 20 or not _LOOSE_LOW <= int(token) <= _LOOSE_HIGH:
            raise NotCanonical("an integer is beyond 64 bits")
