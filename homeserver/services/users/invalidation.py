"""How caches of accounts hear of changes, in this process and in the others: an entry of the stream for the user.

One kind says it all: whatever is remembered of the user (sessions, rights, flags) is to be read again.
"""

from collections.abc import Iterable, Iterator

from storage.change import Change, Entry, Kind

_BODY = {"account": True}


def announce(change: Change, user_id: str) -> None:
    """The change concerns what caches know of the account or its sessions. Saying it twice is once."""
    if user_id not in users_in(change.entries):
        change.announce(Entry(Kind.CACHE, user_id=user_id, body=_BODY))


def users_in(entries: Iterable[Entry]) -> Iterator[str]:
    """The users whose accounts or sessions changed."""
    for entry in entries:
        if entry.kind is Kind.CACHE and entry.user_id is not None and entry.body.get("account"):
            yield entry.user_id
