"""Bridges: portals, spaces, ghosts, logins, management rooms, and what a network remembers. All by the bridge's id."""

import re
from typing import Any

import orjson
from attrs import field, frozen
from psycopg2.extensions import cursor as Cursor

from matrix.ids import UserId

JsonDict = dict[str, Any]


@frozen(kw_only=True)
class PortalRow:
    channel_id: str
    room_id: str
    kind: str
    space_id: str | None = None
    is_made: bool = True
    shown: JsonDict = field(factory=dict)


@frozen(kw_only=True)
class SpaceRow:
    space_id: str
    room_id: str
    shown: JsonDict = field(factory=dict)


@frozen(kw_only=True)
class PersonRow:
    person_id: str
    user_id: UserId
    name: str
    avatar_id: str | None = None
    avatar_mxc: str | None = None
    is_bot: bool = False


@frozen(kw_only=True)
class LoginRow:
    login_id: str
    user_id: UserId
    person_id: str
    name: str
    credentials: JsonDict = field(repr=False)
    lost: str | None = None


def portals(cur: Cursor, bridge: str) -> list[PortalRow]:
    cur.execute(
        "SELECT channel_id, room_id, kind, space_id, is_made, shown FROM bridge_portals WHERE bridge = %s", (bridge,)
    )
    return [
        PortalRow(
            channel_id=channel_id,
            room_id=room_id,
            kind=kind,
            space_id=space_id,
            is_made=is_made,
            shown=orjson.loads(shown),
        )
        for channel_id, room_id, kind, space_id, is_made, shown in cur
    ]


def put_portal(cur: Cursor, bridge: str, row: PortalRow) -> None:
    cur.execute(
        "INSERT INTO bridge_portals (bridge, channel_id, room_id, kind, space_id, is_made, shown)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (bridge, channel_id) DO UPDATE SET"
        " room_id = excluded.room_id, kind = excluded.kind, space_id = excluded.space_id,"
        " is_made = excluded.is_made, shown = excluded.shown",
        (bridge, row.channel_id, row.room_id, row.kind, row.space_id, row.is_made, bridge_text(row.shown)),
    )


def delete_portal(cur: Cursor, bridge: str, channel_id: str) -> None:
    """With all that is known of its messages."""
    for table in ("portals", "messages", "reactions", "threads", "votes", "changes", "marks"):
        cur.execute(f"DELETE FROM bridge_{table} WHERE bridge = %s AND channel_id = %s", (bridge, channel_id))


def spaces(cur: Cursor, bridge: str) -> list[SpaceRow]:
    cur.execute("SELECT space_id, room_id, shown FROM bridge_spaces WHERE bridge = %s", (bridge,))
    return [SpaceRow(space_id=space, room_id=room, shown=orjson.loads(shown)) for space, room, shown in cur]


def put_space(cur: Cursor, bridge: str, row: SpaceRow) -> None:
    cur.execute(
        "INSERT INTO bridge_spaces (bridge, space_id, room_id, shown) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (bridge, space_id) DO UPDATE SET room_id = excluded.room_id, shown = excluded.shown",
        (bridge, row.space_id, row.room_id, bridge_text(row.shown)),
    )


def delete_space(cur: Cursor, bridge: str, space_id: str) -> None:
    cur.execute("DELETE FROM bridge_spaces WHERE bridge = %s AND space_id = %s", (bridge, space_id))


_PERSON = "person_id, user_id, name, avatar_id, avatar_mxc, is_bot"


def people(cur: Cursor, bridge: str, person_ids: list[str]) -> list[PersonRow]:
    """Those of them that have a ghost."""
    cur.execute(f"SELECT {_PERSON} FROM bridge_people WHERE bridge = %s AND person_id = ANY(%s)", (bridge, person_ids))
    return [_person(row) for row in cur]


def search_people(cur: Cursor, bridge: str, term: str, limit: int) -> list[PersonRow]:
    cur.execute(
        f"SELECT {_PERSON} FROM bridge_people WHERE bridge = %s AND strpos(lower(name), lower(%s)) > 0"
        " ORDER BY name LIMIT %s",
        (bridge, term, limit),
    )
    return [_person(row) for row in cur]


def put_person(cur: Cursor, bridge: str, row: PersonRow) -> None:
    cur.execute(
        f"INSERT INTO bridge_people (bridge, {_PERSON}) VALUES (%s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (bridge, person_id) DO UPDATE SET name = excluded.name, avatar_id = excluded.avatar_id,"
        " avatar_mxc = excluded.avatar_mxc, is_bot = excluded.is_bot",
        (bridge, row.person_id, row.user_id, row.name, row.avatar_id, row.avatar_mxc, row.is_bot),
    )


def _person(row: tuple[Any, ...]) -> PersonRow:
    person_id, user_id, name, avatar_id, avatar_mxc, is_bot = row
    return PersonRow(
        person_id=person_id,
        user_id=UserId(user_id),
        name=name,
        avatar_id=avatar_id,
        avatar_mxc=avatar_mxc,
        is_bot=is_bot,
    )


def logins(cur: Cursor, bridge: str) -> list[LoginRow]:
    cur.execute(
        "SELECT login_id, user_id, person_id, name, credentials, lost FROM bridge_logins WHERE bridge = %s"
        " ORDER BY login_id",
        (bridge,),
    )
    return [
        LoginRow(
            login_id=login_id,
            user_id=UserId(user_id),
            person_id=person_id,
            name=name,
            credentials=orjson.loads(credentials),
            lost=lost,
        )
        for login_id, user_id, person_id, name, credentials, lost in cur
    ]


def put_login(cur: Cursor, bridge: str, row: LoginRow) -> None:
    cur.execute(
        "INSERT INTO bridge_logins (bridge, login_id, user_id, person_id, name, credentials, lost)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (bridge, login_id) DO UPDATE SET"
        " user_id = excluded.user_id, person_id = excluded.person_id, name = excluded.name,"
        " credentials = excluded.credentials, lost = excluded.lost",
        (bridge, row.login_id, row.user_id, row.person_id, row.name, bridge_text(row.credentials), row.lost),
    )


def delete_login(cur: Cursor, bridge: str, login_id: str) -> None:
    cur.execute("DELETE FROM bridge_logins WHERE bridge = %s AND login_id = %s", (bridge, login_id))


def management_rooms(cur: Cursor, bridge: str) -> list[tuple[str, UserId]]:
    """(room, user)."""
    cur.execute("SELECT room_id, user_id FROM bridge_management_rooms WHERE bridge = %s", (bridge,))
    return [(room_id, UserId(user_id)) for room_id, user_id in cur]


def put_management_room(cur: Cursor, bridge: str, room_id: str, user_id: str) -> None:
    cur.execute(
        "INSERT INTO bridge_management_rooms (bridge, room_id, user_id) VALUES (%s, %s, %s)"
        " ON CONFLICT (bridge, room_id) DO UPDATE SET user_id = excluded.user_id",
        (bridge, room_id, user_id),
    )


def delete_management_room(cur: Cursor, bridge: str, room_id: str) -> None:
    cur.execute("DELETE FROM bridge_management_rooms WHERE bridge = %s AND room_id = %s", (bridge, room_id))


def find_memory(cur: Cursor, bridge: str, key: str) -> JsonDict | None:
    cur.execute("SELECT value FROM bridge_memory WHERE bridge = %s AND key = %s", (bridge, key))
    row = cur.fetchone()
    return None if row is None else orjson.loads(row[0])


def put_memory(cur: Cursor, bridge: str, key: str, value: JsonDict | None) -> None:
    """None forgets it."""
    if value is None:
        cur.execute("DELETE FROM bridge_memory WHERE bridge = %s AND key = %s", (bridge, key))
        return
    cur.execute(
        "INSERT INTO bridge_memory (bridge, key, value) VALUES (%s, %s, %s)"
        " ON CONFLICT (bridge, key) DO UPDATE SET value = excluded.value",
        (bridge, key, bridge_text(value)),
    )


# NUL, which PostgreSQL's text cannot hold; not the six characters behind a backslash of their own.
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def bridge_text(value: JsonDict) -> str:
    """JSON for a text column."""
    text = orjson.dumps(value).decode()
    return _NUL.sub(r"\1", text) if "\\u0000" in text else text
