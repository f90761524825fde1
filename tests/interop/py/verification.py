"""Verification of another device by short authentication strings.

nio's own `Sas` makes and checks every key, commitment, string and MAC. It knows the older framework, without the
request, ready and done messages around it, which other clients insist on: those, which carry no secret, are sent here.
Source: client-server API, "Key verification framework", "Short Authentication String (SAS) verification".
"""

import time
from typing import Any

from nio import ToDeviceEvent, ToDeviceMessage
from nio.crypto import Sas
from session import Session, good

METHODS = ["m.sas.v1"]
PREFIX = "m.key.verification."


class Verification:
    """The verifications of one session, by their transaction_id."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.starts: dict[str, ToDeviceMessage] = {}
        self.peers: dict[str, tuple[str, str]] = {}
        self.sas: dict[str, Sas] = {}

    async def request_verification(self, user_id: str, device_id: str) -> dict[str, str]:
        device = await self._device(user_id, device_id)
        # Made now, sent when the other side is ready: the request must have the transaction_id that nio chose.
        start = self.session.client.create_key_verification(device)
        transaction_id = start.content["transaction_id"]
        self.starts[transaction_id] = start
        self.peers[transaction_id] = (user_id, device_id)
        now_ms = int(time.time() * 1000)
        await self._send("request", transaction_id, {"methods": METHODS, "timestamp": now_ms, **self._from_us()})
        return {"transaction_id": transaction_id}

    async def accept_verification(self, user_id: str) -> dict[str, str]:
        """Says to be ready for the newest request of this user."""
        request = await self.session.until(lambda: self._newest("request", user_id), f"a request of {user_id}")
        content = request.source["content"]
        transaction_id = content["transaction_id"]
        assert METHODS[0] in content["methods"]
        self.peers[transaction_id] = (user_id, content["from_device"])
        await self._device(user_id, content["from_device"])
        await self._send("ready", transaction_id, {"methods": METHODS, **self._from_us()})
        return {"transaction_id": transaction_id}

    async def start_sas(self, transaction_id: str) -> None:
        """Sends nio's start message, once the other side is ready."""
        await self._await("ready", transaction_id)
        good(await self.session.client.to_device(self.starts[transaction_id]))
        self.sas[transaction_id] = self.session.client.key_verifications[transaction_id]

    async def accept_sas(self, transaction_id: str) -> None:
        """Accepts the start message of the other side."""
        verifications = self.session.client.key_verifications
        sas = await self.session.until(lambda: verifications.get(transaction_id), "the other side to start")
        self.sas[transaction_id] = sas
        good(await self.session.client.accept_key_verification(transaction_id))

    async def short_auth_string(self, transaction_id: str) -> dict[str, Any]:
        sas = self.sas[transaction_id]
        await self._await("key", transaction_id)
        await self.session.client.send_to_device_messages()
        return {"decimals": sas.get_decimals(), "emoji": [symbol for symbol, _ in sas.get_emoji()]}

    async def confirm_sas(self, transaction_id: str) -> None:
        """Says that the strings are the same; ends when both sides have said so and the keys' MACs are right."""
        sas = self.sas[transaction_id]
        good(await self.session.client.confirm_short_auth_string(transaction_id))
        await self.session.until(lambda: sas.verified or sas.canceled, "the MACs of the other side")
        assert sas.verified, sas.cancel_reason
        await self._send("done", transaction_id, {})
        await self._await("done", transaction_id)

    async def trust(self, user_id: str, device_id: str) -> dict[str, bool]:
        return {"verified": (await self._device(user_id, device_id)).verified}

    async def await_device(self, user_id: str, device_id: str) -> dict[str, Any]:
        """Waits until nio knows the device, by its own following of device lists."""
        return {"known": True, "fingerprint": (await self._device(user_id, device_id)).ed25519}

    async def _device(self, user_id: str, device_id: str) -> Any:
        devices = self.session.client.device_store
        return await self.session.until(lambda: devices[user_id].get(device_id), f"the device {device_id}")

    def _from_us(self) -> dict[str, str]:
        return {"from_device": self.session.client.device_id}

    async def _send(self, name: str, transaction_id: str, content: dict[str, Any]) -> None:
        user_id, device_id = self.peers[transaction_id]
        whole = {"transaction_id": transaction_id, **content}
        good(await self.session.client.to_device(ToDeviceMessage(PREFIX + name, user_id, device_id, whole)))

    async def _await(self, name: str, transaction_id: str) -> None:
        def came() -> bool:
            return any(_is(event, name) and _transaction(event) == transaction_id for event in self.session.to_device)

        await self.session.until(came, PREFIX + name)

    def _newest(self, name: str, user_id: str) -> ToDeviceEvent | None:
        came = (event for event in reversed(self.session.to_device) if _is(event, name) and event.sender == user_id)
        return next((event for event in came if _transaction(event) not in self.peers), None)


def _is(event: ToDeviceEvent, name: str) -> bool:
    return event.source["type"] == PREFIX + name


def _transaction(event: ToDeviceEvent) -> str | None:
    return event.source["content"].get("transaction_id")
