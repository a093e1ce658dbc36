"""Sessions that stand for users: one reader and one writer of each table that is closed, measuring how long they wait.

A canary asks ``EXPLAIN SELECT`` or ``EXPLAIN DELETE``, which take just the locks that reading and writing take, on the
table and its indexes, and neither execute anything nor fire a trigger: no row can change. It asks only when the lock
trace sees a lock that closes its table, so it costs nothing while nothing is closed.

A waiting canary gives up after a tenth of a second and asks again at once. So it never waits as long as PostgreSQL
takes to look for deadlocks, and the migration can never be chosen to end one that a canary has a part in.
"""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass

import psycopg
from psycopg import errors, sql

from checks.tools import server_words
from checks.tools.locks import WATCHERS
from checks.tools.postgres import Address, Connection, connect, one

MAX_TABLES = 40
SPARE = 2
#: An answer within this time was not waiting for a lock.
UNHINDERED_SECONDS = 0.004
READER, WRITER = "reader", "writer"


@dataclass(frozen=True)
class Stall:
    """How long a user would have waited. ``began``: seconds of the epoch, at most one look of the trace too early.

    ``gone``: the table was no longer there when the wait ended, so that user then saw an error.
    """

    table: str
    who: str
    began: float
    seconds: float
    gone: bool = False


class Canaries:
    """All canaries of one clone. ``touch`` may be called from any thread, ``close`` ends them all.

    ``tables``: number of a table or view -> (its quoted name, whether it can be written).
    """

    def __init__(self, address: Address, tables: dict[int, tuple[str, bool]]) -> None:
        self._address, self._tables = address, tables
        self._canaries: dict[int, list[_Canary]] = {}
        self._lock = threading.Lock()
        self.stalls: list[Stall] = []
        self.left_out: set[str] = set()
        self.failures: list[str] = []
        self._spare = [self._connect() for _ in range(2 * SPARE)]

    def touch(self, table: int, since: float) -> None:
        """A lock that closes this table was seen, and was not there at ``since`` (seconds of the epoch)."""
        if table not in self._tables:
            return
        name, written = self._tables[table]
        if table not in self._canaries:
            if len(self._canaries) >= MAX_TABLES:
                self.left_out.add(name)
                return
            self._canaries[table] = [_Canary(self, name, READER), *([_Canary(self, name, WRITER)] if written else [])]
        for canary in self._canaries[table]:
            canary.wake(since)

    def close(self) -> None:
        for pair in self._canaries.values():
            for canary in pair:
                canary.stop()
        for pair in self._canaries.values():
            for canary in pair:
                canary.join()
        for connection in self._spare:
            with suppress(psycopg.Error):
                connection.close()

    @property
    def watched(self) -> int:
        return len(self._canaries)

    def take(self) -> Connection:
        """A connection that is open already, so that a canary asks at once; a new one when none is left."""
        with self._lock:
            if self._spare:
                return self._spare.pop()
        return self._connect()

    def keep(self, stall: Stall) -> None:
        with self._lock:
            self.stalls.append(stall)

    def fail(self, text: str) -> None:
        with self._lock:
            self.failures.append(text)

    def _connect(self) -> Connection:
        connection = connect(self._address, what="the clone")
        connection.execute("SELECT set_config('application_name', %s, false)", [WATCHERS])
        detection = one(connection, "SELECT setting::int FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout'")
        connection.execute(f"SET lock_timeout = {max(1, min(100, int(detection) // 3))}")
        return connection


class _Canary:
    """One session of one table, asleep until it is woken."""

    def __init__(self, canaries: Canaries, table: str, who: str) -> None:
        self._canaries, self._table, self._who = canaries, table, who
        # The name comes quoted from the server itself.
        verb = sql.SQL("SELECT FROM ONLY ") if who == READER else sql.SQL("DELETE FROM ONLY ")
        self._question = sql.SQL("EXPLAIN ") + verb + sql.SQL(table)
        self._since = 0.0
        self._awake = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def wake(self, since: float) -> None:
        if not self._awake.is_set():
            self._since = since
            self._awake.set()

    def stop(self) -> None:
        self._ending.set()
        self._awake.set()

    def join(self) -> None:
        self._thread.join(5)

    def _live(self) -> None:
        connection: Connection | None = None
        try:
            while self._awake.wait() and not self._ending.is_set():
                since = self._since
                self._awake.clear()
                if self._ending.is_set():  # told between the two lines above, which would have forgotten it
                    return
                if connection is None:
                    connection = self._canaries.take()
                waited, gone = self._ask(connection)
                if waited:
                    self._canaries.keep(Stall(self._table, self._who, since, time.time() - since, gone))
        except Exception as error:  # noqa: BLE001 - a thread's failure is told by the run, as a gap in what it saw
            self._canaries.fail(
                f"{self._who} of {self._table}: {type(error).__name__}: {server_words.of_exception(error)}"
            )
        finally:
            if connection is not None:
                connection.close()

    def _ask(self, connection: Connection) -> tuple[bool, bool]:
        """Ask until it is answered: (whether that took waiting, whether the table is gone)."""
        began = time.monotonic()
        while True:
            try:
                connection.execute(self._question)
            except errors.LockNotAvailable:
                if self._ending.is_set():
                    return True, False
                continue
            except (errors.UndefinedTable, errors.UndefinedObject):
                return time.monotonic() - began > UNHINDERED_SECONDS, True
            return time.monotonic() - began > UNHINDERED_SECONDS, False
