"""One of the two databases: sessions that all see one moment, and statements on them that can be left at any time."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from queue import SimpleQueue
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import errors, sql

from checks.errors import CheckError
from checks.tools.postgres import Address, Connection, connect, explain, one, settle, version_name
from checks.tools.reconciling.results import SideFacts

T = TypeVar("T")
LOOK_SECONDS = 0.2
#: Besides postgres.SESSION: the planner's sort of a whole table on disk loses against its hash table, parallel plans
#: would be in the way of our own sessions, and compiling statements takes longer than a unit.
SESSION = {
    "enable_sort": "off",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "lc_monetary": "C",
    "work_mem": "64MB",
}
#: name -> since which version there is such a setting; 0 switches each of them off.
LATER = {"idle_session_timeout": 140000, "transaction_timeout": 170000}
Work = Callable[[Connection], Any]


@dataclass(frozen=True)
class Job:
    """``work`` is done with one of a side's sessions, in a thread; ``take`` gets its value, in the caller's thread."""

    work: Work
    take: Callable[[Any], None]


class Side:
    """``name``: source or target."""

    def __init__(self, name: str, address: Address, workers: int, lock_seconds: float) -> None:
        self.name, self.address, self.workers = name, address, max(1, workers)
        self._lock_timeout = timedelta(seconds=lock_seconds)
        self._connections: list[Connection] = []
        self._free: SimpleQueue[Connection] = SimpleQueue()
        self._busy: list[Connection] = []
        self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix=f"reconcile-{name}")
        self._cause: CheckError | None = None
        self.facts: SideFacts
        self.version = 0
        self.encoding = ""

    def open(self) -> None:
        """The first session takes the snapshot, the others import it. CheckError when any of that is refused."""
        first = self._begin()
        try:
            row = first.execute(
                "SELECT pg_export_snapshot(), pg_current_snapshot()::text, statement_timestamp()"
            ).fetchone()
            assert row is not None
            exported, snapshot, moment = row
            self.version = first.info.server_version
            self.encoding = first.info.parameter_status("server_encoding") or ""
            self.facts = SideFacts(
                self.address.server, self.address.database, version_name(self.version),
                moment.isoformat(timespec="milliseconds"), snapshot,
            )  # fmt: skip
            for _ in range(self.workers - 1):
                another = self._begin()
                another.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(exported)))
        except psycopg.Error as error:
            raise explain(error, self.address, what=self.what) from error
        for connection in self._connections:
            self._free.put(connection)

    @property
    def what(self) -> str:
        return f"the {self.name} database"

    def _begin(self) -> Connection:
        connection = connect(self.address, what=self.what, lock_timeout=self._lock_timeout)
        self._connections.append(connection)
        try:
            version = connection.info.server_version
            settle(connection, SESSION | {name: "0" for name, since in LATER.items() if version >= since})
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        except psycopg.Error as error:
            raise explain(error, self.address, what=self.what) from error
        return connection

    def submit(self, work: Work) -> "Future[Any]":
        return self._pool.submit(self._do, work)

    def _do(self, work: Work) -> Any:
        connection = self._free.get()
        self._busy.append(connection)
        try:
            return work(connection)
        except psycopg.Error as error:
            # Of a session that broke before, the server only says that it is broken.
            if self._cause is None or not isinstance(error, errors.InFailedSqlTransaction):
                self._cause = explain(error, self.address, what=self.what)
            raise self._cause from error
        finally:
            self._busy.remove(connection)
            self._free.put(connection)

    def close(self) -> None:
        """End every statement and every session."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        while self._busy:
            for connection in list(self._busy):
                with suppress(psycopg.Error):
                    connection.cancel_safe(timeout=5)
            time.sleep(0.02)
        self._pool.shutdown(wait=True)
        for connection in self._connections:
            connection.close()


@contextmanager
def opened(*sides: Side, check: Callable[[], None]) -> Iterator[None]:
    """Open all sides at once, so that their snapshots are of nearly the same moment."""
    try:
        with ThreadPoolExecutor(len(sides)) as starter:
            waiting = [starter.submit(side.open) for side in sides]
            while not all(future.done() for future in waiting):
                wait(waiting, LOOK_SECONDS)
            for future in waiting:
                future.result()
        check()
        yield
    finally:
        for side in sides:
            side.close()


def drive(
    sides: Sequence[Side],
    jobs: Sequence[Iterable[Job]],
    check: Callable[[], None],
    idle: Callable[[], None] | None = None,
) -> None:
    """Do all jobs of all sides at once. Never more are under way than a side's sessions and one more each.

    ``check`` is called several times a second and may raise; whatever is raised leaves the rest undone.
    """
    rest = [iter(queue) for queue in jobs]
    under_way: dict[Future[Any], tuple[int, Job]] = {}
    for index, side in enumerate(sides):
        for _ in range(side.workers + 1):
            _next(side, index, rest[index], under_way)
    while under_way:
        done, _ = wait(under_way, LOOK_SECONDS, FIRST_COMPLETED)
        check()
        for future in done:
            index, job = under_way.pop(future)
            job.take(future.result())
            _next(sides[index], index, rest[index], under_way)
        if idle is not None:
            idle()


def _next(side: Side, index: int, rest: Iterator[Job], under_way: "dict[Future[Any], tuple[int, Job]]") -> None:
    job = next(rest, None)
    if job is not None:
        under_way[side.submit(job.work)] = (index, job)


def older(sides: Sequence[Side]) -> int:
    """The version of the older server, whose words both understand."""
    return min(side.version for side in sides)


def both(sides: Sequence[Side], work: Callable[[Side, Connection], T], check: Callable[[], None]) -> list[T]:
    """The same work on each side, at once; its values in the order of the sides."""
    values: dict[str, T] = {}

    def job(side: Side) -> Job:
        return Job(lambda connection: work(side, connection), lambda value: values.__setitem__(side.name, value))

    drive(sides, [[job(side)] for side in sides], check)
    return [values[side.name] for side in sides]


def rows(query: sql.Composed, *, binary: bool = False) -> Work:
    """The work of asking one query."""

    def work(connection: Connection) -> list[tuple[Any, ...]]:
        with connection.cursor(binary=binary) as cursor:
            return cursor.execute(query).fetchall()

    return work


def same_database(first: Connection, second: Connection, number: int) -> bool:
    """Whether two sessions are in one database: its advisory locks are shared then."""
    query: LiteralString = "SELECT pg_try_advisory_xact_lock(%s)"
    return bool(one(first, query, [number])) and not one(second, query, [number])
