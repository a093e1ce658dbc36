"""Tables whose rows lie alike on both sides are read without buckets, and every difference is found all the same."""

from collections.abc import Iterator

import pytest

from checks.tools.reconciling import Options, TableResult, compare, summed, units
from tests.kinds_data.database_pair import DatabasePair, database_pair

# Half of each page is free, so that a changed row stays on its page. About 75 pages each.
TABLES = """
CREATE TABLE keyed (id integer PRIMARY KEY, value text) WITH (fillfactor = 50);
INSERT INTO keyed SELECT n, repeat('x', 100) || n FROM generate_series(1, 2200) n;
CREATE TABLE scattered (id uuid PRIMARY KEY, value text) WITH (fillfactor = 50);
INSERT INTO scattered SELECT md5(n::text)::uuid, repeat('x', 100) || n FROM generate_series(1, 2000) n;
CREATE TABLE keyless (value text) WITH (fillfactor = 50);
INSERT INTO keyless SELECT repeat('x', 120) || n % 100 FROM generate_series(1, 2200) n;
"""
REMADE = f"DROP TABLE IF EXISTS keyed, scattered, keyless; {TABLES} ANALYZE"


@pytest.fixture(scope="module")
def pair() -> Iterator[DatabasePair]:
    with database_pair("reconcile_clones", source=TABLES, target=TABLES) as made:
        yield made


@pytest.fixture(autouse=True)
def _small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "PAGES_IN_A_UNIT", 1)
    monkeypatch.setattr(units, "ROWS_IN_A_BUCKET", 50)


def found(pair: DatabasePair, statement: str = "") -> dict[str, TableResult]:
    """Each table, after ``statement`` in a clone."""
    pair.sql("target", f"{REMADE}; {statement}; ANALYZE" if statement else REMADE)
    result = compare(pair.source, pair.target, Options(workers=1, schema=False, details=5000))
    return {table.label.removeprefix("public."): table for table in result.tables}


def test_a_clone_is_read_without_buckets(pair: DatabasePair) -> None:
    tables = found(pair)
    assert all(table.agrees and table.how.endswith(summed.ALIKE) for table in tables.values())
    assert [table.source_rows for table in tables.values()] == [2200, 2200, 2000]


def test_a_few_differences_are_found_in_their_units_alone(pair: DatabasePair) -> None:
    tables = found(
        pair,
        "UPDATE keyed SET value = 'new' WHERE id IN (7, 2100); DELETE FROM scattered WHERE id = md5('9')::uuid;"
        " UPDATE keyless SET value = 'new' WHERE ctid = '(3,4)'",
    )
    counts = {name: (table.missing, table.extra, table.changed) for name, table in tables.items()}
    assert counts == {"keyed": (0, 0, 2), "scattered": (1, 0, 0), "keyless": (1, 1, 0)}
    assert all(table.how.endswith(summed.ALIKE) for table in tables.values())
    assert [item.key["id"] for item in tables["keyed"].differences] == ["7", "2100"]


def test_many_differences_end_in_buckets_and_are_counted_exactly(pair: DatabasePair) -> None:
    tables = found(
        pair,
        "UPDATE keyed SET value = 'new' WHERE id % 20 = 0; UPDATE scattered SET value = 'n' WHERE value LIKE '%9';"
        " UPDATE keyless SET value = 'new' WHERE value LIKE '%x7'",
    )
    counts = {name: (table.missing, table.extra, table.changed) for name, table in tables.items()}
    assert counts == {"keyed": (0, 0, 110), "scattered": (0, 0, 200), "keyless": (22, 22, 0)}
    assert "buckets" in tables["keyed"].how
    assert "buckets" in tables["scattered"].how


@pytest.mark.campaign
def test_equal_rows_that_lie_elsewhere_agree_and_one_among_them_is_found(pair: DatabasePair) -> None:
    move = """
        CREATE TABLE copy AS TABLE {0}; TRUNCATE {0}; INSERT INTO {0} SELECT * FROM copy ORDER BY md5(value);
        DROP TABLE copy;
    """
    moved = "".join(move.format(name) for name in ("keyed", "scattered", "keyless"))
    tables = found(pair, moved)
    assert all(table.agrees for table in tables.values())
    tables = found(pair, f"{moved} UPDATE keyed SET value = 'new' WHERE id = 500")
    assert {name: table.changed for name, table in tables.items()} == {"keyed": 1, "scattered": 0, "keyless": 0}
    assert tables["scattered"].agrees
    assert tables["keyless"].agrees
