"""A small bridge with mautrix, as the bridges of its author are: an AppService, ghosts by IntentAPI, encryption by
OlmMachine from what the transactions bring. What it hears it writes down at once, so that a restart forgets nothing.

Arguments: the homeserver's address, and the directory with registration.yaml and setting.json.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "py"))
from mautrix.appservice import AppService, IntentAPI
from mautrix.appservice.state_store.file import FileASStateStore
from mautrix.client import Client
from mautrix.crypto import OlmMachine, PgCryptoStore
from mautrix.types import EncryptionAlgorithm, EventType, LoginType, MessageType, TextMessageEventContent
from mautrix.util.async_db import Database
from protocol import plain, serve

PATIENCE_S = 30


class Bridge:
    def __init__(self, server: str, directory: Path) -> None:
        self._server = server
        self._directory = directory
        self._registration = json.loads((directory / "registration.yaml").read_text())
        self._setting = json.loads((directory / "setting.json").read_text())
        self._written = directory / "heard.jsonl"
        self.lines: list[dict[str, Any]] = []
        if self._written.exists():
            self.lines = [json.loads(line) for line in self._written.read_text().splitlines()]
        self._heard = asyncio.Event()
        self._state = FileASStateStore(path=str(directory / "mx-state.json"), binary=False, save_interval=1.0)
        self.az = AppService(
            server=server,
            domain=self._setting["domain"],
            as_token=self._registration["as_token"],
            hs_token=self._registration["hs_token"],
            bot_localpart=self._registration["sender_localpart"],
            id=self._registration["id"],
            state_store=self._state,
            ephemeral_events=True,
            encryption_events=True,
        )
        self.az.synchronous_handlers = True
        self.az.matrix_event_handler(self._hear)
        self.az.query_user = self._query
        self.crypto: OlmMachine | None = None

    def methods(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        names = (
            "start", "checks_of_mautrix_go", "register", "create_room", "invite", "join", "say", "redact", "type",
            "read", "come_online", "line", "count", "rename", "encrypt", "say_encrypted",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    async def start(self) -> None:
        if (self._directory / "crypto.db").exists():
            # Before anything arrives: what is encrypted comes with its keys, and comes once.
            await self.encrypt()
        await self.az.start("127.0.0.1", self._setting["port"])
        self.az.ready = True

    async def checks_of_mautrix_go(self) -> dict[str, Any]:
        """What a bridge of the Go library wants to see before it begins: else it exits."""
        versions = await self.az.intent.versions()
        whoami = await self.az.intent.whoami()
        return {
            "versions": [str(version) for version in versions.versions],
            "user_id": whoami.user_id,
            "ping_ms": await self.az.ping_self("txn of a start"),
        }

    async def register(self, nick: str) -> str:
        await self._ghost(nick).ensure_registered()
        return str(self._ghost(nick).mxid)

    async def create_room(self, invitees: list[str], **options: Any) -> str:
        return str(await self.az.intent.create_room(invitees=invitees, **options))

    async def invite(self, room_id: str, user_id: str) -> None:
        await self.az.intent.invite_user(room_id, user_id)

    async def join(self, nick: str, room_id: str) -> None:
        """Registers the ghost and has it invited, if that is needed: the library sees to it."""
        await self._ghost(nick).ensure_joined(room_id)

    async def say(self, nick: str, room_id: str, text: str, ts: int | None = None) -> str:
        content = TextMessageEventContent(msgtype=MessageType.TEXT, body=text)
        return str(await self._ghost(nick).send_message(room_id, content, timestamp=ts))

    async def redact(self, nick: str, room_id: str, event_id: str) -> str:
        return str(await self._ghost(nick).redact(room_id, event_id, reason="gone on the other side"))

    async def type(self, nick: str, room_id: str) -> None:
        await self._ghost(nick).set_typing(room_id, timeout=20_000)

    async def read(self, nick: str, room_id: str, event_id: str) -> None:
        await self._ghost(nick).mark_read(room_id, event_id)

    async def come_online(self, nick: str) -> None:
        await self._ghost(nick).set_presence()

    async def rename(self, nick: str, name: str) -> None:
        await self._ghost(nick).set_displayname(name)

    async def line(self, **wanted: Any) -> dict[str, Any]:
        """The first line with these values, now or later."""
        return await asyncio.wait_for(self._line(wanted), PATIENCE_S)

    async def count(self, **wanted: Any) -> int:
        """How often it has heard such a thing."""
        return sum(_fits(line, wanted) for line in self.lines)

    async def encrypt(self) -> str:
        """Gives its own user a device by which it reads and writes; gives the device's id."""
        database = Database.create(f"sqlite:{self._directory}/crypto.db", upgrade_table=PgCryptoStore.upgrade_table)
        await database.start()
        store = PgCryptoStore("", "interop", database)
        await store.open()
        client = Client(base_url=self._server, mxid=self.az.bot_mxid, sync_store=store, state_store=self._state)
        client.api.token = self.az.as_token
        device_id = await store.get_device_id()
        await client.login(
            login_type=LoginType.APPSERVICE,
            device_name="bridge",
            device_id=device_id,
            store_access_token=True,
            update_hs_url=False,
        )
        self.crypto = OlmMachine(client, store, Rooms(self._state))
        self.az.otk_handler = self.crypto.handle_as_otk_counts
        self.az.device_list_handler = self.crypto.handle_as_device_lists
        self.az.to_device_handler = self.crypto.handle_as_to_device_event
        await self.crypto.load()
        if not device_id:
            await store.put_device_id(client.device_id)
            await self.crypto.share_keys()
        return str(client.device_id)

    async def say_encrypted(self, room_id: str, text: str) -> str:
        assert self.crypto is not None
        content = TextMessageEventContent(msgtype=MessageType.TEXT, body=text)
        joined = await self.az.intent.get_joined_members(room_id)
        await self.crypto.share_group_session(room_id, list(joined))
        encrypted = await self.crypto.encrypt_megolm_event(room_id, EventType.ROOM_MESSAGE, content)
        return str(await self.az.intent.send_message_event(room_id, EventType.ROOM_ENCRYPTED, encrypted))

    def _ghost(self, nick: str) -> IntentAPI:
        if nick == "service":
            return self.az.intent
        return self.az.intent.user(f"@{self._setting['prefix']}{nick}:{self._setting['domain']}")

    async def _query(self, user_id: str) -> dict[str, Any] | None:
        nick = user_id.removeprefix(f"@{self._setting['prefix']}").partition(":")[0]
        if nick not in self._setting["people"]:
            return None
        await self._ghost(nick).ensure_registered()
        return {"answered": True}

    async def _hear(self, event: Any) -> None:
        kind = str(event.type)
        line: dict[str, Any] = {"kind": kind, "room_id": getattr(event, "room_id", None)}
        if event.type == EventType.ROOM_ENCRYPTED and self.crypto is not None:
            event = await self._decrypted(event)
            line |= {"kind": str(event.type), "encrypted": True}
        for name in ("event_id", "sender", "state_key", "timestamp"):
            line[name] = getattr(event, name, None)
        content = event.content
        line["body"] = getattr(content, "body", None)
        line["membership"] = plain(str(content.membership)) if hasattr(content, "membership") else None
        if kind == "m.typing":
            line["users"] = ",".join(content.user_ids)
        if kind == "m.receipt":
            line["events"] = ",".join(content)
        if kind == "m.presence":
            line["presence"] = str(content.presence)
        self.lines.append(line)
        with self._written.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self._heard.set()

    async def _decrypted(self, event: Any) -> Any:
        assert self.crypto is not None
        await self.crypto.wait_for_session(event.room_id, event.content.session_id, timeout=10)
        return await self.crypto.decrypt_megolm_event(event)

    async def _line(self, wanted: dict[str, Any]) -> dict[str, Any]:
        while True:
            for line in self.lines:
                if _fits(line, wanted):
                    return line
            self._heard.clear()
            await self._heard.wait()


class Rooms:
    """What the library wants to know of rooms before it encrypts."""

    def __init__(self, state: FileASStateStore) -> None:
        self._state = state

    async def is_encrypted(self, room_id: str) -> bool:
        return bool(await self._state.is_encrypted(room_id))

    async def get_encryption_info(self, room_id: str) -> Any:
        info = await self._state.get_encryption_info(room_id)
        assert info is None or info.algorithm == EncryptionAlgorithm.MEGOLM_V1
        return info

    async def find_shared_rooms(self, user_id: str) -> list[str]:
        return [room for room, members in self._state.members.items() if user_id in members]


def _fits(line: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(line.get(name) == value for name, value in wanted.items())


async def main() -> None:
    bridge = Bridge(sys.argv[1], Path(sys.argv[2]))
    await serve(bridge.methods())


if __name__ == "__main__":
    asyncio.run(main())
