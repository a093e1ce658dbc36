"""Columns, tables and encodings that one side keeps otherwise: none of them may go unread and pass."""

import psycopg
import pytest

from checks.errors import CheckError
from checks.tools.postgres import Address
from checks.tools.reconciling import Options, compare, units
from tests.kinds_data.database_pair import database_pair
from tests.kinds_data.support import admin, administration

PRICES = "CREATE TABLE price (id integer PRIMARY KEY, net integer, gross integer {}); "
STORED = PRICES.format("") + "INSERT INTO price SELECT n, n, n * 2 FROM generate_series(1, 20) n;"
COMPUTED = PRICES.format("GENERATED ALWAYS AS (net * {}) VIRTUAL") + (
    "INSERT INTO price (id, net) SELECT n, n FROM generate_series(1, 20) n;"
)
EVENTS = """
CREATE TABLE event (id integer, at date) PARTITION BY RANGE (at);
CREATE TABLE event_old PARTITION OF event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO event SELECT n, '2025-03-01' FROM generate_series(1, 10) n;
CREATE EXTENSION file_fdw; CREATE SERVER archive FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE event_far PARTITION OF event FOR VALUES FROM ('2020-01-01') TO ('2025-01-01') SERVER archive
    OPTIONS (filename '/dev/null');
CREATE MATERIALIZED VIEW total AS SELECT count(*) FROM event_old;
"""


def test_a_computed_column_is_compared_with_one_that_is_kept() -> None:
    same, other = (COMPUTED.format(factor) for factor in (2, 3))
    for target, changed in ((same, 0), (other, 20)):
        with database_pair("reconcile_odd", source=STORED, target=target) as pair:
            found = compare(pair.source, pair.target, Options(schema=False))
        assert [table.changed for table in found.tables] == [changed]
    assert {cell.column for item in found.tables[0].differences for cell in item.cells if cell.differs} == {"gross"}


def test_a_part_of_a_table_that_lives_elsewhere_is_no_answer_unless_it_is_left_out_by_name() -> None:
    with database_pair("reconcile_odd", source=EVENTS, target=EVENTS) as pair:
        with pytest.raises(CheckError, match=r"public\.event_far, a part of public\.event, is a foreign table"):
            compare(pair.source, pair.target)
        for name in ("event_far", "event"):
            pair.sql("source", "CREATE TABLE IF NOT EXISTS other AS SELECT 1 AS one")
            pair.sql("target", "CREATE TABLE IF NOT EXISTS other AS SELECT 1 AS one")
            found = compare(pair.source, pair.target, Options(leave_out=[name]))
            assert found.agrees
            assert ("public.event_far", "a foreign table: its rows live elsewhere") in found.left_out
        assert compare(pair.source, pair.target, Options(tables=["other"])).agrees


@pytest.mark.parametrize("names", [{"tables": ["event", "total"]}, {"tables": ["other", "public.total"]}])
def test_a_name_that_is_selected_and_cannot_be_read_is_refused(names: dict[str, list[str]]) -> None:
    schema = f"{EVENTS} CREATE TABLE other AS SELECT 1 AS one; DROP FOREIGN TABLE event_far;"
    with (
        database_pair("reconcile_odd", source=schema, target=schema) as pair,
        pytest.raises(
            CheckError,
            match=r"total, which is not compared. It is left out: a materialized view: computed from other tables",
        ),
    ):
        compare(pair.source, pair.target, Options(tables=names["tables"]))


def test_keys_are_the_same_whatever_their_databases_are_encoded_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond ASCII a text is other bytes in each, so a hash of the bytes would part what is one row."""
    monkeypatch.setattr(units, "ROWS_IN_A_BUCKET", 16)
    rows = "INSERT INTO word SELECT 'schlüssel ' || n, n FROM generate_series(1, 200) n; ANALYZE;"
    addresses = {encoding: admin().named(f"reconcile_{encoding}") for encoding in ("latin1", "utf8")}
    try:
        for encoding, address in addresses.items():
            _create(address, encoding)
            with psycopg.connect(address.conninfo(), autocommit=True, client_encoding="UTF8") as database:
                database.execute("CREATE TABLE word (word text PRIMARY KEY, n integer)")
                database.execute(rows)
                if encoding == "utf8":
                    database.execute("UPDATE word SET n = 0 WHERE n = 77")
        found = compare(addresses["latin1"], addresses["utf8"], Options(schema=False))
        (word,) = found.tables
        assert (word.missing, word.extra, word.changed, word.agreed) == (0, 0, 1, 199)
    finally:
        with administration() as server:
            for address in addresses.values():
                server.execute(f"DROP DATABASE IF EXISTS {address.database} WITH (FORCE)")  # type: ignore[call-overload]


def _create(address: Address, encoding: str) -> None:
    with administration() as server:
        server.execute(f"DROP DATABASE IF EXISTS {address.database} WITH (FORCE)")  # type: ignore[call-overload]
        server.execute(  # type: ignore[call-overload]
            f"CREATE DATABASE {address.database} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'"
        )
