"""What clients ask for by the names of proposals: MSC3874, MSC3890, MSC3967."""

from typing import Any

import orjson
import pytest

from tests.support.homeserver import Client, Homeserver, q


async def bodies(client: Client, room: str, wanted: Any) -> list[str]:
    page = await client.get(f"/rooms/{q(room)}/messages", dir="f", limit=50, filter=orjson.dumps(wanted).decode())
    return [event["content"]["body"] for event in page["chunk"] if event["type"] == "m.room.message"]


@pytest.mark.parametrize("prefix", ["", "org.matrix.msc3874."])
async def test_messages_are_filtered_by_how_they_relate(hs: Homeserver, prefix: str) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    root = await alice.send(room, "root")
    for rel_type in ("m.thread", "m.reference"):
        await alice.send(room, rel_type, **{"m.relates_to": {"rel_type": rel_type, "event_id": root}})
    only, never = f"{prefix}rel_types", f"{prefix}not_rel_types"
    assert await bodies(alice, room, {only: ["m.thread"]}) == ["m.thread"]
    assert await bodies(alice, room, {only: ["m.thread", "m.reference"]}) == ["m.thread", "m.reference"]
    assert await bodies(alice, room, {never: ["m.thread"]}) == ["root", "m.reference"]
    assert await bodies(alice, room, {never: ["m.thread", "m.reference"]}) == ["root"]
    assert await bodies(alice, room, {only: [], never: []}) == ["root", "m.thread", "m.reference"]


@pytest.mark.parametrize("prefix", ["m.", "org.matrix.msc3890."])
async def test_what_a_device_says_of_itself_goes_with_it(hs: Homeserver, prefix: str) -> None:
    alice = await hs.register("alice")
    phone = await hs.log_in("alice")
    kind = f"{prefix}local_notification_settings.{phone.device_id}"
    path = f"/user/{q(alice.user_id)}/account_data/{kind}"
    await alice.ok("PUT", path, {"is_silenced": True})
    await alice.sync()
    await phone.ok("POST", "/logout", {})
    assert (await alice.ask("GET", path)).errcode == "M_NOT_FOUND"
    assert (await alice.sync())["account_data"]["events"] == [{"type": kind, "content": {}}]
    initial = await alice.get("/sync")
    assert kind not in [event["type"] for event in initial["account_data"]["events"]]


async def test_clients_find_what_there_is(hs: Homeserver) -> None:
    features = (await hs.ask("GET", "/_matrix/client/versions")).json["unstable_features"]
    for number in (3391, 3874, 3881, 3890, 3930, 3967, 4155, 4222):
        assert features[f"org.matrix.msc{number}"] is True
