"""Which findings two people live with for now. Evaluated when it is read: no clockwork decides."""

from collections.abc import Iterable
from datetime import datetime

from checks.models import Acceptance, Finding


def counts(acceptance: Acceptance, finding: Finding, at: datetime) -> bool:
    """Whether an acceptance stands at ``at``, against the finding as it is now."""
    return not why_not(acceptance, finding, at)


def why_not(acceptance: Acceptance, finding: Finding, at: datetime) -> str:
    """Why it does not count, as ``AcceptanceEnd`` or "waiting"; "" while it counts."""
    if acceptance.ended_because:
        return str(acceptance.ended_because)
    if acceptance.expires_at <= at:
        return "expired"
    if finding.rank > acceptance.rank:
        return "severity"
    if finding.fixed_in and not acceptance.had_fix:
        return "fix"
    return "" if acceptance.approved_at is not None else "waiting"


def validly_accepted(findings: Iterable[Finding], at: datetime) -> set[int]:
    """Primary keys of those that are accepted at ``at``; one query."""
    by_pk = {finding.pk: finding for finding in findings}
    standing = Acceptance.objects.filter(finding__in=by_pk, ended_at__isnull=True, approved_at__isnull=False)
    return {one.finding_id for one in standing if counts(one, by_pk[one.finding_id], at)}
