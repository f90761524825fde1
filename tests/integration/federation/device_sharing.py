"""What the tests of devices over federation have in common: devices with keys, and rooms that users share.

Memberships are written as the database has them, so that these tests need no join; those that are about joins and
leaves make real ones.
"""

from typing import Any

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


def share_room(room_nid: int, servers: list[Homeserver], user_ids: list[str]) -> None:
    """All of them have always been in a room, as all of the servers know."""
    for server in servers:
        for user_id in user_ids:
            server.rows("INSERT INTO memberships VALUES (%s, %s, 'join', 0, 0)", room_nid, user_id)


async def send_to_device(client: Client, user_id: str, device_id: str, content: Any, name: str = "t1") -> None:
    path = f"/sendToDevice/m.room.encrypted/{q(name)}"
    await client.ok("PUT", path, {"messages": {user_id: {device_id: content}}})
