"""Roles given and taken away on the page of an application."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from releases.domain import membership as memberships
from releases.enums import Role
from releases.errors import DomainError
from releases.forms.user import MemberForm
from releases.models import Application, User
from releases.people import person
from releases.permissions import get_application_or_404, keeps_installation, roles_in
from releases.views.acting import act, refuse


def administered(request: HttpRequest, slug: str, *, by_keepers: bool = False) -> Application:
    """The application, for its administrators (``by_keepers``: and for who keeps the installation); else 404 or 403."""
    viewer = person(request)
    if by_keepers and keeps_installation(viewer):
        return get_object_or_404(Application, slug=slug)
    application = get_application_or_404(viewer, slug)
    if Role.ADMINISTRATOR not in roles_in(viewer, application):
        raise PermissionDenied(f"This needs the role administrator in {application}.")
    return application


@login_required
@require_http_methods(["GET", "POST"])
def add(request: HttpRequest, slug: str) -> HttpResponse:
    application = administered(request, slug, by_keepers=True)
    viewer = person(request)
    form = MemberForm(application, viewer, request.POST or None, initial={"user": request.GET.get("email", "")})
    if request.method == "POST" and form.is_valid():
        try:
            given = memberships.add_member(application=application, actor=viewer, **form.cleaned_data)
            messages.success(request, f"{given.user} is {given.get_role_display().lower()} of {application} now.")
            return _back(viewer, application, given.user)
        except DomainError as error:
            refuse(form, error)
    context = {"application": application, "form": form}
    return render(request, "releases/application/member.html", context, status=422 if form.errors else 200)


def _back(viewer: User, application: Application, user: User) -> HttpResponse:
    """The application's page, or the person's for a keeper who has no role in the application."""
    if roles_in(viewer, application):
        return redirect("releases:application", application.slug)
    return redirect("releases:person_detail", user.pk)


@login_required
@require_POST
def remove(request: HttpRequest, slug: str, membership_id: int) -> HttpResponse:
    application = administered(request, slug)
    membership = get_object_or_404(application.memberships.select_related("user"), pk=membership_id)
    done = f"{membership.user} is no longer {membership.get_role_display().lower()}. Their votes no longer count."
    myself = membership.user_id == person(request).pk
    return act(
        request, lambda: memberships.remove_member(membership=membership, actor=person(request)),
        done=done if membership.role == Role.APPROVER else done.partition(" Their")[0],
        **({"to": "releases:application_list"} if myself else {"to": "releases:application", "slug": slug}),
    )  # fmt: skip
