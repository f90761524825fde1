"""Random forked histories of a room elsewhere, told in any order and with gaps: Hearth comes to the state that the
specification wants, before every event and after the last.

`tests/interop/test_same_histories.py` tells the like to a Synapse too. A few in every run; HEARTH_SCRIPTED=2000 plays
so many, HEARTH_SCRIPTED_SEED begins at a seed.
"""

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from attrs import frozen

from federation.outbound.wire import WireAnswer
from homeserver.services.rooms.remote import placing
from matrix.events import Event, StateKey
from matrix.ids import EventId, ServerName
from matrix.room_versions import ROOM_VERSIONS
from tests.simulation.orders import in_some_order
from tests.support.consistency import faults
from tests.support.database import TestServer
from tests.support.fake_server import FakeServer
from tests.support.federation import Network, Sent
from tests.support.homeserver import Client, Homeserver, q
from tests.support.scripted_room import ScriptedRoom
from tests.support.scripted_rooms import ScriptedRooms

NAME = ServerName("scripted.test")
VERSIONS = ("1", "2", "6", "10", "11", "12")
COUNT = int(os.environ.get("HEARTH_SCRIPTED", "12"))
SEED = int(os.environ.get("HEARTH_SCRIPTED_SEED", "0"))
PARTS, PART = 3, 14


@frozen
class _Scripted:
    """The other end of the wire."""

    rooms: ScriptedRooms

    async def answer(self, sent: Sent) -> WireAnswer:
        status, said = self.rooms.answer(sent.request.target, sent.request.body or b"")
        return WireAnswer(status, {"content-type": "application/json"}, orjson.dumps(said))


async def test_states_are_right_in_whichever_order_events_come(postgres: TestServer, tmp_path: Path) -> None:
    await play_many(postgres, tmp_path, COUNT)


async def test_states_are_right_while_not_all_ends_are_resolved_for_each_event(
    postgres: TestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each event at any time; of the room itself whenever its ends are few again."""
    monkeypatch.setattr(placing, "MAX_RESOLVED", 2)
    await play_many(postgres, tmp_path, COUNT // 2)


async def play_many(postgres: TestServer, tmp_path: Path, count: int) -> None:
    network = Network(postgres, tmp_path)
    try:
        hearth = await network.start("one.test")
        alice = await hearth.register("alice")
        rooms = ScriptedRooms(NAME)
        fake = FakeServer(network, NAME, key=rooms.key)
        network.peers[NAME] = _Scripted(rooms)
        for seed in range(SEED, SEED + count):
            await play(rooms, fake, alice, VERSIONS[seed % len(VERSIONS)], seed)
        assert not faults(hearth.dsn)
    finally:
        await network.close()


async def play(rooms: ScriptedRooms, fake: FakeServer, alice: Client, version: str, seed: int) -> None:
    chance = random.Random(seed)
    room = rooms.new_room(ROOM_VERSIONS[version])
    # Who came by an invite is not resolved away when the room is closed beside it, as who came by the rule may be.
    room.say("m.room.member", room.users[0], {"membership": "invite"}, alice.user_id)
    await alice.ok("POST", f"/join/{q(room.room_id)}", {}, server_name=NAME)
    for part in range(PARTS):
        new = [event for _ in range(PART) if (event := room.random_event(chance)) is not None]
        last = room.say("m.room.message", room.users[0], {"body": f"part {part}", "msgtype": "m.text"}, None)
        assert last is not None, "the creator may always speak"
        for some in in_some_order(new, chance):
            await tell(fake, alice.hs, some)
        await tell(fake, alice.hs, [last])
        await check(room, alice.hs, f"seed {seed}, part {part}, version {version}")


async def tell(fake: FakeServer, hearth: Homeserver, events: Sequence[Event]) -> None:
    answer = await fake.transaction(str(hearth.core.server_name), [event.pdu for event in events])
    assert answer.status == 200, answer
    assert not any(said.get("error") for said in answer.json["pdus"].values()), answer


async def check(room: ScriptedRoom, hearth: Homeserver, name: str) -> None:
    remote = hearth.server.rooms.remote
    for event_id, right in room.before.items():
        stored = await hearth.core.storage.events.find(EventId(event_id))
        if stored is not None and stored.visible:
            state = await named(hearth, await remote.states.of_event(stored))
            assert state == right, f"{name}: before {room.events[event_id]}: {_differing(state, right, room)}"
    head = await hearth.server.rooms.heads.get(room.room_id)
    tips = [event_id for _, event_id, _ in head.extremities]
    assert tips == room.tips, f"{name}: the tips are {[str(room.events.get(EventId(each), each)) for each in tips]}"
    state = await named(hearth, head.state)
    assert state == room.after(room.tips[0]), f"{name}: {_differing(state, room.after(room.tips[0]), room)}"


async def named(hearth: Homeserver, state: Any) -> dict[StateKey, str]:
    found = await hearth.core.storage.events.get(state.values())
    return {key: found[nid].event_id for key, nid in state.items()}


def _differing(state: dict[StateKey, str], right: dict[StateKey, Any], room: ScriptedRoom) -> str:
    def shown(event_id: str | None) -> str:
        return "nothing" if event_id is None else str(room.events.get(EventId(event_id), event_id))

    keys = sorted(key for key in state | right if state.get(key) != right.get(key))
    return "; ".join(f"{key} is {shown(state.get(key))} and should be {shown(right.get(key))}" for key in keys)
