"""Hints at a real bottleneck, of a real server and a real database under real load, and none where there is none."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from checks.models import Run
from tests.engine.support import log_text
from tests.factories import make_team
from tests.kinds_deploy.local_server import LocalServer, Reply
from tests.kinds_load.test_make_load import database_address, page, release_of, run_load

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.campaign]

LOAD: dict[str, Any] = {
    "hold": "6s", "settle": "2s", "samples": 20, "limits": ["median < 9s"], "stop": [], "processes": 1,
}  # fmt: skip
#: Long against what a busy machine adds to an answer.
BROWSE, BOOK = 0.08, 0.12


@contextmanager
def seats() -> Iterator[str]:
    """A table with one row, for which all who book wait. The address of its database."""
    address = database_address()
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE TABLE bottleneck_seats (left_over int)")
        connection.execute("INSERT INTO bottleneck_seats VALUES (1000000)")
        try:
            yield address
        finally:
            connection.execute("DROP TABLE bottleneck_seats")


def booking(server: LocalServer, address: str, statement: str) -> Run:
    """One visitor of six books and holds what the statement takes for a while; the others only browse."""

    def book(path: str) -> None:
        if path == "/book":
            with psycopg.connect(address) as connection:
                connection.execute(statement)
                threading.Event().wait(BOOK)

    server.before = book
    server.replies |= {"/book": Reply(), "/browse": Reply(delay=BROWSE)}
    requests = [{"path": "/book"}, {"path": "/browse", "weight": 5}]
    params = {**LOAD, "hold": "9s", "steps": [1, 16], "think": "50ms", "requests": requests}
    run = run_load(release_of(server, params, database=address))
    assert run.state == "passed", log_text(run) + run.error
    return run


def test_a_row_that_all_wait_for_is_contention_and_the_database_says_so(
    server: LocalServer, storage_folder: Path
) -> None:
    with seats() as address:
        run = booking(server, address, "UPDATE bottleneck_seats SET left_over = left_over - 1")
    told = " ".join(run.result["hints"])
    assert "The median stays flat" in told, (told, run.result["steps"])
    assert "of the busy sessions of the database waited for Lock: t" in told, "of a transaction, or its tuple"
    waits = {wait["event"]: wait["share"] for wait in run.result["database"]["waits"]}
    assert sum(share for event, share in waits.items() if event.startswith("Lock: ")) > 0.2
    assert "waited for Lock: t" in page(run, make_team(run.application).auditor)


def test_where_nobody_waits_for_anybody_neither_is_said(server: LocalServer, storage_folder: Path) -> None:
    with seats() as address:
        run = booking(server, address, "SELECT left_over FROM bottleneck_seats")
    told = " ".join(run.result["hints"])
    assert "The median stays flat" not in told, (told, run.result["steps"])
    assert "waited for Lock" not in told
    assert "server errors" not in told


POOL, WORK, PATIENCE = 2, 0.05, 0.3


def test_errors_of_a_server_from_its_knee_on_are_named_with_the_size_of_the_pool_that_is_full(
    server: LocalServer, storage_folder: Path
) -> None:
    """Two requests are worked on at once; whoever waits longer than 300 ms for a place is answered with 503."""
    places = threading.Semaphore(POOL)
    refused = threading.local()

    def wait_for_place(_path: str) -> None:
        refused.yes = not places.acquire(timeout=PATIENCE)
        if not refused.yes:
            threading.Event().wait(WORK)
            places.release()

    class Answers(dict[str, Reply]):
        def get(self, path: str, default: Any = None) -> Any:
            return Reply(503, b"no place") if getattr(refused, "yes", False) else Reply()

    server.before, server.replies = wait_for_place, Answers()
    params = {**LOAD, "steps": [1, 2, 4, 6, 8, 24], "think": "1ms", "requests": [{"path": "/"}]}
    run = run_load(release_of(server, {**params, "hold": "4s", "settle": "1s"}))
    assert run.result["knee"]["state"] == "reached", (run.error, run.result["knee"], run.result["steps"])
    assert 1 <= run.result["knee"]["load"] <= 4
    told = run.result["hints"]
    assert any(text.startswith("From the knee on ") and "server errors (5xx)" in text for text in told), told
    assert any(text.startswith("About 2 requests were worked on at once") for text in told), told
    assert any("the others waited in a queue" in text for text in told), told
