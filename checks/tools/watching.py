"""A command that changes a clone, under the eyes of the lock trace and the canaries."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import LiteralString

from checks.errors import CheckError
from checks.kinds.base import Completed, RunContext
from checks.models import LogChunk
from checks.tools import canaries, locks, server_words
from checks.tools.attribution import Observed
from checks.tools.postgres import Address, connected
from checks.tools.rehearsal import State

_LEFT: LiteralString = """
    SELECT pg_terminate_backend(pid), left(query, 200) FROM pg_catalog.pg_stat_activity
    WHERE datname = current_database() AND usesysid IS NOT NULL AND application_name <> %s AND pid <> pg_backend_pid()
"""
_STILL: LiteralString = _LEFT.replace("pg_terminate_backend(pid)", "pid")
#: Seconds; PostgreSQL 13 ends sessions without waiting for it.
_ENDS_WITHIN = 5.0


@dataclass(frozen=True)
class Watched:
    """``began``: seconds of the epoch."""

    done: Completed
    trace: locks.LockTrace
    flock: canaries.Canaries
    began: float

    def observed(self, context: RunContext) -> Observed:
        return Observed(
            self.trace.held,
            self.flock.stalls,
            self.trace.interval,
            self.began,
            self.began + self.done.seconds,
            _said_began(context, self.trace),
        )


def watch(
    context: RunContext, address: Address, before: State, interval: float, run: Callable[[], Completed]
) -> Watched:
    """Run the command. CheckError when it could not be executed, or its locks could not be watched to the end."""
    tables = {
        oid: (relation.quoted, relation.kind not in "mv")
        for oid, relation in before.relations.items()
        if relation.is_table or relation.kind == "v"
    }
    owners = before.tables_of
    flock = canaries.Canaries(address, tables)
    try:
        with locks.LockTrace(address, interval, lambda oid, since: flock.touch(owners.get(oid, oid), since)) as trace:
            began = time.time()
            done = run()
    finally:
        flock.close()
    _end_what_is_left(context, address)
    if trace.failure is not None:
        raise CheckError(
            f"The locks could not be watched to the end: {server_words.of(trace.failure)}",
            remedy="Nothing is said of locks by half. Run it again.",
        )
    if done.returncode in (126, 127):
        raise CheckError(
            f"The migrate command could not be executed (exit status {done.returncode}); the log says why.",
            remedy="Correct the command in the plan, or install what it needs on the worker.",
        )
    return Watched(done, trace, flock, began)


def _end_what_is_left(context: RunContext, address: Address) -> None:
    """A server goes on with the statement of a client that died. Ended here, so that what is noted next stays so."""
    with connected(address, what="the clone") as connection:
        for _, query in connection.execute(_LEFT, [locks.WATCHERS]).fetchall():
            context.warn(f"A session of the command was at work after its end, and was ended: {query}")
        until = time.monotonic() + _ENDS_WITHIN
        while connection.execute(_STILL, [locks.WATCHERS]).fetchone() and time.monotonic() < until:
            time.sleep(0.05)


def last_lines(context: RunContext) -> list[str]:
    """The end of the run's log so far."""
    run = context.run
    chunks = LogChunk.objects.filter(run_id=run.pk, attempt=run.attempt).order_by("-first_line")[:5]
    return [line for chunk in reversed(chunks) for line in chunk.body.split("\n")]


def _said_began(context: RunContext, trace: locks.LockTrace) -> datetime | None:
    """When Django says "Running migrations"; where it does not, when the first session on the clone was seen."""
    run = context.run
    chunks = LogChunk.objects.filter(run_id=run.pk, attempt=run.attempt).order_by("first_line")
    for chunk in chunks.iterator():
        for line, stamp in zip(chunk.body.split("\n"), chunk.stamps, strict=True):
            if line.strip() == "Running migrations:":
                return datetime.fromtimestamp(stamp / 1000, UTC)
    return datetime.fromtimestamp(trace.visited_at, UTC) if trace.visited_at is not None else None
