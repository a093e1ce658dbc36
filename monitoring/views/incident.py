"""Pages of incidents: the list, one, and taking notice of it."""

from collections.abc import Iterable
from datetime import timedelta

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from monitoring import drawing, queries
from monitoring.domain import incident as incidents
from monitoring.domain import slo
from monitoring.models import Incident
from releases import spreadsheet
from releases.enums import Role
from releases.paging import page_of
from releases.people import person
from releases.permissions import roles_in, visible_applications
from releases.views.acting import act
from releases.views.streaming import stream

MAX_EXPORT = 10_000
_AROUND = timedelta(minutes=30)
_ACKNOWLEDGERS = {Role.ENGINEER, Role.RELEASE_MANAGER, Role.ADMINISTRATOR}


@login_required
@require_GET
def incident_list(request: HttpRequest) -> HttpResponseBase:
    applications = visible_applications(request.user)
    filters = queries.IncidentFilters.read(request.GET)
    found = queries.incidents(applications, filters, request.GET.get("sort", ""))
    if request.GET.get("format") in ("csv", "json"):
        return _export(request, found[:MAX_EXPORT], request.GET["format"])
    context = {
        "nav": "monitoring",
        "page": page_of(request, found),
        "filters": filters,
        "counts": queries.incident_counts(applications),
        "applications": applications,
    }
    return render(request, "monitoring/incident/list.html", context)


def _export(request: HttpRequest, found: Iterable[Incident], form: str) -> HttpResponseBase:
    rows = [
        {
            "application": one.probe.environment.application.slug,
            "environment": one.probe.environment.name,
            "probe": one.probe.name,
            "opened_at": one.opened_at.isoformat(),
            "closed_at": one.closed_at.isoformat() if one.closed_at else "",
            "reason": one.reason,
            "release": one.release.version if one.release else "",
            "acknowledged_by": str(one.acknowledged_by or ""),
        }
        for one in found
    ]
    if form == "json":
        return JsonResponse({"incidents": rows})
    names = list(rows[0]) if rows else ["application", "environment", "probe", "opened_at", "closed_at", "reason"]
    return stream(request, spreadsheet.lines(names, rows), "text/csv; charset=utf-8", "incidents.csv")


def visible_incident(request: HttpRequest, incident_id: int) -> Incident:
    found = (
        Incident.objects.filter(pk=incident_id, probe__environment__application__in=visible_applications(request.user))
        .select_related("probe__environment__application", "release__application", "acknowledged_by")
        .first()
    )
    if found is None:
        raise Http404("There is no such incident, or you have no role in its application.")
    return found


@login_required
@require_GET
def detail(request: HttpRequest, incident_id: int) -> HttpResponse:
    incident = visible_incident(request, incident_id)
    probe = incident.probe
    since = incident.opened_at - _AROUND
    until = min(timezone.now(), (incident.closed_at or timezone.now()) + _AROUND)
    points = slo.series([probe.pk], since, until)
    context = {
        "nav": "monitoring",
        "incident": incident,
        "responses": drawing.response_chart(
            points,
            limit_ms=probe.slow_after_ms,
            builds=queries.builds_since(probe.environment, since),
            incidents=[incident],
            until=until,
        ),
        "errors": drawing.error_chart(points),
        "alerts": incident.alerts.prefetch_related("deliveries"),
        "answers": probe.results.filter(at__gte=since, at__lte=until, up=False)[:20],
        "may_acknowledge": incident.look == "open"
        and bool(roles_in(request.user, probe.environment.application) & _ACKNOWLEDGERS),
    }
    return render(request, "monitoring/incident/detail.html", context)


@login_required
@require_POST
def acknowledge(request: HttpRequest, incident_id: int) -> HttpResponse:
    incident = visible_incident(request, incident_id)
    return act(
        request,
        lambda: incidents.acknowledge(incident=incident, actor=person(request)),
        done="Your notice is kept. The incident closes by itself once the probe is up again.",
        to="monitoring:incident",
        incident_id=incident.pk,
    )
