"""Undo a transition, and prove on a clone that the database is then exactly what it was."""

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from typing import Any

from checks.errors import CheckError
from checks.kinds.base import RunContext
from checks.tools import digest
from checks.tools.background import patiently
from checks.tools.postgres import Address, Connection, connected
from checks.tools.transition import allowances, catalog, keeping, locking, undoing
from checks.tools.transition.moving import SEED
from checks.tools.transition.work import SCHEMA

_LOCK_WAIT = timedelta(seconds=30)


def note(context: RunContext, address: Address, may_change: Mapping[str, str]) -> dict[str, Any]:
    """Every table's digest and every sequence's position, on the clone. ``may_change``: as the plan declares."""
    with connected(address, what="the clone") as connection:
        # A journal of before ``place`` gets it now: else the move would give it, and the undo leave a difference.
        keeping.exists(connection)
        return patiently(context, connection, lambda: _state(connection, may_change))


def _state(connection: Connection, may_change: Mapping[str, str]) -> dict[str, Any]:
    """What must be the same again; and ``declared``: tables of which all or some columns need not."""
    tables, declared = {}, {}
    for table in digest.tables(connection):
        free = _free(connection, table, may_change)
        if free is None or free:
            declared[table.label] = _digest(connection, table)
        if free is not None:
            tables[table.label] = _digest(connection, table, free)
    fed_by = digest.fed_by(connection) if may_change else {}
    return {
        "tables": tables,
        "declared": declared,
        # That of the journal's places goes on for ever, so that no place comes twice.
        "sequences": {
            name: (state.position, state.following)
            for name, state in digest.sequences(connection).items()
            if not name.startswith(f"{SCHEMA}.") and not _feeds_declared(fed_by.get(name, []), may_change)
        },
    }


def _digest(connection: Connection, table: digest.Table, without: Collection[str] = ()) -> tuple[int, str]:
    found = digest.digest_table(connection, table, SEED, without=without)
    return found.rows, found.checksum


def _free(connection: Connection, table: digest.Table, may_change: Mapping[str, str]) -> list[str] | None:
    """Columns that triggers may write, also where the plan names the table that this one is a partition of; None where
    it names the table itself."""
    shape = catalog.shape(connection, table.label) if may_change else None
    if shape is None:
        return []
    labels = {shape.label, *shape.ancestors}
    if any(allowances.short(label) in may_change for label in labels):
        return None
    return [name for label in labels for name in allowances.of_table(label, shape.columns, may_change)]


def _feeds_declared(fed: Iterable[tuple[str, str]], may_change: Mapping[str, str]) -> bool:
    """Whether a sequence gives numbers to what triggers may write; ``fed``: label and column."""
    tables = [(allowances.short(label), name) for label, name in fed]
    return any(table in may_change or f"{table}.{name}" in may_change for table, name in tables)


def undo(
    context: RunContext,
    address: Address,
    section: str,
    build: str | None,
    triggers: str,
    *,
    may_change: Mapping[str, str],
    what: str,
    lock_wait: timedelta = _LOCK_WAIT,
) -> tuple[int, undoing.Undone]:
    """Undo the newest transition of a section for a build that stands: (its run's number, what was done).

    One transaction; with refusals nothing was done. CheckError when there is none.
    """
    with connected(address, what=what, lock_timeout=lock_wait) as connection:
        locking.take_turn(context, connection, alone=False, seconds=lock_wait.total_seconds(), what=what)
        found = keeping.newest(connection, section, build)
        if found is None:
            raise CheckError(
                f"No transition of {section} stands in {what}.", remedy="There is nothing to undo. Nothing was changed."
            )
        if found.settled:
            return found.run, undoing.Undone(refusals=[undoing.told_settled(found)])
        shapes = [table.shape for table in undoing.tables_of(connection, found, may_change)]
        locking.seize(context, connection, shapes, seconds=lock_wait.total_seconds(), what=what)
        undone = patiently(
            context, connection, lambda: undoing.undo(connection, found, triggers=triggers, may_change=may_change)
        )
        if undone.refusals:
            connection.rollback()
        else:
            connection.commit()
    return found.run, undone


def rehearse(
    context: RunContext,
    address: Address,
    section: str,
    before: Mapping[str, Any],
    triggers: str,
    may_change: Mapping[str, str],
) -> dict[str, Any]:
    """Undo on the clone and compare every table and sequence with what was noted before the move."""
    build = context.run.build_digest or None
    _, undone = undo(context, address, section, build, triggers, may_change=may_change, what="the clone")
    after = note(context, address, may_change)
    told = list(undone.refusals)
    for kind, words in (("tables", "rows"), ("sequences", "position")):
        told += [f"{name} has not the {words} it had after the undo." for name in _other(before, after, kind)]
    return {
        "done": not undone.refusals,
        "why": "",
        "differences": told,
        "declared": [] if undone.refusals else [
            f"{name} is not what it was, by what the plan says that triggers may change."
            for name in _other(before, after, "declared")
        ],
        "tables": undone.tables,
        "sequences": undone.sequences,
    }  # fmt: skip


def _other(before: Mapping[str, Any], after: Mapping[str, Any], kind: str) -> list[str]:
    """Names of what is there on one side only, or not the same on both."""
    names = sorted(before[kind].keys() | after[kind].keys())
    return [name for name in names if before[kind].get(name) != after[kind].get(name)]
