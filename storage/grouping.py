"""Rows of many changes, gathered so that each statement runs once: as if all had run one after another.

Rows of one statement move forward to the first of them. That must not carry a row past another statement on the same
table (an insert past the delete of its key, say): where it would, everything so far is run first, and gathering begins
anew. Changes of one kind, the common case, never meet that.
"""

from collections.abc import Iterable

from attrs import define, field

from storage.change import At, Row, Statement

Values = list[object]


@define(eq=False)
class _Run:
    """Statements in the order in which they came first, each with its rows."""

    rows: dict[Statement, list[Values]] = field(factory=dict)
    # Statements that meet a later one on some table where one of the two writes.
    closed: set[Statement] = field(factory=set)

    def add(self, statement: Statement, row: Values) -> bool:
        """False if the row has to wait for what is here."""
        rows = self.rows.get(statement)
        if rows is None:
            self.closed.update(other for other in self.rows if _meet(other, statement))
            self.rows[statement] = [row]
            return True
        if statement.one_by_one or statement in self.closed:
            return False
        rows.append(row)
        return True


def grouped(parts: Iterable[tuple[Statement, Row]]) -> list[tuple[Statement, list[Values]]]:
    """What to run, in order: statements with their rows, positions in place of `At`."""
    run = _Run()
    runs = [run]
    for statement, row in parts:
        values = [value.entry.position if type(value) is At else value for value in row]
        if not run.add(statement, values):
            run = _Run()
            runs.append(run)
            run.add(statement, values)
    return [(statement, _last_of_key(statement, rows)) for run in runs for statement, rows in run.rows.items()]


def _meet(first: Statement, second: Statement) -> bool:
    return not (first.writes.isdisjoint(second.touches) and first.touches.isdisjoint(second.writes))


def _last_of_key(statement: Statement, rows: list[Values]) -> list[Values]:
    key = statement.key_indexes
    if key is None or len(rows) == 1:
        return rows
    return list({tuple(row[index] for index in key): row for row in rows}.values())
