"""The scripted cases of a release's acceptance: all of them, and one to walk."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from releases.domain import case as cases
from releases.domain.items import ACCEPTANCE_ITEM
from releases.errors import DomainError
from releases.forms.case import CaseForm
from releases.models import Release
from releases.people import person
from releases.permissions import get_release_or_404, roles_in
from releases.views.acting import refuse
from releases.views.stored import stored_file


def _cases(release: Release) -> list[cases.Case]:
    found = cases.cases_of(release)
    if not found:
        raise Http404(f"The plan of {release} has no acceptance cases.")
    return found


def _case(release: Release, key: str) -> tuple[list[cases.Case], cases.Case]:
    """All cases, and the one of this key."""
    found = _cases(release)
    case = next((each for each in found if each.key == key), None)
    if case is None:
        raise Http404(f"The plan of {release} has no case {key}.")
    return found, case


@login_required
@require_GET
def case_list(request: HttpRequest, release_id: UUID) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    found = _cases(release)
    context = {
        "nav": "releases",
        "release": release,
        "cases": found,
        "passed": sum(case.state == "passed" for case in found),
        "next": next((case for case in found if case.result is None), None),
        "item_key": ACCEPTANCE_ITEM,
        "may_judge": bool(set(cases.TESTERS) & roles_in(request.user, release.application)),
        "runs_instead": cases.runs_instead(release),
    }
    return render(request, "releases/case/list.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def case_detail(request: HttpRequest, release_id: UUID, key: str) -> HttpResponse:
    """GET shows how to walk it; POST keeps the verdict and leads to the next case that nobody has walked."""
    release = get_release_or_404(request.user, release_id)
    found, case = _case(release, key)
    form = CaseForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        picture = form.cleaned_data["screenshot"]
        try:
            cases.judge_case(
                release=release, key=key, verdict=form.cleaned_data["verdict"], note=form.cleaned_data["note"],
                screenshot=(picture.name, picture.file) if picture else None, tester=person(request),
                case_digest=request.POST.get("case_digest", ""),
            )  # fmt: skip
        except DomainError as error:
            refuse(form, error)
            # Shown as it stands now: it may have changed since this request began.
            release = get_release_or_404(request.user, release_id)
            found, case = _case(release, key)
        else:
            messages.success(request, f"Kept: {case.title}.")
            following = next((each for each in cases.cases_of(release) if each.result is None), None)
            if following is None:
                return redirect("releases:cases", release.pk)
            return redirect("releases:case", release.pk, following.key)
    context = {
        "nav": "releases",
        "release": release,
        "case": case,
        "number": found.index(case) + 1,
        "cases": found,
        "form": form,
        "results": release.case_results.filter(case=key).select_related("tester"),
        "may_judge": bool(set(cases.TESTERS) & roles_in(request.user, release.application)),
        "runs_instead": cases.runs_instead(release),
    }
    return render(request, "releases/case/detail.html", context, status=422 if form.errors else 200)


@login_required
@require_GET
def screenshot(request: HttpRequest, release_id: UUID, result_id: int) -> FileResponse:
    release = get_release_or_404(request.user, release_id)
    result = get_object_or_404(release.case_results, pk=result_id)
    if not result.screenshot:
        raise Http404("No screenshot was kept with this verdict.")
    return stored_file(result.screenshot["key"], result.screenshot["name"])
