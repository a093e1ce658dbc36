"""Do one thing from many connections at the same moment."""

import threading
from collections.abc import Callable
from typing import Any

from django.db import connection, connections


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
