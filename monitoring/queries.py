"""What the pages of monitoring read; each function takes a fixed number of queries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection
from django.db.models import Count, Q, QuerySet
from django.http import QueryDict

from monitoring.models import Alert, Incident, Probe
from releases.models import Application, Environment, LedgerEntry, Release

#: Word in the address -> length of the span shown.
SPANS: Final = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
_DOWN_SHARE: Final = 0.1
_BUILDS: Final = ("environment.build_running", "environment.build_adopted")
_STRIP: Final = """
    SELECT r.probe_id, floor(extract(epoch FROM r.at - %s) / %s)::int,
           count(*) FILTER (WHERE NOT r.up)::float / count(*), bool_or(r.response_ms > p.slow_after_ms)
      FROM monitoring_proberesult r JOIN monitoring_probe p ON p.id = r.probe_id
     WHERE r.probe_id = ANY(%s) AND r.at >= %s AND r.at < %s
     GROUP BY 1, 2
"""


def read_span(query: QueryDict) -> tuple[str, timedelta]:
    """``?span=24h``; a day where it says nothing that is known."""
    name = query.get("span", "")
    return (name, SPANS[name]) if name in SPANS else ("24h", SPANS["24h"])


def probes_of(applications: QuerySet[Application]) -> list[Probe]:
    """All probes of these applications that the plans still name."""
    return list(
        Probe.objects.filter(environment__application__in=applications, enabled=True)
        .select_related("environment__application")
        .order_by("environment__application__name", "environment__tier", "name")
    )


def strips(probe_ids: Iterable[int], since: datetime, until: datetime, cells: int) -> dict[int, list[str]]:
    """For each probe one state for each piece of the span.

    down: a tenth of the answers or more was wrong; flapping: some were; slow: one took too long; unknown: none came.
    """
    step = (until - since).total_seconds() / cells
    found: dict[int, list[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_STRIP, [since, step, list(probe_ids), since, until])
        for probe_id, cell, wrong, slow in cursor.fetchall():
            states = found.setdefault(probe_id, ["unknown"] * cells)
            bad = "down" if wrong >= _DOWN_SHARE else "flapping" if wrong else ""
            states[min(cell, cells - 1)] = bad or ("slow" if slow else "up")
    return found


@dataclass(frozen=True)
class IncidentFilters:
    """``state``: open, closed or "". ``text``: part of the probe's name, the environment or the reason."""

    state: str = ""
    text: str = ""
    application: str = ""

    @classmethod
    def read(cls, query: QueryDict) -> "IncidentFilters":
        state = query.get("state", "")
        return cls(
            state if state in ("open", "closed") else "",
            query.get("q", "").strip()[:100],
            query.get("application", "")[:60],
        )


def incidents(applications: QuerySet[Application], filters: IncidentFilters, sort: str = "") -> QuerySet[Incident]:
    found = Incident.objects.filter(probe__environment__application__in=applications).select_related(
        "probe__environment__application", "release__application", "acknowledged_by"
    )
    if filters.state:
        found = found.filter(closed_at__isnull=filters.state == "open")
    if filters.application:
        found = found.filter(probe__environment__application__slug=filters.application)
    if filters.text:
        found = found.filter(
            Q(probe__name__icontains=filters.text)
            | Q(probe__environment__name__icontains=filters.text)
            | Q(reason__icontains=filters.text)
        )
    orders = {"opened": "opened_at", "-opened": "-opened_at", "probe": "probe__name", "-probe": "-probe__name"}
    return found.order_by(orders.get(sort, "-opened_at"), "-pk")


def incident_counts(applications: QuerySet[Application]) -> dict[str, int]:
    return Incident.objects.filter(probe__environment__application__in=applications).aggregate(
        open=Count("pk", filter=Q(closed_at__isnull=True)), closed=Count("pk", filter=Q(closed_at__isnull=False))
    )


def alerts(applications: QuerySet[Application], most: int = 20) -> list[Alert]:
    return list(
        Alert.objects.filter(application__in=applications)
        .select_related("application", "received_by", "incident")
        .prefetch_related("deliveries")[:most]
    )


def newest_test_alert(release: Release) -> Alert | None:
    return (
        Alert.objects.filter(release=release, kind="test")
        .select_related("received_by")
        .prefetch_related("deliveries")
        .first()
    )


def builds_since(environment: Environment, since: datetime) -> Sequence[tuple[datetime, str]]:
    """When which version began to run here, by the ledger."""
    entries = LedgerEntry.objects.filter(
        application_id=environment.application_id,
        action__in=_BUILDS,
        subject_type="environment",
        subject_id=str(environment.pk),
        at__gte=since,
    ).order_by("at")
    return [(entry.at, entry.document.get("after", {}).get("version", "")) for entry in entries[:100]]


def incidents_during(probe_ids: Iterable[int], since: datetime, until: datetime) -> list[Incident]:
    """Incidents that overlap the span, oldest first."""
    overlapping = Q(closed_at__isnull=True) | Q(closed_at__gte=since)
    return list(
        Incident.objects.filter(overlapping, probe__in=list(probe_ids), opened_at__lte=until)
        .select_related("probe", "release", "acknowledged_by")
        .order_by("opened_at")[:100]
    )
