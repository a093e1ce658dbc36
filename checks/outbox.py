"""Handing queued runs to workers. A message that is lost is sent again; one that comes twice changes nothing."""

from collections.abc import Callable
from datetime import timedelta

from django.db import connection, transaction
from django.utils import timezone

from checks.enums import RunState
from checks.models import Outbox

CHANNEL = "gonogo_outbox"
BATCH = 100
#: A run that is still queued this long after its message gets another one; then after twice as long, and so on.
REPUBLISH_SECONDS = 30.0
KEEP = timedelta(days=1)

AGAIN = """
UPDATE checks_outbox SET published_at = NULL
WHERE id IN (
    SELECT DISTINCT ON (outbox.run_id) outbox.id
    FROM checks_outbox AS outbox JOIN checks_run AS run ON run.id = outbox.run_id
    WHERE run.state = 'queued'
    ORDER BY outbox.run_id, outbox.id DESC
) AND published_at < clock_timestamp() - make_interval(secs => %s * 2 ^ least(greatest(publish_count - 1, 0), 5))
"""


def publish_due(publish: Callable[[str, str], None]) -> int:
    """Publish what is committed and not published; returns how many rows were done.

    Several relays may run: each row is taken by one. What ``publish`` raises goes through, after the rows that were
    published before it are marked.
    """
    failure: Exception | None = None
    done: list[int] = []
    with transaction.atomic():
        rows = Outbox.objects.select_for_update(skip_locked=True, of=("self",)).filter(published_at__isnull=True)
        for row in rows.select_related("run").order_by("id")[:BATCH]:
            try:
                if row.run.state == RunState.QUEUED:
                    publish(str(row.run_id), row.queue)
            except Exception as error:  # noqa: BLE001 - raised again below, once the others are marked
                failure = error
                break
            row.published_at, row.publish_count = timezone.now(), row.publish_count + 1
            row.save(update_fields=["published_at", "publish_count"])
            done.append(row.pk)
    if failure is not None:
        raise failure
    return len(done)


def publish_again(after_seconds: float = REPUBLISH_SECONDS) -> int:
    """Mark for another message what was published and is queued still; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(AGAIN, [after_seconds])
        return int(cursor.rowcount)


def prune() -> int:
    """Drop what was published long ago and is not queued any more."""
    old = Outbox.objects.filter(published_at__lt=timezone.now() - KEEP).exclude(run__state=RunState.QUEUED)
    return old.delete()[0]
