"""Pages of the risk register."""

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from releases import page_queries as queries
from releases.domain import gate as gates
from releases.domain import risk as risks
from releases.errors import DomainError
from releases.forms.risk import AssessmentForm
from releases.models import RiskAssessment
from releases.people import person
from releases.permissions import get_release_or_404, visible_releases
from releases.views import showing
from releases.views.acting import act, refuse


@login_required
@require_GET
def register(request: HttpRequest, release_id: UUID) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    gate = gates.evaluate(release)
    context = {"nav": "risks", "release": release, "positions": gate.risks, "cells": showing.risk_cells(gate)}
    return render(request, "releases/risk/register.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def detail(request: HttpRequest, release_id: UUID, key: str) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    position = next((each for each in gates.evaluate(release).risks if each.risk.key == key), None)
    if position is None:
        raise Http404(f"The register of {release} has no risk {key}.")
    now = {"likelihood": position.likelihood, "impact": position.impact, "treatment": position.treatment.value}
    form = AssessmentForm(request.POST or None, initial=now)
    if request.method == "POST" and form.is_valid():
        try:
            risks.assess(risk=position.risk, author=person(request), **form.cleaned_data)
            return redirect("releases:risk", release.pk, key)
        except DomainError as error:
            refuse(form, error)
    context = {
        "nav": "risks", "release": release, "position": position, "risk": position.risk, "form": form,
        "assessments": queries.assessments_of(position.risk), "me": person(request),
    }  # fmt: skip
    return render(request, "releases/risk/detail.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def confirm(request: HttpRequest, assessment_id: int) -> HttpResponse:
    assessment = get_object_or_404(
        RiskAssessment.objects.select_related("risk__release"),
        pk=assessment_id,
        risk__release__in=visible_releases(request.user),
    )
    return act(
        request, lambda: risks.confirm_assessment(assessment=assessment, actor=person(request)),
        done="The assessment counts now.", to="releases:risk",
        release_id=assessment.risk.release_id, key=assessment.risk.key,
    )  # fmt: skip
