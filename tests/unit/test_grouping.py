"""Gathering rows by statement gives what running them one after another gives."""

from hypothesis import given
from hypothesis import strategies as st

from storage.change import At, Custom, Delete, Entry, Insert, Kind, Row, Statement
from storage.grouping import grouped

PUT = Insert("tags", {"user": "text", "value": "int"}, key=("user",), on_conflict="update")
ADD = Insert("tags", {"user": "text", "value": "int"}, key=("user",), on_conflict="ignore")
DELETE = Delete("tags", {"user": "text"})
RENAME = Custom({"old": "text", "new": "text"}, "UPDATE names SET name = v.new FROM {v} WHERE name = v.old")
COPY = Custom({"user": "text"}, "INSERT INTO copies SELECT t.* FROM tags t JOIN {v} ON t.user = v.user")
OTHER = Insert("others", {"user": "text"})

users = st.sampled_from(["a", "b"])
parts = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([PUT, ADD]), st.tuples(users, st.integers(0, 9))),
        st.tuples(st.just(DELETE), st.tuples(users)),
        st.tuples(st.just(RENAME), st.tuples(users, users)),
        st.tuples(st.just(COPY), st.tuples(users)),
        st.tuples(st.just(OTHER), st.tuples(users)),
    ),
    max_size=12,
)


class Tables:
    """What the statements do, row by row."""

    def __init__(self) -> None:
        self.tags: dict[object, object] = {}
        self.name: object = "a"
        self.copies: list[tuple[object, object]] = []
        self.others: list[object] = []

    def run(self, statement: Statement, rows: list[Row]) -> None:
        if statement is COPY:
            # All rows of one statement see the same tables.
            self.copies += [(row[0], self.tags[row[0]]) for row in rows if row[0] in self.tags]
            return
        for row in rows:
            if statement is PUT:
                self.tags[row[0]] = row[1]
            elif statement is ADD:
                self.tags.setdefault(row[0], row[1])
            elif statement is DELETE:
                self.tags.pop(row[0], None)
            elif statement is RENAME:
                self.name = row[1] if self.name == row[0] else self.name
            else:
                self.others.append(row[0])

    def content(self) -> object:
        return self.tags, self.name, self.copies, self.others


@given(parts)
def test_the_result_is_that_of_one_after_another(rows: list[tuple[Statement, Row]]) -> None:
    singly, together = Tables(), Tables()
    for statement, row in rows:
        singly.run(statement, [row])
    for statement, of_it in grouped(rows):
        together.run(statement, of_it)
    assert singly.content() == together.content()


def test_changes_of_one_kind_are_one_statement_each() -> None:
    rows: list[tuple[Statement, Row]] = [(PUT, ("a", 1)), (OTHER, ("a",))] * 50
    assert [statement for statement, _ in grouped(rows)] == [PUT, OTHER]


def test_an_insert_does_not_pass_a_delete_of_its_key() -> None:
    rows: list[tuple[Statement, Row]] = [(PUT, ("a", 1)), (DELETE, ("a",)), (PUT, ("a", 2))]
    assert [statement for statement, _ in grouped(rows)] == [PUT, DELETE, PUT]


def test_statements_on_other_tables_go_on_gathering() -> None:
    rows: list[tuple[Statement, Row]] = [(DELETE, ("a",)), (OTHER, ("a",)), (DELETE, ("b",)), (OTHER, ("b",))]
    assert [(statement, len(of_it)) for statement, of_it in grouped(rows)] == [(DELETE, 2), (OTHER, 2)]


def test_a_plain_update_runs_for_one_row_at_a_time() -> None:
    rows: list[tuple[Statement, Row]] = [(RENAME, ("a", "b")), (RENAME, ("b", "c"))]
    assert [len(of_it) for _, of_it in grouped(rows)] == [1, 1]


def test_the_last_of_several_rows_with_one_key_is_put() -> None:
    assert grouped([(PUT, ("a", 1)), (PUT, ("b", 1)), (PUT, ("a", 2))]) == [(PUT, [["a", 2], ["b", 1]])]


def test_a_position_stands_where_the_row_says_so() -> None:
    entry = Entry(Kind.PROFILE, position=7)
    assert grouped([(PUT, ("a", At(entry)))]) == [(PUT, [["a", 7]])]


def test_a_statement_says_what_it_writes_and_reads() -> None:
    assert COPY.writes == {"copies"}
    assert {"copies", "tags"} <= COPY.touches
    upsert = Custom({"a": "int"}, "INSERT INTO x SELECT a FROM {v} ON CONFLICT (a) DO UPDATE SET a = 1")
    assert upsert.writes == {"x"}
