"""Who does what in an application: roles given and taken away. No role opens the gate by itself."""

from collections.abc import Iterable
from typing import Final

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from releases import permissions
from releases.domain import ledger
from releases.domain.approval import refresh
from releases.domain.wording import listed
from releases.doorbell import ring_person
from releases.enums import ReleaseState, Role
from releases.errors import DomainError, NotAllowed
from releases.models import Application, Membership, Release, User

#: States of a release out of which only a release manager leads.
_HALF_WAY: Final = (ReleaseState.DEPLOYING, ReleaseState.WATCHING, ReleaseState.FAILED, ReleaseState.UNKNOWN)


@transaction.atomic
def add_member(
    *, application: Application, user: User, role: Role, actor: User | None, station: str = ""
) -> Membership:
    """Give a person a role; an approver also needs a station. Nobody gives a role to themselves.

    Allowed to administrators of the application. Who keeps this installation may name administrators, and nothing
    else; themselves only where nobody else can administer the application. ``actor`` None: the program's own set-up.
    """
    # Application and account are held, in the order in which an account that ends holds them: neither the giver's role
    # nor the account changes between the question and the answer.
    Application.objects.select_for_update(no_key=True).get(pk=application.pk)
    user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if actor is not None:
        _check_giver(application, user, role, actor)
    if not user.is_active:
        raise DomainError(
            f"The account of {user} is not active; reactivate it first. Nothing was changed.", field="user"
        )
    _check_station(application, role, station)
    try:
        with transaction.atomic():
            membership = Membership.objects.create(application=application, user=user, role=role, station=station)
    except IntegrityError as error:
        if "membership_once" not in str(error):
            raise
        raise DomainError(f"{user} has this role already. Nothing was changed.", field="user") from error
    _tell("member.added", membership, actor)
    return membership


def _check_giver(application: Application, user: User, role: Role, actor: User) -> None:
    actor = User.objects.get(pk=actor.pk)  # as it is now, not as it was when the page was opened
    keeper = permissions.keeps_installation(actor) and role == Role.ADMINISTRATOR
    if not keeper:
        permissions.require(actor, application, Role.ADMINISTRATOR)
    orphaned = keeper and not permissions.able_administrators(application).exists()
    if actor.pk == user.pk and not orphaned:
        raise NotAllowed("Nobody gives a role to themselves; ask another administrator. Nothing was changed.")


def _check_station(application: Application, role: Role, station: str) -> None:
    if role not in Role.values:
        raise DomainError(f"There is no role called {role!r}. Nothing was changed.", field="role")
    if role == Role.APPROVER and not station:
        raise DomainError("An approver speaks for a station; name it. Nothing was changed.", field="station")
    if role != Role.APPROVER and station:
        raise DomainError("Only an approver speaks for a station. Nothing was changed.", field="station")
    known = stations_of(application)
    if station and known and station not in known:
        raise DomainError(
            f"No plan of {application} has the station {station!r}; there are {listed(sorted(known))}. "
            "Nothing was changed.",
            field="station",
        )


def stations_of(application: Application) -> dict[str, str]:
    """Key -> title of every station that a version of the plan ever named, those of the newest version last."""
    versions = application.plan_versions.order_by("number").values_list("document__approvals__stations", flat=True)
    return {station["key"]: station["title"] for stations in versions for station in stations or []}


@transaction.atomic
def remove_member(*, membership: Membership, actor: User | None) -> None:
    """Take a role away. Votes of this person for this station no longer count. The last administrator stays."""
    application = Application.objects.select_for_update(no_key=True).get(pk=membership.application_id)
    if actor is not None:
        permissions.require(User.objects.get(pk=actor.pk), application, Role.ADMINISTRATOR)
    others = permissions.able_administrators(application).exclude(pk=membership.pk)
    if membership.role == Role.ADMINISTRATOR and not others.exists():
        raise DomainError(
            f"{application} needs an administrator who can log in; name another one first. Nothing was changed."
        )
    if membership.role == Role.RELEASE_MANAGER:
        refuse_to_strand(membership.user, [application])
    _tell("member.removed", membership, actor)
    if not Membership.objects.filter(pk=membership.pk).delete()[0]:
        raise DomainError("This role was taken away already. Nothing was changed.")
    ring_person(membership.user_id)
    refresh_after(Release.objects.filter(application=application, state=ReleaseState.APPROVED))


def refuse_to_strand(user: User, applications: Iterable[Application]) -> None:
    """Refuse that the only release manager goes while a release is half-way: nobody could roll it back."""
    for application in applications:
        others = permissions.able_holders(application, Role.RELEASE_MANAGER).exclude(user=user)
        if others.exists():
            continue
        release = Release.objects.filter(application=application, state__in=_HALF_WAY).order_by("pk").first()
        if release is not None:
            raise DomainError(
                f"{release} is “{release.get_state_display().lower()}”, and nobody else who can log in is a release "
                f"manager of {application}, so nobody could roll it back. Nothing was changed; name another release "
                "manager first, or see the release to its end."
            )


def refresh_after(releases: QuerySet[Release]) -> None:
    """Votes count or no longer count; bring the states in line, in an order that two of these share."""
    for release in releases.order_by("pk"):
        refresh(release=release)


def _tell(action: str, membership: Membership, actor: User | None) -> None:
    ledger.append(
        action=action,
        actor=actor,
        subject=membership,
        application=membership.application,
        document={
            "user": membership.user_id,
            "name": str(membership.user),
            "role": membership.role,
            "station": membership.station,
        },
    )
