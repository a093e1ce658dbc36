"""Pages of the decision: what one signs, the vote, and the way around a closed gate."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from releases import page_queries as queries
from releases.domain import approval
from releases.domain import break_glass as glasses
from releases.domain import gate as gates
from releases.domain import release as releases
from releases.domain.poll import stations_of_plan
from releases.errors import DomainError
from releases.forms.approval import BreakGlassForm, VoteForm
from releases.models import BreakGlass, Release, Vote
from releases.people import person
from releases.permissions import get_release_or_404, stations_of, visible_releases
from releases.views import showing
from releases.views.acting import act, refuse


@login_required
@require_POST
def open_poll(request: HttpRequest, release_id: UUID) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    return act(
        request, lambda: releases.open_poll(release=release, actor=person(request)),
        done="The poll is open. Approvers see it under “wait for you”.", to="releases:release", release_id=release.pk,
    )  # fmt: skip


@login_required
@require_http_methods(["GET", "POST"])
def vote(request: HttpRequest, release_id: UUID) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    gate = gates.evaluate(release)
    mine = stations_of(request.user, release.application)
    stations = [(each["key"], each["title"]) for each in stations_of_plan(release) if each["key"] in mine]
    form = VoteForm(stations, request.POST or None, initial={"manifest_digest": gate.digest})
    if request.method == "POST" and form.is_valid():
        try:
            approval.cast_vote(release=release, voter=person(request), **form.cleaned_data)
            messages.success(request, "Your vote is signed and kept in the ledger.")
            return redirect("releases:release", release.pk)
        except DomainError as error:
            refuse(form, error)
            # What changed is read before it is signed: the new page carries the new digest.
            gate = gates.evaluate(release)
            form.data = {**request.POST.dict(), "manifest_digest": gate.digest}
    context = _vote_page(request, release, gate) | {"form": form, "stations": stations}
    return render(request, "releases/approval/vote.html", context, status=422 if form.errors else 200)


def _vote_page(request: HttpRequest, release: Release, gate: gates.Gate) -> dict[str, Any]:
    user = person(request)
    return {
        "nav": "releases",
        "release": release,
        "gate": gate,
        "facts": showing.facts(release, gate),
        "passed": sum(status.proven for status in gate.items),
        "waived": [status for status in gate.items if status.waiver is not None and not status.proven],
        "not_green": [status for status in gate.items if status.item.blocking and not status.green],
        "over": [position for position in gate.risks if position.over_appetite],
        "changes": queries.changes_since(release, user, gate.manifest),
        "votes": showing.shown_poll(gate.poll),
        "blockers": showing.shown_blockers(release, gate.blockers),
        "refusal": approval.why_not(release=release, voter=user, gate=gate),
        "my_votes": list(release.votes.filter(voter=user, withdrawn_at__isnull=True)),
    }


@login_required
@require_POST
def withdraw(request: HttpRequest, release_id: UUID, vote_id: int) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    cast = get_object_or_404(Vote, pk=vote_id, release=release)
    return act(
        request, lambda: approval.withdraw_vote(vote=cast, actor=person(request)),
        done="Your vote is withdrawn. You may vote again.", to="releases:vote", release_id=release.pk,
    )  # fmt: skip


@login_required
@require_http_methods(["GET", "POST"])
def break_glass(request: HttpRequest, release_id: UUID) -> HttpResponse:
    release = get_release_or_404(request.user, release_id)
    gate = gates.evaluate(release)
    form = BreakGlassForm(request.POST or None, initial={"expires_at": timezone.now() + timedelta(hours=1)})
    if request.method == "POST" and form.is_valid():
        try:
            glasses.request_break_glass(release=release, requester=person(request), **form.cleaned_data)
            return redirect("releases:release", release.pk)
        except DomainError as error:
            refuse(form, error)
    context = {
        "nav": "releases", "release": release, "form": form, "gate": gate, "me": person(request),
        "blockers": showing.shown_blockers(release, gate.blockers),
    }  # fmt: skip
    return render(request, "releases/approval/break_glass.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def approve_break_glass(request: HttpRequest, glass_id: int) -> HttpResponse:
    glass = get_object_or_404(
        BreakGlass.objects.select_related("release"), pk=glass_id, release__in=visible_releases(request.user)
    )
    return act(
        request, lambda: glasses.approve_break_glass(glass=glass, approver=person(request)),
        done="The gate is open until it expires. Everybody who looks at this release sees who opened it.",
        to="releases:release", release_id=glass.release_id,
    )  # fmt: skip
