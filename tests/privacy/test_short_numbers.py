"""Short numbers in columns of their own: a mask makes others of them, and chance makes some of those somebody's."""

from pathlib import Path
from typing import LiteralString

import pytest
from psycopg import sql

from checks.tools import leaks, pseudonyms
from checks.tools.column_facts import Column
from checks.tools.inventory import InventoryEntry
from tests.kinds_data.support import log_of, shop
from tests.privacy.support import entry

pytestmark = pytest.mark.django_db(transaction=True)

SCHEMA = """
CREATE TABLE person (id int PRIMARY KEY, plz integer, postcode text);
INSERT INTO person SELECT n, 20000 + n * 7, to_char(20000 + n * 13, 'FM00000') FROM generate_series(1, 3000) n;
"""


@pytest.mark.parametrize("mask", ["shape", "phone"])
def test_a_masked_column_of_short_numbers_is_no_leak_by_chance(storage_folder: Path, tmp_path: Path, mask: str) -> None:
    masked = entry(["person.plz", "person.postcode"], "location", mask)
    with shop(tmp_path, schema=SCHEMA, plan={"privacy": {"inventory": [masked]}}) as made:
        run = made.run("privacy")
    assert run.state == "passed", (run.error, run.summary, run.result["leaks"], log_of(run))
    told = [row for row in run.result["not_provable"] if "as many as chance puts there" in row["reason"]]
    assert {row["column"] for row in told} == ({"person.plz", "person.postcode"} if mask == "shape" else set()), told
    assert all(0 < row["values"] < 1000 for row in told)


def test_a_column_of_short_numbers_that_was_not_masked_is_a_leak(
    storage_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masking fails at half of one column and tells nobody."""
    expression = pseudonyms.expression

    def forgetful(column: Column, entry: InventoryEntry, *, own: bool) -> sql.Composable:
        masked = expression(column, entry, own=own)
        if column.name != "plz":
            return masked
        return sql.SQL("CASE WHEN t.id % 2 = 0 THEN {} ELSE t.plz END").format(masked)

    monkeypatch.setattr(pseudonyms, "expression", forgetful)
    masked = entry(["person.plz", "person.postcode"], "location", "shape")
    with shop(tmp_path, schema=SCHEMA, plan={"privacy": {"inventory": [masked]}}) as made:
        run = made.run("privacy")
    assert run.state == "failed", (run.error, run.summary)
    (leak,) = run.result["leaks"]
    assert (leak["column"], leak["found_column"]) == ("plz", "plz")
    assert leak["values"] >= 1500


@pytest.mark.parametrize(("mask", "kept"), [("shape", "t.id % 7 = 0"), ("null", "t.id % 90 = 0")])
def test_a_part_of_many_short_numbers_that_was_not_masked_is_a_leak(
    storage_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: str, kept: LiteralString
) -> None:
    """Of 6,000 numbers of five digits about 300 come again by chance where digits are made, and none where none are."""
    expression = pseudonyms.expression

    def forgetful(column: Column, entry: InventoryEntry, *, own: bool) -> sql.Composable:
        masked = expression(column, entry, own=own)
        return sql.SQL("CASE WHEN {} THEN t.plz ELSE {} END").format(sql.SQL(kept), masked)

    monkeypatch.setattr(pseudonyms, "expression", forgetful)
    schema = """
        CREATE TABLE person (id int PRIMARY KEY, plz integer);
        INSERT INTO person SELECT n, 10000 + n * 14 FROM generate_series(1, 6000) n;
    """
    masked = entry(["person.plz"], "location", mask)
    with shop(tmp_path, schema=schema, plan={"privacy": {"inventory": [masked]}}) as made:
        run = made.run("privacy")
    assert run.state == "failed", (run.error, run.summary, run.result["not_provable"])
    assert [row["found_column"] for row in run.result["leaks"]] == ["plz"]


@pytest.mark.parametrize(
    ("found", "expected", "chance"),
    [(1, 0.03, True), (1, 0.00003, False), (3, 0.002, False), (80, 50.0, False), (60, 50.0, True), (300, 274.0, True),
     (1500, 274.0, False), (3000, 3000.0, True)],
)  # fmt: skip
def test_what_comes_about_less_than_once_in_ten_thousand_times_is_no_chance(
    found: int, expected: float, chance: bool
) -> None:
    assert leaks.is_chance(found, expected) is chance
