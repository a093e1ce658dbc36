"""What the pages of findings read; each function takes a fixed number of queries."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import BooleanField, Count, Exists, ExpressionWrapper, OuterRef, Q, QuerySet
from django.http import QueryDict

from checks.enums import FindingFamily, FindingSeverity, OccurrenceChange
from checks.findings.backing import is_backed
from checks.findings.joining import by_origin
from checks.models import Acceptance, Finding, Occurrence, Run
from releases.models import Application

#: What a list can be narrowed to; "open" is what somebody still has to mend or to decide.
STATES: Final = ("open", "accepted", "resolved")
SORTS: Final = {"severity": "rank", "seen": "last_seen_at", "since": "first_seen_at", "place": "place_text"}


@dataclass(frozen=True)
class FindingFilters:
    """What the list was asked for; every value is safe to put back into a link."""

    text: str = ""
    state: str = ""
    severity: str = ""
    family: str = ""
    release: UUID | None = None
    sort: str = "-severity"

    @classmethod
    def read(cls, query: QueryDict) -> "FindingFilters":
        def one_of(name: str, known: Any) -> str:
            value = query.get(name, "")
            return value if value in known else ""

        sort = query.get("sort", "")
        return cls(
            text=query.get("q", "").replace("\x00", "").strip()[:200],
            state=one_of("state", STATES),
            severity=one_of("severity", FindingSeverity.values),
            family=one_of("family", FindingFamily.values),
            release=_uuid(query.get("release", "")),
            sort=sort if sort.lstrip("-") in SORTS else "-severity",
        )


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None


def findings_of(application: Application, at: datetime) -> "QuerySet[Finding]":
    """All findings of an application, each with ``is_accepted``: the rules of ``accepting.why_not`` in SQL."""
    counting = Acceptance.objects.filter(
        is_backed(), Q(had_fix=True) | Q(finding__fixed_in=[]),
        finding=OuterRef("pk"), ended_at__isnull=True, approved_at__isnull=False, expires_at__gt=at,
        rank__gte=OuterRef("rank"),
    )  # fmt: skip
    waiting = Acceptance.objects.filter(
        is_backed(), finding=OuterRef("pk"), ended_at__isnull=True, approved_at__isnull=True, expires_at__gt=at
    )
    found = Finding.objects.filter(application=application, joined_into__isnull=True)
    return found.annotate(
        is_accepted=ExpressionWrapper(Exists(counting), output_field=BooleanField()),
        is_resolved=ExpressionWrapper(Q(resolved_at__isnull=False), output_field=BooleanField()),
        is_asked=ExpressionWrapper(Exists(waiting), output_field=BooleanField()),
    )


def _in_state(found: "QuerySet[Finding]", state: str) -> "QuerySet[Finding]":
    if state == "resolved":
        return found.filter(resolved_at__isnull=False)
    return found.filter(Q(resolved_at__isnull=True) & Q(is_accepted=state == "accepted")) if state else found


def _matching(found: "QuerySet[Finding]", filters: FindingFilters) -> "QuerySet[Finding]":
    if filters.severity:
        found = found.filter(severity=filters.severity)
    if filters.family:
        found = found.filter(family=filters.family)
    if filters.release:
        seen = Occurrence.objects.filter(run__release=filters.release).exclude(change=OccurrenceChange.RESOLVED)
        mine = seen.filter(Q(finding=OuterRef("pk")) | Q(finding__joined_into=OuterRef("pk")))
        found = found.filter(Exists(mine))
    if filters.text:
        wanted = filters.text
        found = found.filter(
            Q(title__icontains=wanted)
            | Q(place_text__icontains=wanted)
            | Q(rule__icontains=wanted)
            | Q(aliases__contains=[wanted.upper()])
        )
    return found


def finding_list(application: Application, filters: FindingFilters, at: datetime) -> "QuerySet[Finding]":
    found = _in_state(_matching(findings_of(application, at), filters), filters.state)
    direction = "-" if filters.sort.startswith("-") else ""
    order = [direction + SORTS[filters.sort.lstrip("-")], "-rank", "pk"]
    if filters.sort == FindingFilters.sort:  # the worst that still is there comes first
        order.insert(0, "is_resolved")
    return found.select_related("last_run").order_by(*order)


def counts(application: Application, filters: FindingFilters, at: datetime) -> dict[str, int]:
    """How many there are of each state under the same other filters; one query."""
    still = Q(resolved_at__isnull=True)
    return _matching(findings_of(application, at), filters).aggregate(
        all=Count("pk"),
        open=Count("pk", filter=still & Q(is_accepted=False)),
        accepted=Count("pk", filter=still & Q(is_accepted=True)),
        resolved=Count("pk", filter=Q(resolved_at__isnull=False)),
    )


def look(finding: Finding) -> str:
    """The state for the table of looks. For rows of ``findings_of``."""
    if finding.resolved_at is not None:
        return "resolved"
    row: Any = finding
    if row.is_accepted:
        return "accepted"
    return "asked" if row.is_asked else "open"


def history(finding: Finding) -> "QuerySet[Occurrence]":
    """What every scan said about it, and about what was joined into it; newest first."""
    origins = by_origin([finding])[finding.pk]
    return Occurrence.objects.filter(finding__in=origins).select_related("run__release", "run__environment", "finding")


def of_run(run: Run) -> "QuerySet[Occurrence]":
    """What one run said, worst first."""
    seen = Occurrence.objects.filter(run=run).select_related("finding__joined_into", "run")
    return seen.order_by("-finding__rank", "finding")
