"""A release from its first draft to the launch: made, rehearsed, scheduled, put to the vote, given up.

What happens from the launch on stands in ``releases.domain.deploy``; its verbs can be imported from here as well.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import IO, Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from releases import permissions
from releases.domain import checklist, ledger, risk
from releases.domain.approval import refresh
from releases.domain.build import store_build
from releases.domain.calendar import freezes_touching
from releases.domain.case import answer_item
from releases.domain.defaults import checklist_for, risks_for
from releases.domain.deploy import authorise_deploy as authorise_deploy
from releases.domain.deploy import authorise_rollback as authorise_rollback
from releases.domain.deploy import decide_unknown as decide_unknown
from releases.domain.deploy import deploy_failed as deploy_failed
from releases.domain.deploy import deploy_succeeded as deploy_succeeded
from releases.domain.deploy import deploy_unknown as deploy_unknown
from releases.domain.deploy import reopen as reopen
from releases.domain.deploy import rolled_back as rolled_back
from releases.domain.deploy import went_live as went_live
from releases.domain.items import ACCEPTANCE_SECTION
from releases.domain.transition import lock, move, require_state
from releases.domain.wording import moment, stamp
from releases.doorbell import ring_release
from releases.enums import ReleaseState, Role, Tier
from releases.errors import DomainError
from releases.models import Application, Environment, PlanVersion, Release, User

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_BEFORE_LAUNCH = (ReleaseState.DRAFT, ReleaseState.REHEARSING, ReleaseState.APPROVED)


def create_release(
    *,
    application: Application,
    version: str,
    build_name: str,
    build_file: IO[bytes],
    source_environment: Environment,
    target_environment: Environment,
    requester: User,
    title: str = "",
    notes: str = "",
) -> Release:
    """Make a draft of exactly one build on its way to exactly one environment.

    Side effects: the build is streamed to storage under its digest and read back; checklist and risk register are
    made from the defaults and the newest plan; the ledger gets an entry.
    """
    permissions.require(requester, application, Role.ENGINEER, Role.RELEASE_MANAGER)
    _check_version(application, version)
    _check_way(application, source_environment, target_environment)
    plan = application.plan_versions.order_by("-number").first()
    if plan is None:
        raise DomainError(f"{application} has no plan yet. No release was made; publish its plan first.")
    build = store_build(build_file)
    try:
        with transaction.atomic():
            release = Release.objects.create(
                application=application,
                version=version,
                title=title.strip(),
                notes=notes,
                build_name=build_name[:300],
                build_digest=build.digest,
                build_size=build.size,
                build_key=build.key,
                plan_version=plan,
                source_environment=source_environment,
                target_environment=target_environment,
                requester=requester,
                state_since=timezone.now(),
            )
            _instantiate(release)
            document = {
                "version": version,
                "build": {"name": release.build_name, "digest": build.digest, "size": build.size},
                "plan": {"number": plan.number, "digest": plan.digest},
                "source_environment": source_environment.name,
                "target_environment": target_environment.name,
            }
            _tell("release.created", release, requester, document)
    except IntegrityError as error:
        if "release_version_once" not in str(error):
            raise
        raise _taken(application, version) from error
    return release


def _taken(application: Application, version: str) -> DomainError:
    return DomainError(
        f"There is a release {version} of {application} already. No release was made; cancel that one or name another.",
        field="version",
    )


def _check_version(application: Application, version: str) -> None:
    if not _VERSION.fullmatch(version):
        raise DomainError(
            "A version begins with a letter or digit and holds letters, digits, dots, plus, minus and underscore, "
            "100 at most. No release was made.",
            field="version",
        )
    if application.releases.filter(version=version).exclude(state=ReleaseState.CANCELLED).exists():
        raise _taken(application, version)


def _check_way(application: Application, source: Environment, target: Environment) -> None:
    if {source.application_id, target.application_id} != {application.pk}:
        raise DomainError(f"Both environments must belong to {application}. No release was made.")
    if source.pk == target.pk:
        raise DomainError("A release goes from one environment to another one. No release was made.")
    order = list(Tier)
    if order.index(Tier(source.tier)) > order.index(Tier(target.tier)):
        raise DomainError(
            f"A release does not go from {source.get_tier_display().lower()} to "
            f"{target.get_tier_display().lower()}. No release was made."
        )


def _instantiate(release: Release) -> None:
    document = release.plan_version.document
    names = {environment.name: environment for environment in release.application.environments.all()}
    specs = checklist_for(document, source=release.source_environment.name, target=release.target_environment.name)
    checklist.instantiate(release=release, specs=specs, environments=names)
    risk.instantiate(release=release, specs=risks_for(document, specs))


@transaction.atomic
def use_plan_version(*, release: Release, plan_version: PlanVersion, actor: User) -> Release:
    """Let a release follow another version of its application's plan.

    Evidence of sections that changed no longer counts, and neither do votes; the checklist follows the new plan.
    """
    locked = lock(release)
    permissions.require(actor, locked.application, Role.ENGINEER, Role.RELEASE_MANAGER)
    require_state(locked, *_BEFORE_LAUNCH, ReleaseState.ROLLED_BACK)
    if plan_version.application_id != locked.application_id:
        raise DomainError("This plan belongs to another application. Nothing was changed.")
    if plan_version.pk == locked.plan_version_id:
        raise DomainError(f"The release follows plan v{plan_version.number} already. Nothing was changed.")
    before = locked.plan_version
    Release.objects.filter(pk=locked.pk).update(plan_version=plan_version)
    locked.plan_version = plan_version
    _instantiate(locked)
    document = {
        "before": {"number": before.number, "digest": before.digest},
        "after": {"number": plan_version.number, "digest": plan_version.digest},
    }
    _tell("release.plan_adopted", locked, actor, document)
    if before.sections.get(ACCEPTANCE_SECTION) != plan_version.sections.get(ACCEPTANCE_SECTION):
        answer_item(locked)  # verdicts on cases that stayed the same may answer the new plan already
    refresh(release=locked)
    return _follow(release, locked)


@transaction.atomic
def start_rehearsal(*, release: Release, actor: User) -> Release:
    """draft -> rehearsing: runs may gather evidence from now on."""
    locked = lock(release)
    permissions.require(actor, locked.application, Role.ENGINEER, Role.RELEASE_MANAGER)
    require_state(locked, ReleaseState.DRAFT)
    move(
        locked,
        to=ReleaseState.REHEARSING,
        expected=[ReleaseState.DRAFT],
        action="release.rehearsal_started",
        actor=actor,
    )
    return _follow(release, locked)


@transaction.atomic
def schedule_window(*, release: Release, opens: datetime, closes: datetime, actor: User) -> Release:
    """Say when the release may go live. Evidence must hold to the window's end; votes cast before no longer count.

    Refused: a window that ends before it opens or in the past, and one under a change freeze.
    """
    locked = lock(release)
    permissions.require(actor, locked.application, Role.RELEASE_MANAGER)
    require_state(locked, *_BEFORE_LAUNCH, ReleaseState.FAILED)
    if closes <= opens:
        raise DomainError("The window must close after it opens. Nothing was changed.", field="closes")
    if closes <= timezone.now():
        raise DomainError("The window lies in the past. Nothing was changed; choose a later one.", field="closes")
    for freeze in freezes_touching(locked.application, opens, closes):
        raise DomainError(
            f"A change freeze lies over this window, {moment(freeze.opens)} to {moment(freeze.closes)}: "
            f"{freeze.reason}. Nothing was changed; choose another window.",
            field="opens",
        )
    before = _window(locked)
    Release.objects.filter(pk=locked.pk).update(window_opens=opens, window_closes=closes)
    locked.window_opens, locked.window_closes = opens, closes
    _tell("release.scheduled", locked, actor, {"before": before, "after": _window(locked)}, topic="window")
    refresh(release=locked)
    return _follow(release, locked)


def _window(release: Release) -> dict[str, str] | None:
    if release.window_opens is None or release.window_closes is None:
        return None
    return {"opens": stamp(release.window_opens), "closes": stamp(release.window_closes)}


@transaction.atomic
def open_poll(*, release: Release, actor: User) -> Release:
    """Ask the stations to vote. Needs a window: people vote on evidence that holds to the window's end."""
    locked = lock(release)
    permissions.require(actor, locked.application, Role.RELEASE_MANAGER)
    require_state(locked, ReleaseState.REHEARSING, ReleaseState.APPROVED, ReleaseState.FAILED)
    if locked.poll_opened_at is not None:
        raise DomainError("Votes were asked for already. Nothing was changed.")
    if locked.window_closes is None or locked.window_closes <= timezone.now():
        raise DomainError(
            "Schedule the window first: people vote on evidence that holds to the window's end. Nothing was changed."
        )
    now = timezone.now()
    Release.objects.filter(pk=locked.pk).update(poll_opened_at=now)
    locked.poll_opened_at = now
    _tell("poll.opened", locked, actor, {"round": locked.poll_round}, topic="poll")
    refresh(release=locked)
    return _follow(release, locked)


@transaction.atomic
def cancel(*, release: Release, actor: User, reason: str) -> Release:
    """Give a release up for good. By a release manager, or by who requested it."""
    locked = lock(release)
    if actor.pk == locked.requester_id:
        permissions.require(actor, locked.application, Role.ENGINEER, Role.RELEASE_MANAGER)
    else:
        permissions.require(actor, locked.application, Role.RELEASE_MANAGER)
    if not reason.strip():
        raise DomainError("Say why the release is given up. Nothing was changed.", field="reason")
    move(
        locked,
        to=ReleaseState.CANCELLED,
        expected=[*_BEFORE_LAUNCH, ReleaseState.FAILED, ReleaseState.ROLLED_BACK],
        action="release.cancelled",
        actor=actor,
        document={"reason": reason.strip()},
    )
    return _follow(release, locked)


def _tell(action: str, release: Release, actor: User | None, document: Mapping[str, Any], topic: str = "plan") -> None:
    ledger.append(
        action=action,
        actor=actor,
        subject=release,
        application=release.application,
        release=release,
        document=document,
    )
    ring_release(release.pk, topic)


def _follow(release: Release, locked: Release) -> Release:
    """Let the caller's object show what the locked one became, and return it."""
    for name in (
        "state", "state_since", "window_opens", "window_closes", "poll_opened_at", "poll_round", "plan_version",
    ):  # fmt: skip
        setattr(release, name, getattr(locked, name))
    return release
