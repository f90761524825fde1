"""The database."""

from typing import Any

from attrs import frozen

from synapse_like_config.reading import option, section
from synapse_like_config.units import BadValue

_OURS = "leave out `database` for a PostgreSQL of Hearth's own, or name one with psycopg2"
# Synapse's names for what libpq calls otherwise, and what is for the pool and not for libpq.
_LIBPQ_NAMES = {"database": "dbname"}
_POOL_KEYS = ("cp_min", "cp_max", "cp_noisy", "cp_openfun", "cp_reconnect", "cp_good_sql")


def _name(raw: Any) -> str:
    if raw == "sqlite3":
        raise BadValue(f"Hearth has no SQLite: {_OURS}")
    if raw != "psycopg2":
        raise BadValue(f"{raw!r} is no database of Hearth: {_OURS}")
    return "psycopg2"


@frozen
class DatabaseOptions:
    """A PostgreSQL of the operator's."""

    name: str | None = option(None, "psycopg2, which is PostgreSQL. Null: one of Hearth's own.", read=_name)
    args: dict[str, Any] = option(
        {}, "As libpq knows them: user, password, dbname, host, port; cp_min and cp_max.", hidden=True
    )
    allow_unsafe_locale: bool = option(False, "Whether to go on with a database whose collation is not C.")

    def check(self) -> None:
        if self.args and self.name is None:
            raise BadValue("must be psycopg2, with the args given", key="name")
        for key, value in self.args.items():
            if value is not None and not isinstance(value, str | int | bool):
                raise BadValue("must be a text or a number", key=f"args.{key}")
        for key in ("cp_min", "cp_max"):
            count = self.args.get(key, 1)
            if not isinstance(count, int) or count < 1:
                raise BadValue("must be a whole number above 0", key=f"args.{key}")


@frozen
class Database:
    """The database."""

    database: DatabaseOptions = section(
        DatabaseOptions, "A PostgreSQL of yours, made with LC_COLLATE=C and UTF-8. Without it Hearth runs its own."
    )

    @property
    def dsn(self) -> str | None:
        """How libpq reaches it; None: a PostgreSQL of our own."""
        if self.database.name is None:
            return None
        words = {_LIBPQ_NAMES.get(k, k): v for k, v in self.database.args.items() if k not in _POOL_KEYS}
        return " ".join(f"{key}={_quoted(value)}" for key, value in words.items() if value is not None)

    @property
    def connections(self) -> int:
        """How many the pool has: as many as Synapse's would have at most."""
        return int(self.database.args.get("cp_max", 10))

    @property
    def allow_unsafe_locale(self) -> bool:
        return self.database.allow_unsafe_locale


def _quoted(value: object) -> str:
    text = str(int(value)) if isinstance(value, bool) else str(value)
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
