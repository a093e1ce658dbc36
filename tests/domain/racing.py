"""Do one thing from many connections at the same moment."""

import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import connection, connections, transaction


def race(deed: Callable[[int], Any], times: int = 20) -> list[Any]:
    """Do it from as many connections at the same moment; returns each result, or the exception that was raised."""
    start = threading.Barrier(times)
    results: list[Any] = [None] * times

    def run(number: int) -> None:
        try:
            connection.ensure_connection()
            start.wait(30)
            results[number] = deed(number)
        except Exception as error:  # noqa: BLE001 - the refusals are what these tests look at
            results[number] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def overtaken(deed: Callable[[], Any], by: Callable[[], Any]) -> Any:
    """Do ``deed`` from another connection while ``by`` is done and not yet committed; it must come to wait for it.

    Returns what it returned, or the exception that it raised once ``by`` stood.
    """
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(deed())
        except Exception as error:  # noqa: BLE001 - the refusals are what these tests look at
            results.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    with transaction.atomic(), connection.cursor() as cursor:
        by()
        thread.start()
        end = time.monotonic() + 60
        waiting = 0
        while not waiting and thread.is_alive() and time.monotonic() < end:
            time.sleep(0.05)
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))")
            (waiting,) = cursor.fetchone()
        assert waiting, f"nothing waited: {results}"
    thread.join(60)
    return results[0]
