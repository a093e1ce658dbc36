"""Celery's entries: ids in, one call; and the one place where a message is put on a queue."""

from celery import current_app, shared_task
from django.conf import settings
from django.db import close_old_connections
from kombu.exceptions import KombuError

from checks import engine, scheduling

#: How long one message may wait for Redis. The relay tries again; a hanging broker must not hang the relay.
PUBLISH_SECONDS = 3


@shared_task(name="checks.execute", ignore_result=True)
def execute(run_id: str) -> None:
    """Do one attempt of a run; nothing happens when it is not queued any more."""
    close_old_connections()
    try:
        engine.execute(run_id)
    finally:
        close_old_connections()


@shared_task(name=scheduling.TASK, ignore_result=True)
def start_scheduled(schedule_id: int) -> None:
    """The scheduler says that a schedule is due; nothing happens when it is not, or is gone."""
    close_old_connections()
    try:
        scheduling.start_due(schedule_id)
    finally:
        close_old_connections()


class Publisher:
    """Puts runs on queues over one connection with short time-outs. ``errors`` is what a call raises without Redis."""

    def __init__(self, url: str | None = None) -> None:
        patience = {"socket_timeout": PUBLISH_SECONDS, "socket_connect_timeout": PUBLISH_SECONDS}
        self._connection = current_app.connection_for_write(url, transport_options=patience)
        broken = (*self._connection.connection_errors, *self._connection.channel_errors, KombuError, OSError)
        self.errors = tuple(error for error in broken if issubclass(error, Exception))

    def __call__(self, run_id: str, queue: str) -> None:
        """Put a run on its environment's queue; on one machine its single worker serves them all."""
        queue = queue if settings.ENVIRONMENT_QUEUES else settings.CELERY_TASK_DEFAULT_QUEUE
        try:
            execute.apply_async((run_id,), queue=queue, retry=False, connection=self._connection)  # type: ignore[call-arg]
        except self.errors:
            # The next call connects anew.
            self._connection.close()
            raise

    def close(self) -> None:
        self._connection.close()
