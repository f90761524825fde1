"""A room such as benchmarks/large_room.py makes, in small: joined in part or whole, it is known whole in the end."""

from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from benchmarks.large_room import SavedRoom, write_room
from federation.outbound import large_json, transport
from federation.outbound.wire import WireAnswer
from homeserver.runtime import slices
from homeserver.services.rooms.remote import gathering, outliers, pdu_checks
from matrix.ids import ServerName
from tests.integration.federation.remote_pair import join
from tests.support.consistency import faults
from tests.support.federation import Network, Sent
from tests.support.homeserver import q

MEMBERS, EVENTS = 60, 240
NAMES = ["s1.test", "s2.test", "s3.test"]


@frozen
class Peer:
    name: ServerName
    room: SavedRoom

    async def answer(self, sent: Sent) -> WireAnswer:
        status, body = self.room.answer(self.name, sent.request.target)
        return WireAnswer(status, {"content-type": "application/json"}, body)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("room")
    write_room(path, NAMES, members=MEMBERS, events=EVENTS)
    return path


@pytest.mark.parametrize("is_whole", [False, True])
async def test_all_of_it_is_there_in_the_end(
    network: Network, directory: Path, monkeypatch: pytest.MonkeyPatch, is_whole: bool
) -> None:
    # Many turns, though it is small.
    small: Any = {(large_json, "TURN"): 2_000, (large_json, "WINDOW"): 5_000, (transport, "LARGE_BYTES"): 3_000}
    small |= {(pdu_checks, "LARGE"): 50, (outliers, "LOOKED_UP"): 40, (outliers, "BATCH"): 30}
    small |= {(gathering, "LOOKED_UP"): 40, (slices, "MANY"): 20}
    for (module, name), value in small.items():
        monkeypatch.setattr(module, name, value)
    one = await network.start("one.test")
    alice = await one.register("alice")
    room = SavedRoom(directory, whole=is_whole)
    for name in room.servers:
        network.peers[name] = Peer(name, room)
    await join(alice, room.room_id, "s2.test")
    joined = (await alice.get(f"/rooms/{q(room.room_id)}/joined_members"))["joined"]
    state = await alice.get(f"/rooms/{q(room.room_id)}/state")
    banned = [one for one in state if one["content"].get("membership") == "ban"]
    assert len(joined) == MEMBERS + 2 - len(banned)
    assert len(state) == MEMBERS + 1 + 6
    row = await one.server.rooms.heads.room(room.room_id)
    assert set(await one.server.sending.hosts.in_room(row.room_nid)) == {"one.test", *NAMES}
    assert faults(one.dsn) == []
