"""Publishing addresses at an identity server, and inviting by address. The identity server is played by the test."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from homeserver.services.users.identity_servers import IdentityServers
from homeserver.web.agent import Fetched, FetchFailed
from matrix.x_matrix import XMatrix
from tests.support.homeserver import Client, Homeserver, q

ID_SERVER = "id.example.org"
INVITEE = {"medium": "email", "address": "bob@example.org", "id_server": ID_SERVER, "id_access_token": "token"}
KEYS = [{"public_key": "a" * 43, "key_validity_url": "https://id.example.org/valid"}]


class IdentityServer:
    """`known`: users by address. `answers` overrides by path: (status, body)."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[tuple[str, Any, Mapping[str, str]]] = []

    async def get(self, url: str, *, headers: Mapping[str, str], bounds: object) -> Fetched:
        return self._answer(url, None, headers)

    async def send_json(self, method: str, url: str, value: Any, *, headers: Mapping[str, str], bounds: object) -> Any:
        return self._answer(url, value, headers)

    def _answer(self, url: str, value: Any, headers: Mapping[str, str]) -> Fetched:
        assert url.startswith(f"https://{ID_SERVER}/_matrix/identity/v2/"), url
        path = url.partition("/v2/")[2]
        self.asked.append((path, value, headers))
        status, body = self.answers.get(path) or (200, self._usual(path, value))
        if status == 0:
            raise FetchFailed("no answer")
        return Fetched(status, {}, orjson.dumps(body), url)

    def _usual(self, path: str, value: Any) -> Any:
        if path == "hash_details":
            return {"lookup_pepper": "pepper", "algorithms": ["none", "sha256"]}
        if path == "lookup":
            return {"mappings": {hashed: self.known["*"] for hashed in value["addresses"] if "*" in self.known}}
        if path == "store-invite":
            return {"token": "abc", "display_name": "b...@e...", "public_keys": KEYS}
        if path == "3pid/bind":
            return {"medium": "email", "address": "alice@example.org", "mxid": value["mxid"]}
        return {}


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> IdentityServer:
    server = IdentityServer()
    original = IdentityServers.__init__

    def init(self: Any, **parts: Any) -> None:
        original(self, **{**parts, "http": server})

    monkeypatch.setattr(IdentityServers, "__init__", init)
    return server


async def invite(alice: Client, room: str, **changes: Any) -> Any:
    return await alice.ask("POST", f"/rooms/{q(room)}/invite", {**INVITEE, **changes})


async def test_whom_the_identity_server_knows_is_invited(identity: IdentityServer, hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room(preset="private_chat")
    identity.known["*"] = bob.user_id
    assert (await invite(alice, room)).json == {}
    assert room in (await bob.sync())["rooms"]["invite"]
    # Source: identity service API, "Hash algorithms".
    (hashed,) = identity.asked[1][1]["addresses"]
    assert (len(hashed), identity.asked[1][2]["Authorization"]) == (43, "Bearer token")


async def test_for_others_the_room_keeps_the_keys(identity: IdentityServer, hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room(preset="private_chat", name="Tea")
    assert (await invite(alice, room)).json == {}
    content = await alice.get(f"/rooms/{q(room)}/state/m.room.third_party_invite/abc")
    assert content == {
        "display_name": "b...@e...",
        "public_keys": KEYS,
        "public_key": KEYS[0]["public_key"],
        "key_validity_url": KEYS[0]["key_validity_url"],
    }
    path, told, _ = identity.asked[-1]
    assert path == "store-invite"
    assert (told["room_id"], told["sender"], told["room_name"], told["sender_display_name"]) == (
        room, alice.user_id, "Tea", "alice"
    )  # fmt: skip


async def test_a_new_room_invites_by_address(identity: IdentityServer, hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    identity.known["*"] = bob.user_id
    room = await alice.create_room(preset="private_chat", invite_3pid=[INVITEE])
    assert room in (await bob.sync())["rooms"]["invite"]


async def test_who_is_not_in_the_room_tells_nobody_of_it(identity: IdentityServer, hs: Homeserver) -> None:
    alice, eve = await hs.register("alice"), await hs.register("eve")
    room = await alice.create_room(preset="private_chat")
    assert (await invite(eve, room)).status == 403
    assert "store-invite" not in [path for path, *_ in identity.asked]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((403, {"errcode": "M_TERMS_NOT_SIGNED", "error": "Read this"}), (403, "M_TERMS_NOT_SIGNED")),
        ((500, {"errcode": "M_UNKNOWN", "error": "x"}), (502, "M_UNKNOWN")),
        ((200, {"token": 1}), (502, "M_UNKNOWN")),
        ((200, []), (502, "M_UNKNOWN")),
        ((0, None), (502, "M_UNKNOWN")),
    ],
)
async def test_what_the_identity_server_refuses_is_refused(
    identity: IdentityServer, hs: Homeserver, answer: Any, expected: Any
) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room(preset="private_chat")
    identity.answers["store-invite"] = answer
    response = await invite(alice, room)
    assert (response.status, response.errcode) == expected


@pytest.mark.parametrize("changes", [{"id_server": "no server/"}, {"id_access_token": "a\nb"}, {"address": None}])
async def test_a_broken_invite_is_refused(identity: IdentityServer, hs: Homeserver, changes: Any) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room(preset="private_chat")
    assert (await invite(alice, room, **changes)).status == 400
    assert identity.asked == []


async def test_the_operator_may_forbid_looking_people_up(identity: IdentityServer, start_homeserver: Any) -> None:
    hs = await start_homeserver("enable_3pid_lookup: false")
    alice = await hs.register("alice")
    response = await invite(alice, await alice.create_room())
    assert (response.status, response.errcode) == (403, "M_THREEPID_DENIED")


@pytest.mark.parametrize("old", [True, False])
async def test_an_address_is_published_and_taken_back(identity: IdentityServer, hs: Homeserver, old: bool) -> None:
    alice = await hs.register("alice")
    body = {"id_server": ID_SERVER, "id_access_token": "token", "sid": "s", "client_secret": "c"}
    if old:
        assert await alice.ok("POST", "/account/3pid", {"three_pid_creds": body}) == {}
    else:
        assert await alice.ok("POST", "/account/3pid/bind", body) == {}
    assert identity.asked[-1][1] == {"sid": "s", "client_secret": "c", "mxid": alice.user_id}
    address = {"medium": "email", "address": "Alice@example.org"}
    assert await alice.ok("POST", "/account/3pid/unbind", address) == {"id_server_unbind_result": "success"}
    path, told, headers = identity.asked[-1]
    assert (path, told["mxid"], told["threepid"]["address"]) == ("3pid/unbind", alice.user_id, "alice@example.org")
    signed = XMatrix.parse(headers["Authorization"])
    assert (signed.origin, signed.destination) == ("hearth.test", ID_SERVER)
    assert await alice.ok("POST", "/account/3pid/unbind", address) == {"id_server_unbind_result": "no-support"}


async def test_an_identity_server_that_takes_nothing_back_says_so(identity: IdentityServer, hs: Homeserver) -> None:
    alice = await hs.register("alice")
    identity.answers["3pid/unbind"] = (501, {"errcode": "M_UNRECOGNIZED", "error": "no"})
    gone = {"medium": "email", "address": "a@example.org", "id_server": ID_SERVER}
    assert await alice.ok("POST", "/account/3pid/unbind", gone) == {"id_server_unbind_result": "no-support"}
    assert await alice.ok("POST", "/account/3pid/delete", gone) == {"id_server_unbind_result": "no-support"}
