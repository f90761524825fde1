"""What passes: typing, receipts and presence, as application services get them.

Of several about one thing only the last is told. Who typed while the service was behind is history: typing is told by
a transaction that ends where the stream does.

Source: application service API, "Pushing ephemeral data".
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from matrix.events import Json
from matrix.ids import RoomId
from storage.appservice_reading import Seen
from storage.change import Kind

# As Synapse counts: "currently active" says within the last minute.
ACTIVE_WITHIN_MS = 60_000


def edu_key(seen: Seen) -> Hashable | None:
    """What becomes one EDU; None if it is none."""
    if seen.kind is Kind.TYPING:
        return (seen.kind, seen.room_nid)
    if seen.kind is Kind.PRESENCE:
        return (seen.kind, seen.user_id)
    if seen.kind is Kind.RECEIPT:
        # A receipt names one event for each user, type and thread: within a thread they fit into one EDU.
        return (seen.kind, seen.room_nid, seen.body["thread_id"])
    return None


def edus(
    told: Iterable[Seen], room_id_of: Callable[[int], RoomId | None], now_ms: int, *, with_typing: bool
) -> list[Json]:
    """The EDUs of these entries, which are in order."""
    found: dict[Hashable, list[Seen]] = {}
    for one in told:
        if (key := edu_key(one)) is not None:
            found.setdefault(key, []).append(one)
    made = []
    for same in found.values():
        last = same[-1]
        if last.kind is Kind.PRESENCE:
            made.append({"type": "m.presence", "sender": last.user_id, "content": _presence(last.body, now_ms)})
            continue
        room_id = room_id_of(last.room_nid or 0)
        if room_id is None:
            continue
        if last.kind is Kind.RECEIPT:
            made.append({"type": "m.receipt", "room_id": room_id, "content": _receipts(same)})
        elif with_typing:
            made.append({"type": "m.typing", "room_id": room_id, "content": {"user_ids": last.body["user_ids"]}})
    return made


def _receipts(same: Sequence[Seen]) -> Json:
    """The last of each user and type."""
    content: Json = {}
    for one in {(one.user_id, one.body["type"]): one for one in same}.values():
        data: Json = {"ts": one.body["ts"]}
        if one.body["thread_id"] is not None:
            data["thread_id"] = one.body["thread_id"]
        # Of this process they are ids, of another's texts; JSON takes only texts as keys.
        by_type = content.setdefault(str(one.body["event_id"]), {})
        by_type.setdefault(str(one.body["type"]), {})[str(one.user_id)] = data
    return content


def _presence(body: dict[str, Any], now_ms: int) -> Json:
    content: Json = {"presence": body["presence"]}
    ago = max(0, now_ms - body["last_active_ms"])
    if body["last_active_ms"]:
        content["last_active_ago"] = ago
    if body["status_msg"] is not None:
        content["status_msg"] = body["status_msg"]
    if body["presence"] == "online":
        content["currently_active"] = ago < ACTIVE_WITHIN_MS
    return content
