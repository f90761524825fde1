"""Transaction ids of sent events: a request that is repeated gets the first one's answer.

Source: client-server API, "Transaction identifiers".
"""

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from matrix.ids import EventId
from storage.change import Insert
from storage.prepared import Often

ADD = Insert(
    "event_transactions",
    {
        "user_id": "text",
        "device": "text",
        "scope": "text",
        "transaction_id": "text",
        "event_nid": "bigint",
        "made_ms": "bigint",
    },
)
# A client that repeats a request after longer than this has lost its own memory of it.
KEEP_MS = 7 * 24 * 3600 * 1000


@frozen
class TransactionKey:
    """`device` is the device id, or the token's for who has none.

    `scope` is the endpoint with its parameters, within which `transaction_id` is unique; the latter stands in the
    event's `unsigned` as the client gave it.
    """

    user_id: str
    device: str
    scope: str
    transaction_id: str


def find_sent(cur: Cursor, key: TransactionKey) -> EventId | None:
    """The event that was sent under this transaction id."""
    cur.execute(
        Often(
            "SELECT e.event_id FROM event_transactions t JOIN events e USING (event_nid)"
            " WHERE t.user_id = %s AND t.device = %s AND t.scope = %s AND t.transaction_id = %s"
        ),
        (key.user_id, key.device, key.scope, key.transaction_id),
    )
    row = cur.fetchone()
    return None if row is None else EventId(row[0])


# Of an event that no request of ours with a transaction id has sent, or so long ago that it is forgotten.
NO_TRANSACTION = TransactionKey("", "", "", "")


def find_keys(cur: Cursor, nids: list[int]) -> dict[int, TransactionKey]:
    """How those of the events were sent that have a transaction id, by event number."""
    cur.execute(
        Often(
            "SELECT event_nid, user_id, device, scope, transaction_id FROM event_transactions WHERE event_nid = ANY(%s)"
        ),
        (nids,),
    )
    return {row[0]: TransactionKey(*row[1:]) for row in cur}


def trim(cur: Cursor, now_ms: int, limit: int = 5_000) -> int:
    """Deletes those older than KEEP_MS, at most `limit`; gives how many."""
    cur.execute(
        "DELETE FROM event_transactions WHERE ctid = ANY(ARRAY(SELECT ctid FROM event_transactions"
        " WHERE made_ms < %s ORDER BY made_ms LIMIT %s))",
        (now_ms - KEEP_MS, limit),
    )
    return cur.rowcount
