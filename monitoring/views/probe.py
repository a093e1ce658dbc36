"""Pages of probes: all of them, and one with its charts."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from monitoring import drawing, queries
from monitoring.domain import slo
from monitoring.domain.probe import stale
from monitoring.models import Incident, Probe
from releases.permissions import visible_applications

STRIP_CELLS = 48


@login_required
@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    applications = visible_applications(request.user)
    name, span = queries.read_span(request.GET)
    until = timezone.now()
    probes = queries.probes_of(applications)
    open_incidents = queries.incidents(applications, queries.IncidentFilters(state="open"))[:20]
    context = {
        "nav": "monitoring",
        "span": name,
        "spans": queries.SPANS,
        "rows": shown_probes(probes, until - span, until),
        "stale": stale(probes, until),
        "incidents": open_incidents,
        "alerts": queries.alerts(applications),
    }
    part = getattr(request, "htmx", False) and request.GET.get("part") == "state"
    return render(
        request, "monitoring/probe/overview.html#state" if part else "monitoring/probe/overview.html", context
    )


def shown_probes(probes: list[Probe], since: Any, until: Any) -> list[dict[str, Any]]:
    """Each probe with its state, figures and strip; two queries for all of them."""
    ids = [probe.pk for probe in probes]
    _, each = slo.figures(ids, since, until)
    cells = _cells(probes, (until - since).total_seconds())
    strips = queries.strips(ids, since, until, cells)
    old = {probe.pk for probe in stale(probes, until)}
    empty = slo.Figures()
    return [
        {
            "probe": probe,
            "state": drawing.shown_state(probe, each.get(probe.pk), is_stale=probe.pk in old),
            "figures": each.get(probe.pk, empty),
            "strip": strips.get(probe.pk, ["unknown"] * cells),
        }
        for probe in probes
    ]


def _cells(probes: list[Probe], seconds: float) -> int:
    """So many that even the probe that is asked most seldom has an answer in each piece of the span."""
    slowest = max((probe.interval_seconds for probe in probes), default=1.0)
    return max(6, min(STRIP_CELLS, int(seconds / (2 * slowest))))


def visible_probe(request: HttpRequest, probe_id: int) -> Probe:
    probe = (
        Probe.objects.filter(pk=probe_id, environment__application__in=visible_applications(request.user))
        .select_related("environment__application")
        .first()
    )
    if probe is None:
        raise Http404("There is no such probe, or you have no role in its application.")
    return probe


@login_required
@require_GET
def detail(request: HttpRequest, probe_id: int) -> HttpResponse:
    probe = visible_probe(request, probe_id)
    name, span = queries.read_span(request.GET)
    until = timezone.now()
    since = until - span
    points = slo.series([probe.pk], since, until)
    during = queries.incidents_during([probe.pk], since, until)
    together, _ = slo.figures([probe.pk], since, until)
    expected = slo.expected_answers([probe.interval_seconds], span.total_seconds())
    context = {
        "nav": "monitoring",
        "probe": probe,
        "state": drawing.shown_state(probe, together, is_stale=bool(stale([probe], until))),
        "figures": together,
        "coverage": min(1.0, together.answers / expected) if expected else None,
        "span": name,
        "spans": queries.SPANS,
        "responses": drawing.response_chart(
            points,
            limit_ms=probe.slow_after_ms,
            builds=queries.builds_since(probe.environment, since),
            incidents=during,
            until=until,
        ),
        "errors": drawing.error_chart(points),
        "incidents": Incident.objects.filter(probe=probe).select_related("acknowledged_by", "release__application")[
            :20
        ],
        "newest": probe.results.all()[:20],
    }
    return render(request, "monitoring/probe/detail.html", context)
