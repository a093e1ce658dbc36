"""An application, and the versions of its plan. Who does what in it stands in ``releases.domain.membership``."""

import re
from collections.abc import Callable
from typing import Any, Final

from django.db import IntegrityError, transaction

from releases import permissions
from releases.domain import ledger
from releases.domain.membership import add_member as add_member
from releases.domain.membership import remove_member as remove_member
from releases.enums import Role, Tier
from releases.errors import DomainError, NotAllowed
from releases.models import Application, Environment, Membership, PlanVersion, User

#: What a slug may be: it stands in addresses and in the plan. "new" is the page that makes one.
SLUG: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
TAKEN_BY_PAGES: Final = frozenset({"new"})
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
    if not SLUG.fullmatch(slug) or slug in TAKEN_BY_PAGES:
        raise DomainError(
            "A slug begins with a small letter or digit and holds small letters, digits, - and _, 60 at most; “new” is "
            "taken. Nothing was changed.",
            field="slug",
        )
    _check_name(name)
    try:
        with transaction.atomic():
            application = Application.objects.create(
                slug=slug, name=name.strip(), description=description, plan_folder=plan_folder.strip()
            )
    except IntegrityError as error:
        raise DomainError(f"There is an application {slug!r} already. Nothing was changed.", field="slug") from error
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


def _check_name(name: str) -> None:
    if not name.strip():
        raise DomainError("An application has a name that people read. Nothing was changed.", field="name")


@transaction.atomic
def change_application(
    *, application: Application, name: str, description: str, plan_folder: str, actor: User
) -> Application:
    """Change what people read about an application, and where its plan's files stand. The slug stays for ever."""
    permissions.require(actor, application, Role.ADMINISTRATOR)
    _check_name(name)
    locked = Application.objects.select_for_update(no_key=True).get(pk=application.pk)
    wanted = {"name": name.strip(), "description": description.strip(), "plan_folder": plan_folder.strip()}
    before = {field: getattr(locked, field) for field in wanted}
    changed = {field for field in wanted if wanted[field] != before[field]}
    if changed:
        Application.objects.filter(pk=application.pk).update(**wanted)
        ledger.append(
            action="application.changed",
            actor=actor,
            subject=locked,
            application=locked,
            document={
                "before": {field: before[field] for field in sorted(changed)},
                "after": {field: wanted[field] for field in sorted(changed)},
            },
        )
    for field, value in wanted.items():
        setattr(application, field, value)
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
    _refuse_lowered(application, document["environments"])
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


def _refuse_lowered(application: Application, declared: dict[str, dict[str, Any]]) -> None:
    """The gate stands before production alone, so what was production once stays it; the database says so too."""
    held = application.environments.filter(tier=Tier.PRODUCTION, name__in=declared).values_list("name", flat=True)
    for name in held:
        if declared[name]["tier"] != Tier.PRODUCTION:
            raise DomainError(
                f"environments.{name}.tier: {name} is production, and no plan makes {declared[name]['tier']} of it: "
                "whoever deploys there would no longer ask the gate. Give the other environment another name. "
                "Nothing was changed.",
                field="text",
            )


def _sync_environments(application: Application, declared: dict[str, dict[str, Any]]) -> None:
    for name, section in declared.items():
        values = {"tier": section["tier"], "url": section["url"], "queue": section["queue"]}
        Environment.objects.update_or_create(application=application, name=name, defaults=values)
