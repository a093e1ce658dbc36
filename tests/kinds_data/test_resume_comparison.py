"""A comparison that was lost half-way is taken up, but only where the rows are still those of then."""

from collections.abc import Iterator

import pytest

from checks.errors import Cancelled
from checks.tools.reconciling import Comparison, Options, compare, resuming, units
from tests.kinds_data.database_pair import DatabasePair, database_pair

TABLES = """
CREATE TYPE colour AS ENUM ('red', 'green');
CREATE TABLE first (id integer PRIMARY KEY, value text, colour colour);
INSERT INTO first SELECT n, repeat('x', 100) || n, 'red' FROM generate_series(1, 2000) n;
CREATE TABLE second (id integer PRIMARY KEY, value text);
INSERT INTO second SELECT n, repeat('y', 100) || n FROM generate_series(1, 2000) n;
"""
DIFFERENCE = "UPDATE first SET value = 'other' WHERE id = 3;"
OPTIONS = Options(workers=1)


class Shelf:
    """Keeps in memory, and loses the comparison after so many results."""

    def __init__(self, lose_after: int) -> None:
        self.documents: list[bytes] = []
        self.kept, self.lose_after = 0, lose_after

    def load(self) -> list[bytes]:
        return self.documents[::-1]

    def keep(self, document: bytes) -> None:
        self.documents = [document]
        self.kept += 1
        if self.kept == self.lose_after:
            raise Cancelled


@pytest.fixture(scope="module")
def pair() -> Iterator[DatabasePair]:
    with database_pair("reconcile_resume", source=TABLES, target=f"{TABLES}; {DIFFERENCE}") as made:
        yield made


@pytest.fixture(autouse=True)
def _small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "PAGES_IN_A_UNIT", 4)
    monkeypatch.setattr(units, "ROWS_IN_A_BUCKET", 100)
    monkeypatch.setattr(resuming, "KEEP_SECONDS", 0)
    monkeypatch.setattr(resuming, "KEEP_SHARE", 1e9)


def lost(pair: DatabasePair, after: int) -> Shelf:
    shelf = Shelf(after)
    with pytest.raises(Cancelled):
        compare(pair.source, pair.target, OPTIONS, keeper=shelf)
    return shelf


def taken_up(found: Comparison) -> dict[str, bool]:
    return {table.label.removeprefix("public."): table.taken_up > 0 for table in found.tables}


def changed(found: Comparison) -> dict[str, int]:
    return {table.label.removeprefix("public."): table.changed for table in found.tables}


def test_units_that_still_hold_are_not_read_again(pair: DatabasePair) -> None:
    shelf = lost(pair, 25)
    found = compare(pair.source, pair.target, OPTIONS, keeper=shelf)
    assert sum(table.taken_up for table in found.tables) == 25
    assert found.resumed.startswith("An attempt before this one was lost. 25 of ")
    assert changed(found) == {"first": 1, "second": 0}
    assert all(table.source_rows == table.target_rows == 2000 for table in found.tables)


@pytest.mark.parametrize(
    ("statement", "differs"),
    [
        ("UPDATE first SET value = 'new' WHERE id = 5", 2),
        ("DELETE FROM first WHERE id = 5; INSERT INTO first VALUES (5, 'new', 'red')", 2),
        ("UPDATE first SET value = 'other' WHERE id = 3", 1),
        ("ALTER TYPE colour RENAME VALUE 'red' TO 'rosso'", 2000),
    ],
)
def test_a_table_that_was_written_to_since_is_read_anew(pair: DatabasePair, statement: str, differs: int) -> None:
    shelf = lost(pair, 25)
    try:
        pair.sql("target", statement)
        found = compare(pair.source, pair.target, OPTIONS, keeper=shelf)
        assert not taken_up(found)["first"]
        assert "read anew" in found.resumed
        assert changed(found) == {"first": differs, "second": 0}
    finally:
        pair.sql("target", f"DROP TABLE first, second; DROP TYPE colour; {TABLES} {DIFFERENCE} ANALYZE")


def test_a_deleted_row_is_seen_although_nothing_newer_is_there(pair: DatabasePair) -> None:
    shelf = lost(pair, 25)
    pair.sql("source", "DELETE FROM first WHERE id = 77")
    found = compare(pair.source, pair.target, OPTIONS, keeper=shelf)
    assert not taken_up(found)["first"]
    assert found.total("extra") == 1
    pair.sql("source", f"DROP TABLE first, second; DROP TYPE colour; {TABLES} ANALYZE")


def test_what_cannot_be_read_begins_anew(pair: DatabasePair) -> None:
    for document in (b"", b"not json", b'{"format": 0}', b'{"format": 1}'):
        shelf = Shelf(0)
        shelf.documents = [document]
        found = compare(pair.source, pair.target, OPTIONS, keeper=shelf)
        assert (found.resumed, changed(found)["first"]) == ("", 1)
