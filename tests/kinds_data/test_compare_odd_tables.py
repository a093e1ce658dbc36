"""Columns, tables and encodings that one side keeps otherwise: none of them may go unread and pass."""

from checks.tools.reconciling import Options, compare
from tests.kinds_data.database_pair import database_pair

PRICES = "CREATE TABLE price (id integer PRIMARY KEY, net integer, gross integer {}); "
STORED = PRICES.format("") + "INSERT INTO price SELECT n, n, n * 2 FROM generate_series(1, 20) n;"
COMPUTED = PRICES.format("GENERATED ALWAYS AS (net * {}) VIRTUAL") + (
    "INSERT INTO price (id, net) SELECT n, n FROM generate_series(1, 20) n;"
)


def test_a_computed_column_is_compared_with_one_that_is_kept() -> None:
    same, other = (COMPUTED.format(factor) for factor in (2, 3))
    for target, changed in ((same, 0), (other, 20)):
        with database_pair("reconcile_odd", source=STORED, target=target) as pair:
            found = compare(pair.source, pair.target, Options(schema=False))
        assert [table.changed for table in found.tables] == [changed]
    assert {cell.column for item in found.tables[0].differences for cell in item.cells if cell.differs} == {"gross"}
