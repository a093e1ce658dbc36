"""Undo a transition, and prove on a clone that the database is then exactly what it was."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from checks.errors import CheckError
from checks.kinds.base import RunContext
from checks.tools import digest
from checks.tools.background import patiently
from checks.tools.postgres import Address, Connection, connected
from checks.tools.transition import keeping, locking, undoing
from checks.tools.transition.moving import SEED
from checks.tools.transition.work import SCHEMA

_LOCK_WAIT = timedelta(seconds=30)


def note(context: RunContext, address: Address) -> dict[str, Any]:
    """Every table's digest and every sequence's position, on the clone."""
    with connected(address, what="the clone") as connection:
        # A journal of before ``place`` gets it now: else the move would give it, and the undo leave a difference.
        keeping.exists(connection)
        return patiently(context, connection, lambda: _state(connection))


def _state(connection: Connection) -> dict[str, Any]:
    tables = {name: (one.rows, one.checksum) for name, one in digest.digest_tables(connection, SEED).items()}
    return {
        "tables": tables,
        # That of the journal's places goes on for ever, so that no place comes twice.
        "sequences": {
            name: (state.position, state.following)
            for name, state in digest.sequences(connection).items()
            if not name.startswith(f"{SCHEMA}.")
        },
    }


def undo(
    context: RunContext,
    address: Address,
    section: str,
    build: str | None,
    triggers: str,
    *,
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
        shapes = [table.shape for table in undoing.tables_of(connection, found)]
        locking.seize(context, connection, shapes, seconds=lock_wait.total_seconds(), what=what)
        undone = patiently(context, connection, lambda: undoing.undo(connection, found, triggers=triggers))
        if undone.refusals:
            connection.rollback()
        else:
            connection.commit()
    return found.run, undone


def rehearse(
    context: RunContext, address: Address, section: str, before: Mapping[str, Any], triggers: str
) -> dict[str, Any]:
    """Undo on the clone and compare every table and sequence with what was noted before the move."""
    build = context.run.build_digest or None
    _, undone = undo(context, address, section, build, triggers, what="the clone")
    after = note(context, address)
    told = list(undone.refusals)
    for kind, words in (("tables", "rows"), ("sequences", "position")):
        told += [
            f"{name} has not the {words} it had after the undo."
            for name in sorted(before[kind].keys() | after[kind].keys())
            if before[kind].get(name) != after[kind].get(name)
        ]
    return {
        "done": not undone.refusals,
        "why": "",
        "differences": told,
        "tables": undone.tables,
        "sequences": undone.sequences,
    }
