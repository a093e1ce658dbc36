"""Long statements that a cancelled run can leave: they run in a thread while the run's own thread keeps looking."""

import contextlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import psycopg

from checks.kinds.base import RunContext
from checks.tools.postgres import Connection

T = TypeVar("T")
_LOOK_SECONDS = 0.2


class Background(Generic[T]):
    """``work`` in a thread, on one connection. Leaving the block before it is done cancels its statement."""

    def __init__(self, connection: Connection, work: Callable[[], T]) -> None:
        self._connection = connection
        self._work = work
        self._value: list[T] = []
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self._value.append(self._work())
        except BaseException as error:  # noqa: BLE001 - handed to the waiting thread, which raises it
            self._failure = error

    def __enter__(self) -> "Background[T]":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        while self._thread.is_alive():
            with contextlib.suppress(psycopg.Error):
                self._connection.cancel_safe(timeout=5)
            self._thread.join(_LOOK_SECONDS)

    def result(self, context: RunContext, meanwhile: Callable[[], None] | None = None) -> T:
        """Wait for the value, looking whether the run must stop; raises what the work raised.

        ``meanwhile`` is called now and then in the waiting thread: to tell the run's progress, which the work must not.
        """
        while self._thread.is_alive():
            context.check()
            if meanwhile is not None:
                meanwhile()
            self._thread.join(_LOOK_SECONDS)
        if self._failure is not None:
            raise self._failure
        return self._value[0]


def patiently(
    context: RunContext, connection: Connection, work: Callable[[], T], meanwhile: Callable[[], None] | None = None
) -> T:
    """Do ``work`` on a connection and return its value; a run that must stop cancels the statement."""
    with Background(connection, work) as background:
        return background.result(context, meanwhile)
