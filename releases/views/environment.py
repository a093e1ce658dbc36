"""What an environment runs, where nobody deployed it by this program, and the secrets it needs."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from releases.domain import environment as environments
from releases.errors import DomainError
from releases.forms.environment import AdoptForm, SecretForm
from releases.people import person
from releases.permissions import get_application_or_404
from releases.views.acting import refuse


@login_required
@require_http_methods(["GET", "POST"])
def adopt(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    application = get_application_or_404(request.user, slug)
    place = get_object_or_404(application.environments, name=name)
    form = AdoptForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            environments.adopt_build(environment=place, actor=person(request), **form.cleaned_data)
            return redirect("releases:application", slug)
        except DomainError as error:
            refuse(form, error)
    context = {"application": application, "environment": place, "form": form}
    return render(request, "releases/application/adopt.html", context, status=422 if form.errors else 200)


@login_required
@require_http_methods(["GET", "POST"])
def set_secret(request: HttpRequest, slug: str) -> HttpResponse:
    application = get_application_or_404(request.user, slug)
    form = SecretForm(request.POST or None, initial={"name": request.GET.get("name", "")})
    if request.method == "POST" and form.is_valid():
        try:
            environments.set_secret(application=application, actor=person(request), **form.cleaned_data)
            return redirect("releases:application", slug)
        except DomainError as error:
            refuse(form, error)
    context = {"application": application, "form": form}
    return render(request, "releases/application/secret.html", context, status=422 if form.errors else 200)
