"""Publishing a new version of a plan, with every problem at its line."""

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from checks.errors import PlanError
from checks.plan_text import MAX_PLAN_BYTES
from checks.publishing import publish
from releases.errors import DomainError
from releases.people import person
from releases.permissions import get_application_or_404


class PlanForm(forms.Form):
    """The whole text of a plan."""

    text = forms.CharField(
        strip=False,
        max_length=MAX_PLAN_BYTES,
        label="Plan",
        widget=forms.Textarea(attrs={"rows": 40, "spellcheck": "false", "class": "mono"}),
    )


@login_required
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest, slug: str) -> HttpResponse:
    application = get_application_or_404(request.user, slug)
    newest = application.plan_versions.order_by("-number").first()
    form = PlanForm(request.POST or None, initial={"text": newest.text if newest else ""})
    problems: list[tuple[int, int, str, str]] = []
    if request.method == "POST" and form.is_valid():
        try:
            version = publish(application=application, text=form.cleaned_data["text"], author=person(request))
            messages.success(request, f"Plan v{version.number} is published. Releases use it when somebody says so.")
            return redirect("releases:plan_version", slug, version.number)
        except PlanError as error:
            problems = error.problems
            form.add_error("text", "Nothing was published. The problems are listed below, each with its place.")
        except DomainError as error:
            form.add_error(None, error.message)
    context = {"application": application, "form": form, "problems": problems}
    return render(request, "checks/plan/new.html", context, status=422 if form.errors else 200)
