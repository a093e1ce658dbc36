"""Who may see and do what. Everything about a release is decided by memberships; nothing else opens that door.

``is_superuser`` (who keeps this installation) sees who has an account and may name administrators. It shows no
application and opens no gate.
"""

from collections.abc import Collection
from contextlib import suppress
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import Http404

from releases import queries
from releases.enums import Role
from releases.errors import NotAllowed
from releases.models import Application, Membership, Release, User, beside_names


def visible_applications(user: User | AnonymousUser) -> QuerySet[Application]:
    """The applications in which this person holds any role; a stranger sees none."""
    if not isinstance(user, User) or not user.is_active:
        return Application.objects.none()
    return Application.objects.filter(pk__in=Membership.objects.filter(user=user).values("application"))


def still_seen(guests: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of (person, application) where the person, as they are now and not as they were when a page was opened,
    sees the application; one query.
    """
    held = Membership.objects.filter(
        user__in={person for person, _ in guests}, application__in={place for _, place in guests}, user__is_active=True
    )
    return set(held.values_list("user_id", "application_id")) & set(guests)


def visible_releases(user: User | AnonymousUser) -> QuerySet[Release]:
    """The releases of the visible applications, with what every page names: application, environments, plan."""
    return (
        Release.objects.filter(application__in=visible_applications(user))
        .select_related("application", "plan_version", "source_environment", "target_environment", "requester")
        # The text of a plan is long, and shown on one page only.
        .defer("plan_version__text", *beside_names("requester"))
    )


def roles_in(user: User | AnonymousUser, application: Application) -> frozenset[Role]:
    """The roles this person holds in this application now."""
    if not isinstance(user, User) or not user.is_active:
        return frozenset()
    held = Membership.objects.filter(user=user, application=application).values_list("role", flat=True)
    return frozenset(Role(role) for role in held)


def shown_roles(user: User | AnonymousUser, application: Application) -> frozenset[Role]:
    """As ``roles_in``, as this request first read them: for what a page shows. What changes something asks anew."""
    if not isinstance(user, User) or not user.is_active:
        return frozenset()
    return frozenset(Role(role) for held, role in user.held_roles if held == application.pk)


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


def administered_applications(user: User | AnonymousUser) -> QuerySet[Application]:
    """The applications whose administrator this person is."""
    if not isinstance(user, User) or not user.is_active:
        return Application.objects.none()
    held = Membership.objects.filter(user=user, role=Role.ADMINISTRATOR)
    return Application.objects.filter(pk__in=held.values("application"))


def able_holders(application: Application, role: Role) -> QuerySet[Membership]:
    """Who can really act in this role: active people who are not merely invited."""
    merely_invited = Q(user__invited_at__isnull=False, user__last_login__isnull=True)
    held = Membership.objects.filter(application=application, role=role, user__is_active=True)
    return held.exclude(merely_invited)


def able_administrators(application: Application) -> QuerySet[Membership]:
    """Who can really administer it."""
    return able_holders(application, Role.ADMINISTRATOR)


def keeps_installation(user: User | AnonymousUser) -> bool:
    """Whether this person was made by ``manage.py createsuperuser``: the way in when every administrator is gone."""
    return isinstance(user, User) and user.is_active and user.is_superuser


def manages_people(user: User | AnonymousUser) -> bool:
    """Whether the pages of people are for this person at all."""
    if not isinstance(user, User) or not user.is_active:
        return False
    return user.is_superuser or any(role == Role.ADMINISTRATOR for _application, role in user.held_roles)


def visible_people(user: User | AnonymousUser) -> QuerySet[User]:
    """For an administrator: the people of their applications, and those without any role. For a keeper: everybody."""
    if keeps_installation(user):
        return User.objects.all()
    mine = administered_applications(user)
    if not mine.exists():
        return User.objects.none()
    held = Membership.objects.filter(user=OuterRef("pk"))
    return User.objects.filter(Exists(held.filter(application__in=mine)) | ~Exists(held))


def get_person_or_404(user: User | AnonymousUser, user_id: int) -> User:
    """The account, if this person may see it; otherwise Http404, which does not tell whether it exists."""
    try:
        return visible_people(user).get(pk=user_id)
    except User.DoesNotExist:
        raise Http404("There is no such person, or none of their applications is yours to administer.") from None


def get_application_or_404(user: User | AnonymousUser, slug: str) -> Application:
    """The application, if this person may see it; otherwise Http404, which does not tell whether it exists."""
    try:
        return visible_applications(user).get(slug=slug)
    except Application.DoesNotExist:
        raise Http404("There is no such application, or you have no role in it.") from None


def get_release_or_404(user: User | AnonymousUser, release_id: UUID | str) -> Release:
    """The release with application, plan and environments loaded, if this person may see it; otherwise Http404."""
    found = None
    with suppress(ValueError):
        if isinstance(user, User) and user.is_active:
            found = queries.release_seen_by(user.pk, UUID(str(release_id)))
    if found is None:
        raise Http404("There is no such release, or you have no role in its application.")
    return found
