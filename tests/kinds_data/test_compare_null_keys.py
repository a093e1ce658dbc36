"""A column that is declared NOT NULL and never validated may hold nulls, and no row with one is overlooked."""

import pytest

from checks.errors import CheckError
from checks.tools.reconciling import Comparison, Options, TableResult, catalog, compare
from tests.kinds_data.database_pair import database_pair

#: Two rows, one of which has no key.
BALANCES = """
CREATE TABLE balance (id {type}, amount text);
INSERT INTO balance VALUES (NULL, '{amount}'), ({one}, 'one');
ALTER TABLE balance ADD CONSTRAINT balance_id_not_null NOT NULL id NOT VALID;
CREATE UNIQUE INDEX balance_id ON balance (id);
"""
#: type of the key -> one value of it
KEYS = {"int": "1", "text": "'a'", "uuid": "'00000000-0000-0000-0000-000000000001'"}
MANY = "INSERT INTO balance SELECT n, 'x' FROM generate_series(2, 20000) n;"


def compared(source: str, target: str) -> Comparison:
    with database_pair("null_keys", source=source, target=target) as pair:
        return compare(pair.source, pair.target, Options(schema=False))


def balances(amount: str, kind: str = "int", more: str = "") -> str:
    return BALANCES.format(type=kind, one=KEYS[kind], amount=amount) + more


@pytest.mark.parametrize("kind", KEYS)
def test_a_changed_row_without_a_key_is_found(kind: str) -> None:
    found = compared(balances("100", kind), balances("0", kind))
    assert not found.agrees
    (table,) = found.tables
    assert (table.source_rows, table.target_rows, table.missing, table.extra, list(table.key)) == (2, 2, 1, 1, [])


def test_a_missing_row_without_a_key_is_found() -> None:
    found = compared(balances("100"), balances("100", more="DELETE FROM balance WHERE id IS NULL;"))
    assert not found.agrees
    (table,) = found.tables
    assert (table.source_rows, table.target_rows, table.missing, table.extra) == (2, 1, 1, 0)


def test_it_is_found_among_many_rows_too() -> None:
    found = compared(balances("100", more=MANY), balances("0", more=MANY))
    (table,) = found.tables
    assert (table.missing, table.extra, table.agrees) == (1, 1, False)


def test_once_it_is_validated_rows_are_told_apart_by_the_key() -> None:
    validated = (
        "UPDATE balance SET id = 7 WHERE id IS NULL; ALTER TABLE balance VALIDATE CONSTRAINT balance_id_not_null;"
    )
    found = compared(balances("100", more=validated), balances("0", more=validated))
    (table,) = found.tables
    assert (table.changed, list(table.key)) == (1, ["id"])


def test_rows_that_differ_and_are_not_found_are_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the catalog believed again, the sums would still say that something differs."""
    monkeypatch.setattr(catalog, "_NEVER_NULL", "a.attnotnull")
    with pytest.raises(CheckError, match=r"public\.balance are not the same on both sides \(2 and 2\)"):
        compared(balances("100"), balances("0"))


def test_counts_that_do_not_add_up_never_agree() -> None:
    assert not TableResult("public.balance", source_rows=2, target_rows=1).agrees
    assert TableResult("public.balance", source_rows=2, target_rows=2).agrees
