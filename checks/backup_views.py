"""Pages of backups: those of one environment, and one of them with its manifest."""

from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from checks import drawing, lateness, services
from checks.backup_export import export_backups
from checks.errors import CheckError
from checks.kinds.base import get_kind
from checks.models import Schedule, StoredBackup
from checks.plan import CheckSection, from_document
from checks.schedule_forms import rhythm_words
from checks.tools import catalogue, manifest, retention
from releases.enums import Role
from releases.errors import DomainError
from releases.models import Environment
from releases.paging import page_of
from releases.people import person
from releases.permissions import get_application_or_404, roles_in

#: In the order in which they are shown.
KINDS = ("backup", "drill", "disaster", "retention")
MOST_TABLES = 500


def _place(request: HttpRequest, slug: str, name: str) -> Environment:
    application = get_application_or_404(request.user, slug)
    return get_object_or_404(application.environments.select_related("application"), name=name)


def _checks(place: Environment) -> list[tuple[str, CheckSection]]:
    """(section, check) of the newest plan that take, prove or thin out this environment's backups."""
    newest = place.application.plan_versions.order_by("-number").defer("text").first()
    if newest is None:
        return []
    plan = from_document(newest.document)
    ours = {key: check for key, check in plan.checks.items() if check.kind in KINDS and check.environment == place.name}
    return [(f"checks.{key}", ours[key]) for key in sorted(ours, key=lambda key: (KINDS.index(ours[key].kind), key))]


@login_required
@require_GET
def backup_list(request: HttpRequest, slug: str, name: str) -> HttpResponseBase:
    place = _place(request, slug, name)
    rows = StoredBackup.objects.filter(environment=place).select_related("run", "drill", "removed_by")
    shown_rows = rows if request.GET.get("removed") == "1" else rows.filter(removed_at=None)
    if request.GET.get("format") in ("csv", "json"):
        return export_backups(request, shown_rows, request.GET["format"])
    checks = _checks(place)
    kept, page = _kept(place, checks), page_of(request, shown_rows)
    for row in page.object_list:
        row.fate = kept["fates"].get(row.pk)
    context = {
        "application": place.application,
        "environment": place,
        "page": page,
        "checks": [_startable(section, check) for section, check in checks],
        "may_start": bool(roles_in(request.user, place.application) & {Role.ENGINEER, Role.RELEASE_MANAGER}),
        **_facts(place),
        **kept,
        **_figures(place),
    }
    return render(request, "checks/backup/list.html", context)


def _startable(section: str, check: CheckSection) -> dict[str, Any]:
    return {"section": section, "title": check.title, "kind": get_kind(check.kind).title}


def _facts(place: Environment) -> dict[str, Any]:
    now = timezone.now()
    standing = list(catalogue.of(place).select_related("drill"))
    sound = [row for row in standing if row.is_sound]
    state = next((one for one in lateness.backups_due(now, place.application) if one.environment == place), None)
    schedules = Schedule.objects.filter(environment=place).order_by("due_at")
    return {
        "newest": sound[0] if sound else None,
        "proved": next((row for row in standing if row.drilled_at and not row.fault), None),
        "standing": len(standing),
        "faulty": [row for row in standing if row.fault],
        "total_bytes": sum(row.stored_bytes for row in standing),
        "target": state.target if state else None,
        "late": state.reason(now) if state else "",
        "widest": _widest_gap(place),
        "keys": _keys(standing),
        "schedules": [{"schedule": one, "rhythm": rhythm_words(one.cron)} for one in schedules],
    }


def _keys(standing: list[StoredBackup]) -> list[dict[str, Any]]:
    """Each key that a standing backup is sealed with: whoever drops one from the ring loses these."""
    ring = list(settings.BACKUP_KEYS or {})
    needed = Counter(row.key_id for row in standing)
    return [
        {"id": key, "backups": many, "held": key in ring, "current": key == (ring[0] if ring else None)}
        for key, many in sorted(needed.items(), key=lambda item: (ring.index(item[0]) if item[0] in ring else -1, item))
    ]


def _widest_gap(place: Environment) -> float | None:
    """Seconds between two neighbours of the newest thirty: so much would have been lost at the worst moment.

    Those that retention has removed since count as well: they stood when they were the newest.
    """
    taken = StoredBackup.objects.filter(environment=place, missing_at=None, fault="", verified_at__isnull=False)
    moments = taken.order_by("-snapshot_at").values_list("snapshot_at", flat=True)[:30]
    gaps = [(later - earlier).total_seconds() for later, earlier in pairwise(moments)]
    return max(gaps, default=None)


def _kept(place: Environment, checks: list[tuple[str, CheckSection]]) -> dict[str, Any]:
    """What retention would do now, by the plan's counts: the dry look that costs nothing."""
    check = next((check for _, check in checks if check.kind == "retention"), None)
    if check is None:
        return {"selection": None, "fates": {}}
    counts = get_kind("retention").Params.model_validate(check.params)
    assert isinstance(counts, retention.RetentionCounts)
    chosen = retention.select(catalogue.of(place), counts, retention.protected(place), timezone.now())
    return {
        "selection": chosen,
        "fates": {choice.backup.pk: choice for choice in chosen.choices},
        "counts": {tier: getattr(counts, tier) for tier in retention.TIERS},
    }


def _figures(place: Environment) -> dict[str, Any]:
    rows = StoredBackup.objects.filter(environment=place).order_by("-snapshot_at")
    # A day more, since the calendar's days are those of the viewer's zone. Hourly ones would be 2,000 in twelve weeks.
    first = drawing.first_day(timezone.localdate()) - timedelta(days=1)
    shown = rows.filter(snapshot_at__date__gte=first).only(*drawing.FIELDS)
    return {"calendar": drawing.calendar(shown), "curve": drawing.size_curve(rows.filter(missing_at=None)[:500])}


@login_required
@require_GET
def backup_detail(request: HttpRequest, slug: str, name: str, backup_id: int) -> HttpResponse:
    place = _place(request, slug, name)
    rows = StoredBackup.objects.select_related("run", "drill", "removed_by")
    row = get_object_or_404(rows, environment=place, pk=backup_id)
    document, problem = _manifest(row)
    if request.GET.get("format") == "json":
        if document is None:
            raise Http404(problem)
        answer = JsonResponse(document, json_dumps_params={"indent": 1})
        answer["Content-Disposition"] = f'attachment; filename="{row.manifest_key.rsplit("/", 1)[-1]}"'
        return answer
    context = {
        "application": place.application,
        "environment": place,
        "backup": row,
        "problem": problem,
        "needed_by": retention.protected(place).get(row.manifest_key, ""),
        **(_shown(document) if document else {}),
    }
    return render(request, "checks/backup/detail.html", context)


def _manifest(row: StoredBackup) -> tuple[dict[str, Any] | None, str]:
    if not row.is_there:
        return None, ""
    try:
        return manifest.load(row.manifest_key), ""
    except CheckError as error:
        return None, f"{error.message} {error.remedy}".strip()


def _shown(document: dict[str, Any]) -> dict[str, Any]:
    tables = sorted(document["tables"].items(), key=lambda item: -item[1]["rows"])
    return {
        "document": document,
        "parts": document["parts"],
        "tables": [{"name": name, "rows": table["rows"]} for name, table in tables[:MOST_TABLES]],
        "tables_left_out": max(0, len(tables) - MOST_TABLES),
    }


@login_required
@require_POST
def start(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Start one of the plan's checks about this environment's backups, without a release."""
    place = _place(request, slug, name)
    section = request.POST.get("section", "")
    if section not in {known for known, _ in _checks(place)}:
        raise Http404("The plan has no such check of this environment.")
    try:
        run = services.start_run(
            application=place.application, section=section, environment=place, actor=person(request)
        )
    except DomainError as error:
        messages.error(request, error.message)
        return redirect("checks:backups", slug, name)
    return redirect("checks:run_detail", run.number)
