"""What the tests of devices over federation have in common: devices with keys, and rooms that users share.

Memberships are written as the database has them, so that these tests need no join; those that are about joins and
leaves make real ones.
"""

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from storage.change import Change, Entry, Kind
from tests.support.fake_server import FakeServer
from tests.support.federation import Sent
from tests.support.homeserver import Client, Homeserver, q

ED25519 = "lEuiRJBit0IG6nUf5pUzWTUEsRVVe/HJkoKuEww9ULI"


def device_keys(user_id: str, device_id: str, public: str = ED25519) -> dict[str, Any]:
    """Keys of the right shape; nobody has signed them."""
    return {
        "user_id": user_id,
        "device_id": device_id,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2"],
        "keys": {f"ed25519:{device_id}": public, f"curve25519:{device_id}": public},
        "signatures": {user_id: {f"ed25519:{device_id}": "c2lnbmF0dXJl"}},
    }


async def publish_keys(client: Client, public: str = ED25519) -> dict[str, Any]:
    """The client's device has keys now."""
    keys = device_keys(client.user_id, client.device_id, public)
    await client.ok("POST", "/keys/upload", {"device_keys": keys})
    return keys


async def query(client: Client, user_id: str, **more: Any) -> Any:
    return await client.ok("POST", "/keys/query", {"device_keys": {user_id: []}, **more})


async def share_room(room_nid: int, servers: list[Homeserver], user_ids: list[str]) -> None:
    """All of them have always been in a room, as all of the servers know."""
    for server in servers:
        for user_id in user_ids:
            server.rows("INSERT INTO memberships VALUES (%s, %s, 'join', 0, 0)", room_nid, user_id)
        change = Change()
        change.announce(Entry(Kind.ROOM, room_nid=room_nid, body={}))
        await server.core.storage.committer(change)


async def send_to_device(client: Client, user_id: str, device_id: str, content: Any, name: str = "t1") -> None:
    path = f"/sendToDevice/m.room.encrypted/{q(name)}"
    await client.ok("PUT", path, {"messages": {user_id: {device_id: content}}})


class Inbox:
    """The EDUs that a server written by hand is sent: `await inbox.next("m.typing")` is the next of a kind."""

    def __init__(self, server: FakeServer) -> None:
        self._edus: list[tuple[str, Any]] = []
        self._waiting: Deferred[None] | None = None
        server.answers("PUT", "/_matrix/federation/v1/send/", self._take)

    async def next(self, edu_type: str) -> Any:
        """Its content. What is of other kinds stays."""
        while True:
            for index, (kind, content) in enumerate(self._edus):
                if kind == edu_type:
                    del self._edus[index]
                    return content
            self._waiting = Deferred()
            await self._waiting.addTimeout(20, reactor)

    def count(self, edu_type: str) -> int:
        return sum(1 for kind, _ in self._edus if kind == edu_type)

    def _take(self, sent: Sent) -> Any:
        self._edus += [(edu["edu_type"], edu["content"]) for edu in sent.json.get("edus", ())]
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
        return {"pdus": {}}


async def changed_devices(client: Client) -> set[str]:
    """Whose devices changed, as the client's next sync that tells of any says."""
    for _ in range(60):
        lists = (await client.sync(timeout=1000)).get("device_lists", {})
        if lists.get("changed"):
            return set(lists["changed"])
    return set()
