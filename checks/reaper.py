"""Finds runs whose worker died, by their lease on the database's clock, and decides what becomes of them."""

import contextlib
import logging
import shutil
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from checks.ending import Ending, end_run, requeue
from checks.engine import load
from checks.enums import RunState
from checks.models import Run
from checks.salvage import salvage

logger = logging.getLogger(__name__)

#: A check that lost its worker this many times is not tried again: it may be what kills the workers.
MOST_ATTEMPTS = 3

DEAD = """
SELECT id FROM checks_run WHERE state = 'running' AND lease_until < clock_timestamp()
ORDER BY lease_until LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
"""


def reap() -> list[Run]:
    """Deal with every run whose lease is over; each in a transaction of its own. Safe to run in several places.

    Checks go back to the queue; what changes an environment becomes unknown, and a person must decide.
    """
    reaped: list[Run] = []
    while (run := _reap_one()) is not None:
        logger.warning("run.reaped", extra={"run": str(run.pk), "state": str(run.state), "attempt": run.attempt})
        reaped.append(run)
        for root in (settings.SPOOL_ROOT, settings.WORK_ROOT):
            _clear(Path(root) / str(run.pk), run)
    return reaped


def _clear(folder: Path, run: Run) -> None:
    """Remove what the dead attempts left on this machine; their keepers ended the children before the lease did.

    A worker may have claimed the next attempt already, so that one's folder is not touched.
    """
    for attempt in folder.glob("*"):
        if attempt.name.isdigit() and int(attempt.name) <= run.attempt:
            shutil.rmtree(attempt, ignore_errors=True)
    if run.state != RunState.QUEUED:
        with contextlib.suppress(OSError):
            folder.rmdir()


@transaction.atomic
def _reap_one() -> Run | None:
    with connection.cursor() as cursor:
        cursor.execute(DEAD)
        row = cursor.fetchone()
    if row is None:
        return None
    run = load(UUID(str(row[0])))
    # Where the worker died on this machine, its last lines are still in its files.
    salvage(run, run.attempt)
    reason = f"Its worker {run.worker} gave no sign of life and is taken for dead."
    if run.exclusive:
        _end(run, RunState.UNKNOWN, reason, "Look at what really runs there, then decide on this page.")
    elif run.cancel_requested_at is not None:
        _end(run, RunState.CANCELLED, f"Cancelled. {reason}", "")
    elif run.attempt >= MOST_ATTEMPTS:
        remedy = "Look in the worker's own log for what ended it (memory, disk, a signal); then start a new run."
        _end(run, RunState.LOST, f"{reason} It happened {run.attempt} times.", remedy)
    else:
        requeue(run, reason=reason)
    return run


def _end(run: Run, state: RunState, reason: str, remedy: str) -> None:
    """End it with the kind's consequences; where those are refused, it ends all the same and says so.

    A run that nobody could end would hold its environment for ever.
    """
    try:
        with transaction.atomic():
            end_run(run, Ending(state, error=reason, remedy=remedy))
    except Exception as error:
        logger.exception("run.consequence_refused", extra={"run": str(run.pk)})
        run = load(run.pk)
        said = f"{reason} What should follow from that was refused: {error}"
        end_run(run, Ending(state, error=said, remedy=remedy), consequences=False)
