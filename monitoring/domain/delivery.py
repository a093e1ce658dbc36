"""The outbox of alerts: each delivery is claimed, tried, and tried again later, until it is delivered or given up."""

import logging
from datetime import timedelta
from typing import Final

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from monitoring.domain.channel import NotDeliveredError, read_channel, send
from monitoring.models import AlertDelivery
from releases.doorbell import ring_release

logger = logging.getLogger(__name__)

#: Seconds to wait after the first, second, ... failed attempt; after the last one the delivery is given up.
WAITS: Final = (5, 15, 60, 300, 900, 1800, 3600)
#: Who claimed a delivery and died with it leaves it to others after this long.
CLAIM_SECONDS: Final = 120

_CLAIM: Final = """
    UPDATE monitoring_alertdelivery
       SET attempts = attempts + 1, next_attempt_at = clock_timestamp() + make_interval(secs => %s)
     WHERE id IN (
           SELECT id FROM monitoring_alertdelivery
            WHERE delivered_at IS NULL AND failed_at IS NULL AND next_attempt_at <= clock_timestamp()
            ORDER BY next_attempt_at LIMIT %s FOR UPDATE SKIP LOCKED)
 RETURNING id
"""


def deliver_due(*, limit: int = 20) -> int:
    """Try what is due, one after the other; returns how many were delivered.

    At least once: a process that dies between the sending and the note of it leaves a delivery that is sent again.
    """
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [CLAIM_SECONDS, limit])
        claimed = [row[0] for row in cursor.fetchall()]
    due = AlertDelivery.objects.filter(pk__in=claimed).select_related("alert__application", "alert__release")
    return sum(_deliver(delivery) for delivery in due.order_by("pk"))


def _deliver(delivery: AlertDelivery) -> bool:
    alert = delivery.alert
    try:
        send(
            channel=read_channel(delivery.channel),
            application=alert.application,
            subject=alert.subject,
            body=alert.body,
        )
    except NotDeliveredError as error:
        _note_failure(delivery, str(error))
        return False
    except Exception as error:  # a bug of one channel must not stop the others
        logger.exception("alert.channel_broke", extra={"delivery": delivery.pk})
        _note_failure(delivery, f"The channel broke: {type(error).__name__}.")
        return False
    with transaction.atomic():
        _mine(delivery).update(delivered_at=timezone.now(), error="")
        ring_release(alert.release_id, "probe")
    return True


def _note_failure(delivery: AlertDelivery, error: str) -> None:
    now = timezone.now()
    if delivery.attempts > len(WAITS):
        changes = {"failed_at": now, "error": f"Given up after {delivery.attempts} attempts. {error}"[:500]}
    else:
        wait = timedelta(seconds=WAITS[delivery.attempts - 1])
        changes = {"next_attempt_at": now + wait, "error": error[:500]}
    with transaction.atomic():
        _mine(delivery).update(**changes)
        ring_release(delivery.alert.release_id, "probe")


def _mine(delivery: AlertDelivery) -> QuerySet[AlertDelivery]:
    """Only as the attempt that was claimed: another process may have claimed it since."""
    return AlertDelivery.objects.filter(pk=delivery.pk, attempts=delivery.attempts, delivered_at__isnull=True)
