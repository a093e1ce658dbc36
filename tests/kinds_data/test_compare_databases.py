"""The comparison names every difference between two databases, and nothing where nothing is."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from checks.errors import Cancelled, CheckError
from checks.tools.postgres import Address, connected
from checks.tools.reconciling import (
    Comparison,
    Options,
    TableResult,
    Tally,
    compare,
    drilldown,
    first_pass,
    pace,
    preparing,
    second_pass,
    surroundings,
    units,
)
from checks.tools.reconciling.sides import Side, opened
from tests.kinds_data.database_pair import CHANGES, KEYS, ROWS, DatabasePair, differing_pair
from tests.kinds_data.support import administration


@pytest.fixture(scope="module")
def pair() -> Iterator[DatabasePair]:
    with differing_pair() as made:
        yield made


@pytest.fixture(scope="module")
def told() -> list[Tally]:
    return []


@pytest.fixture(scope="module")
def found(pair: DatabasePair, told: list[Tally]) -> Iterator[Comparison]:
    """One comparison of everything, in buckets and units so small that each table has many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(units, "ROWS_IN_A_BUCKET", 16)
        patch.setattr(units, "PAGES_IN_A_UNIT", 2)
        patch.setattr(pace, "TELL_SECONDS", 0)
        yield compare(pair.source, pair.target, Options(details=100, workers=2), seen=told.append)


def table(found: Comparison, name: str) -> TableResult:
    return next(one for one in found.tables if one.label == f"public.{name}")


def counts(result: TableResult) -> tuple[int, int, int]:
    return result.missing, result.extra, result.changed


def test_each_changed_value_is_named_with_its_row_and_column_and_nothing_else(found: Comparison) -> None:
    result = table(found, "value")
    told = {item.key["id"]: {cell.column for cell in item.cells if cell.differs} for item in result.differences}
    assert told == {row: columns for _, rows in CHANGES.values() for row, columns in rows.items()}
    assert counts(result) == (0, 0, len(told))
    assert result.agreed == 300 - len(told)


def test_both_values_are_told_and_null_is_no_text(found: Comparison) -> None:
    rows = {
        (item.key["id"], cell.column): (cell.source, cell.target)
        for item in table(found, "value").differences for cell in item.cells if cell.differs
    }  # fmt: skip
    assert rows["1", "a"] == (None, "")
    assert rows["2", "a"] == (None, "NULL")
    assert rows["9", "at"] == ("2026-01-01 00:00:00+00", "2026-01-01 00:00:00.000001+00")
    assert rows["11", "f"] == ("0", "-0")
    assert rows["16", "f"] == ("0.1", "0.10000000000000002")
    assert rows["21", "jb"] == ('{"x": 1}', '{"x": 1.0}')


def test_rows_are_matched_by_a_key_of_any_type(found: Comparison) -> None:
    results = {name: table(found, f"key_{name}") for name in KEYS}
    assert {name: counts(result) for name, result in results.items()} == dict.fromkeys(KEYS, (1, 1, 1))
    for result in results.values():
        assert (result.source_rows, result.target_rows, list(result.key)) == (ROWS, ROWS, ["key"])
        assert [item.sort for item in result.differences] == ["changed", "extra", "missing"]


def test_buckets_follow_ranges_of_the_key_where_rows_lie_in_its_order(found: Comparison) -> None:
    assert table(found, "key_small").how == "buckets by ranges of the key"
    assert table(found, "key_scattered").how == table(found, "key_uuid").how == "buckets by the hash of the key"


@pytest.mark.campaign
def test_a_composite_key_counts_whole(found: Comparison) -> None:
    result = table(found, "composite")
    assert (list(result.key), counts(result)) == (["tenant", "code", "colour"], (1, 1, 1))


def test_a_table_without_a_key_is_compared_as_a_multiset(found: Comparison) -> None:
    for name in ("no_key", "nullable_key"):
        assert list(table(found, name).key) == []
    assert counts(table(found, "no_key")) == (1, 3, 0)
    assert counts(table(found, "nullable_key")) == (0, 0, 0)
    twice = [item for item in table(found, "no_key").differences if item.cells[0].target == "7"]
    assert [item.sort for item in twice] == ["extra", "extra"]


def test_partitions_count_for_their_table(found: Comparison) -> None:
    labels = {one.label for one in found.tables}
    assert not labels & {"public.event_old", "public.event_new"}
    result = table(found, "event")
    assert (result.source_rows, *counts(result)) == (300, 0, 0, 1)


def test_stored_generated_columns_are_compared_and_virtual_ones_are_not(found: Comparison) -> None:
    (item,) = table(found, "generated").differences
    assert {cell.column for cell in item.cells if cell.differs} == {"n", "twice"}
    assert "thrice" not in {cell.column for cell in item.cells}


def test_counts_are_exact_and_details_stop_at_the_cap(found: Comparison) -> None:
    result = table(found, "many")
    assert (result.source_rows, result.target_rows, *counts(result)) == (3000, 2990, 10, 0, 1000)
    assert [sum(item.sort == sort for item in result.differences) for sort in ("missing", "changed")] == [10, 100]


def test_values_of_secrets_stay_on_the_server(found: Comparison) -> None:
    (item,) = table(found, "keeps_secrets").differences
    cells = {cell.column: cell for cell in item.cells}
    assert cells["password"].hidden
    assert (cells["password"].source, cells["password"].target, cells["password"].differs) == (None, None, True)
    assert (cells["note"].source, cells["note"].target) == ("n", "m")


def test_a_number_of_another_object_is_compared_by_its_name(found: Comparison) -> None:
    (item,) = table(found, "pointer").differences
    assert item.key == {"id": "2"}


def test_odd_names_and_tables_without_columns_or_rows_are_compared(found: Comparison) -> None:
    assert table(found, "Odd name; DROP").agreed == 2
    assert table(found, "no_columns").agreed == 1
    assert table(found, "empty").agrees


def test_a_table_that_one_side_lacks_is_counted(found: Comparison) -> None:
    there, here = table(found, "only_there"), table(found, "only_here")
    assert (there.only_in, *counts(there)) == ("source", 1, 0, 0)
    assert (here.only_in, *counts(here)) == ("target", 0, 2, 0)
    assert not there.agrees


def test_large_objects_are_compared_by_their_content(found: Comparison) -> None:
    assert found.large_objects is not None
    assert counts(found.large_objects) == (1, 1, 1)
    told = {item.sort: item.key["number"] for item in found.large_objects.differences}
    assert told == {"missing": "70003", "extra": "70004", "changed": "70002"}


def test_sequences_are_compared_and_one_behind_its_column_is_told(found: Comparison) -> None:
    told = {item.name: (item.source, item.target, item.said) for item in found.sequences}
    assert told == {
        "public.ahead": (10, 12, "stands elsewhere"),
        "public.behind": (10, 8, "stands behind the source"),
        "public.surplus": (None, None, "only in the target"),
        "public.numbered_id_seq": (2, 1, "stands behind the source"),
    }


def test_differences_of_the_schema_are_named(found: Comparison) -> None:
    assert "extension hstore" in found.schema["missing"]
    assert "table public.only_there" in found.schema["missing"]
    assert {"column public.keeps_secrets.added", "index public.surplus_index"} <= set(found.schema["extra"])
    assert "constraint empty_id_check on public.empty" in found.schema["extra"]
    assert list(found.schema["changed"]) == ["function public.answer()"]
    assert table(found, "keeps_secrets").notes == ["Column added only in the target."]


def test_an_extension_of_another_version_is_named() -> None:
    told = surroundings.extension_differences({"hstore": "1.7", "citext": "1.6"}, {"hstore": "1.8", "citext": "1.6"})
    assert told == ["Extension hstore is 1.7 in the source and 1.8 in the target."]


def test_what_holds_no_rows_of_its_own_is_left_out_and_told(found: Comparison) -> None:
    assert ("public.total", "a materialized view: computed from other tables") in found.left_out


def test_progress_is_told_in_rows(found: Comparison, told: list[Tally]) -> None:
    assert found.rows == sum(one.source_rows for one in found.counted)
    assert told[0].doing == "Connecting to both databases"
    assert any(tally.rows and "Reading public." in tally.doing for tally in told)
    assert all(tally.rows <= tally.total for tally in told)


# --- the same two databases, asked otherwise -------------------------------------------------------------------------


def only(pair: DatabasePair, *tables: str, **more: Any) -> Comparison:
    return compare(pair.source, pair.target, Options(tables=tables, schema=False, **more))


def test_what_does_not_fit_in_memory_is_compared_share_by_share_and_old_servers_whole(
    pair: DatabasePair, found: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "ROWS_IN_A_BUCKET", 16)
    monkeypatch.setattr(drilldown, "ROWS_IN_A_SHARE", 50)
    monkeypatch.setattr(drilldown, "BUFFER_BYTES", 2000)
    for module in (first_pass, second_pass):
        monkeypatch.setattr(module, "SCANS_PAGES", 1_000_000)
    again = only(pair, "value", "many", "no_key", "composite", "event", "key_uuid", details=5)
    assert {one.label: counts(one) for one in again.tables} == {
        one.label: counts(table(found, one.label.removeprefix("public."))) for one in again.tables
    }
    assert all(len(one.differences) <= 15 for one in again.tables)


def test_tables_columns_and_keys_can_be_chosen(pair: DatabasePair) -> None:
    found = only(
        pair, "declared_key", "keeps_*", "public.value",
        keys={"declared_key": ["code"]},
        columns={"value": ["f", "at"]},
        ignore_columns={"keeps_secrets": ["note", "added"]},
        show=["password"],
    )  # fmt: skip
    assert [one.label for one in found.tables] == ["public.declared_key", "public.keeps_secrets", "public.value"]
    assert counts(table(found, "declared_key")) == (0, 0, 2)
    (item,) = table(found, "keeps_secrets").differences
    assert {cell.column: (cell.source, cell.target) for cell in item.cells if cell.differs} == {
        "password": ("hunter2", "changed")
    }
    differing = {cell.column for item in table(found, "value").differences for cell in item.cells if cell.differs}
    assert (counts(table(found, "value")), differing) == ((0, 0, 8), {"f", "at"})
    rest = compare(pair.source, pair.target, Options(leave_out=["key_*", "value", "many"], schema=False))
    assert not {"public.value", "public.key_big"} & {one.label for one in rest.tables}


def test_equivalent_overlooks_what_is_declared_and_nothing_else(pair: DatabasePair) -> None:
    normalise = {
        "value": {
            "a": ["empty_is_null", "trim", "nfc"], "at": ["seconds"], "f": ["round:6"], "d": ["number"], "j": ["json"],
            "jb": ["json_numbers"], "tags": ["set"], "folded": ["lower"], "raw": ["presence"], "span": ["text"],
        }
    }  # fmt: skip
    columns = {"value": sorted(normalise["value"])}
    found = only(pair, "value", mode="equivalent", normalise=normalise, columns=columns)
    told = {item.key["id"] for item in table(found, "value").differences}
    overlooked = {"1", "7", "9", "11", "13", "16", "18", "19", "20", "21", "24", "26", "27", "31"}
    chosen = {
        row for _, rows in CHANGES.values() for row, names in rows.items() if names & set(normalise["value"])
    }  # fmt: skip
    assert told == chosen - overlooked


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tables": ["persons"]}, "No table on either side is called persons"),
        ({"keys": {"many": ["code"]}}, "which is not a column of both sides"),
        ({"columns": {"many": ["nothing"]}}, "public.many has no column nothing"),
        ({"normalise": {"many": {"value": ["blur"]}}}, "There is no normaliser 'blur'"),
        ({"tables": ["value"], "leave_out": ["value"]}, "There is no table to compare"),
    ],
)
def test_a_name_that_fits_nothing_is_refused(pair: DatabasePair, options: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckError, match=message):
        compare(pair.source, pair.target, Options(**options))


def test_a_locked_table_and_a_lacking_right_are_named(pair: DatabasePair) -> None:
    with psycopg.connect(pair.target.conninfo()) as holder:
        holder.execute("LOCK TABLE composite IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(CheckError, match=r"public\.composite: .* is locked by another session"):
            only(pair, "composite", lock_seconds=0.2)
    with administration() as server:
        server.execute("CREATE ROLE reader LOGIN PASSWORD 'reader'")
    reader = Address({**pair.source.parts, "user": "reader", "password": "reader"})
    try:
        with pytest.raises(CheckError, match="Role reader lacks a right on the source database"):
            compare(reader, pair.target, Options(tables=["composite"]))
        pair.sql("source", "GRANT SELECT ON composite TO reader; ALTER TABLE composite ENABLE ROW LEVEL SECURITY")
        with pytest.raises(CheckError, match="row-level security"):
            compare(reader, pair.target, Options(tables=["composite"]))
    finally:
        pair.sql("source", "ALTER TABLE composite DISABLE ROW LEVEL SECURITY; DROP OWNED BY reader; DROP ROLE reader")


def test_what_was_asked_of_a_broken_session_afterwards_tells_the_first_cause(pair: DatabasePair) -> None:
    """Whichever of the answers is looked at first."""
    side = Side("source", pair.source, 1, 1.0)
    with opened(side, check=lambda: None):
        first = side.submit(lambda connection: connection.execute("SELECT 1 / 0"))
        second = side.submit(lambda connection: connection.execute("SELECT 1"))
        for answer in (second, first):
            with pytest.raises(CheckError, match="division by zero"):
                answer.result(10)


def test_servers_that_hash_otherwise_are_refused_and_a_database_is_not_compared_with_itself(pair: DatabasePair) -> None:
    with connected(pair.source) as connection:
        mine = preparing.sample(connection)
    preparing.refuse_other_hashes([17, 18], [mine, mine])
    with pytest.raises(CheckError, match="PostgreSQL 17 and 18 hash equal values differently"):
        preparing.refuse_other_hashes([17, 18], [mine, (*mine[:-1], 0)])
    with pytest.raises(CheckError, match="one and the same database"):
        compare(pair.source, Address({**pair.source.parts, "host": "localhost"}), Options(tables=["value"]))


def test_a_comparison_that_is_stopped_leaves_no_session(pair: DatabasePair) -> None:
    def stop() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        compare(pair.source, pair.target, Options(workers=3), check=stop)
    with administration() as server:
        left = server.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gonogo' AND datname LIKE 'reconcile_t%'"
        ).fetchone()
    assert left == (0,)
