"""The relay: hands queued runs to workers and takes runs back from dead ones."""

import logging
import signal
import time
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand
from django.db import InterfaceError, OperationalError, connection

from checks import lateness, outbox, reaper
from checks.findings import warning
from checks.tasks import Publisher

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
REAP_SECONDS = 2.0
PRUNE_SECONDS = 3600.0
LATE_SECONDS = 20.0
LONGEST_PAUSE = 5.0


class Command(BaseCommand):
    help = "Publishes queued runs, reaps runs whose worker died, tells what is late. One process; more are safe."

    def handle(self, *args: Any, **options: Any) -> None:
        relay = Relay()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, relay.stop)
        relay.run()


class Relay:
    """Survives restarts of PostgreSQL and Redis by connecting again, with a growing pause."""

    def __init__(self) -> None:
        self._stopping = False
        self._publisher = Publisher()
        self._due = {self._reap: 0.0, self._republish: 0.0, self._prune: 0.0, self._late: 0.0}

    def stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        self._stopping = True

    def run(self) -> None:
        pause = 0.2
        while not self._stopping:
            try:
                self._listen()
                pause = 0.2
                while not self._stopping:
                    self._round()
            except (OperationalError, InterfaceError) as error:
                logger.warning("relay.database_lost", extra={"error": str(error), "pause": pause})
                connection.close()
                self._sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
        self._publisher.close()
        connection.close()

    def _listen(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {outbox.CHANNEL}")
        logger.info("relay.listening")

    def _round(self) -> None:
        """Publish, do what is due, then wait for a notification or for the next poll."""
        self._publish()
        for job, due in self._due.items():
            if time.monotonic() >= due:
                self._due[job] = time.monotonic() + job()
        connection.ensure_connection()
        # psycopg's own errors become Django's, as those of every other statement.
        with connection.wrap_database_errors:
            for _ in connection.connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                pass

    def _publish(self) -> None:
        try:
            while not self._stopping and outbox.publish_due(self._publisher) == outbox.BATCH:
                pass
        except self._publisher.errors as error:
            # The rows stay unpublished; the reaper and the next round go on without Redis.
            logger.warning("relay.redis_lost", extra={"error": str(error)})

    def _reap(self) -> float:
        reaper.reap()
        return REAP_SECONDS

    def _republish(self) -> float:
        outbox.publish_again()
        return REAP_SECONDS

    def _prune(self) -> float:
        outbox.prune()
        return PRUNE_SECONDS

    def _late(self) -> float:
        """A look that breaks must not keep runs from their workers, nor another look from being taken."""
        for look in (lateness.look, warning.look):
            try:
                look()
            except (OperationalError, InterfaceError):
                raise
            except Exception:
                logger.exception("relay.lateness_broke", extra={"look": look.__module__})
        return LATE_SECONDS

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < until:
            time.sleep(0.1)
