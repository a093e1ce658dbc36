"""What a release's board shows of monitoring, and watching a release once more."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from monitoring import drawing, queries
from monitoring.domain import alert as alerts
from monitoring.domain import slo, watch
from monitoring.domain.probe import stale
from monitoring.models import Incident, Probe, Watch
from monitoring.views.probe import shown_probes
from releases.enums import ReleaseState, Role
from releases.models import Release
from releases.people import person
from releases.permissions import get_release_or_404, roles_in
from releases.views.acting import act

_SENDERS = {Role.ENGINEER, Role.RELEASE_MANAGER, Role.ADMINISTRATOR}


@login_required
@require_GET
def release_panel(request: HttpRequest, release_id: str) -> HttpResponse:
    """A fragment for the board; the same as a page of its own where it is opened as a link."""
    release = get_release_or_404(request.user, release_id)
    template = "monitoring/watch/panel.html" if getattr(request, "htmx", False) else "monitoring/watch/page.html"
    return render(request, template, _panel(request, release))


def _panel(request: HttpRequest, release: Release) -> dict[str, Any]:
    until = timezone.now()
    watched = Watch.objects.filter(release=release).first() if release.watch_until else None
    since = watched.began_at if watched else until - queries.SPANS["1h"]
    probes = list(
        Probe.objects.filter(environment=release.target_environment, enabled=True).select_related(
            "environment__application"
        )
    )
    ids = [probe.pk for probe in probes]
    span = until - since
    together, each = slo.figures(ids, since, until)
    earlier = since - max(span / 4, queries.SPANS["1h"] / 6)
    roles = roles_in(request.user, release.application)
    return {
        "nav": "monitoring",
        "release": release,
        "watch": watched,
        "is_watching": release.state == ReleaseState.WATCHING,
        "limits": watch.Limits.of(release),
        "figures": together,
        "worst_p95_ms": slo.worst_p95(each),
        "rows": shown_probes(probes, since, until),
        "stale": stale(probes, until),
        "incidents": Incident.objects.filter(probe__in=ids, closed_at__isnull=True).select_related("probe"),
        "responses": drawing.response_chart(
            slo.series(ids, earlier, until, points=60),
            limit_ms=watch.Limits.of(release).max_response * 1000,
            builds=queries.builds_since(release.target_environment, earlier),
            incidents=queries.incidents_during(ids, earlier, until),
            until=until,
        )
        if ids
        else None,
        "test_alert": queries.newest_test_alert(release),
        "channels": alerts.declared_channels(release.application, release),
        "may_test": bool(roles & _SENDERS),
        "may_restart": Role.RELEASE_MANAGER in roles,
    }


@login_required
@require_POST
def restart(request: HttpRequest, release_id: str) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    return act(
        request,
        lambda: watch.restart(release=release, actor=person(request), reason=request.POST.get("reason", "")),
        done="The release is watched once more, from now on.",
        to="releases:release",
        release_id=release.pk,
    )
