"""Columns that the mapping does not name: what the target itself puts into them when a row is inserted.

Where that is one value for every row, it is known beforehand, and each inserted row must hold it afterwards: what a
trigger wrote there instead (staff rights, say) is a difference.
"""

from collections.abc import Iterable, Iterator

from psycopg import sql

from checks.tools.postgres import Connection
from checks.tools.transition import expression
from checks.tools.transition.catalog import Column
from checks.tools.transition.preflight import keys_of
from checks.tools.transition.work import Action, TableWork, column


def known(target: Connection, work: TableWork) -> dict[str, sql.Composable]:
    """Column -> its value in every inserted row, for those of which that can be told: no default, or a steady one."""
    return {
        one.name: sql.SQL("({})::{}").format(sql.SQL(one.default or "NULL"), sql.SQL(one.stored))
        for one in _unmapped(work)
        if (one.default and _steady(target, one.default)) or not one.has_default
    }


def _unmapped(work: TableWork) -> Iterator[Column]:
    for name, one in work.target.columns.items():
        if name not in work.columns and name not in work.mapping.keys_in_target and not one.generated:
            yield one


def _steady(target: Connection, text: str) -> bool:
    """Whether it is the same each time that this transaction asks: what only the server's own functions make, and none
    of them is volatile."""
    of_the_server = all(schema == "pg_catalog" for schema, _ in expression.called(text))
    return of_the_server and expression.unsteady(target, text) is None


def untold(work: TableWork, free: Iterable[str]) -> list[str]:
    """Columns of which nobody knows what an inserted row should hold; ``free`` are declared."""
    return [one.name for one in _unmapped(work) if one.name not in work.filled and one.name not in free]


def differences(target: Connection, work: TableWork) -> Iterator[str]:
    """A sentence where inserted rows hold something else than the target puts there."""
    others = {
        name: sql.SQL("({})::text IS DISTINCT FROM ({})::text").format(column("t", name), value)
        for name, value in sorted(work.filled.items())
    }
    if not others:
        return
    rows = sql.SQL("FROM {} m JOIN {} t ON {} WHERE m.action = {}").format(
        work.map, work.target.identifier, work.at_target(), sql.Literal(int(Action.INSERT))
    )
    counts = target.execute(
        sql.SQL("SELECT {} {}").format(
            sql.SQL(", ").join(sql.SQL("count(*) FILTER (WHERE {})").format(other) for other in others.values()), rows
        )
    ).fetchone()
    for (name, other), count in zip(others.items(), counts or (), strict=True):
        if count:
            keys = ", ".join(keys_of(target, work, sql.SQL("{} AND {}").format(rows, other), "m"))
            yield f"{count:,} inserted rows hold something else in {name} than its default: {keys}."
