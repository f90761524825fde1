"""History that a bridge has imported, as users of a Synapse in the room see it."""

import itertools
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.appservice.bridge import AS_TOKEN, write
from tests.interop.beside_synapse import both, needs_synapse
from tests.interop.people import Person
from tests.interop.servers import Homeserver

pytestmark = [pytest.mark.interop, needs_synapse]

_transactions = itertools.count()


class Bridge(Person):
    """The service's own user, and its ghosts."""

    def __init__(self, homeserver: Homeserver) -> None:
        self.homeserver, self.token = homeserver, AS_TOKEN
        self.user_id = f"@_irc_bot:{homeserver.server_name}"

    def send_old(self, room: str, *bodies: str) -> None:
        """Messages of a ghost, of long ago."""
        ghost = f"@_irc_ann:{self.homeserver.server_name}"
        events = [
            {
                "event_id": f"${body}{room[1:9]}:{self.homeserver.server_name}",
                "type": "m.room.message",
                "sender": ghost,
                "origin_server_ts": 1_000 + number,
                "content": {"msgtype": "m.text", "body": body},
            }
            for number, body in enumerate(bodies)
        ]
        path = f"/_matrix/client/unstable/com.beeper.backfill/rooms/{quote(room, safe='')}/batch_send"
        self.ask("POST", path, {"events": events, "forward_if_no_messages": True})


@pytest.fixture(scope="module")
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Homeserver, Homeserver]]:
    with both(request, write(tmp_path_factory.mktemp("irc"))) as (_, hearth, synapse):
        yield hearth, synapse


def bodies(person: Person, room: str) -> list[str]:
    """All that is shown of the room, oldest first, page by page."""
    found: list[dict[str, Any]] = []
    token = None
    while True:
        query = {} if token is None else {"from": token}
        page = person.ask("GET", f"/rooms/{quote(room, safe='')}/messages", dir="b", limit=20, **query)
        found += page["chunk"]
        token = page.get("end")
        if token is None:
            break
    return [event["content"]["body"] for event in found[::-1] if "body" in event["content"]]


def sees(person: Person, room: str, *wanted: str) -> None:
    """Until that is all that is shown."""
    person.until(f"{wanted}", lambda: bodies(person, room) == list(wanted))


def test_who_comes_after_the_import_sees_it(servers: tuple[Homeserver, Homeserver]) -> None:
    bridge, alice, bob = Bridge(servers[0]), Person(servers[0], "alice"), Person(servers[1], "bob")
    room = bridge.create_room(preset="public_chat")
    alice.join(room)
    bridge.send(room, "now")
    bridge.send_old(room, "one", "two", "three")
    bridge.send(room, "later")
    bob.join(room, via=bridge)
    sees(bob, room, "one", "two", "three", "now", "later")
    bob.send(room, "hello")
    sees(alice, room, "one", "two", "three", "now", "later", "hello")
    # The ghost wrote it, and was in the room for nobody.
    assert bob.members(room) == alice.members(room) == {bridge.user_id, alice.user_id, bob.user_id}


def test_who_was_there_before_the_import_sees_it_by_reading_back(servers: tuple[Homeserver, Homeserver]) -> None:
    bridge, alice, bob = Bridge(servers[0]), Person(servers[0], "alice"), Person(servers[1], "bob")
    room = bridge.create_room(preset="public_chat")
    alice.join(room)
    bridge.send(room, "now")
    bob.join(room, via=bridge)
    bridge.send_old(room, "one", "two", "three")
    bridge.send(room, "later")
    bob.hears(room, "later")
    sees(bob, room, "one", "two", "three", "now", "later")
    # His server has all of the past now, and hardly a reason to ask for more; the room goes on for both.
    bridge.send_old(room, "zero")
    bob.send(room, "hello")
    sees(alice, room, "zero", "one", "two", "three", "now", "later", "hello")
    bob.until("the same order", lambda: [one for one in bodies(bob, room) if one != "zero"] == bodies(alice, room)[1:])
