"""PUT /invite: another server invites a user of ours to a room that we are not in.

Source: server-server API, "Inviting to a room".
"""

from typing import Any

import pytest
from attrs import define

from matrix.events import Json
from matrix.redaction import redact
from matrix.room_versions import ROOM_VERSIONS
from matrix.signing import verify_json
from tests.integration.federation.visiting import V1, V2
from tests.support.fake_server import FakeServer, event_id_of
from tests.support.homeserver import Client, Homeserver, q
from tests.support.http import Response


@define
class Inviter:
    """A user of a server written by hand, and a room there."""

    server: FakeServer
    version: str = "12"

    def create(self, **fields: Any) -> Json:
        sender, room = self.server.user("boss"), {} if self.version == "12" else {"room_id": "!room:two.test"}
        content = {"room_version": self.version, "creator": sender}
        return self.server.pdu(
            self.version, type="m.room.create", sender=sender, state_key="", content=content, **room, **fields
        )

    @property
    def room(self) -> str:
        return "!" + event_id_of(self.create(), "12")[1:] if self.version == "12" else "!room:two.test"

    def invite(self, user_id: str, **fields: Any) -> Json:
        pdu = {
            "type": "m.room.member",
            "sender": self.server.user("boss"),
            "state_key": user_id,
            "content": {"membership": "invite"},
            "room_id": self.room,
            "prev_events": [],
            **fields,
        }
        return self.server.pdu(self.version, **{name: value for name, value in pdu.items() if value is not None})

    async def send(self, pdu: Json, *, v: str = V2, **body: Any) -> Response:
        path = f"{v}/invite/{q(body.pop('room', self.room))}/{q(body.pop('event_id', event_id_of(pdu, self.version)))}"
        if v == V1:
            return await self.server.ask("one.test", "PUT", path, {**pdu, "unsigned": body})
        body = {"event": pdu, "room_version": self.version, "invite_room_state": [self.create()], **body}
        return await self.server.ask("one.test", "PUT", path, body)


@pytest.fixture
def inviter(two: FakeServer) -> Inviter:
    return Inviter(two)


async def invited_to(user: Client) -> dict[str, Any]:
    rooms: dict[str, Any] = (await user.get("/sync")).get("rooms", {}).get("invite", {})
    return rooms


@pytest.mark.parametrize("version", ROOM_VERSIONS)
async def test_the_invite_comes_back_with_our_signature(host: Homeserver, inviter: Inviter, version: str) -> None:
    user = await host.register("invited" + version)
    inviter.version = version
    pdu = inviter.invite(user.user_id)
    response = await inviter.send(pdu)
    assert response.status == 200, response
    event = response.json["event"]
    assert {**event, "signatures": None} == {**pdu, "signatures": None}
    assert set(event["signatures"]) == {"one.test", "two.test"}
    key = host.core.signer.key
    verify_json(redact(event, ROOM_VERSIONS[version]), "one.test", key.key_id, key.verify_key)


async def test_the_user_is_shown_the_invite(host: Homeserver, inviter: Inviter) -> None:
    user = await host.register("shown")
    await inviter.send(inviter.invite(user.user_id))
    events = (await invited_to(user))[inviter.room]["invite_state"]["events"]
    assert {event["type"] for event in events} == {"m.room.create", "m.room.member"}


@pytest.mark.parametrize("version", ["1", "2"])
async def test_the_first_version_has_the_event_for_its_body(host: Homeserver, inviter: Inviter, version: str) -> None:
    user = await host.register("first" + version)
    inviter.version = version
    response = await inviter.send(inviter.invite(user.user_id), v=V1, invite_room_state=[inviter.create()])
    assert response.status == 200, response
    status, body = response.json
    assert (status, set(body["event"]["signatures"])) == (200, {"one.test", "two.test"})
    assert inviter.room in await invited_to(user)


async def test_a_room_version_that_we_do_not_know_is_incompatible(alice: Client, inviter: Inviter) -> None:
    response = await inviter.send(inviter.invite(alice.user_id), room_version="org.example.odd")
    assert (response.status, response.errcode) == (400, "M_INCOMPATIBLE_ROOM_VERSION")
    assert response.json["room_version"] == "org.example.odd"


FAULTS: dict[str, dict[str, Any]] = {
    "another type": {"type": "m.room.message"},
    "no state key": {"state_key": None},
    "a state key that is no user": {"state_key": "alice"},
    "another server's user": {"state_key": "@bob:three.test"},
    "another membership": {"content": {"membership": "join"}},
    "another server's sender": {"sender": "@boss:three.test"},
    "another room": {"room_id": "!" + "A" * 43},
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_is_no_invite_of_a_user_of_ours_is_invalid(alice: Client, inviter: Inviter, fault: str) -> None:
    response = await inviter.send(inviter.invite(alice.user_id, **FAULTS[fault]))
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_an_invite_that_is_not_signed_is_invalid(alice: Client, inviter: Inviter) -> None:
    pdu = {**inviter.invite(alice.user_id), "signatures": {}}
    response = await inviter.send(pdu)
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_an_invite_that_was_changed_after_its_hash_is_invalid(alice: Client, inviter: Inviter) -> None:
    pdu = inviter.invite(alice.user_id)
    pdu["content"] = {**pdu["content"], "reason": "other"}
    response = await inviter.send(pdu)
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_the_event_id_of_the_path_must_be_the_events(alice: Client, inviter: Inviter) -> None:
    response = await inviter.send(inviter.invite(alice.user_id), event_id="$" + "A" * 43)
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_nobody_is_invited_who_does_not_exist(inviter: Inviter) -> None:
    response = await inviter.send(inviter.invite("@nobody:one.test"))
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_who_takes_no_invites_gets_none(host: Homeserver, inviter: Inviter) -> None:
    user = await host.register("recluse")
    path = f"/user/{user.user_id}/account_data/m.invite_permission_config"
    await user.ok("PUT", path, {"default_action": "block"})
    response = await inviter.send(inviter.invite(user.user_id))
    assert (response.status, response.errcode) == (403, "M_INVITE_BLOCKED")
    assert await invited_to(user) == {}


async def test_of_a_room_of_version_12_the_create_event_must_be_shown(alice: Client, inviter: Inviter) -> None:
    for shown in ([], [{"type": "m.room.name", "state_key": "", "sender": "@boss:two.test", "content": {}}]):
        response = await inviter.send(inviter.invite(alice.user_id), invite_room_state=shown)
        assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_a_stripped_create_event_does_not_prove_the_room(alice: Client, inviter: Inviter) -> None:
    create = {name: inviter.create()[name] for name in ("type", "state_key", "sender", "content")}
    response = await inviter.send(inviter.invite(alice.user_id), invite_room_state=[create])
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_another_rooms_create_event_does_not_prove_the_room(alice: Client, inviter: Inviter) -> None:
    other = inviter.create(origin_server_ts=17)
    response = await inviter.send(inviter.invite(alice.user_id), invite_room_state=[other])
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_what_is_shown_must_be_signed_where_it_says_so(alice: Client, inviter: Inviter) -> None:
    name = inviter.server.pdu("12", type="m.room.name", state_key="", room_id=inviter.room, content={"name": "A"})
    for shown in ({**name, "signatures": {}}, {**name, "room_id": "!" + "A" * 43}, {**name, "hashes": {}}):
        response = await inviter.send(inviter.invite(alice.user_id), invite_room_state=[inviter.create(), shown])
        assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_stripped_state_is_shown_beside_the_create_event(host: Homeserver, inviter: Inviter) -> None:
    """As Synapse sends it."""
    user = await host.register("stripped")
    name = {"type": "m.room.name", "state_key": "", "sender": "@boss:two.test", "content": {"name": "A room"}}
    response = await inviter.send(inviter.invite(user.user_id), invite_room_state=[inviter.create(), name])
    assert response.status == 200, response
    events = (await invited_to(user))[inviter.room]["invite_state"]["events"]
    assert {"name": "A room"} in [event["content"] for event in events]


@pytest.mark.parametrize("missing", ["event", "room_version"])
async def test_the_body_must_be_whole(alice: Client, inviter: Inviter, missing: str) -> None:
    response = await inviter.send(inviter.invite(alice.user_id), **{missing: None})
    assert (response.status, response.errcode) == (400, "M_MISSING_PARAM")


async def test_too_many_invites_of_a_user_are_refused(shared_network: Any, two: FakeServer) -> None:
    rates = "rc_invites: {per_user: {per_second: 0.001, burst_count: 1}}"
    host = await shared_network.start("slow.test", rates)
    user, inviter = await host.register("busy"), Inviter(two, "11")
    path = f"{V2}/invite/{q(inviter.room)}/"
    answers = []
    for depth in (1, 2):
        pdu = inviter.invite(user.user_id, depth=depth)
        body = {"event": pdu, "room_version": "11", "invite_room_state": []}
        answers.append(await two.ask("slow.test", "PUT", path + q(event_id_of(pdu, "11")), body))
    assert [answer.status for answer in answers] == [200, 429]
