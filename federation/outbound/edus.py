"""EDUs as they wait for a transaction, and what many of them become in one.

Of what waits under one key only the last is sent: who typed and stopped while a transaction was under way never did.

Source: server-server API, "EDUs", "Typing Notifications", "Presence", "Receipts".
"""

from collections.abc import Hashable, Iterable
from typing import Any

from attrs import field, frozen

from matrix.ids import RoomId

Json = dict[str, Any]


@frozen
class Edu:
    """An EDU that goes out as it is. `position` is the stream's, of one that must arrive."""

    edu_type: str
    content: Json = field(repr=False)
    key: Hashable
    position: int | None = None


@frozen
class Receipt:
    """A public read receipt; `body` is that of its entry of the stream."""

    room_id: RoomId
    user_id: str
    body: Json = field(repr=False)
    position: None = None

    @property
    def key(self) -> Hashable:
        return (self.room_id, self.user_id, self.body["thread_id"])


@frozen
class PresenceUpdate:
    """How a user is, as the EDU says it."""

    user_id: str
    content: Json = field(repr=False)
    position: None = None

    @property
    def key(self) -> Hashable:
        return ("m.presence", self.user_id)


Waiting = Edu | Receipt | PresenceUpdate


def typing(room_id: RoomId, user_id: str, *, is_typing: bool) -> Edu:
    content = {"room_id": str(room_id), "user_id": user_id, "typing": is_typing}
    return Edu("m.typing", content, ("m.typing", room_id, user_id))


def presence(user_id: str, body: Json, now_ms: int) -> PresenceUpdate:
    """`body` is that of its entry of the stream."""
    ago = max(0, now_ms - body["last_active_ms"]) if body["last_active_ms"] else 0
    content: Json = {"user_id": user_id, "presence": body["presence"], "last_active_ago": ago}
    if body["status_msg"] is not None:
        content["status_msg"] = body["status_msg"]
    if body["presence"] == "online":
        # Within the last minute: as what our own clients are told.
        content["currently_active"] = ago < 60_000
    return PresenceUpdate(user_id, content)


def assembled(waiting: Iterable[Waiting]) -> list[Json]:
    """The EDUs of a transaction: receipts and presence of many users are gathered into few."""
    edus: list[Json] = []
    receipts: list[Json] = []
    pushes: list[Json] = []
    for one in waiting:
        if isinstance(one, Edu):
            edus.append({"edu_type": one.edu_type, "content": one.content})
        elif isinstance(one, Receipt):
            _add_receipt(receipts, one)
        else:
            pushes.append(one.content)
    edus += [{"edu_type": "m.receipt", "content": content} for content in receipts]
    if pushes:
        edus.append({"edu_type": "m.presence", "content": {"push": pushes}})
    return edus


def _add_receipt(contents: list[Json], receipt: Receipt) -> None:
    """An EDU holds one receipt of a user in a room; those of further threads go into further ones."""
    for content in contents:
        users = content.setdefault(receipt.room_id, {"m.read": {}})["m.read"]
        if receipt.user_id not in users:
            break
    else:
        users = {}
        contents.append({receipt.room_id: {"m.read": users}})
    data = {"ts": receipt.body["ts"]}
    if receipt.body["thread_id"] is not None:
        data["thread_id"] = receipt.body["thread_id"]
    users[receipt.user_id] = {"event_ids": [receipt.body["event_id"]], "data": data}
