"""What one does with a client besides talking: reading, naming, rules, devices."""

from collections.abc import AsyncIterator
from typing import Any

from nio import DeleteDevicesAuthResponse, Event, PushNotify, PushRuleKind, PushSetTweak
from nio.api import RelationshipType
from protocol import Refused, plain
from rooms import seen
from session import Session, good


class DailyLife:
    """The rest of one session."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def await_room(self, room_id: str, field: str, value: Any) -> None:
        """Waits for a field that nio keeps of a room."""

        def has() -> bool:
            room = self.session.client.rooms.get(room_id)
            return room is not None and plain(getattr(room, field)) == value

        await self.session.until(has, f"{field} to be {value!r}")

    async def await_name(self, room_id: str, user_id: str, name: str) -> None:
        rooms = self.session.client.rooms
        await self.session.until(lambda: rooms[room_id].user_name(user_id) == name, f"{user_id} to be called {name}")

    async def await_receipt(self, room_id: str, user_id: str, event_id: str) -> None:
        def has_read() -> bool:
            room = self.session.client.rooms[room_id]
            whole, threads = room.read_receipts.get(user_id), room.threaded_read_receipts.get(user_id, {})
            return any(receipt and receipt.event_id == event_id for receipt in (whole, threads.get("main")))

        await self.session.until(has_read, f"{user_id} to have read {event_id}")

    async def has_event(self, event_id: str) -> bool:
        """Whether the sync has brought the event."""
        return event_id in self.session.events

    async def highlight_word(self, word: str) -> None:
        """A push rule of one's own: this word in a message is worth a highlight."""
        actions = [PushNotify(), PushSetTweak("highlight", True)]
        kind = PushRuleKind.content
        good(await self.session.client.set_pushrule("global", kind, word, actions=actions, pattern=word))

    async def forget_word(self, word: str) -> None:
        good(await self.session.client.delete_pushrule("global", PushRuleKind.content, word))

    async def push_rule(self, kind: str, rule_id: str) -> Any:
        return await self.session.ask("GET", f"/pushrules/global/{kind}/{rule_id}")

    async def delete_device(self, device_id: str, password: str) -> None:
        """Deletes a device, with the password that the server asks for."""
        first = await self.session.client.delete_devices([device_id])
        assert isinstance(first, DeleteDevicesAuthResponse), first
        auth = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": self.session.client.user_id},
            "password": password,
            "session": first.session,
        }
        second = good(await self.session.client.delete_devices([device_id], auth))
        if isinstance(second, DeleteDevicesAuthResponse):
            raise Refused(second)

    async def threads(self, room_id: str) -> list[dict[str, Any]]:
        return await _all(self.session.client.room_get_threads(room_id))

    async def replies(self, room_id: str, event_id: str) -> list[dict[str, Any]]:
        """The events of a thread, newest first."""
        thread = RelationshipType.thread
        return await _all(self.session.client.room_get_event_relations(room_id, event_id, thread))


async def _all(events: AsyncIterator[Event]) -> list[dict[str, Any]]:
    return [seen(event) async for event in events]
