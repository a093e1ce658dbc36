"""Who may see and do what. Everything is decided by memberships; nothing else opens a door.

``is_superuser`` and ``is_staff`` are not looked at here: they open the administration pages and nothing more.
"""

from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404

from releases.enums import Role
from releases.errors import NotAllowed
from releases.models import Application, Membership, Release, User


def visible_applications(user: User | AnonymousUser) -> QuerySet[Application]:
    """The applications in which this person holds any role; a stranger sees none."""
    if not isinstance(user, User) or not user.is_active:
        return Application.objects.none()
    return Application.objects.filter(pk__in=Membership.objects.filter(user=user).values("application"))


def visible_releases(user: User | AnonymousUser) -> QuerySet[Release]:
    """The releases of the visible applications, with what every page names: application, environments, plan."""
    return (
        Release.objects.filter(application__in=visible_applications(user))
        .select_related("application", "plan_version", "source_environment", "target_environment", "requester")
        .defer("plan_version__text")  # long, and shown on one page only
    )


def roles_in(user: User | AnonymousUser, application: Application) -> frozenset[Role]:
    """The roles this person holds in this application now."""
    if not isinstance(user, User) or not user.is_active:
        return frozenset()
    held = Membership.objects.filter(user=user, application=application).values_list("role", flat=True)
    return frozenset(Role(role) for role in held)


def stations_of(user: User | AnonymousUser, application: Application) -> frozenset[str]:
    """The stations this person speaks for as an approver of this application."""
    if not isinstance(user, User) or not user.is_active:
        return frozenset()
    held = Membership.objects.filter(user=user, application=application, role=Role.APPROVER)
    return frozenset(held.values_list("station", flat=True))


def require(user: User | AnonymousUser, application: Application, *roles: Role) -> None:
    """Raise NotAllowed, naming what is needed, unless this person holds one of ``roles`` in the application."""
    if not roles_in(user, application) & set(roles):
        names = " or ".join(role.label.lower() for role in roles)
        raise NotAllowed(f"This needs the role {names} in {application}. Nothing was changed.")


def get_application_or_404(user: User | AnonymousUser, slug: str) -> Application:
    """The application, if this person may see it; otherwise Http404, which does not tell whether it exists."""
    try:
        return visible_applications(user).get(slug=slug)
    except Application.DoesNotExist:
        raise Http404("There is no such application, or you have no role in it.") from None


def get_release_or_404(user: User | AnonymousUser, release_id: UUID | str) -> Release:
    """The release with application, plan and environments loaded, if this person may see it; otherwise Http404."""
    try:
        return visible_releases(user).get(pk=release_id)
    except (Release.DoesNotExist, ValidationError, ValueError):
        raise Http404("There is no such release, or you have no role in its application.") from None
