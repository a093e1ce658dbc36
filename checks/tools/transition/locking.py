"""The target's tables and sequences, locked all at once or not at all, without stopping those who use them.

Whoever waits for a lock makes everybody wait who comes after; whoever holds one lock while waiting for another may be
in a circle with a session that does the same. So each attempt is given up, with what it holds, soon after the server
has looked for such circles (which also sends an automatic vacuum away), and is made again until the time is over.

Besides, whoever moves or undoes takes a turn with whoever settles what was kept: else a move would read what is just
being removed, or not see what was made anew after its snapshot, and bring rows twice.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, LiteralString

from psycopg import IsolationLevel, errors, sql

from checks.errors import CheckError
from checks.kinds.base import RunContext
from checks.tools.background import patiently
from checks.tools.postgres import Connection, notice_a_lost_client, one
from checks.tools.transition import keeping
from checks.tools.transition.catalog import Shape
from checks.tools.transition.work import listed

_BEYOND_DEADLOCK_SECONDS: Final = 0.2
_PAUSE_SECONDS: Final = 1.0
_TURN_PAUSE_SECONDS: Final = 0.2
_DEADLOCK_SECONDS: LiteralString = (
    "SELECT setting::int / 1000.0 FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout'"
)
_HOLDERS: LiteralString = """
    SELECT DISTINCT format('%%s.%%s', n.nspname, c.relname), l.pid, a.state,
           extract(epoch FROM now() - a.xact_start)::int
    FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    WHERE l.granted AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
      AND (l.relation = ANY (%s) OR l.relation IN (SELECT p.relid FROM unnest(%s) o, pg_catalog.pg_partition_tree(o) p))
      AND l.mode NOT IN ('AccessShareLock', 'RowShareLock') AND l.pid <> pg_backend_pid() ORDER BY 1, 2 LIMIT 3
"""
#: The turn, in two numbers of this program's own: an advisory lock of the session, so that it is there before the
#: transaction's snapshot, whether there is a journal or not, and is gone with the session.
_TURN: Final = [1198477935, 1]
_TAKE: Mapping[bool, LiteralString] = {
    True: "SELECT pg_try_advisory_lock(%s, %s)",
    False: "SELECT pg_try_advisory_lock_shared(%s, %s)",
}
_TURN_HOLDERS: LiteralString = """
    SELECT DISTINCT l.pid, extract(epoch FROM now() - a.backend_start)::int
    FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    WHERE l.granted AND l.locktype = 'advisory' AND l.classid = %s::bigint::oid AND l.objid = %s::bigint::oid
      AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
      AND l.pid <> pg_backend_pid() ORDER BY 1 LIMIT 3
"""


def take_turn(context: RunContext, connection: Connection, *, alone: bool, seconds: float, what: str) -> None:
    """Until the session ends nobody settles what transitions kept there; ``alone``: and nobody moves or undoes.

    CheckError where somebody who may not be beside this one is not done within ``seconds``. Nobody waits in a queue, so
    one who waits to be alone keeps none of the others from going on.
    """
    until = time.monotonic() + seconds
    while not one(connection, _TAKE[alone], _TURN):
        if time.monotonic() >= until:
            held = ", ".join(
                f"process {process}{f', connected for {since} s' if since is not None else ''}"
                for process, since in connection.execute(_TURN_HOLDERS, _TURN).fetchall()
            )
            doing = "moves people's data or takes it back" if alone else "settles what transitions kept"
            raise CheckError(
                f"Another session {doing} in {what} and was not done within {seconds:g} s"
                f"{f' ({held})' if held else ''}. Nothing was written.",
                remedy="Wait for it, then start again.",
            )
        context.check()
        time.sleep(_TURN_PAUSE_SECONDS)


def seize(
    context: RunContext, target: Connection, tables: Sequence[Shape], *, seconds: float, what: str
) -> dict[str, keeping.Position]:
    """Begin a transaction that holds the tables, and the sequences that feed them; where each of these stands.

    Others may read the tables, and write them when it ends. Its snapshot is of after the locks, so what is seen in it
    stays so. CheckError where somebody holds one of them for longer than ``seconds``.
    """
    notice_a_lost_client(target)
    patience = float(one(target, _DEADLOCK_SECONDS)) + _BEYOND_DEADLOCK_SECONDS
    target.isolation_level = IsolationLevel.REPEATABLE_READ
    target.autocommit = False
    until = time.monotonic() + seconds
    while True:
        try:
            return patiently(context, target, partial(_attempt, target, tables, patience))
        except (errors.LockNotAvailable, errors.QueryCanceled, errors.DeadlockDetected) as error:
            target.rollback()
            if time.monotonic() >= until:
                raise _held(target, tables, seconds, what) from error
        context.check()
        time.sleep(_PAUSE_SECONDS)


def _attempt(target: Connection, tables: Sequence[Shape], patience: float) -> dict[str, keeping.Position]:
    target.execute(f"SET LOCAL statement_timeout = {int(patience * 1000)}")
    names = listed(table.identifier for table in sorted(tables, key=lambda table: table.label))
    target.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(names))
    positions = {own.label: keeping.hold_sequence(target, own) for table in tables for own in table.sequences}
    target.execute("SET LOCAL statement_timeout = 0")
    return positions


def _held(target: Connection, tables: Sequence[Shape], seconds: float, what: str) -> CheckError:
    """Who holds what, as far as the role may see it."""
    numbers = [table.oid for table in tables] + [own.oid for table in tables for own in table.sequences]
    rows = target.execute(_HOLDERS, [numbers, numbers]).fetchall()
    target.rollback()
    held = [
        f"{label} by process {process}{f' ({state} for {since} s)' if state and since is not None else ''}"
        for label, process, state, since in rows
    ]
    return CheckError(
        f"Another session holds tables of {what}, and did not release them within {seconds:g} s"
        f"{': ' if held else ''}{', '.join(held)}. Nothing was written.",
        remedy="Look at pg_stat_activity and pg_locks for the session that holds them, then start again.",
    )
