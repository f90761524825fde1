"""Importing history by batch, as bridges built on mautrix bridgev2 do."""

from pathlib import Path
from typing import Any

import pytest

from storage import imported_events
from tests.integration.appservice.bridge import BOT, GHOST, IRC, Bridge, Start, refusal, write
from tests.integration.appservice.listening import Town, bridge_of, is_taken_up, told_all
from tests.support.consistency import faults
from tests.support.fake_service import until
from tests.support.federation import Network
from tests.support.homeserver import Client, Response, q

OTHER_GHOST = "@_irc_bob:hearth.test"


def old(claimed: str, at_ms: int, body: str | None = None, sender: str = GHOST, **content: Any) -> dict[str, Any]:
    """As mautrix writes it: with the id that it has computed from the message on the other side."""
    return {
        "event_id": f"${claimed}:hearth.test",
        "type": "m.room.message",
        "sender": sender,
        "origin_server_ts": at_ms,
        "content": {"msgtype": "m.text", "body": claimed if body is None else body, **content},
    }


def reaction(claimed: str, to: str, at_ms: int = 9) -> dict[str, Any]:
    relates_to = {"rel_type": "m.annotation", "event_id": f"${to}:hearth.test", "key": "+1"}
    return {**old(claimed, at_ms), "type": "m.reaction", "content": {"m.relates_to": relates_to}}


class Portal:
    """A room of the bridge, and a person in it who reads all of it."""

    def __init__(self, bridge: Bridge, room: str, alice: Client) -> None:
        self.bridge, self.room, self.alice = bridge, room, alice

    async def ask(self, events: list[dict[str, Any]], **more: Any) -> Response:
        path = f"/_matrix/client/unstable/com.beeper.backfill/rooms/{q(self.room)}/batch_send"
        return await self.bridge.ask("POST", path, {"events": events, "forward_if_no_messages": True, **more})

    async def put(self, *events: dict[str, Any], **more: Any) -> list[str]:
        response = await self.ask(list(events), **more)
        assert response.status == 200, response
        ids: list[str] = response.json["event_ids"]
        return ids

    async def history(self, client: Client | None = None) -> list[dict[str, Any]]:
        """All that is shown, oldest first, page by page."""
        client, found, token = client or self.alice, list[dict[str, Any]](), None
        while True:
            page = await client.get(f"/rooms/{q(self.room)}/messages", dir="b", limit=3, **{"from": token})
            found += page["chunk"]
            token = page.get("end")
            if token is None:
                return found[::-1]

    async def bodies(self, client: Client | None = None) -> list[str]:
        return [one["content"]["body"] for one in await self.history(client) if "body" in one["content"]]

    async def event(self, event_id: str) -> Any:
        return await self.alice.get(f"/rooms/{q(self.room)}/event/{q(event_id)}")


async def make(start_homeserver: Start, directory: Path, more: str = "", **room: Any) -> Portal:
    bridge = Bridge(await start_homeserver(write(directory) + more))
    alice = await bridge.hs.register("alice")
    body = {"preset": "private_chat", "invite": [alice.user_id], **room}
    portal = (await bridge.ok("POST", "/createRoom", body))["room_id"]
    await alice.join(portal)
    return Portal(bridge, portal, alice)


@pytest.mark.parametrize("version", ["12", "11", "6", "2"])
async def test_older_messages_come_before_the_first_in_their_order(
    start_homeserver: Start, tmp_path: Path, version: str
) -> None:
    portal = await make(start_homeserver, tmp_path, room_version=version)
    await portal.bridge.send(portal.room, BOT, "now")
    await portal.put(old("3", 3), old("4", 4, sender=OTHER_GHOST))
    await portal.put(old("1", 1), old("2", 2, sender=BOT))
    await portal.bridge.send(portal.room, BOT, "later")
    assert await portal.bodies() == ["1", "2", "3", "4", "now", "later"]
    told = {one["content"].get("body"): one for one in await portal.history()}
    assert [told[body]["origin_server_ts"] for body in "1234"] == [1, 2, 3, 4]
    assert [told[body]["sender"] for body in "1234"] == [GHOST, BOT, GHOST, OTHER_GHOST]
    assert faults(portal.bridge.hs.dsn) == []


async def test_history_is_told_in_no_sync_and_changes_nothing_of_the_room(
    start_homeserver: Start, tmp_path: Path
) -> None:
    portal = await make(start_homeserver, tmp_path)
    await portal.bridge.send(portal.room, BOT, "now")
    await portal.alice.sync()
    await portal.put(old("1", 1))
    assert "rooms" not in await portal.alice.sync() or not await portal.alice.timeline(portal.room)
    members = await portal.alice.get(f"/rooms/{q(portal.room)}/joined_members")
    assert set(members["joined"]) == {BOT, portal.alice.user_id}
    # The ghost's membership of then is nobody's business.
    assert [one["state_key"] for one in await portal.history() if one["type"] == "m.room.member"] == [
        BOT,
        portal.alice.user_id,
        portal.alice.user_id,
    ]


@pytest.mark.parametrize(("visibility", "sees"), [("shared", ["1", "now"]), ("joined", [])])
async def test_who_comes_later_sees_history_as_the_room_allows(
    start_homeserver: Start, tmp_path: Path, visibility: str, sees: list[str]
) -> None:
    state = [{"type": "m.room.history_visibility", "content": {"history_visibility": visibility}}]
    portal = await make(start_homeserver, tmp_path, initial_state=state, preset="public_chat")
    await portal.bridge.send(portal.room, BOT, "now")
    await portal.put(old("1", 1))
    bob = await portal.bridge.hs.register("bob")
    await bob.join(portal.room)
    assert await portal.bodies(bob) == sees


async def test_an_empty_room_is_filled_forward_and_nobody_is_notified(start_homeserver: Start, tmp_path: Path) -> None:
    portal = await make(start_homeserver, tmp_path)
    await portal.alice.sync()
    await portal.put(old("1", 1), old("2", 2, sender=OTHER_GHOST))
    synced = (await portal.alice.sync())["rooms"]["join"][portal.room]
    assert synced["unread_notifications"] == {"notification_count": 0, "highlight_count": 0}
    bodies = [one["content"].get("body") for one in synced["timeline"]["events"]]
    assert [body for body in bodies if body] == ["1", "2"]
    members = await portal.alice.get(f"/rooms/{q(portal.room)}/joined_members")
    assert {GHOST, OTHER_GHOST} < set(members["joined"])


async def test_what_was_missed_goes_after_all_and_notifies_if_it_shall(start_homeserver: Start, tmp_path: Path) -> None:
    portal = await make(start_homeserver, tmp_path)
    await portal.bridge.send(portal.room, BOT, "now")
    await portal.put(old("1", 1), forward=True, send_notification=True)
    await portal.put(old("2", 2), forward=True, send_notification=False)
    assert await portal.bodies() == ["now", "1", "2"]
    synced = (await portal.alice.sync())["rooms"]["join"][portal.room]
    assert synced["unread_notifications"]["notification_count"] == 2


async def test_who_has_read_it_elsewhere_has_read_it(start_homeserver: Start, tmp_path: Path) -> None:
    portal = await make(start_homeserver, tmp_path)
    await portal.put(old("1", 1), forward=True, send_notification=True, mark_read_by=portal.alice.user_id)
    synced = (await portal.alice.sync())["rooms"]["join"][portal.room]
    assert synced["unread_notifications"]["notification_count"] == 0
    # That she has is not told the others.
    (receipt,) = (one for one in synced["ephemeral"]["events"] if one["type"] == "m.receipt")
    assert [list(kinds) for kinds in receipt["content"].values()] == [["m.read.private"]]


@pytest.mark.parametrize("forward", [True, False])
async def test_a_batch_that_is_repeated_imports_nothing_twice(
    start_homeserver: Start, tmp_path: Path, forward: bool
) -> None:
    portal = await make(start_homeserver, tmp_path)
    await portal.bridge.send(portal.room, BOT, "now")
    first = await portal.put(old("1", 1), old("2", 2), forward=forward)
    again = await portal.put(old("1", 1), old("2", 2), old("3", 3), forward=forward)
    assert again[:2] == first
    assert sorted(await portal.bodies()) == ["1", "2", "3", "now"]


async def test_an_import_that_broke_off_goes_on_in_order(start_homeserver: Start, tmp_path: Path) -> None:
    portal = await make(start_homeserver, tmp_path)
    await portal.bridge.send(portal.room, BOT, "now")
    ids = await portal.put(*(old(body, int(body)) for body in "12345"))
    # As if the process had ended after the third.
    portal.bridge.hs.rows("DELETE FROM events WHERE event_id = ANY(%s)", ids[3:])
    other = await start_homeserver(write(tmp_path))
    portal = Portal(Bridge(other), portal.room, portal.alice.at(other))
    assert await portal.put(*(old(body, int(body)) for body in "12345")) == ids
    assert await portal.bodies() == ["1", "2", "3", "4", "5", "now"]


async def test_the_ids_that_the_bridge_has_chosen_lead_to_the_events(start_homeserver: Start, tmp_path: Path) -> None:
    portal = await make(start_homeserver, tmp_path)
    await portal.bridge.send(portal.room, BOT, "now")
    reply = {"m.relates_to": {"m.in_reply_to": {"event_id": "$1:hearth.test"}}}
    first, _, second = await portal.put(old("1", 1), reaction("r", "1"), old("2", 2, **reply))
    assert (await portal.event(second))["content"]["m.relates_to"]["m.in_reply_to"]["event_id"] == first
    (annotation,) = (await portal.alice.get(f"/_matrix/client/v1/rooms/{q(portal.room)}/relations/{q(first)}"))["chunk"]
    assert annotation["type"] == "m.reaction"
    # In a later batch, in what is sent, in redactions, receipts and look-ups.
    (third,) = await portal.put(reaction("s", "2"))
    assert (await portal.event(third))["content"]["m.relates_to"]["event_id"] == second
    path = f"/rooms/{q(portal.room)}/send/m.room.message/t"
    edit = {"m.relates_to": {"rel_type": "m.replace", "event_id": "$1:hearth.test"}, "body": "*", "msgtype": "m.text"}
    sent = await portal.bridge.ok("PUT", path, {**edit, "m.new_content": {"body": "x", "msgtype": "m.text"}})
    assert (await portal.event(sent["event_id"]))["content"]["m.relates_to"]["event_id"] == first
    await portal.bridge.ok("POST", f"/rooms/{q(portal.room)}/receipt/m.read/{q('$2:hearth.test')}", {})
    found = await portal.bridge.ok("GET", f"/rooms/{q(portal.room)}/event/{q('$2:hearth.test')}")
    assert found["event_id"] == second
    around = await portal.bridge.ok("GET", f"/rooms/{q(portal.room)}/context/{q('$2:hearth.test')}")
    assert around["event"]["event_id"] == second
    related = f"/_matrix/client/v1/rooms/{q(portal.room)}/relations/{q('$1:hearth.test')}"
    assert annotation["event_id"] in [one["event_id"] for one in (await portal.bridge.ok("GET", related))["chunk"]]
    await portal.bridge.ok("PUT", f"/rooms/{q(portal.room)}/redact/{q('$2:hearth.test')}/r", {})
    assert "body" not in (await portal.event(second))["content"]


async def test_ids_that_were_chosen_long_ago_are_forgotten_and_the_events_stay(
    start_homeserver: Start, tmp_path: Path
) -> None:
    portal = await make(start_homeserver, tmp_path)
    hs = portal.bridge.hs
    await portal.bridge.send(portal.room, BOT, "now")
    first, second = await portal.put(old("1", 1), old("2", 2))
    hs.rows("UPDATE imported_events SET claimed_ms = claimed_ms - 1 WHERE event_id = %s", first)
    ((claimed_ms,),) = hs.rows("SELECT claimed_ms FROM imported_events WHERE event_id = %s", second)
    now_ms = int(claimed_ms) + imported_events.KEEP_MS
    assert await hs.core.storage.database.run(imported_events.trim, now_ms) == 1
    paths = [f"/rooms/{q(portal.room)}/event/{q(f'${claimed}:hearth.test')}" for claimed in "12"]
    assert [(await portal.bridge.ask("GET", path)).status for path in paths] == [404, 200]
    assert await portal.bodies() == ["1", "2", "now"]


async def test_only_services_import_and_only_in_rooms_that_they_are_in(start_homeserver: Start, tmp_path: Path) -> None:
    portal = await make(start_homeserver, tmp_path)
    path = f"/_matrix/client/unstable/com.beeper.backfill/rooms/{q(portal.room)}/batch_send"
    assert refusal(await portal.alice.ask("POST", path, {"events": []})) == (403, "M_FORBIDDEN")
    await portal.bridge.ghost()
    assert refusal(await portal.bridge.ask("POST", path, {"events": []}, user_id=GHOST)) == (403, "M_FORBIDDEN")
    elsewhere = Portal(portal.bridge, "!nowhere:hearth.test", portal.alice)
    assert refusal(await elsewhere.ask([])) == (404, "M_NOT_FOUND")


async def test_a_service_speaks_for_its_own_and_for_those_whom_double_puppets_are_open_to(
    start_homeserver: Start, tmp_path: Path
) -> None:
    portal = await make(start_homeserver, tmp_path)
    refused = await portal.ask([old("1", 1, sender=portal.alice.user_id)])
    assert refusal(refused) == (403, "M_EXCLUSIVE")
    puppets = (
        IRC.replace("irc", "puppet").replace('"@_puppet_"', '"@.*"').replace("exclusive: true", "exclusive: false")
    )
    write(tmp_path, puppets, "puppets.yaml")
    hs = await start_homeserver(f"app_service_config_files: [{tmp_path / 'irc.yaml'}, {tmp_path / 'puppets.yaml'}]")
    portal = Portal(Bridge(hs), portal.room, portal.alice.at(hs))
    await portal.put(old("1", 1, sender=portal.alice.user_id))
    assert await portal.bodies() == ["1"]


@pytest.mark.parametrize(
    "change",
    [
        {"type": "m.room.redaction"},
        {"type": "m.room.member"},
        {"state_key": ""},
        {"content": []},
        {"sender": "nobody"},
        {"origin_server_ts": -1},
        {"event_id": "x"},
    ],
)
async def test_what_is_no_message_is_refused(start_homeserver: Start, tmp_path: Path, change: dict[str, Any]) -> None:
    portal = await make(start_homeserver, tmp_path)
    assert (await portal.ask([{**old("1", 1), **change}])).status == 400


async def test_a_faulty_event_keeps_all_of_the_history_out(start_homeserver: Start, tmp_path: Path) -> None:
    portal = await make(start_homeserver, tmp_path)
    await portal.bridge.send(portal.room, BOT, "now")
    response = await portal.ask([old("1", 1), old("2", 2, "x" * 70_000)])
    assert refusal(response) == (413, "M_TOO_LARGE")
    assert await portal.bodies() == ["now"]


async def test_the_server_says_that_it_imports(start_homeserver: Start, tmp_path: Path) -> None:
    portal = await make(start_homeserver, tmp_path)
    told = (await portal.bridge.hs.ask("GET", "/_matrix/client/versions")).json
    assert told["unstable_features"]["com.beeper.batch_sending"] is True


async def test_the_bridge_hears_of_its_events_by_the_ids_that_it_has_chosen(town: Town) -> None:
    service = town.service(receive_ephemeral=True)
    hs = await town.start()
    await is_taken_up(hs, service)
    alice, bridge = await hs.register("alice"), bridge_of(hs, service)
    room = (await bridge.ok("POST", "/createRoom", {"preset": "public_chat"}))["room_id"]
    await alice.join(room)
    portal = Portal(bridge, room, alice)
    (real,) = await portal.put(old("1", 1))
    key = {"m.relates_to": {"rel_type": "m.annotation", "event_id": real, "key": "+1"}}
    await alice.send_event(room, "m.reaction", key)
    await alice.ok("POST", f"/rooms/{q(room)}/receipt/m.read/{q(real)}", {})
    await alice.send(room, "unrelated")
    await bridge.ok("PUT", f"/rooms/{q(room)}/redact/{q(real)}/r", {})
    await told_all(hs, service)
    (reaction_told,) = service.of_type("m.reaction")
    assert reaction_told["content"]["m.relates_to"]["event_id"] == "$1:hearth.test"
    assert [list(one["content"]) for one in service.of_type("m.receipt")] == [["$1:hearth.test"]]
    (redaction,) = service.of_type("m.room.redaction")
    assert {redaction.get("redacts"), redaction["content"].get("redacts")} == {"$1:hearth.test"}
    # Clients are told what is.
    (seen,) = (one for one in await portal.history() if one["type"] == "m.reaction")
    assert seen["content"]["m.relates_to"]["event_id"] == real


async def test_other_servers_are_told_nothing_of_history_and_the_room_goes_on(network: Network, tmp_path: Path) -> None:
    (tmp_path / "registration.yaml").write_text(IRC)
    here = await network.start("hearth.test", f"app_service_config_files: [{tmp_path / 'registration.yaml'}]\n")
    there = await network.start("two.test")
    bridge, alice, bob = Bridge(here), await here.register("alice"), await there.register("bob")
    room = (await bridge.ok("POST", "/createRoom", {"preset": "private_chat", "invite": [bob.user_id]}))["room_id"]
    await bridge.ok("POST", f"/rooms/{q(room)}/invite", {"user_id": alice.user_id})
    await alice.join(room)
    await until(lambda: there.rows("SELECT 1 FROM out_of_band"))
    await bob.ok("POST", f"/join/{q(room)}", {}, server_name="hearth.test", via="hearth.test")
    await bridge.send(room, BOT, "now")
    portal = Portal(bridge, room, alice)
    (imported,) = await portal.put(old("1", 1))
    after = await bridge.send(room, BOT, "after")
    await until(lambda: there.rows("SELECT 1 FROM events WHERE event_id = %s", after))
    reply = await bob.send(room, "hello")
    await until(lambda: here.rows("SELECT 1 FROM events WHERE event_id = %s", reply))
    assert await portal.bodies() == ["1", "now", "after", "hello"]
    assert await portal.bodies(bob) == ["now", "after", "hello"]
    # Who asks for it gets it, and finds it in order.
    await bob.send_event(
        room, "m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": imported, "key": "+"}}
    )
    for hs in (here, there):
        assert faults(hs.dsn) == []
        assert hs.rows("SELECT count(*) FROM events WHERE flags & 1 <> 0") == [(0,)]


async def test_another_server_that_reads_so_far_back_gets_the_history(network: Network, tmp_path: Path) -> None:
    (tmp_path / "registration.yaml").write_text(IRC)
    here = await network.start("hearth.test", f"app_service_config_files: [{tmp_path / 'registration.yaml'}]\n")
    there = await network.start("two.test")
    bridge, alice, bob = Bridge(here), await here.register("alice"), await there.register("bob")
    room = (await bridge.ok("POST", "/createRoom", {"preset": "public_chat"}))["room_id"]
    await alice.join(room)
    await bridge.send(room, BOT, "now")
    portal = Portal(bridge, room, alice)
    await portal.put(old("1", 1), old("2", 2, sender=OTHER_GHOST), old("3", 3))
    await bridge.send(room, BOT, "later")
    await bob.ok("POST", f"/join/{q(room)}", {}, server_name="hearth.test", via="hearth.test")
    told = [one["content"].get("body") for one in await portal.history(bob)]
    assert [body for body in told if body] == ["1", "2", "3", "now", "later"]
    # The ghosts were never in the room, for anyone.
    for client in (alice, bob):
        members = await client.get(f"/rooms/{q(room)}/joined_members")
        assert set(members["joined"]) == {BOT, alice.user_id, bob.user_id}
        shown = {one["state_key"] for one in await portal.history(client) if one["type"] == "m.room.member"}
        assert shown == {BOT, alice.user_id, bob.user_id}
    for hs in (here, there):
        assert faults(hs.dsn) == []
