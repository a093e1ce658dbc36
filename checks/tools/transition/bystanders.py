"""Tables that the mapping does not name: what the move did to them, told without reading what it cannot have touched.

Whatever writes a table holds a lock on it until its transaction ends, which no reading takes. So only tables on which
this session holds one are compared, while people wait: as they were, by a second session in the snapshot with which the
move began; and as they are now. What a trigger does by another session (dblink) is not the move's, and not seen.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import LiteralString

from psycopg import IsolationLevel, sql

from checks.tools import digest
from checks.tools.digest import Table
from checks.tools.postgres import Connection, one
from checks.tools.transition.work import SCHEMA, TableWork

_WRITTEN: LiteralString = """
    SELECT l.relation::bigint, bool_or(l.mode = 'AccessExclusiveLock') FROM pg_catalog.pg_locks l
    WHERE l.locktype = 'relation' AND l.pid = pg_backend_pid() AND l.granted
      AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
      AND l.mode NOT IN ('AccessShareLock', 'RowShareLock') GROUP BY 1
"""


def tables(connection: Connection, works: Sequence[TableWork]) -> list[Table]:
    """Every table of the target that the mapping does not name, nor this program keeps for itself."""
    ours = {work.label for work in works}
    parts = {
        name
        for work in works
        if work.target.partitioned
        for (name,) in connection.execute(
            "SELECT format('%%s.%%s', n.nspname, c.relname) FROM pg_catalog.pg_partition_tree(%s::regclass) p"
            " JOIN pg_catalog.pg_class c ON c.oid = p.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace",
            [work.target.oid],
        ).fetchall()
    }
    return [table for table in digest.tables(connection) if table.label not in ours | parts and table.schema != SCHEMA]


def written(
    target: Connection, works: Sequence[TableWork], before: Collection[Table], declared: Callable[[str], bool]
) -> tuple[list[Table], list[str]]:
    """Tables that the open transaction may have written and that are still to be compared; and labels of those that it
    did change: made, dropped, altered, emptied, or ``declared`` and written."""
    now = tables(target, works)
    held: dict[int, bool] = dict(target.execute(_WRITTEN).fetchall())
    changed = {table.label for table in set(now) ^ set(before)}
    suspects = [table for table in now if table.oid in held and table.label not in changed]
    changed |= {table.label for table in suspects if held[table.oid] or declared(table.label)}
    return [table for table in suspects if table.label not in changed], sorted(changed)


@contextmanager
def as_it_was(target: Connection, look: Callable[[], AbstractContextManager[Connection]]) -> Iterator[Connection]:
    """A second session (``look``) that sees what ``target`` saw before it wrote anything."""
    snapshot = one(target, "SELECT pg_export_snapshot()")
    with look() as other:
        other.isolation_level = IsolationLevel.REPEATABLE_READ
        other.read_only = True
        other.autocommit = False
        other.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
        yield other
