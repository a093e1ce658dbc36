"""The two databases of a transition: how each is connected, and on which of them something went wrong."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import psycopg
from psycopg import IsolationLevel, sql

from checks.errors import CheckError
from checks.kinds.base import RunContext
from checks.tools import copying
from checks.tools.background import patiently
from checks.tools.postgres import Address, Connection, connect, explain

T = TypeVar("T")


@dataclass
class Sides:
    """``addresses``: of "source" and "target". Times in seconds."""

    context: RunContext
    addresses: Mapping[str, Address]
    lock_seconds: float
    statement_seconds: float
    _names: dict[int, str] = field(default_factory=dict)

    @contextmanager
    def source(self) -> Iterator[Connection]:
        """Read only, in one snapshot: what is counted, hashed and copied is one state of the source."""
        with self._connected("source") as connection:
            connection.execute(f"SET statement_timeout = {int(self.statement_seconds * 1000)}")
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            connection.autocommit = False
            yield connection

    @contextmanager
    def target(self) -> Iterator[Connection]:
        with self._connected("target") as connection:
            yield connection

    @contextmanager
    def _connected(self, name: str) -> Iterator[Connection]:
        wait = timedelta(seconds=self.lock_seconds)
        connection = connect(self.addresses[name], what=f"the {name}", lock_timeout=wait)
        self._names[id(connection)] = name
        try:
            with self._told(name):
                yield connection
        finally:
            connection.close()

    def ask(self, connection: Connection, work: Callable[[], T]) -> T:
        """Do ``work`` on a connection, patiently; what goes wrong is told of the side that it is on."""
        with self._told(self._names[id(connection)]):
            return patiently(self.context, connection, work)

    def pieces(self, source: Connection, statement: sql.Composed) -> Generator[tuple[bytes, int], None, None]:
        """``copying.pieces`` of the source, while another statement writes what it gives."""
        with self._told("source"), closing(copying.pieces(source, statement)) as pieces:
            yield from pieces

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            told = explain(error, self.addresses[name], what=f"the {name}")
            raise CheckError(f"{told.message} The target is as it was.", remedy=told.remedy) from error
