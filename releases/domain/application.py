"""An application, the versions of its plan, and who does what in it."""

from collections.abc import Callable
from typing import Any

from django.db import IntegrityError, transaction

from releases import permissions
from releases.domain import ledger
from releases.domain.approval import refresh
from releases.enums import ReleaseState, Role
from releases.errors import DomainError, NotAllowed
from releases.models import Application, Environment, Membership, PlanVersion, Release, User

PlanListener = Callable[[PlanVersion], None]
_plan_listeners: list[PlanListener] = []


def register_plan_listener(listener: PlanListener) -> None:
    """Let another app follow each published plan, inside the transaction that publishes it."""
    if listener not in _plan_listeners:
        _plan_listeners.append(listener)


@transaction.atomic
def create_application(
    *, slug: str, name: str, actor: User | None, description: str = "", plan_folder: str = ""
) -> Application:
    """Make an application; its maker becomes its administrator. ``actor`` None: the program's own set-up.

    Allowed to an administrator of any application, and to who keeps this installation (``is_superuser``), since there
    is nothing in a new application yet that could be bypassed.
    """
    if actor is not None and not (actor.is_active and (actor.is_superuser or _administers(actor))):
        raise NotAllowed("This needs the role administrator in some application. Nothing was changed.")
    if Application.objects.filter(slug=slug).exists():
        raise DomainError(f"There is an application {slug!r} already. Nothing was changed.", field="slug")
    application = Application.objects.create(slug=slug, name=name, description=description, plan_folder=plan_folder)
    if actor is not None:
        Membership.objects.create(application=application, user=actor, role=Role.ADMINISTRATOR)
    ledger.append(
        action="application.created",
        actor=actor,
        subject=application,
        application=application,
        document={"slug": slug, "name": name, "administrator": str(actor) if actor else None},
    )
    return application


@transaction.atomic
def move_plan_folder(*, application: Application, folder: str, actor: User | None) -> Application:
    """Say where the plan's scripts and builds stand on the workers. ``actor`` None: the program's own set-up."""
    if actor is not None:
        permissions.require(actor, application, Role.ADMINISTRATOR)
    before = application.plan_folder
    Application.objects.filter(pk=application.pk).update(plan_folder=folder)
    application.plan_folder = folder
    ledger.append(
        action="application.plan_folder_moved",
        actor=actor,
        subject=application,
        application=application,
        document={"before": before, "after": folder},
    )
    return application


def _administers(user: User) -> bool:
    return Membership.objects.filter(user=user, role=Role.ADMINISTRATOR).exists()


@transaction.atomic
def publish_plan(
    *,
    application: Application,
    text: str,
    document: dict[str, Any],
    digest: str,
    sections: dict[str, str],
    author: User | None,
) -> PlanVersion:
    """Keep a validated plan as the next immutable version, and bring the environments in line with it.

    ``document``, ``digest`` and ``sections`` come from the parser. Releases under way keep the version they follow.
    Environments that the plan no longer names stay, with what runs there. ``author`` None: the program's own set-up.
    """
    if author is not None:
        permissions.require(author, application, Role.RELEASE_MANAGER, Role.ADMINISTRATOR)
    application = Application.objects.select_for_update(no_key=True).get(pk=application.pk)
    newest = application.plan_versions.order_by("-number").first()
    if newest is not None and newest.digest == digest:
        raise DomainError(f"This is plan v{newest.number} as it stands. Nothing was changed.", field="text")
    if document["application"] != application.slug:
        raise DomainError(
            f"This is the plan of {document['application']!r}, not of {application.slug!r}. Nothing was changed.",
            field="text",
        )
    plan = PlanVersion.objects.create(
        application=application,
        number=newest.number + 1 if newest else 1,
        text=text,
        document=document,
        digest=digest,
        sections=sections,
        author=author,
    )
    _sync_environments(application, document["environments"])
    ledger.append(
        action="plan.published",
        actor=author,
        subject=plan,
        application=application,
        document={"number": plan.number, "digest": digest, "before": newest.digest if newest else None},
    )
    for listener in _plan_listeners:
        listener(plan)
    return plan


def _sync_environments(application: Application, declared: dict[str, dict[str, Any]]) -> None:
    for name, section in declared.items():
        values = {"tier": section["tier"], "url": section["url"], "queue": section["queue"]}
        Environment.objects.update_or_create(application=application, name=name, defaults=values)


@transaction.atomic
def add_member(
    *, application: Application, user: User, role: Role, actor: User | None, station: str = ""
) -> Membership:
    """Give a person a role; an approver also needs a station. Nobody gives a role to themselves.

    ``actor`` None: the program's own set-up.
    """
    if actor is not None:
        permissions.require(actor, application, Role.ADMINISTRATOR)
        if actor.pk == user.pk:
            raise NotAllowed("Nobody gives a role to themselves; ask another administrator. Nothing was changed.")
    if role == Role.APPROVER and not station:
        raise DomainError("An approver speaks for a station; name it. Nothing was changed.", field="station")
    if role != Role.APPROVER and station:
        raise DomainError("Only an approver speaks for a station. Nothing was changed.", field="station")
    try:
        with transaction.atomic():
            membership = Membership.objects.create(application=application, user=user, role=role, station=station)
    except IntegrityError as error:
        if "membership_once" not in str(error):
            raise
        raise DomainError(f"{user} has this role already. Nothing was changed.", field="user") from error
    _tell("member.added", membership, actor)
    return membership


@transaction.atomic
def remove_member(*, membership: Membership, actor: User | None) -> None:
    """Take a role away. Votes of this person for this station no longer count. The last administrator stays."""
    application = Application.objects.select_for_update(no_key=True).get(pk=membership.application_id)
    if actor is not None:
        permissions.require(actor, application, Role.ADMINISTRATOR)
    administrators = Membership.objects.filter(application=application, role=Role.ADMINISTRATOR)
    if membership.role == Role.ADMINISTRATOR and administrators.count() < 2:
        raise DomainError(f"{application} needs an administrator; name another one first. Nothing was changed.")
    _tell("member.removed", membership, actor)
    if not Membership.objects.filter(pk=membership.pk).delete()[0]:
        raise DomainError("This role was taken away already. Nothing was changed.")
    approved = Release.objects.filter(application=application, state=ReleaseState.APPROVED)
    for release in approved.order_by("pk"):
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
