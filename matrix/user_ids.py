"""The widest grammar of user ids, which the authorization rules have to accept for ever.

`ids.UserId.parse` is narrower: it refuses what no server of today lets a user be called.

Source: appendices, "Historical User IDs".
"""

from matrix.ids import MAX_BYTES, BadIdentifier, ServerName


def is_user_id(text: str) -> bool:
    """Is this a user id, be it a historical one? Any localpart will do, even none, but for NUL and ":"."""
    localpart, _, domain = text[1:].partition(":")
    if not text.startswith("@") or "\x00" in localpart or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return False
    try:
        ServerName.parse(domain)
    except BadIdentifier:
        return False
    return True
