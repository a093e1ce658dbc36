"""The right of one attempt to act: a token, a lease on the database's clock, and a heartbeat that keeps both.

The moment up to which this process may act is kept on its own monotonic clock, counted from before each beat was
sent; so it ends earlier than the lease in the database, whatever the two clocks show.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction

from checks.errors import Cancelled, Fenced
from checks.process import Children

logger = logging.getLogger(__name__)
T = TypeVar("T")

#: What PostgreSQL's restart or a lost network looks like; everything else is an error of ours.
CONNECTION_LOST = (OperationalError, InterfaceError)

BEAT = """
UPDATE checks_run SET lease_until = clock_timestamp() + make_interval(secs => %s)
WHERE id = %s AND token = %s AND state = 'running' RETURNING cancel_requested_at IS NOT NULL
"""
LOOK = "SELECT cancel_requested_at IS NOT NULL FROM checks_run WHERE id = %s AND token = %s AND state = 'running'"
HOLD = "SELECT 1 FROM checks_run WHERE id = %s AND token = %s AND state = 'running' FOR NO KEY UPDATE"


@dataclass(frozen=True)
class Claim:
    """What a worker got when it took a run: from now on it is the only one that may write about it."""

    run_id: UUID
    token: int
    attempt: int
    channel: str


class Lease:
    """Keeps a claim alive in a thread of its own, with a database connection of its own."""

    def __init__(self, claim: Claim, children: Children, claimed_at: float) -> None:
        self.claim = claim
        self.children = children
        self.seconds = float(settings.RUN_LEASE_SECONDS)
        # Children must be dead before the lease ends, not when it ends.
        self.margin = min(5.0, self.seconds / 5)
        self.deadline = claimed_at + self.seconds - self.margin
        self.cancelled = threading.Event()
        self._fenced = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{claim.run_id}", daemon=True)
        children.prolong(self.deadline)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    @property
    def fenced(self) -> bool:
        return self._fenced.is_set() or time.monotonic() >= self.deadline

    def fence(self) -> None:
        """Somebody else owns the run now: end all children at once."""
        self._fenced.set()
        self.children.end_all(0)

    def look(self) -> None:
        """Raise Fenced or Cancelled if the run must stop."""
        if self.fenced:
            self.fence()
            raise Fenced
        if self.cancelled.is_set():
            raise Cancelled

    def persist(self, write: Callable[[], T]) -> T:
        """Do a write again until PostgreSQL answers or the lease is over. ``write`` must bear being done twice."""
        delay = 0.1
        while True:
            if self.fenced:
                self.fence()
                raise Fenced
            try:
                return write()
            except CONNECTION_LOST as error:
                logger.warning("run.database_lost", extra={"run": str(self.claim.run_id), "error": str(error)})
                connection.close()
                time.sleep(delay)
                delay = min(delay * 2, 2.0)

    @contextmanager
    def fenced_transaction(self) -> Iterator[None]:
        """A transaction in which the run is certainly still ours; raises Fenced otherwise."""
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(HOLD, [self.claim.run_id, self.claim.token])
                if cursor.fetchone() is None:
                    self.fence()
                    raise Fenced
            yield

    def _keep(self) -> None:
        """Beat every few seconds, look for a cancel every second; never give up before the lease itself is over."""
        every = float(settings.RUN_HEARTBEAT_SECONDS)
        next_beat = time.monotonic() + every
        try:
            while not self._stop.wait(min(1.0, every)) and not self.fenced:
                beat = time.monotonic() >= next_beat
                if self._ask(beat=beat) and beat:
                    next_beat = time.monotonic() + every
        finally:
            if not self._stop.is_set():
                self.fence()
            connection.close()

    def _ask(self, *, beat: bool) -> bool:
        """One round to the database. False when it did not answer."""
        asked_at = time.monotonic()
        try:
            with connection.cursor() as cursor:
                if beat:
                    cursor.execute(BEAT, [self.seconds, self.claim.run_id, self.claim.token])
                else:
                    cursor.execute(LOOK, [self.claim.run_id, self.claim.token])
                row = cursor.fetchone()
        except CONNECTION_LOST as error:
            logger.warning("run.beat_missed", extra={"run": str(self.claim.run_id), "error": str(error)})
            connection.close()
            return False
        if row is None:
            if not self._stop.is_set():
                self.fence()
            return True
        if beat:
            self.deadline = asked_at + self.seconds - self.margin
            self.children.prolong(self.deadline)
        if row[0] and not self.cancelled.is_set():
            self.cancelled.set()
            self.children.end_all(self.children.grace)
        return True
