"""The proof: nothing lost, nothing changed but what the plan declares, each sentence about a difference that was found.

The source hashes what it gives, and the stage must hash to the same; then each row that the target holds afterwards,
cast back to the source's types, must hash to its row of the stage. It runs in the transaction that moved, so that a
difference undoes everything.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from psycopg import sql

from checks.tools.postgres import Connection, one
from checks.tools.transition import accounting, filling, keeping, measuring, staging
from checks.tools.transition.preflight import keys_of
from checks.tools.transition.work import Action, Mapped, TableWork, column, hash_of, row_hash


@dataclass
class Sums:
    """Rows and the sum of their hashes; differences are exact."""

    rows: int
    checksum: Decimal

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(self.rows - other.rows, self.checksum - other.checksum)


@dataclass
class Proof:
    """``differences``: sentences; none means proven. ``tables``: figures for each table, by its label."""

    differences: list[str] = field(default_factory=list)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)


def whole(connection: Connection, work: TableWork, seed: int, without: Iterable[str] = ()) -> Sums:
    """All rows of a moved table."""
    return _sums(connection, sql.SQL("FROM {} t").format(work.target.identifier), work, seed, without)


def _sums(
    connection: Connection, rows: sql.Composable, work: TableWork, seed: int, without: Iterable[str] = ()
) -> Sums:
    query = sql.SQL("SELECT count(*), COALESCE(sum({}), 0) {}").format(
        row_hash(work.target, seed, without=without), rows
    )
    row = connection.execute(query).fetchone()
    assert row is not None
    return Sums(row[0], Decimal(row[1]))


def prove(
    target: Connection,
    work: TableWork,
    *,
    seed: int,
    before: Sums,
    tally: accounting.Tally,
    free: list[str],
) -> tuple[list[str], dict[str, Any]]:
    """One table of the mapping: sentences about differences, none of which means proven, and its figures.

    ``before``: all of its rows as they were. ``free``: columns that triggers may change.
    """
    figures: dict[str, Any] = {}
    told = [
        f"{work.label}: {sentence}"
        for sentence in (
            *_everything_came(target, work, seed, figures),
            *_inserted(target, work, seed, figures, free),
            *filling.differences(target, work),
            *accounting.merged(target, work, seed, figures, free),
            *accounting.skipped(target, work, tally),
            *accounting.placed(target, work),
            *accounting.balance(work, tally, figures),
            *_rest(target, work, seed, before, figures, free),
            *accounting.kept(target, work),
        )
    ]
    figures["columns"] = measuring.columns(target, work, free, told)
    return told, figures


def _everything_came(target: Connection, work: TableWork, seed: int, figures: dict[str, Any]) -> Iterable[str]:
    """What the source counted and hashed is what was staged, and every staged row has one place in the map."""
    rows, checksum = staging.arrived(target, work, seed)
    placed = one(target, sql.SQL("SELECT count(*) FROM {}").format(work.map))  # type: ignore[arg-type]
    figures |= {"source_rows": work.source_rows, "source_checksum": work.source_sum, "staged_checksum": checksum}
    if rows != work.source_rows:
        yield f"the source has {work.source_rows:,} rows and {rows:,} arrived."
    elif checksum != work.source_sum:
        yield "as many rows arrived as the source has, but their content differs."
    if placed != rows:
        yield f"{rows:,} rows arrived and {placed:,} were given a place."


def _inserted(
    target: Connection, work: TableWork, seed: int, figures: dict[str, Any], free: list[str]
) -> Iterable[str]:
    """Each inserted row, read back, hashes to what the source said; each reference leads where it must."""
    hashed = [one for one in work.hashed() if one.column.name not in free]
    found, said = (_hash(work, hashed, seed, at_target=there) for there in (True, False))
    wrong = [sql.SQL("{} <> {}").format(found, said), *(_beyond(one) for one in hashed if not one.same_type)]
    for reference in work.references:
        wrong += [
            sql.SQL("{} IS DISTINCT FROM {}").format(column("t", one.column.name), reference.value_of(one))
            for one in reference.columns
        ]
    rows = sql.SQL("FROM {} JOIN {} m ON {} AND m.action = {} LEFT JOIN {} t ON {}").format(
        work.joins, work.map, work.same_key(), sql.Literal(int(Action.INSERT)), work.target.identifier,
        work.at_target(),
    )  # fmt: skip
    key = column("t", work.mapping.keys_in_target[0])
    differs = sql.SQL(" OR ").join(wrong)
    row = target.execute(
        sql.SQL(
            "SELECT count(*), count({}), COALESCE(sum({}), 0)::text, COALESCE(sum({}), 0)::text,"
            " count(*) FILTER (WHERE {}) {}"
        ).format(key, said, found, differs, rows)
    ).fetchone()
    assert row is not None
    figures |= {"inserted": row[1], "said_checksum": row[2], "found_checksum": row[3]}
    if row[0] != row[1]:
        yield f"{row[0] - row[1]:,} of {row[0]:,} inserted rows are not in the target."
    if row[4]:
        keys = keys_of(target, work, sql.SQL("{} WHERE {}").format(rows, differs), "m")
        yield f"{row[4]:,} inserted rows differ from the source: {', '.join(keys)}."


def _beyond(one: Mapped) -> sql.Composable:
    """Where the target's type tells more than the source's, the hash does not see what was added there."""
    return sql.SQL("({})::text IS DISTINCT FROM ({})::text").format(column("t", one.column.name), one.cast())


def _hash(work: TableWork, hashed: list[Mapped], seed: int, *, at_target: bool) -> sql.Composable:
    """Of these columns, in types of the source: as the target holds them, or as they were staged."""
    values = [one.comparable(column("t", one.column.name) if at_target else column("s", one.stage)) for one in hashed]
    return hash_of(values, seed, work.target.server)


def _rest(
    target: Connection, work: TableWork, seed: int, before: Sums, figures: dict[str, Any], free: list[str]
) -> Iterable[str]:
    """Rows that were neither inserted nor merged: as many as before, and the same."""
    rest_before = before
    if work.mapping.existing == "merge":
        kept = sql.SQL("FROM {} t").format(keeping.before_table(work.place, work.number))
        rest_before = before - _sums(target, kept, work, seed, free)
    outside = sql.SQL("FROM {} t WHERE NOT EXISTS (SELECT FROM {} m WHERE m.action IN ({}, {}) AND {})").format(
        work.target.identifier, work.map, sql.Literal(int(Action.INSERT)), sql.Literal(int(Action.MERGE)),
        work.at_target(),
    )  # fmt: skip
    rest_after = _sums(target, outside, work, seed, free)
    figures |= {"rest_rows": rest_after.rows, "rest_unchanged": rest_before == rest_after}
    if rest_before != rest_after:
        rows = f"{rest_before.rows:,} before and {rest_after.rows:,} after"
        yield f"rows outside of the mapping changed ({rows})."
