"""Registrations of application services that were added while the server ran, as text: see appservice/registration.py.

A change is announced to every process by `announce`.
"""

from collections.abc import Iterable

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from storage.change import Change, Delete, Entry, Insert, Kind

PUT = Insert(
    "appservices",
    {"id": "text", "registration": "text", "added_ms": "bigint"},
    key=("id",),
    on_conflict="update",
)
REMOVE = Delete("appservices", {"id": "text"})
_CHANGED = {"appservices": True}


@frozen
class AddedAppservice:
    id: str
    registration: str
    added_ms: int


def added(cur: Cursor) -> list[AddedAppservice]:
    """All of them, by id."""
    cur.execute("SELECT id, registration, added_ms FROM appservices ORDER BY id")
    return [AddedAppservice(*row) for row in cur]


def announce(change: Change) -> None:
    """The change concerns registrations: every process is to read them again."""
    change.announce(Entry(Kind.CACHE, body=_CHANGED))


def tells_change(entries: Iterable[Entry]) -> bool:
    return any(entry.kind is Kind.CACHE and entry.body == _CHANGED for entry in entries)
