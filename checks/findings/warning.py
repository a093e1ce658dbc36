"""Acceptances that end soon are told 10 and 2 days before, once each. Telling decides nothing."""

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from checks.findings.accepting import why_not
from checks.findings.backing import backed
from checks.models import Acceptance
from releases.domain import notice
from releases.domain.wording import moment, span

#: In this order: an acceptance that was made for a day is told once, as ending soon.
DAYS: Final = (2, 10)


def look(now: datetime | None = None) -> None:
    """Tell the application's channels of every acceptance that counts and ends soon, of open findings. Safe in several
    processes.
    """
    now = now or timezone.now()
    for days in DAYS:
        due = Acceptance.objects.filter(
            Q(warned_days__isnull=True) | Q(warned_days__gt=days),
            ended_at__isnull=True,
            approved_at__isnull=False,
            finding__resolved_at__isnull=True,
            expires_at__gt=now,
            expires_at__lte=now + timedelta(days=days),
        )
        ending = list(due.select_related("finding__application", "requested_by"))
        signed = backed(ending)
        for acceptance in ending:
            if not why_not(acceptance, acceptance.finding, now, signed):
                _warn(acceptance, days, now)


@transaction.atomic
def _warn(acceptance: Acceptance, days: int, now: datetime) -> None:
    unwarned = Acceptance.objects.filter(Q(warned_days__isnull=True) | Q(warned_days__gt=days), pk=acceptance.pk)
    if not unwarned.update(warned_days=days):
        return
    finding = acceptance.finding
    left = span(acceptance.expires_at - now)
    notice.tell(
        application=finding.application,
        subject=f"{finding.application}: a finding is accepted for {left} more: {finding.title}",
        body=(
            f"{acceptance.requested_by} accepted “{finding.title}” ({finding.severity}, {finding.place_text}) until "
            f"{moment(acceptance.expires_at)}: {acceptance.reason}\nFrom then on it blocks every release whose audit "
            f"has it. Mend it, or ask for it anew:\n\n"
            f"{settings.PUBLIC_URL}{reverse('checks:finding', args=[finding.application.slug, finding.pk])}"
        ),
    )
