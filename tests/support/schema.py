"""The schema of a database as text: what `storage/schema.sql` holds for its readers, and the migrations make.

python -m tests.support.schema writes that file (scripts/dump-schema).
"""

import re
import subprocess
import tempfile
from pathlib import Path

import storage
from storage.embedded import EmbeddedPostgres
from storage.opened import prepare

FILE = Path(storage.__file__).parent / "schema.sql"
_HEADER = """-- What the files of storage/migrations make, all together: for reading. Written by scripts/dump-schema.
-- A test compares it with what the migrations make today.
"""


def dump(dsn: str, programs: Path) -> str:
    """Tables, indexes and sequences, without what says nothing: owners, settings, the dump's own comments."""
    command = [programs / "pg_dump", "--schema-only", "--no-owner", "--no-privileges", "--dbname", dsn]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    kept = [line for line in text.splitlines() if not re.match(r"--|SET |SELECT pg_catalog|\\(un)?restrict", line)]
    return _HEADER + "\n" + re.sub(r"\n{2,}", "\n\n", "\n".join(kept)).replace("public.", "").strip() + "\n"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hearth-schema-", ignore_cleanup_errors=True) as directory:
        postgres = EmbeddedPostgres(Path(directory) / "data", settings="fsync = off\n")
        prepare(postgres.dsn)
        FILE.write_text(dump(postgres.dsn, postgres.programs))
        postgres.stop()
    print(f"Wrote {FILE}")


if __name__ == "__main__":
    main()
