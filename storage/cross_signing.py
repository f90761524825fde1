"""Cross-signing keys, and the signatures that users upload of keys.

What users see of both is read in storage/device_keys.py.
"""

from typing import Any

import orjson
from psycopg2.extensions import cursor as Cursor

from storage.change import Custom, Insert

PUT = Insert(
    "cross_signing_keys",
    {"user_id": "text", "usage": "text", "key_id": "text", "json": "text"},
    key=("user_id", "usage"),
    on_conflict="update",
)
PUT_SIGNATURE = Insert(
    "key_signatures",
    {
        "target_user_id": "text",
        "target": "text",
        "signer_user_id": "text",
        "signer_key_id": "text",
        "signature": "text",
    },
    key=("target_user_id", "target", "signer_user_id", "signer_key_id"),
    on_conflict="update",
)
# A key was replaced: what it signed, and who signed it, is of no use to anybody. `target` is its public key.
DELETE_SIGNATURES = Custom(
    {"user_id": "text", "key_id": "text", "target": "text"},
    "DELETE FROM key_signatures s USING {v} WHERE (s.signer_user_id = v.user_id AND s.signer_key_id = v.key_id)"
    " OR (s.target_user_id = v.user_id AND s.target = v.target)",
)


def find_cross_signing_keys(cur: Cursor, user_id: str) -> dict[str, dict[str, Any]]:
    """The user's keys by usage, as they were uploaded."""
    cur.execute("SELECT usage, json FROM cross_signing_keys WHERE user_id = %s", (user_id,))
    return {usage: orjson.loads(text) for usage, text in cur}


def is_cross_signing_key(cur: Cursor, user_id: str, name: str) -> bool:
    """Is this the public key of a cross-signing key of the user? Then no device may be called so.

    Source: client-server API, "Cross-signing": servers must ensure that device ids do not collide with them.
    """
    cur.execute("SELECT 1 FROM cross_signing_keys WHERE user_id = %s AND key_id = 'ed25519:' || %s", (user_id, name))
    return cur.fetchone() is not None
