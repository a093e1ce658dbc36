"""The keys by which programs send reports for an application."""

from datetime import timedelta

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_http_methods, require_POST

from releases.domain import token as tokens
from releases.enums import Role
from releases.errors import DomainError
from releases.forms.token import TokenForm
from releases.models import ReportToken
from releases.people import person
from releases.permissions import get_application_or_404, roles_in
from releases.views.acting import act, refuse


@login_required
@require_http_methods(["GET", "POST"])
def token_list(request: HttpRequest, slug: str) -> HttpResponse:
    """A new key is in the answer to the POST and nowhere else."""
    application = get_application_or_404(request.user, slug)
    form = TokenForm(request.POST or None)
    key = ""
    if request.method == "POST" and form.is_valid():
        try:
            _, key = tokens.issue_token(
                application=application, name=form.cleaned_data["name"], actor=person(request),
                valid_for=timedelta(days=form.cleaned_data["days"]),
            )  # fmt: skip
        except DomainError as error:
            refuse(form, error)
    roles = roles_in(request.user, application)
    context = {
        "application": application,
        "form": TokenForm() if key else form,
        "key": key,
        "tokens": ReportToken.objects.filter(application=application).select_related("owner", "revoked_by"),
        "may_issue": bool({Role.ENGINEER, Role.RELEASE_MANAGER} & roles),
        "may_revoke_all": bool({Role.RELEASE_MANAGER, Role.ADMINISTRATOR} & roles),
    }
    response = render(request, "releases/application/tokens.html", context, status=422 if form.errors else 200)
    response["Cache-Control"] = "no-store"
    return response


@login_required
@require_POST
def revoke(request: HttpRequest, slug: str, token_id: int) -> HttpResponse:
    application = get_application_or_404(request.user, slug)
    token = get_object_or_404(ReportToken.objects.select_related("application"), application=application, pk=token_id)
    return act(
        request, lambda: tokens.revoke_token(token=token, actor=person(request)),
        done=f"The key of {token.name} opens nothing any more.", to="releases:tokens", slug=slug,
    )  # fmt: skip
