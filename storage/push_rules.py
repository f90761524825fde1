"""Push rules of users: what differs from the defaults, as one small JSON for each user who has changed anything."""

import orjson
from psycopg2.extensions import cursor as Cursor

from matrix.push_rules import Ruleset
from storage.change import Insert
from storage.prepared import Often

PUT = Insert(
    "push_rules",
    {"user_id": "text", "rules": "text", "position": "bigint"},
    key=("user_id",),
    on_conflict="update",
)


def find_rulesets(cur: Cursor, user_ids: list[str]) -> dict[str, Ruleset]:
    """The rulesets of those of the users who have one of their own."""
    cur.execute(Often("SELECT user_id, rules FROM push_rules WHERE user_id = ANY(%s)"), (user_ids,))
    return {user_id: Ruleset.from_json(orjson.loads(rules)) for user_id, rules in cur}


def encode(ruleset: Ruleset) -> str:
    return orjson.dumps(ruleset.to_json()).decode()
