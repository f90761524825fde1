"""The key backup on the server, of which nio knows nothing, made of what nio exports and imports.

The encryption is libolm's own for backups, `PkEncryption`.
Source: client-server API, "Server-side key backups", m.megolm_backup.v1.curve25519-aes-sha2.
"""

import json
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nio.crypto.key_export import decrypt_and_read, encrypt_and_save
from olm import PkDecryption, PkEncryption, PkMessage
from session import Session

ALGORITHM = "m.megolm_backup.v1.curve25519-aes-sha2"
PASSPHRASE = "between two files only"


class Backup:
    """Puts the room keys of one session on the server, and gets them from there."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def back_up(self) -> dict[str, Any]:
        """A new backup with all of nio's room keys; gives the recovery key, as libolm pickles it."""
        key = PkDecryption()
        wish = {"algorithm": ALGORITHM, "auth_data": {"public_key": key.public_key, "signatures": {}}}
        version = (await self.session.ask("POST", "/room_keys/version", wish))["version"]
        exported = await self._exported()
        rooms: dict[str, Any] = {}
        for session in exported:
            in_room = rooms.setdefault(session["room_id"], {"sessions": {}})
            in_room["sessions"][session["session_id"]] = _sealed(session, key.public_key)
        kept = await self.session.ask("PUT", f"/room_keys/keys?version={quote(version)}", {"rooms": rooms})
        return {"count": kept["count"], "exported": len(exported), "recovery_key": key.pickle(PASSPHRASE).decode()}

    async def restore(self, recovery_key: str) -> dict[str, Any]:
        """Imports all room keys of the newest backup into nio."""
        key = PkDecryption.from_pickle(recovery_key.encode(), PASSPHRASE)
        info = await self.session.ask("GET", "/room_keys/version")
        assert info["auth_data"]["public_key"] == key.public_key
        kept = await self.session.ask("GET", f"/room_keys/keys?version={quote(info['version'])}")
        opened = [
            {**_opened(sealed, key), "room_id": room_id, "session_id": session_id}
            for room_id, room in kept["rooms"].items()
            for session_id, sealed in room["sessions"].items()
        ]
        await self._import(opened)
        return {"imported": len(opened), "total": info["count"]}

    async def _exported(self) -> list[dict[str, Any]]:
        with tempfile.TemporaryDirectory() as directory:
            file = f"{directory}/keys"
            await self.session.client.export_keys(file, PASSPHRASE)
            sessions: list[dict[str, Any]] = json.loads(decrypt_and_read(file, PASSPHRASE))
        return sessions

    async def _import(self, sessions: list[dict[str, Any]]) -> None:
        with tempfile.TemporaryDirectory() as directory:
            file = str(Path(directory) / "keys")
            encrypt_and_save(json.dumps(sessions).encode(), file, PASSPHRASE, count=10_000)
            await self.session.client.import_keys(file, PASSPHRASE)


def _sealed(session: dict[str, Any], public_key: str) -> dict[str, Any]:
    secret = {name: value for name, value in session.items() if name not in ("room_id", "session_id")}
    message = PkEncryption(public_key).encrypt(json.dumps(secret))
    return {
        "first_message_index": 0,
        "forwarded_count": len(session["forwarding_curve25519_key_chain"]),
        "is_verified": True,
        "session_data": {"ephemeral": message.ephemeral_key, "ciphertext": message.ciphertext, "mac": message.mac},
    }


def _opened(sealed: dict[str, Any], key: PkDecryption) -> dict[str, Any]:
    data = sealed["session_data"]
    secret: dict[str, Any] = json.loads(key.decrypt(PkMessage(data["ephemeral"], data["mac"], data["ciphertext"])))
    return secret
