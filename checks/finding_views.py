"""Pages of findings: those of an application, one with its history, those of one run; and living with one."""

from collections.abc import Container
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from checks import advisories
from checks.enums import FindingFamily, FindingSeverity
from checks.finding_export import export_findings
from checks.finding_forms import AcceptanceForm
from checks.findings import accepting, listing, sarif
from checks.findings.backing import backed
from checks.log_views import visible_run
from checks.models import Acceptance, Finding, Scan
from releases.errors import DomainError
from releases.models import Application, Release
from releases.paging import page_of
from releases.people import person
from releases.permissions import get_application_or_404, roles_in, visible_applications
from releases.views.acting import act, refuse


@login_required
@require_GET
def finding_list(request: HttpRequest, slug: str) -> HttpResponseBase:
    application = get_application_or_404(request.user, slug)
    filters, now = listing.FindingFilters.read(request.GET), timezone.now()
    found = listing.finding_list(application, filters, now)
    if request.GET.get("format") in ("csv", "json"):
        return export_findings(request, found, request.GET["format"])
    page = page_of(request, found)
    context = {
        "application": application,
        "filters": filters,
        "release": Release.objects.filter(pk=filters.release, application=application).first()
        if filters.release
        else None,
        "page": page,
        "rows": [{"finding": one, "look": listing.look(one)} for one in page.object_list],
        "counts": listing.counts(application, filters, now),
        "families": FindingFamily.choices,
        "severities": FindingSeverity.choices,
        "ages": advisories.ages(now),
    }
    return render(request, "checks/finding/list.html", context)


def _finding(application: Application, finding_id: int) -> Finding:
    found = Finding.objects.select_related("application", "first_run__release", "last_run", "joined_into")
    return get_object_or_404(found, application=application, pk=finding_id)


@login_required
@require_GET
def finding_detail(request: HttpRequest, slug: str, finding_id: int) -> HttpResponse:
    application = get_application_or_404(request.user, slug)
    finding = _finding(application, finding_id)
    if finding.joined_into_id is not None:
        return redirect("checks:finding", slug, finding.joined_into_id)
    roles, now = roles_in(request.user, application), timezone.now()
    acceptances = list(finding.acceptances.select_related("requested_by", "approved_by", "ended_by"))
    signed = backed(acceptances)
    shown = [_shown(acceptance, finding, now, signed) for acceptance in acceptances]
    context = {
        "application": application,
        "finding": finding,
        "look": "resolved" if finding.resolved_at else _look(shown),
        "presences": finding.presences.select_related("environment", "last_run", "resolved_run"),
        "history": page_of(request, listing.history(finding)),
        "acceptances": shown,
        "accepted_since": accepting.accepted_since((each["acceptance"] for each in shown), now),
        "counting": next((each for each in shown if each["look"] == "counts"), None),
        "is_asked": any(each["look"] == accepting.WAITING for each in shown),
        "may_ask": bool(roles & set(accepting.ASKERS)),
        "may_approve": bool(roles & set(accepting.APPROVERS)),
        "may_withdraw": bool(roles & {*accepting.ASKERS, *accepting.APPROVERS}),
        "me": person(request),
        "longest_days": accepting.longest(finding).days,
    }
    return render(request, "checks/finding/detail.html", context)


def _shown(acceptance: Acceptance, finding: Finding, now: Any, signed: Container[int]) -> dict[str, Any]:
    look = accepting.why_not(acceptance, finding, now, signed) or "counts"
    return {"acceptance": acceptance, "look": look, "stands": acceptance.ended_at is None}


def _look(shown: list[dict[str, Any]]) -> str:
    looks = {each["look"] for each in shown}
    return "accepted" if "counts" in looks else "asked" if accepting.WAITING in looks else "open"


@login_required
@require_http_methods(["GET", "POST"])
def accept(request: HttpRequest, slug: str, finding_id: int) -> HttpResponse:
    application = get_application_or_404(request.user, slug)
    finding = _finding(application, finding_id)
    form = AcceptanceForm(finding, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            accepting.request_acceptance(finding=finding, requester=person(request), **form.cleaned_data)
            return redirect("checks:finding", slug, finding.pk)
        except DomainError as error:
            refuse(form, error)
    context = {"application": application, "finding": finding, "form": form}
    return render(request, "checks/finding/accept.html", context, status=422 if form.errors else 200)


def _acceptance(request: HttpRequest, acceptance_id: int) -> Acceptance:
    known = Acceptance.objects.select_related("finding__application")
    return get_object_or_404(known, pk=acceptance_id, finding__application__in=visible_applications(request.user))


@login_required
@require_POST
def approve(request: HttpRequest, acceptance_id: int) -> HttpResponse:
    acceptance = _acceptance(request, acceptance_id)
    return act(
        request, lambda: accepting.approve_acceptance(acceptance=acceptance, approver=person(request)),
        done="The acceptance counts now.", to="checks:finding", slug=acceptance.finding.application.slug,
        finding_id=acceptance.finding_id,
    )  # fmt: skip


@login_required
@require_POST
def withdraw(request: HttpRequest, acceptance_id: int) -> HttpResponse:
    acceptance = _acceptance(request, acceptance_id)
    return act(
        request, lambda: accepting.withdraw_acceptance(acceptance=acceptance, actor=person(request)),
        done="The acceptance no longer counts.", to="checks:finding", slug=acceptance.finding.application.slug,
        finding_id=acceptance.finding_id,
    )  # fmt: skip


@login_required
@require_GET
def run_findings(request: HttpRequest, number: int) -> HttpResponse:
    """What one run found: a part of the run's page, or a page of its own."""
    run = visible_run(request.user, number)
    rows = listing.of_run(run)
    change = request.GET.get("change", "")
    context = {
        "run": run,
        "scan": getattr(run, "scan", None),
        "page": page_of(request, rows.filter(change=change) if change else rows),
        "accepted": accepting.validly_accepted([row.finding for row in rows], timezone.now()),
    }
    part = "checks/finding/run_table.html" if "HX-Request" in request.headers else "checks/finding/run.html"
    return render(request, part, context)


@login_required
@require_GET
def run_sarif(request: HttpRequest, number: int) -> HttpResponse:
    """What one run found, for other programs."""
    run = visible_run(request.user, number)
    scan = Scan.objects.filter(run=run).first()
    if scan is None:
        raise Http404("This run recorded no scan.")
    answer = HttpResponse(sarif.written(run, scan), content_type="application/sarif+json")
    answer["Content-Disposition"] = f'attachment; filename="findings-{run.number}.sarif"'
    return answer
