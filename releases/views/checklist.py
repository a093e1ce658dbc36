"""Pages of the checklist: one requirement, one item, signing it, waiving it."""

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from releases import page_queries as queries
from releases.domain import checklist, evidence
from releases.domain.items import ItemStatus, item_statuses
from releases.enums import Requirement, Role
from releases.errors import DomainError
from releases.forms.checklist import SignOffForm, WaiverForm
from releases.models import Evidence, Release, Waiver
from releases.people import person
from releases.permissions import get_release_or_404, roles_in, visible_releases
from releases.views import showing
from releases.views.acting import act, refuse
from releases.views.stored import stored_file

STARTERS = {Role.ENGINEER, Role.RELEASE_MANAGER}
SIGNERS = {Role.ENGINEER, Role.APPROVER, Role.RELEASE_MANAGER}
DESCRIPTIONS = {
    Requirement.TESTING: "The build does what it should: automated tests, a smoke test and user acceptance.",
    Requirement.SECURITY: "Common web vulnerabilities, encryption and authentication were looked at.",
    Requirement.SCALABILITY: "The expected traffic fits, with room to spare, and what to add next is known.",
    Requirement.TRANSITION: "The data of people arrives whole: accounts, progress, preferences.",
    Requirement.RECOVERY: "Backups exist, restore, and meet the recovery targets; the way back was rehearsed.",
    Requirement.MONITORING: "Somebody will know within a minute when something breaks.",
}


@login_required
@require_GET
def requirement(request: HttpRequest, release_id: UUID, requirement: str) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    if requirement not in Requirement.values:
        raise Http404(f"There is no requirement called {requirement}.")
    roles = roles_in(request.user, release.application)
    statuses = [each for each in item_statuses(release, queries.now()) if each.item.requirement == requirement]
    context = {
        "nav": "releases",
        "release": release,
        "requirement": Requirement(requirement),
        "description": DESCRIPTIONS[Requirement(requirement)],
        "items": showing.shown_items(release, statuses),
        "history": queries.history_of([status.item for status in statuses], release),
        "may_sign": bool(SIGNERS & roles),
        "may_start": bool(STARTERS & roles),
    }
    return render(request, "releases/checklist/requirement.html", context)


def _status(release: Release, key: str) -> ItemStatus:
    for status in item_statuses(release, queries.now()):
        if status.item.key == key:
            return status
    raise Http404(f"The checklist of {release} has no item {key}.")


@login_required
@require_GET
def item(request: HttpRequest, release_id: UUID, key: str) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    status = _status(release, key)
    roles = roles_in(request.user, release.application)
    context = {
        "nav": "releases",
        "release": release,
        "status": status,
        "item": status.item,
        "look": showing.item_look(status),
        "evidence": queries.evidence_for(status.item),
        "waivers": queries.waivers_of(status.item),
        "history": queries.history_of([status.item], release),
        "signed_by_people": not status.item.section and not status.item.receipt,
        "may_sign": bool(SIGNERS & roles),
        "may_start": bool(STARTERS & roles),
        "may_waive": bool({Role.APPROVER, Role.RELEASE_MANAGER} & roles),
        "me": person(request),
    }
    return render(request, "releases/checklist/item.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def sign_off(request: HttpRequest, release_id: UUID, key: str) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    status = _status(release, key)
    form = SignOffForm(request.POST or None, request.FILES or None, attested=status.item.attested)
    if request.method == "POST" and form.is_valid():
        try:
            data = dict(form.cleaned_data)
            attached = data.pop("attachment")
            evidence.sign_off(
                item=status.item,
                author=person(request),
                attachment=(attached.name, attached.file) if attached else None,
                **data,
            )
            return redirect("releases:item", release.pk, key)
        except DomainError as error:
            refuse(form, error)
    return _form_page(request, "sign_off", release, status, form)


@login_required
@require_http_methods(["GET", "POST"])
def request_waiver(request: HttpRequest, release_id: UUID, key: str) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    status = _status(release, key)
    form = WaiverForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            checklist.request_waiver(item=status.item, requester=person(request), **form.cleaned_data)
            return redirect("releases:item", release.pk, key)
        except DomainError as error:
            refuse(form, error)
    return _form_page(request, "waiver", release, status, form)


def _form_page(request: HttpRequest, name: str, release: Release, status: ItemStatus, form: Any) -> HttpResponse:
    context = {"nav": "releases", "release": release, "status": status, "item": status.item, "form": form}
    return render(request, f"releases/checklist/{name}.html", context, status=422 if form.errors else 200)


def _waiver(request: HttpRequest, waiver_id: int) -> Waiver:
    waivers = Waiver.objects.select_related("item__release__application")
    return get_object_or_404(waivers, pk=waiver_id, item__release__in=visible_releases(request.user))


@login_required
@require_POST
def approve_waiver(request: HttpRequest, waiver_id: int) -> HttpResponse:
    waiver = _waiver(request, waiver_id)
    return act(
        request, lambda: checklist.approve_waiver(waiver=waiver, approver=person(request)),
        done="The waiver counts now.", to="releases:item", release_id=waiver.item.release_id, key=waiver.item.key,
    )  # fmt: skip


@login_required
@require_POST
def revoke_waiver(request: HttpRequest, waiver_id: int) -> HttpResponse:
    waiver = _waiver(request, waiver_id)
    return act(
        request, lambda: checklist.revoke_waiver(waiver=waiver, actor=person(request)),
        done="The waiver no longer counts.", to="releases:item", release_id=waiver.item.release_id, key=waiver.item.key,
    )  # fmt: skip


@login_required
@require_GET
def attachment(request: HttpRequest, evidence_id: UUID, name: str) -> FileResponse:
    """A file that somebody attached to a sign-off."""
    found = get_object_or_404(Evidence, pk=evidence_id, release__in=visible_releases(request.user))
    for kept in found.artifacts:
        if kept["name"] == name:
            return stored_file(kept["key"], name)
    raise Http404(f"There is no file called {name} with this evidence.")
