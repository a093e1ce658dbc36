"""Foreign keys, check constraints and partitions of the target, asked of every row as it would be written."""

from collections.abc import Iterator

from psycopg import sql

from checks.tools.postgres import Connection
from checks.tools.transition import written
from checks.tools.transition.catalog import ForeignKey
from checks.tools.transition.preflight import Conflict, found
from checks.tools.transition.work import TableWork, column, equal


def foreign(connection: Connection, work: TableWork) -> Iterator[Conflict]:
    """References to tables that are not moved: what they name must be there under the same key."""
    followed = {one.constraint for one in work.references}
    for key in work.target.foreign_keys:
        if key.name in followed or any(name not in work.columns for name in key.columns):
            continue
        if any(work.columns[name].reference or work.columns[name].wrong for name in key.columns):
            continue
        yield from found(
            connection, work, _unknown(work, key), alias="q", kind="orphan", about=", ".join(key.columns),
            text=f"refer to a row of {key.table} that is not in the target",
            remedy=f"Move {key.table} as well, match it (new: stop, existing: skip), or leave such rows out.",
        )  # fmt: skip


def _unknown(work: TableWork, key: ForeignKey) -> sql.Composable:
    schema, _, name = key.table.partition(".")
    values = [f"u{place}" for place in range(1, len(key.columns) + 1)]
    terms = [
        sql.SQL("{} AS {}").format(sql.Identifier(one), sql.Identifier(value))
        for one, value in zip(key.columns, values, strict=True)
    ]
    given = sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(sql.Identifier(one)) for one in key.columns)
    pairs = [(column("q", value), column("f", one)) for value, one in zip(values, key.foreign, strict=True)]
    return sql.SQL("FROM {} q WHERE NOT EXISTS (SELECT FROM {} f WHERE {})").format(
        written.rows(work, key.columns, terms, given), sql.Identifier(schema, name), equal(pairs)
    )


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
