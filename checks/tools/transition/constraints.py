"""Foreign keys, check constraints and partitions of the target, asked of every row as it would be written."""

from collections.abc import Iterator, Sequence

from psycopg import sql

from checks.tools.postgres import Connection
from checks.tools.transition import asking, written
from checks.tools.transition.catalog import ForeignKey
from checks.tools.transition.preflight import Conflict, arriving, found
from checks.tools.transition.work import Action, TableWork, column, equal, listed


def foreign(connection: Connection, work: TableWork, works: Sequence[TableWork]) -> Iterator[Conflict]:
    """Foreign keys that no map follows: what they name must be in the target, or arrive with another table's rows."""
    followed = {one.constraint for one in work.references}
    by_label = {one.label: one for one in works}
    for key in work.target.foreign_keys:
        parent = by_label.get(key.table)
        if key.name in followed or any(name not in work.columns or work.columns[name].wrong for name in key.columns):
            continue
        if parent is not None and not written.known(parent, key.foreign):
            continue
        yield from found(
            connection, work, _unknown(work, key, parent), alias="q", kind="orphan", about=", ".join(key.columns),
            text=f"refer to a row of {key.table} that is not in the target",
            remedy=f"Move {key.table} as well, match it (new: stop, existing: skip), or leave such rows out.",
        )  # fmt: skip


def _unknown(work: TableWork, key: ForeignKey, parent: TableWork | None) -> sql.Composable:
    schema, _, name = key.table.partition(".")
    given = sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(sql.Identifier(one)) for one in key.columns)
    rows = written.rows(work, key.columns, _terms(key.columns), given)
    values = _values(key.columns)
    pairs = [(column("q", value), column("f", one)) for value, one in zip(values, key.foreign, strict=True)]
    there = sql.SQL("EXISTS (SELECT FROM {} f WHERE {})").format(sql.Identifier(schema, name), equal(pairs))
    if parent is None:
        return sql.SQL("FROM {} q WHERE NOT {}").format(rows, there)
    pairs = [(column("q", value), column("a", value)) for value in values]
    return sql.SQL("FROM {} q WHERE NOT {} AND NOT EXISTS (SELECT FROM {} a WHERE {})").format(
        rows, there, written.rows(parent, key.foreign, _terms(key.foreign)), equal(pairs)
    )


def _values(columns: Sequence[str]) -> list[str]:
    return [f"u{place}" for place in range(1, len(columns) + 1)]


def _terms(columns: Sequence[str]) -> list[sql.Composable]:
    return [
        sql.SQL("{} AS {}").format(sql.Identifier(one), sql.Identifier(value))
        for one, value in zip(columns, _values(columns), strict=True)
    ]


def halves(connection: Connection, work: TableWork) -> Iterator[Conflict]:
    """Keys of several columns of which a part is null: they name no row, and the rest of them would be lost."""
    for reference in work.references:
        parts = [column("s", one.stage) for one in reference.columns]
        rows = sql.SQL("FROM {} WHERE num_nulls({}) NOT IN (0, {})").format(
            arriving(work, [Action.INSERT, Action.MERGE]), listed(parts), sql.Literal(len(parts))
        )
        if len(parts) > 1:
            yield from found(
                connection, work, rows, alias="m", kind="half",
                about=", ".join(one.column.name for one in reference.columns),
                text=f"hold a part of a key of {reference.parent.label}, which names no row",
                remedy="Say of each column by itself what it refers to (references:), or leave such rows out.",
            )  # fmt: skip


def numbers(connection: Connection, work: TableWork) -> Iterator[Conflict]:
    """New keys that the sequence or the key's column does not reach, and columns that hold less than what they name."""
    if work.mapping.keys == "new":
        key, own = work.target.columns[work.mapping.keys_in_target[0]], work.numbered_by
        beyond: sql.Composable = sql.SQL("m.t1 IS NULL")
        if key.type != key.stored:
            beyond = sql.SQL("({} OR NOT {})").format(beyond, asking.takes(connection, column("m", "t1"), key.type))
        rows = sql.SQL("FROM {} m WHERE m.action = {} AND {}").format(work.map, sql.Literal(int(Action.INSERT)), beyond)
        yield from found(
            connection, work, rows, alias="m", kind="number", about=key.name,
            text=f"would get a number that {own.label} or the type {key.type} does not reach",
            remedy="Give the column a wider type in the target, or its sequence a greater MAXVALUE.",
        )  # fmt: skip
    for one in work.columns.values():
        if one.reference is None or one.fits is None:
            continue
        value = one.reference.value_of(one)
        rows = sql.SQL("FROM {} WHERE {} IS NOT NULL AND NOT {}").format(
            arriving(work, [Action.INSERT, Action.MERGE]), value, one.fits
        )
        conflicts = list(found(
            connection, work, rows, alias="m", kind="number", about=one.column.name,
            text=f"would refer to a key of {one.reference.parent.label} that does not fit into {one.column.type}",
            remedy="Give the column the type of the key that it names, in the target.",
        ))  # fmt: skip
        one.wrong = bool(conflicts)
        yield from conflicts


def last_numbers(connection: Connection, work: TableWork) -> Iterator[Conflict]:
    """Numbers at the very end of the sequence that feeds their column: pushed past them, it would give no more."""
    for own in work.target.sequences:
        if own.column not in work.columns or not written.known(work, [own.column]):
            continue
        last = sql.SQL("{} = {}").format(
            sql.Identifier(own.column), sql.Literal(own.greatest if own.increment > 0 else own.least)
        )
        yield from found(
            connection, work, sql.SQL("FROM {} q").format(written.rows(work, [own.column], where=last)), alias="q",
            kind="number", about=own.column,
            text=f"take the last number of {own.label}, which would give the application no more",
            remedy="Give such rows another number by an expression, leave them out, or say keys: new.",
        )  # fmt: skip


def checks(connection: Connection, work: TableWork) -> Iterator[Conflict]:
    """CHECK constraints of the target whose columns all arrive."""
    for name, condition, columns in work.target.checks:
        if written.known(work, columns):
            broken = written.rows(work, columns, where=sql.SQL("NOT ({})").format(sql.SQL(condition)))
            yield from found(
                connection, work, sql.SQL("FROM {} q").format(broken), alias="q", kind="check", about=name,
                text=f"break the target's rule {name}",
                remedy="Mend the source, change the value by an expression, or leave such rows out.",
            )  # fmt: skip


def partitions(connection: Connection, work: TableWork) -> Iterator[Conflict]:
    """Rows for which the target has no partition; where it is a partition itself, rows of another one."""
    columns = work.target.partitioned_by
    if not columns or not written.known(work, columns):
        return
    inside = sql.SQL(" OR ").join(sql.SQL("({})").format(sql.SQL(bound)) for bound in work.target.bounds or ["false"])
    homeless = written.rows(work, columns, where=sql.SQL("({}) IS NOT TRUE").format(inside))
    yield from found(
        connection, work, sql.SQL("FROM {} q").format(homeless), alias="q", kind="partition", about=", ".join(columns),
        text="belong to no partition that the target has",
        remedy="Make their partition in the target, or leave such rows out.",
    )  # fmt: skip
