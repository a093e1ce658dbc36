"""Watches from a second connection which locks a database's sessions hold while something changes it."""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

from checks.tools.postgres import Address, Connection, connect, one

#: What each lock keeps others from doing with the table.
BLOCKS = {
    "AccessExclusiveLock": "reading and writing",
    "ExclusiveLock": "writing",
    "ShareRowExclusiveLock": "writing",
    "ShareLock": "writing",
}
_SAMPLE: LiteralString = """
    SELECT l.pid, l.relation::bigint, l.mode FROM pg_catalog.pg_locks l
    WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid()
      AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
      AND l.mode IN ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock')
"""
_SESSIONS: LiteralString = """
    SELECT count(*) FROM pg_catalog.pg_stat_activity
    WHERE datname = current_database() AND usesysid IS NOT NULL AND pid <> pg_backend_pid()
"""
# Counts sessions of clients only, each at the latest when it has ended: also one between two samples.
_ESTABLISHED: LiteralString = "SELECT sessions FROM pg_catalog.pg_stat_database WHERE datname = current_database()"
_SETTLE_SECONDS = 3.0


@dataclass
class Held:
    """One lock of one session on one relation. ``began``, ``ended``: seconds of the epoch, to one sample."""

    pid: int
    relation: int
    mode: str
    began: float
    ended: float

    def seconds(self, interval: float) -> float:
        """How long it was held, at most one sample too long."""
        return self.ended - self.began + interval


class LockTrace:
    """Samples every ``interval`` seconds in a thread of its own, between entering and leaving the block."""

    def __init__(self, address: Address, interval: float) -> None:
        self.interval = interval
        self.samples = 0
        self.visited_at: float | None = None
        self.visited = False
        self.longest_gap = 0.0
        self.failure: psycopg.Error | None = None
        self._connection = connect(address, what="the clone")
        self._open: dict[tuple[int, int, str], Held] = {}
        self._closed: list[Held] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "LockTrace":
        self._established = self._count_sessions()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        with suppress(psycopg.Error):
            self.visited = self.visited_at is not None or self._count_sessions() > self._established
        with suppress(psycopg.Error):
            self._connection.close()
        self._closed += self._open.values()
        self._open = {}

    @property
    def held(self) -> list[Held]:
        return sorted(self._closed, key=lambda lock: lock.began)

    def _count_sessions(self) -> int:
        """How many sessions this database has had, once those that are just ending have been counted."""
        connection, until = self._connection, time.monotonic() + _SETTLE_SECONDS
        while one(connection, _SESSIONS) and time.monotonic() < until:
            time.sleep(0.02)
        if connection.info.server_version < 150000:
            return 0
        connection.execute("SELECT pg_stat_force_next_flush()")
        return int(one(connection, _ESTABLISHED))

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._stop.is_set():
            try:
                self._sample(self._connection)
            except psycopg.Error as error:
                self.failure = error
                return
            now = time.monotonic()
            self.longest_gap = max(self.longest_gap, now - last)
            last = now
            self._stop.wait(self.interval)

    def _sample(self, connection: Connection) -> None:
        now = time.time()
        seen: set[tuple[int, int, str]] = set()
        for pid, relation, mode in connection.execute(_SAMPLE).fetchall():
            key = (pid, relation, mode)
            seen.add(key)
            self._open.setdefault(key, Held(pid, relation, mode, now, now)).ended = now
        for key in self._open.keys() - seen:
            self._closed.append(self._open.pop(key))
        self.samples += 1
        if self.visited_at is None:
            row = connection.execute(_SESSIONS).fetchone()
            if row and row[0]:
                self.visited_at = now


def by_table(held: list[Held], owners: Mapping[int, str], interval: float) -> list[dict[str, Any]]:
    """Longest first: table, mode, what it blocks, seconds, began. Relations that were not there before are left out.

    ``owners``: number of a table, index or TOAST table -> the table that people know. A lock on an index keeps others
    from the whole table. Overlapping locks of one session on one table and mode are told as one.
    """
    merged: dict[tuple[int, str, str], list[Held]] = {}
    for lock in sorted(held, key=lambda lock: lock.began):
        table = owners.get(lock.relation)
        if table is None:
            continue
        spans = merged.setdefault((lock.pid, table, lock.mode), [])
        if spans and lock.began <= spans[-1].ended + 2 * interval:
            spans[-1].ended = max(spans[-1].ended, lock.ended)
        else:
            spans.append(Held(lock.pid, lock.relation, lock.mode, lock.began, lock.ended))
    rows = [
        {
            "table": table,
            "mode": mode,
            "blocks": BLOCKS[mode],
            "seconds": round(span.seconds(interval), 3),
            "began": span.began,
        }
        for (_, table, mode), spans in merged.items()
        for span in spans
    ]
    return sorted(rows, key=lambda row: -float(str(row["seconds"])))
