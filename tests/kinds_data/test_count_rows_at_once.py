"""How many rows each table has, asked in few statements, however many tables there are."""

from typing import Any

import psycopg
import pytest

from checks.tools.parity import of_database
from checks.tools.parity.facts import Area, Side
from checks.tools.postgres import connect
from tests.kinds_data.database_pair import database_pair

MANY = 101


def test_each_table_is_counted_and_a_statement_counts_many(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = [(f'"T {number}"', number % 7) for number in range(MANY)]
    made = "; ".join(f"CREATE TABLE {name} AS SELECT n FROM generate_series(1, {rows}) n" for name, rows in tables)
    asked: list[Any] = []
    execute = psycopg.Cursor.execute

    def watched(self: Any, query: Any, *arguments: Any, **more: Any) -> Any:
        asked.append(query)
        return execute(self, query, *arguments, **more)

    side = Side("staging")
    with database_pair("counted", source=made, target="") as pair, connect(pair.source) as connection:
        monkeypatch.setattr(psycopg.Cursor, "execute", watched)
        of_database.gather(connection, side)
    found = {name: fact.value for name, fact in side.facts[Area.ROWS].items()}
    assert found == {f"public.{name.strip(chr(34))}": str(rows) for name, rows in tables}
    assert len(asked) < MANY / 4
