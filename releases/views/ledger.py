"""Pages of the ledger: the list, one entry, verification, and downloads."""

import json
from collections.abc import Iterator
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from releases.domain import ledger
from releases.domain.ledger import history
from releases.domain.ledger.bundles import stream_bundle
from releases.forms.ledger import LedgerFilter
from releases.models import LedgerEntry, LedgerVerification, User
from releases.permissions import get_release_or_404, visible_applications, visible_releases
from releases.views.ledger_export import as_csv, as_json
from releases.views.streaming import stream

# The whole chain tells of every application, so it takes a reader's role in each of them.
WHOLE_CHAIN = (
    "The whole chain tells of all applications; it takes the role auditor, release manager or administrator in each."
)
READERS_ONLY = "Verifying takes the role auditor, release manager or administrator in an application."
_FIRST_STEP_SECONDS = 1.0


@require_GET
@login_required
def entry_list(request: HttpRequest) -> HttpResponseBase:
    """Entries that this person may see, filtered, newest first; `format=csv` or `json` exports them all."""
    scope = history.scope_of(_person(request))
    form = LedgerFilter(scope, request.GET)
    valid = form.is_valid()
    entries = history.filtered(scope, form.filters()) if valid else LedgerEntry.objects.none()
    kind = request.GET.get("format", "")
    if kind in _EXPORTS and valid:
        return _export(request, kind, history.every(entries))
    part = history.part(entries, before=_place(request, "before"), after=_place(request, "after"))
    context = {
        "nav": "ledger",
        "form": form,
        "part": part,
        "release": getattr(form, "cleaned_data", {}).get("release"),
        "summary": history.summary(),
        "public_key": ledger.public_key_text(),
        "may_verify": scope.reads_the_rest,
        "may_download": scope.reads_all,
        "why_not_verify": READERS_ONLY,
        "why_not_download": WHOLE_CHAIN,
    }
    return render(request, "releases/ledger/list.html", context, status=200 if valid else 422)


@require_GET
@login_required
def entry_detail(request: HttpRequest, sequence: int) -> HttpResponse:
    """One entry: what was before and after, its bytes, its seal, its neighbours, its proof."""
    scope = history.scope_of(_person(request))
    visible = scope.restrict(LedgerEntry.objects.filter(sequence=sequence))
    entry = get_object_or_404(visible)
    before, after = history.neighbours(entry)
    context = {
        "nav": "ledger",
        "entry": entry,
        "before": before,
        "after": after,
        "changes": _changes(entry.document),
        "details": [(key, _shown(value)) for key, value in entry.document.items() if key not in ("before", "after")],
        "application": visible_applications(request.user).filter(pk=entry.application_id or 0).first(),
        "release": visible_releases(request.user).filter(pk=entry.release_id or UUID(int=0)).first(),
        "canonical": bytes(entry.canonical).decode(errors="replace"),
        "proof": history.prove(entry, before),
    }
    return render(request, "releases/ledger/detail.html", context)


@require_POST
@login_required
def verification_start(request: HttpRequest) -> HttpResponse:
    """Begins a verification of the whole ledger, does its first second, and leads to its page."""
    _require_reader(request)
    row = ledger.start_verification(actor=_person(request))
    ledger.advance_verification(verification_id=row.pk, seconds=_FIRST_STEP_SECONDS)
    return redirect("releases:ledger_verification", row.pk)


@require_http_methods(["GET", "POST"])
@login_required
def verification_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """How a verification stands; POST goes on with it."""
    _require_reader(request)
    row = get_object_or_404(LedgerVerification.objects.select_related("requested_by"), pk=pk)
    is_fragment = bool(getattr(request, "htmx", False))
    if request.method == "POST":
        row = ledger.advance_verification(verification_id=row.pk)
        if not is_fragment:
            return redirect("releases:ledger_verification", row.pk)
    template = "releases/ledger/_verification.html" if is_fragment else "releases/ledger/verification.html"
    context = {"nav": "ledger", "row": row, "left": _seconds_left(row), "share": _share(row)}
    return render(request, template, context)


@require_POST
@login_required
def chain_bundle(request: HttpRequest) -> HttpResponseBase:
    """The whole chain as a bundle that can be verified offline. The download is an entry of the ledger itself."""
    if not history.scope_of(_person(request)).reads_all:
        raise PermissionDenied(WHOLE_CHAIN)
    chunks = stream_bundle(actor=_person(request))
    return stream(request, chunks, "application/zip", f"ledger-{timezone.now():%Y%m%dT%H%M%SZ}.zip")


@require_POST
@login_required
def release_bundle(request: HttpRequest, release_id: UUID) -> HttpResponseBase:
    """The entries of one release, each with its proof of inclusion in a signed checkpoint."""
    release = get_release_or_404(_person(request), release_id)
    chunks = stream_bundle(release=release, actor=_person(request))
    return stream(request, chunks, "application/zip", f"ledger-{release.pk}.zip")


_EXPORTS = {"csv": (as_csv, "text/csv; charset=utf-8"), "json": (as_json, "application/json")}


def _export(request: HttpRequest, kind: str, entries: Iterator[LedgerEntry]) -> HttpResponseBase:
    write, content_type = _EXPORTS[kind]
    return stream(request, write(entries), content_type, f"ledger-{timezone.now():%Y%m%dT%H%M%SZ}.{kind}")


def _person(request: HttpRequest) -> User:
    return cast("User", request.user)


def _require_reader(request: HttpRequest) -> None:
    if not history.scope_of(_person(request)).reads_the_rest:
        raise PermissionDenied(READERS_ONLY)


def _place(request: HttpRequest, name: str) -> int | None:
    """A sequence from the address; what is no number there is no page."""
    text = request.GET.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text) < 2**63):
        raise Http404("There is no such page of the ledger.")
    return int(text)


def _shown(value: Any) -> str:
    """A value of a document in words: lists by commas, what is deeper as JSON."""
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(str(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _changes(document: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    """Rows of (what, before, after, whether it differs) from the document's before and after."""
    before, after = document.get("before"), document.get("after")
    if before is None and after is None:
        return []
    old = before if isinstance(before, dict) else {"value": before}
    new = after if isinstance(after, dict) else {"value": after}
    if before is None or after is None:
        old, new = ({}, new) if before is None else (old, {})
    return [(key, _shown(old.get(key)), _shown(new.get(key)), old.get(key) != new.get(key)) for key in {**old, **new}]


def _share(row: LedgerVerification) -> float:
    return row.position / row.target if row.target else 1.0


def _seconds_left(row: LedgerVerification) -> float | None:
    """The time that the rest takes at the speed so far."""
    if row.state != "running" or not row.position:
        return None
    return row.seconds / row.position * (row.target - row.position)
