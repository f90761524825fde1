"""Messages from device to device, kept until the receiving device has synced past them.

Source: client-server API, "Send-to-Device messaging".
"""

from psycopg2.extensions import cursor as Cursor

from storage.change import Custom, Delete, Insert
from storage.prepared import Often

ADD = Insert("to_device", {"user_id": "text", "device_id": "text", "position": "bigint", "json": "text"})
# For the sync service: everything that the device has acknowledged by coming back with a token.
DELETE_UPTO = Custom(
    {"user_id": "text", "device_id": "text", "position": "bigint"},
    "DELETE FROM to_device t USING {v}"
    " WHERE t.user_id = v.user_id AND t.device_id = v.device_id AND t.position <= v.position",
)
DELETE_OF_DEVICE = Delete("to_device", {"user_id": "text", "device_id": "text"})
# Fails with AlreadyThere if the transaction was done already, by this process or another.
ADD_TRANSACTION = Insert(
    "to_device_transactions",
    {"sender": "text", "device": "text", "transaction_id": "text", "made_ms": "bigint"},
    key=("sender", "device", "transaction_id"),
)


def find_recipients(cur: Cursor, transaction: tuple[str, str, str], user_ids: list[str]) -> dict[str, list[str]] | None:
    """The devices of each of the users that has any; None if the transaction was done already."""
    cur.execute(
        Often("SELECT 1 FROM to_device_transactions WHERE sender = %s AND device = %s AND transaction_id = %s"),
        transaction,
    )
    if cur.fetchone() is not None:
        return None
    cur.execute(Often("SELECT user_id, device_id FROM devices WHERE user_id = ANY(%s)"), (user_ids,))
    devices: dict[str, list[str]] = {}
    for user_id, device_id in cur:
        devices.setdefault(user_id, []).append(device_id)
    return devices


def pending(
    cur: Cursor, user_id: str, device_id: str, upto: int, limit: int = 100, after: int = 0
) -> list[tuple[int, str]]:
    """The oldest messages in (after, upto] with their positions, as ready JSON `{"type", "sender", "content"}`.

    100 messages is what the specification recommends as the most of one sync.
    """
    cur.execute(
        Often(
            "SELECT position, json FROM to_device WHERE user_id = %s AND device_id = %s AND position > %s"
            " AND position <= %s ORDER BY position LIMIT %s"
        ),
        (user_id, device_id, after, upto, limit),
    )
    return [(position, text) for position, text in cur]


def delete_upto(cur: Cursor, user_id: str, device_id: str, position: int) -> int:
    """Deletes what the device has acknowledged; gives how many. One statement. See also DELETE_UPTO."""
    cur.execute(
        Often("DELETE FROM to_device WHERE user_id = %s AND device_id = %s AND position <= %s"),
        (user_id, device_id, position),
    )
    return cur.rowcount


def acknowledge_and_read(
    cur: Cursor, user_id: str, device_id: str, since: int, upto: int, limit: int
) -> list[tuple[int, str]]:
    """Deletes what the device has, by its token, and gives what is `pending` in (since, upto]."""
    if since:
        delete_upto(cur, user_id, device_id, since)
    return pending(cur, user_id, device_id, upto, limit, since)


def trim_transactions(cur: Cursor, before_ms: int, limit: int = 5_000) -> int:
    """Forgets transactions older than `before_ms`, at most `limit`; gives how many."""
    cur.execute(
        "DELETE FROM to_device_transactions WHERE ctid IN (SELECT ctid FROM to_device_transactions"
        " WHERE made_ms < %s ORDER BY made_ms LIMIT %s)",
        (before_ms, limit),
    )
    return cur.rowcount


def trim_orphans(cur: Cursor, limit: int = 5_000) -> int:
    """Deletes messages for devices that are gone (they were sent while the device was deleted); gives how many."""
    cur.execute(
        "DELETE FROM to_device WHERE ctid IN (SELECT t.ctid FROM to_device t WHERE NOT EXISTS"
        " (SELECT 1 FROM devices d WHERE d.user_id = t.user_id AND d.device_id = t.device_id) LIMIT %s)",
        (limit,),
    )
    return cur.rowcount
