"""The table of servers that do not answer."""

from storage import destinations
from storage.database import connect
from storage.destinations import Failing

OLD, NEW = Failing(1, 1_000, 60), Failing(1, 2_000, 60)


def test_servers_are_taken_down_taken_out_and_trimmed(dsn: str) -> None:
    connection = connect(dsn)
    cur = connection.cursor()
    destinations.write(cur, [("a.test", OLD), ("b.test", OLD), ("c.test", NEW)], [])
    assert destinations.newest(cur, 1) == {"c.test": NEW}
    destinations.write(cur, [("a.test", NEW)], ["c.test"])
    assert destinations.newest(cur, 10) == {"a.test": NEW, "b.test": OLD}
    assert destinations.trim(cur, 1_500) == 1
    assert destinations.newest(cur, 10) == {"a.test": NEW}
    connection.close()
