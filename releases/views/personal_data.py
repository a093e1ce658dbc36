"""One's own data: all of it in a file, and its erasure."""

import json
from collections.abc import Iterator

from allauth.account.decorators import reauthentication_required
from django import forms
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from releases import spreadsheet
from releases.domain.person import Kept, everything_about
from releases.domain.person import erase as erase_person
from releases.errors import DomainError
from releases.people import person
from releases.views.streaming import stream


class EraseForm(forms.Form):
    email = forms.EmailField(
        label="Your e-mail address", help_text="Write it once more, so that nothing happens by accident."
    )
    reason = forms.CharField(label="Reason", max_length=500, initial="At my own wish.")


@login_required
@require_POST
def export(request: HttpRequest) -> HttpResponseBase:
    """POST, because it is noted in the ledger; ``format`` json or csv."""
    user = person(request)
    as_csv = request.POST.get("format") == "csv"
    rows = everything_about(person=user, actor=user)
    name = f"my-data-{timezone.now():%Y%m%d}"
    if as_csv:
        return stream(request, csv_lines(rows), "text/csv; charset=utf-8", f"{name}.csv")
    return stream(request, json_lines(rows), "application/json; charset=utf-8", f"{name}.json")


# A browser that somebody left open is not enough for what cannot be undone.
@login_required
@reauthentication_required  # type: ignore[untyped-decorator] # allauth has no types
@require_http_methods(["GET", "POST"])
def erase(request: HttpRequest) -> HttpResponse:
    user = person(request)
    form = EraseForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if form.cleaned_data["email"].strip().lower() != user.email.lower():
            form.add_error("email", "This is not the address of your account. Nothing was changed.")
        else:
            try:
                erase_person(person=user, actor=user, reason=form.cleaned_data["reason"])
                logout(request)
                messages.success(request, "Your account is erased.")
                return redirect("account_login")
            except DomainError as error:
                form.add_error(error.field if error.field in form.fields else None, error.message)
    return render(request, "releases/user/erase.html", {"form": form}, status=422 if form.errors else 200)


def json_lines(rows: Iterator[Kept]) -> Iterator[bytes]:
    """One array of {source, record, as, values}."""
    separator = "[\n"
    for row in rows:
        yield (separator + json.dumps(row.as_json(), ensure_ascii=False, default=str)).encode()
        separator = ",\n"
    yield b"[]\n" if separator == "[\n" else b"\n]\n"


def csv_lines(rows: Iterator[Kept]) -> Iterator[bytes]:
    """A line for each value: source, record, as, field, value."""
    yield spreadsheet.line(["source", "record", "as", "field", "value"])
    for row in rows:
        for field, value in row.values.items():
            text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
            yield spreadsheet.line([row.source, row.record, row.as_what, field, text])
