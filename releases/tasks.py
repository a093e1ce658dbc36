"""Celery's entries: no arguments, one call."""

import logging

from celery import shared_task
from django.core.management import call_command
from django.db import close_old_connections

from releases.domain import approval, ledger
from releases.errors import LedgerBroken

logger = logging.getLogger(__name__)


@shared_task(name="releases.checkpoint_ledger", ignore_result=True)
def checkpoint_ledger() -> None:
    """Sign a checkpoint of the ledger and store its copy; a ledger that does not verify is an error in the log."""
    close_old_connections()
    try:
        ledger.checkpoint()
    except LedgerBroken as error:
        logger.error("ledger.broken", extra={"error": error.message})
    finally:
        close_old_connections()


@shared_task(name="releases.refresh_approved", ignore_result=True)
def refresh_approved() -> None:
    """Take back approvals whose votes or window ran out."""
    close_old_connections()
    try:
        approval.refresh_approved()
    finally:
        close_old_connections()


@shared_task(name="releases.forget_sessions", ignore_result=True)
def forget_sessions() -> None:
    """Remove the sessions that have expired."""
    call_command("clearsessions")
