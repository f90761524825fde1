"""The transaction ids of events, for the device that sent them: looked up once for an event, and never for those that
this process made."""

from collections.abc import Iterable

from storage.database import Database
from storage.event_transactions import KEEP_MS, NO_TRANSACTION, find_keys
from storage.events import StoredEvent


async def transaction_ids(
    database: Database, user_id: str, device: str, events: Iterable[StoredEvent], now_ms: int
) -> dict[int, str]:
    """By event number, of what the user's device sent of the events."""
    own = [stored for stored in events if stored.event.sender == user_id]
    unknown = {stored.nid: stored for stored in own if stored.sent_by is None}
    if unknown:
        asked = [nid for nid, stored in unknown.items() if stored.event.origin_server_ts > now_ms - KEEP_MS]
        keys = await database.read(find_keys, asked) if asked else {}
        for nid, stored in unknown.items():
            stored.sent_by = keys.get(nid, NO_TRANSACTION)
    return {
        stored.nid: stored.sent_by.transaction_id
        for stored in own
        if stored.sent_by is not None and stored.sent_by.device == device
    }
