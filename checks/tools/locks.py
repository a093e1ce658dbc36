"""Watches from a second connection which locks a database's sessions hold or wait for while something changes it."""

import threading
import time
from collections.abc import Callable, Mapping
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
    "RowExclusiveLock": "changing the same rows",
    "RowShareLock": "changing the same rows",
}
ROWS = "RowExclusiveLock"
#: Of SELECT ... FOR UPDATE and its like, and of every check of a foreign key, which keeps nobody from changing a row.
ROW_READS = "RowShareLock"
#: Keep others from single rows, and nobody from the table.
OF_ROWS = frozenset({ROWS, ROW_READS})
_SAMPLE: LiteralString = """
    SELECT l.pid, l.relation::bigint, l.mode, l.granted,
           CASE WHEN l.mode <> 'RowShareLock' THEN true ELSE EXISTS (
               SELECT FROM pg_catalog.pg_stat_activity a
               WHERE a.pid = l.pid AND a.query ~* '\\mfor\\s+(no\\s+key\\s+)?(update|share)\\M') END
    FROM pg_catalog.pg_locks l
    WHERE l.locktype = 'relation' AND l.relation >= 16384
      AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
      AND l.mode IN ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock', 'RowExclusiveLock',
                     'RowShareLock')
"""
_WHO: LiteralString = """
    SELECT COALESCE(a.leader_pid, a.pid), a.backend_type IN ('client backend', 'parallel worker'),
           a.application_name = %s
    FROM pg_catalog.pg_stat_activity a WHERE a.pid = %s
"""
_SESSIONS: LiteralString = """
    SELECT count(*) FROM pg_catalog.pg_stat_activity
    WHERE datname = current_database() AND usesysid IS NOT NULL AND application_name <> %s
      AND pid <> pg_backend_pid()
"""
# Counts sessions of clients only, each at the latest when it has ended: also one between two samples.
_ESTABLISHED: LiteralString = "SELECT sessions FROM pg_catalog.pg_stat_database WHERE datname = current_database()"
_SETTLE_SECONDS = 3.0
#: The name of our own sessions on the clone, which are neither watched nor counted.
WATCHERS = "gonogo watch"


@dataclass
class Held:
    """One lock of one session on one relation, in seconds of the epoch.

    It was seen from ``began`` to ``ended``; it came after the look at ``after`` and was gone at the look at ``gone``.
    """

    pid: int
    relation: int
    mode: str
    granted: bool
    after: float
    began: float
    ended: float
    gone: float = 0.0

    @property
    def seconds(self) -> float:
        """The middle between the shortest and the longest that it can have been held: one look off at most."""
        return ((self.ended - self.began) + ((self.gone or self.ended) - self.after)) / 2


class LockTrace:
    """Samples every ``interval`` seconds in a thread of its own, between entering and leaving the block.

    ``on_lock(relation, since)`` is called in that thread when a lock that closes a table to others is first seen, held
    or waited for; ``since`` is the time of the look before, on the clock of ``time.time``.
    """

    def __init__(
        self, address: Address, interval: float, on_lock: Callable[[int, float], None] = lambda _oid, _since: None
    ) -> None:
        self.interval = interval
        self.samples = 0
        self.visited_at: float | None = None
        self.visited = False
        self.longest_gap = 0.0
        self.failure: psycopg.Error | None = None
        self._on_lock = on_lock
        self._connection = connect(address, what="the clone")
        self._connection.execute("SELECT set_config('application_name', %s, false)", [WATCHERS])
        self._open: dict[tuple[int, int, str, bool], Held] = {}
        self._closed: list[Held] = []
        self._sessions: dict[int, int | None] = {}
        self._last_look = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "LockTrace":
        self._established = self._count_sessions()
        self._last_look = time.time()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        with suppress(psycopg.Error):
            self.visited = self.visited_at is not None or self._count_sessions() > self._established
        with suppress(psycopg.Error):
            self._connection.close()
        for lock in self._open.values():
            lock.gone = time.time()
        self._closed += self._open.values()
        self._open = {}

    @property
    def held(self) -> list[Held]:
        """Every lock that was held, in order of its begin."""
        return sorted((lock for lock in self._closed if lock.granted), key=lambda lock: lock.began)

    @property
    def waited(self) -> list[Held]:
        """Every lock that a session of the command itself had to wait for."""
        return sorted((lock for lock in self._closed if not lock.granted), key=lambda lock: lock.began)

    def _count_sessions(self) -> int:
        """How many sessions this database has had, once those that are just ending have been counted."""
        connection, until = self._connection, time.monotonic() + _SETTLE_SECONDS
        while one(connection, _SESSIONS, [WATCHERS]) and time.monotonic() < until:
            time.sleep(0.02)
        if connection.info.server_version < 150000:
            return 0
        connection.execute("SELECT pg_stat_force_next_flush()")
        return int(one(connection, _ESTABLISHED))

    def _watch(self) -> None:
        last = due = time.monotonic()
        while not self._stop.is_set():
            try:
                self._sample(self._connection)
            except psycopg.Error as error:
                self.failure = error
                return
            now = time.monotonic()
            self.longest_gap = max(self.longest_gap, now - last)
            last = now
            due = max(due + self.interval, now)
            self._stop.wait(due - now)

    def _sample(self, connection: Connection) -> None:
        now, before = time.time(), self._last_look
        rows = connection.execute(_SAMPLE).fetchall()
        seen: set[tuple[int, int, str, bool]] = set()
        for pid, relation, mode, granted, locks_rows in rows:
            session = self._session(connection, pid)
            key = (session or 0, relation, mode, granted)
            # Once rows are locked they stay so until the transaction ends, whatever is asked next.
            if session is None or not (locks_rows or key in self._open):
                continue
            seen.add(key)
            if key not in self._open:
                self._open[key] = Held(session, relation, mode, granted, before, now, now)
                if mode not in OF_ROWS:
                    self._on_lock(relation, before)
            self._open[key].ended = now
        for key in self._open.keys() - seen:
            lock = self._open.pop(key)
            lock.gone = now
            self._closed.append(lock)
        self.samples += 1
        self._last_look = now
        if self.visited_at is None and one(connection, _SESSIONS, [WATCHERS]):
            self.visited_at = now

    def _session(self, connection: Connection, pid: int) -> int | None:
        """The session that a server process works for; None for our own and for the server's own workers."""
        if pid not in self._sessions:
            row = connection.execute(_WHO, [WATCHERS, pid]).fetchone()
            if row is None:
                return None
            self._sessions[pid] = row[0] if row[1] and not row[2] else None
        return self._sessions[pid]


def by_table(held: list[Held], owners: Mapping[int, str], interval: float) -> list[dict[str, Any]]:
    """Longest first: table, mode, what it blocks, seconds, began, session. Relations that came later are left out.

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
            spans[-1].gone = max(spans[-1].gone, lock.gone)
        else:
            spans.append(Held(lock.pid, lock.relation, lock.mode, True, lock.after, lock.began, lock.ended, lock.gone))
    rows = [
        {
            "table": table,
            "mode": mode,
            "blocks": BLOCKS[mode],
            "seconds": round(span.seconds, 4),
            "began": (span.after + span.began) / 2,
            "session": span.pid,
        }
        for (_, table, mode), spans in merged.items()
        for span in spans
    ]
    return sorted(rows, key=lambda row: -float(str(row["seconds"])))
