"""Profiles of our own users: display name, avatar, and any further fields."""

from collections.abc import Sequence
from typing import Any

import orjson
from psycopg2.extensions import cursor as Cursor

from storage.change import Delete, Insert
from storage.prepared import Often

PUT = Insert(
    "profiles",
    {"user_id": "text", "displayname": "text", "avatar_url": "text", "fields": "text"},
    key=("user_id",),
    on_conflict="update",
)
DELETE = Delete("profiles", {"user_id": "text"})

Profile = dict[str, Any]


def profile_row(user_id: str, profile: Profile) -> tuple[str, str | None, str | None, str]:
    """A profile as a row for PUT."""
    fields = {name: value for name, value in profile.items() if name not in ("displayname", "avatar_url")}
    return user_id, profile.get("displayname"), profile.get("avatar_url"), orjson.dumps(fields).decode()


def find_profiles(cur: Cursor, user_ids: Sequence[str]) -> dict[str, Profile]:
    """Profiles by user: what each has set, and nothing else."""
    cur.execute(
        Often("SELECT user_id, displayname, avatar_url, fields FROM profiles WHERE user_id = ANY(%s)"),
        (list(user_ids),),
    )
    return {user_id: _profile(displayname, avatar_url, fields) for user_id, displayname, avatar_url, fields in cur}


def _profile(displayname: str | None, avatar_url: str | None, fields: str) -> Profile:
    profile: Profile = {}
    if displayname is not None:
        profile["displayname"] = displayname
    if avatar_url is not None:
        profile["avatar_url"] = avatar_url
    profile.update(orjson.loads(fields))
    return profile


def put_field(cur: Cursor, user_id: str, name: str, value: Any, max_bytes: int) -> bool:
    """Sets one field, the others as they stand. False if the profile would be larger than `max_bytes`."""
    profile = find_profiles(cur, [user_id]).get(user_id, {})
    profile[name] = value
    if len(orjson.dumps(profile)) > max_bytes:
        return False
    PUT.execute(cur, [profile_row(user_id, profile)])
    return True


def delete_field(cur: Cursor, user_id: str, name: str) -> None:
    """Removes one field, if it is there."""
    profile = find_profiles(cur, [user_id]).get(user_id, {})
    if profile.pop(name, None) is not None:
        PUT.execute(cur, [profile_row(user_id, profile)])
