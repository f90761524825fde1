"""GET /voip/turnServer."""

import base64
import hashlib
import hmac
from typing import Any

from tests.support.homeserver import Homeserver


async def test_without_a_turn_server_the_answer_is_empty(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    assert await alice.get("/voip/turnServer") == {}


async def test_a_shared_secret_gives_credentials_that_the_turn_server_can_check(start_homeserver: Any) -> None:
    hs = await start_homeserver(
        "turn_uris: ['turn:turn.example.org']\nturn_shared_secret: s3cret\nturn_user_lifetime: 1h"
    )
    alice = await hs.register("alice")
    answer = await alice.get("/voip/turnServer")
    expected = hmac.new(b"s3cret", answer["username"].encode(), hashlib.sha1).digest()
    assert base64.b64decode(answer["password"]) == expected
    assert answer["username"].endswith(f":{alice.user_id}")
    assert (answer["ttl"], answer["uris"]) == (3600, ["turn:turn.example.org"])
