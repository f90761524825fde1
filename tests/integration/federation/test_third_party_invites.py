"""PUT /exchange_third_party_invite and /3pid/onbind: an invite to an address finds its user.

Source: server-server API, "Third-party invites".
"""

from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from attrs import define, field

from federation.outbound import catch_up
from homeserver.web.agent import Fetched, FetchFailed
from matrix import unpadded_base64
from matrix.events import Json
from matrix.ids import RoomId
from matrix.room_versions import ROOM_VERSIONS
from matrix.signing import SigningKey, sign_event, sign_json
from tests.integration.federation.listening import outbox_of, told_all, until
from tests.integration.federation.visiting import V1, Visitor
from tests.integration.federation.writer import Writer
from tests.support.fake_server import FakeServer
from tests.support.federation import Network, Sent
from tests.support.homeserver import Client, Homeserver, q
from tests.support.http import Response

KEY = SigningKey.from_seed("0", sha256(b"identity").digest())


@define
class Keys:
    """Who says whether a key is revoked. `asked`: of which."""

    says: Any = field(factory=lambda: {"valid": True})
    asked: list[str] = field(factory=list)

    async def get(self, url: str, **_: Any) -> Fetched:
        self.asked.append(url)
        if self.says is None:
            raise FetchFailed("no answer")
        return Fetched(200, {}, orjson.dumps(self.says), url)


@pytest.fixture(autouse=True)
def keys(host: Homeserver, monkeypatch: pytest.MonkeyPatch) -> Keys:
    """The identity server id.test."""
    keys = Keys()
    monkeypatch.setattr(host.server.users.contacts.identity_servers, "_http", keys)
    return keys


async def invite_address(alice: Client, room: str, token: str) -> None:
    public_key = unpadded_base64.encode(bytes(KEY.verify_key))
    content = {"display_name": "v...@example.org", "public_key": public_key, "key_validity_url": "https://id.test/"}
    await alice.set_state(room, "m.room.third_party_invite", content, token)


def signed(user_id: str, token: str) -> Json:
    """The word of the identity server."""
    return sign_json({"mxid": user_id, "token": token, "sender": "@alice:one.test"}, "id.test", KEY)


def signs_invites(visitor: Visitor) -> None:
    """two.test signs every invite, and takes in every transaction."""

    def answer(sent: Sent) -> Json:
        server, body = visitor.server, sent.json
        return {"event": sign_event(body["event"], server.name, server.key, ROOM_VERSIONS[body["room_version"]])}

    visitor.server.answers("PUT", "/_matrix/federation/v2/invite/", answer)
    visitor.server.answers("PUT", "/_matrix/federation/v1/send/", {"pdus": {}})


async def exchange(visitor: Visitor, token: str, **changes: Any) -> Response:
    body = {
        "type": "m.room.member",
        "room_id": visitor.room,
        "sender": "@alice:one.test",
        "state_key": visitor.user_id,
        "content": {
            "membership": "invite",
            "third_party_invite": {"display_name": "somebody", "signed": signed(visitor.user_id, token)},
        },
        **changes,
    }
    path = f"{V1}/exchange_third_party_invite/{q(visitor.room)}"
    return await visitor.server.ask("one.test", "PUT", path, body)


async def membership(alice: Client, room: str, user_id: str) -> Response:
    return await alice.ask("GET", f"/rooms/{room}/state/m.room.member/{user_id}")


async def test_the_users_server_has_the_invite_made(alice: Client, visitor: Visitor) -> None:
    signs_invites(visitor)
    await invite_address(alice, visitor.room, "token1")
    response = await exchange(visitor, "token1")
    assert (response.status, response.json) == (200, {})
    content = (await membership(alice, visitor.room, visitor.user_id)).json
    assert content["membership"] == "invite"
    assert content["third_party_invite"]["display_name"] == "v...@example.org"


async def test_a_token_that_the_room_does_not_know_is_forbidden(alice: Client, visitor: Visitor) -> None:
    response = await exchange(visitor, "made up")
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_a_word_that_another_key_has_signed_is_forbidden(alice: Client, visitor: Visitor) -> None:
    await invite_address(alice, visitor.room, "token2")
    forged = sign_json({"mxid": visitor.user_id, "token": "token2"}, "id.test", visitor.server.key)
    content = {"membership": "invite", "third_party_invite": {"display_name": "", "signed": forged}}
    response = await exchange(visitor, "token2", content=content)
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")
    assert (await membership(alice, visitor.room, visitor.user_id)).status == 404


@pytest.mark.parametrize(("says", "status"), [({"valid": False}, 403), ({}, 403), ([], 502), (None, 502)])
async def test_a_key_that_its_server_has_revoked_invites_nobody(
    alice: Client, visitor: Visitor, keys: Keys, says: Any, status: int
) -> None:
    signs_invites(visitor)
    keys.says = says
    await invite_address(alice, visitor.room, "revoked")
    assert (await exchange(visitor, "revoked")).status == status
    assert (await membership(alice, visitor.room, visitor.user_id)).status == 404
    public_key = unpadded_base64.encode(bytes(KEY.verify_key))
    assert keys.asked == [f"https://id.test/?{urlencode({'public_key': public_key})}"]


async def test_only_the_users_own_server_may_ask(alice: Client, visitor: Visitor) -> None:
    await invite_address(alice, visitor.room, "token3")
    other = "@other:three.test"
    content = {"membership": "invite", "third_party_invite": {"display_name": "", "signed": signed(other, "token3")}}
    response = await exchange(visitor, "token3", state_key=other, content=content)
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "m.room.message"},
        {"room_id": "!other:one.test"},
        {"state_key": "@other:two.test"},
        {"state_key": "nobody"},
        {"sender": "nobody"},
    ],
)
async def test_what_is_no_such_invite_is_invalid(alice: Client, visitor: Visitor, changes: dict[str, str]) -> None:
    response = await exchange(visitor, "token", **changes)
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_a_room_that_nobody_knows_is_not_found(visitor: Visitor) -> None:
    visitor.room = "!nowhere:one.test"
    response = await exchange(visitor, "token")
    assert (response.status, response.errcode) == (404, "M_NOT_FOUND")


async def on_bind(
    host: Homeserver, user_id: str, room: str, token: str, method: str = "PUT", **changes: Any
) -> Response:
    invite = {
        "medium": "email",
        "address": "v@example.org",
        "mxid": user_id,
        "room_id": room,
        "sender": "@alice:one.test",
        "signed": signed(user_id, token),
        **changes,
    }
    body = {"medium": "email", "address": "v@example.org", "mxid": user_id, "invites": [invite]}
    return await host.ask(method, f"{V1}/3pid/onbind", body)


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_user_of_ours_is_invited_to_a_room_that_we_are_in(host: Homeserver, alice: Client, method: str) -> None:
    user, room = await host.register(f"bound{method.lower()}"), await alice.create_room(preset="private_chat")
    await invite_address(alice, room, "token4")
    response = await on_bind(host, user.user_id, room, "token4", method)
    assert (response.status, response.json) == (200, {})
    assert (await membership(alice, room, user.user_id)).json["membership"] == "invite"


async def test_an_invite_in_the_name_of_another_servers_user_is_told_to_all_servers(
    host: Homeserver, alice: Client, two: FakeServer
) -> None:
    writer = await inviting_writer(host, alice, two, "theirs")
    user = await host.register("vouched")
    await bind_by(writer, user, "theirs")
    await until(lambda: invites_told(two, user))
    [invite] = invites_told(two, user)
    assert (invite["sender"], list(invite["signatures"])) == (writer.user_id, ["one.test"])


@pytest.mark.parametrize("in_full", [500, 0])
async def test_an_invite_in_the_name_of_a_user_whose_server_was_away_is_told_when_it_is_back(
    host: Homeserver, alice: Client, two: FakeServer, shared_network: Network, monkeypatch: Any, in_full: int
) -> None:
    """Whether all that was missed is told, or the newest of each room."""
    monkeypatch.setattr(catch_up, "MAX_IN_FULL", in_full)
    writer = await inviting_writer(host, alice, two, f"late{in_full}")
    user = await host.register(f"late{in_full}")
    await told_all(host)
    shared_network.cut("one.test", "two.test")
    await alice.send(writer.room, "are you there?")
    await until(lambda: two.name in outbox_of(host).behind)
    await bind_by(writer, user, f"late{in_full}")
    await until(lambda: outbox_of(host).seen == host.core.storage.stream.position)
    shared_network.mend("one.test", "two.test")
    await two.ask("one.test", "GET", f"{V1}/query/profile?user_id={q(alice.user_id)}")

    def is_told() -> bool:
        outbox_of(host).wake(two.name)
        return two.name not in outbox_of(host).behind

    await until(is_told)
    [invite] = invites_told(two, user)
    assert invite["sender"] == writer.user_id


async def inviting_writer(host: Homeserver, alice: Client, two: FakeServer, token: str) -> Writer:
    """A user of two.test who has invited an address to a room of alice's."""
    room = await alice.create_room(preset="public_chat", power_level_content_override={"invite": 0})
    writer = await Writer(two, host, RoomId(room)).join()
    public_key = unpadded_base64.encode(bytes(KEY.verify_key))
    told = await writer.pdu(
        type="m.room.third_party_invite",
        state_key=token,
        content={"display_name": "v", "public_key": public_key, "key_validity_url": "https://id.test/"},
    )
    await writer.send(told)
    return writer


async def bind_by(writer: Writer, user: Client, token: str) -> None:
    """The address that was invited turns out to be the user's."""
    response = await on_bind(writer.host, user.user_id, writer.room, token, sender=writer.user_id)
    assert response.status == 200, response
    assert (await writer.state("m.room.member", user.user_id))["membership"] == "invite"


def invites_told(server: FakeServer, user: Client) -> list[Json]:
    """The invites of the user among the events that the server was sent."""
    sent = [each.json["pdus"] for each in server.requests if "/send/" in each.path]
    return [pdu for pdus in sent for pdu in pdus if pdu.get("state_key") == user.user_id]


async def test_in_a_room_of_another_server_that_one_is_asked(host: Homeserver, visitor: Visitor) -> None:
    visitor.server.answers("PUT", "/_matrix/federation/v1/exchange_third_party_invite/", {})
    user = await host.register("elsewhere")
    response = await on_bind(host, user.user_id, "!theirs:two.test", "token5", sender="@boss:two.test")
    assert response.status == 200, response
    asked = visitor.server.requests[-1].json
    assert (asked["room_id"], asked["state_key"]) == ("!theirs:two.test", user.user_id)
    assert asked["content"]["third_party_invite"]["signed"]["token"] == "token5"


async def test_what_fails_elsewhere_is_told_to_the_identity_server(host: Homeserver, visitor: Visitor) -> None:
    refusal = (403, {"errcode": "M_FORBIDDEN", "error": "No"})
    visitor.server.answers("PUT", "/_matrix/federation/v1/exchange_third_party_invite/", lambda _: refusal)
    user = await host.register("refused")
    response = await on_bind(host, user.user_id, "!theirs:two.test", "token6", sender="@boss:two.test")
    assert response.status == 502


async def test_a_user_of_another_server_is_not_bound_here(host: Homeserver, alice: Client) -> None:
    response = await on_bind(host, "@bob:three.test", "!theirs:two.test", "token7")
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_a_user_of_ours_joins_by_showing_the_invite(host: Homeserver, alice: Client) -> None:
    user, room = await host.register("shows"), await alice.create_room(preset="private_chat")
    await invite_address(alice, room, "token8")
    body = {"third_party_signed": signed(user.user_id, "token8")}
    other = await host.register("other")
    stolen = await other.ask("POST", f"/join/{q(room)}", body)
    assert (stolen.status, stolen.errcode) == (403, "M_FORBIDDEN")
    unknown = await user.ask("POST", f"/join/{q(room)}", {"third_party_signed": signed(user.user_id, "made up")})
    assert (unknown.status, unknown.errcode) == (403, "M_FORBIDDEN")
    assert (await user.ask("POST", f"/join/{q(room)}", body)).json == {"room_id": room}
    content = (await membership(alice, room, user.user_id)).json
    assert content["membership"] == "join" and "third_party_signed" not in content


async def test_a_user_of_another_server_joins_by_showing_the_invite(alice: Client, shared_network: Network) -> None:
    three = await shared_network.start("three.test")
    carol, room = await three.register("carol"), await alice.create_room(preset="private_chat")
    await invite_address(alice, room, "token9")
    unknown = {"third_party_signed": signed(carol.user_id, "made up")}
    refused = await carol.ask("POST", f"/join/{q(room)}", unknown, via="one.test")
    assert (refused.status, refused.errcode) == (403, "M_FORBIDDEN")
    shown = {"third_party_signed": signed(carol.user_id, "token9")}
    assert (await carol.ask("POST", f"/join/{q(room)}", shown, via="one.test")).json == {"room_id": room}
    assert (await membership(alice, room, carol.user_id)).json["membership"] == "join"
