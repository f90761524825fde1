"""Talking in rooms, and what the sync showed of them."""

import base64
import io
from typing import Any

from nio import Event, MegolmEvent, MessageDirection, RedactedEvent, RoomVisibility
from nio.crypto.attachments import decrypt_attachment
from session import Session, good

ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}


class Rooms:
    """The rooms of one session."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def create_room(self, invite: list[str], encrypted: bool = False) -> dict[str, str]:
        state = [ENCRYPTION] if encrypted else []
        answer = await self.session.client.room_create(RoomVisibility.private, invite=invite, initial_state=state)
        return {"room_id": good(answer).room_id}

    async def join(self, room_id: str) -> None:
        good(await self.session.client.join(room_id))
        await self.session.until(lambda: room_id in self.session.client.rooms, f"the join of {room_id} in the sync")

    async def await_member(self, room_id: str, user_id: str) -> None:
        """Waits until the sync brought that this user is a joined member."""

        def is_in() -> bool:
            room = self.session.client.rooms.get(room_id)
            return room is not None and user_id in room.users and user_id not in room.invited_users

        await self.session.until(is_in, f"{user_id} in {room_id}")

    async def send(self, room_id: str, content: dict[str, Any], type: str = "m.room.message") -> dict[str, str]:
        """Encrypted in an encrypted room; nio refuses as long as a device in it is not verified."""
        await self.session.until(lambda: room_id in self.session.client.rooms, room_id)
        return {"event_id": good(await self.session.client.room_send(room_id, type, content)).event_id}

    async def await_event(self, room_id: str, event_id: str) -> dict[str, Any]:
        """The event once it is there, and readable."""
        return seen(await self.session.until(lambda: self.session.readable(event_id), f"{event_id}, readable"))

    async def await_redaction(self, room_id: str, event_id: str) -> dict[str, Any]:
        redaction = await self.session.until(
            lambda: self.session.redactions.get(event_id), f"the redaction of {event_id}"
        )
        return {"sender": redaction.sender, "reason": redaction.reason}

    async def get_event(self, room_id: str, event_id: str) -> dict[str, Any]:
        return seen(good(await self.session.client.room_get_event(room_id, event_id)).event)

    async def history(self, room_id: str, limit: int) -> dict[str, Any]:
        """Pages back to the beginning of the room."""
        events: list[Event] = []
        pages, at = 0, ""
        while at is not None:
            page = good(
                await self.session.client.room_messages(room_id, at, limit=limit, direction=MessageDirection.back)
            )
            events += page.chunk
            pages, at = pages + 1, page.end
        return {"pages": pages, "events": [seen(event) for event in reversed(events)]}

    async def send_file(self, room_id: str, base64: str, name: str) -> dict[str, str]:
        sealed, keys = await self._uploaded(base64, encrypt=True)
        return await self.send(room_id, {"msgtype": "m.file", "body": name, "file": {**keys, "url": sealed}})

    async def fetch_file(self, file: dict[str, Any]) -> dict[str, str]:
        """The decrypted bytes of an encrypted file."""
        sealed = good(await self.session.client.download(file["url"])).body
        opened = decrypt_attachment(sealed, file["key"]["k"], file["hashes"]["sha256"], file["iv"])
        return {"base64": base64.b64encode(opened).decode()}

    async def upload(self, base64: str, type: str, name: str) -> dict[str, str]:
        return {"content_uri": (await self._uploaded(base64, encrypt=False, content_type=type, filename=name))[0]}

    async def download(self, url: str) -> dict[str, str]:
        answer = good(await self.session.client.download(url))
        body = base64.b64encode(answer.body).decode()
        return {"base64": body, "type": answer.content_type, "filename": answer.filename}

    async def thumbnail(self, url: str, width: int, height: int) -> dict[str, str]:
        server_name, media_id = url.removeprefix("mxc://").split("/")
        answer = good(await self.session.client.thumbnail(server_name, media_id, width, height))
        return {"base64": base64.b64encode(answer.body).decode(), "type": answer.content_type}

    async def _uploaded(self, text: str, **options: Any) -> tuple[str, Any]:
        data = base64.b64decode(text)
        answer, keys = await self.session.client.upload(io.BytesIO(data), filesize=len(data), **options)
        return good(answer).content_uri, keys


def seen(event: Event) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "sender": event.sender,
        "type": event.source["type"],
        "content": event.source["content"],
        "encrypted": event.decrypted or isinstance(event, MegolmEvent),
        "failed": isinstance(event, MegolmEvent),
        "verified": event.verified,
        "redacted": isinstance(event, RedactedEvent),
    }
