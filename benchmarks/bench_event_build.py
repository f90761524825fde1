"""Build, hash, sign and serialise one event: ours beside canonicaljson and signedjson, in one run.

python -m benchmarks.bench_event_build
"""

import base64
import hashlib
import time
from collections.abc import Callable
from typing import Any

from canonicaljson import encode_canonical_json
from signedjson.key import decode_signing_key_base64
from signedjson.sign import sign_json

from matrix.building import Draft, build
from matrix.event_format import parse_pdu
from matrix.events import Json
from matrix.hashing import check_content_hash
from matrix.ids import EventId, RoomId, UserId
from matrix.redaction import redact
from matrix.room_versions import V11
from matrix.signing import SigningKey, verify_event

SERVER = "example.org"
SEED = bytes(range(32))
KEY = SigningKey.from_seed("bench", SEED)
REFERENCE_KEY = decode_signing_key_base64("ed25519", "bench", base64.b64encode(SEED).decode())
IDS = [EventId("$" + letter * 43) for letter in "abcd"]
CONTENT = {
    "body": "The quick brown fox jumps over the lazy dog at 12:30, as it does every day.",
    "msgtype": "m.text",
    "m.mentions": {"user_ids": ["@bob:example.org"]},
    "m.relates_to": {"m.in_reply_to": {"event_id": IDS[3]}},
}
DRAFT = Draft(
    type="m.room.message",
    sender=UserId("@alice:example.org"),
    content=CONTENT,
    room_id=RoomId("!room:example.org"),
    origin_server_ts=1_700_000_000_000,
    depth=1234,
    prev_events=IDS[:1],
    auth_events=IDS[1:],
)


def ours() -> bytes:
    return build(DRAFT, V11, SERVER, KEY).canonical


def reference() -> bytes:
    """The same event by the packages that Synapse uses."""
    pdu: Json = {
        "auth_events": list(DRAFT.auth_events),
        "content": DRAFT.content,
        "depth": DRAFT.depth,
        "origin_server_ts": DRAFT.origin_server_ts,
        "prev_events": list(DRAFT.prev_events),
        "room_id": DRAFT.room_id,
        "sender": DRAFT.sender,
        "type": DRAFT.type,
    }
    pdu["hashes"] = {"sha256": _base64(hashlib.sha256(encode_canonical_json(pdu)).digest())}
    pdu["signatures"] = sign_json(redact(pdu, V11), SERVER, REFERENCE_KEY)["signatures"]
    essential = redact(pdu, V11)
    del essential["signatures"]
    hashlib.sha256(encode_canonical_json(essential)).digest()
    data: bytes = encode_canonical_json(pdu)
    return data


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def measure(functions: dict[str, Callable[[], Any]], times: int = 1_000, rounds: int = 15) -> dict[str, list[float]]:
    """CPU in microseconds for one call, by round, sorted.

    The rows take turns, so that what else the machine does falls on all of them and they can be compared.
    """
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.process_time()
            for _ in range(times):
                function()
            taken[name].append((time.process_time() - start) / times * 1e6)
    return {name: sorted(values) for name, values in taken.items()}


def main() -> None:
    assert ours() == reference()
    event = build(DRAFT, V11, SERVER, KEY)
    keys = {event.origin: {KEY.key_id: KEY.verify_key}}
    message = event.canonical
    rows = {
        "build, hash, sign, serialise": ours,
        "the same by canonicaljson and signedjson": reference,
        "of which the signature": lambda: KEY.sign(message),
        "parse_pdu": lambda: parse_pdu(event.pdu, V11),
        "check_content_hash": lambda: check_content_hash(event.pdu, V11),
        "verify_event": lambda: verify_event(event.pdu, V11, keys),
    }
    print(f"an event of {len(message)} bytes; CPU in us, best and median of the rounds")
    for name, values in measure(rows).items():
        print(f"{values[0]:8.1f} {values[len(values) // 2]:8.1f}  {name}")


if __name__ == "__main__":
    main()
