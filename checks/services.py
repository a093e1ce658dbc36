"""Verbs about runs: start, cancel, retry, decide. Each is one transaction with its outbox row and ledger entry."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import rfc8785
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from pydantic import ValidationError

from checks.ending import Ending, announce, end_run
from checks.engine import load
from checks.enums import ACTIVE_STATES, RunState
from checks.kinds.base import Kind, get_kind, uploads_of
from checks.models import Outbox, Run
from checks.plan import Plan, from_document
from releases.domain import deploy as release_deploy
from releases.domain import ledger
from releases.enums import ReleaseState, Role
from releases.errors import DomainError, StateChanged
from releases.models import Application, Environment, PlanVersion, Release, User
from releases.permissions import require

STARTERS = (Role.ENGINEER, Role.RELEASE_MANAGER)
DEPLOY, ROLLBACK, REFRESH = "deploy", "rollback", "refresh"


@transaction.atomic
def start_run(
    *,
    application: Application,
    section: str,
    environment: Environment | None = None,
    release: Release | None = None,
    actor: User | None,
    params: Mapping[str, Any] | None = None,
    retry_of: Run | None = None,
) -> Run:
    """Queue a run of a plan's check, e.g. ``section="checks.backup"``. By an engineer or a release manager.

    ``params`` are laid over the plan's; a run that asks something else than the plan is no answer to the checklist.
    ``environment``: the plan's own by default. ``actor`` None: a schedule.
    Raises NotAllowed and DomainError; nothing is written then.
    """
    if actor is not None:
        require(actor, application, *STARTERS)
    version, plan = _plan(application, release)
    check = plan.checks.get(section.removeprefix("checks."))
    if not section.startswith("checks.") or check is None:
        names = ", ".join(f"checks.{key}" for key in plan.checks) or "none"
        raise DomainError(f"Plan v{version.number} has no check {section!r}; it has: {names}.", field="section")
    kind = _kind(check.kind)
    place = environment or _environment(application, check.environment)
    merged = _params(kind, {**check.params, **(params or {})})
    _refuse(kind, plan, place, application, release, merged)
    digest = _section_digest(version.sections[section], kind, _params(kind, check.params), merged)
    return _queue(kind, section, version, place, release, actor, merged, retry_of, digest)


@transaction.atomic
def start_deploy(
    *,
    release: Release,
    actor: User,
    environment: Environment | None = None,
    resume: str | None = None,
    skip: str | Iterable[str] | None = None,
    reason: str = "",
    manifest_digest: str | None = None,
    retry_of: Run | None = None,
) -> Run:
    """Queue a deploy: into the target through the gate, into the source as a rehearsal.

    ``resume``: the step at which to go on after a failed attempt; ``skip``: steps left out, for ``reason``.
    Raises GateClosed, NotAllowed, StateChanged, DomainError; nothing is written then.
    """
    place = environment or release.target_environment
    skipped = [skip] if isinstance(skip, str) else list(skip or [])
    params = {"resume_from": resume or "", "skip": skipped, "reason": reason}
    if place.pk == release.target_environment_id:
        release_deploy.authorise_deploy(release=release, actor=actor, manifest_digest=manifest_digest)
    else:
        _authorise_rehearsal(release, place, actor)
    return _start_exclusive(DEPLOY, release, place, actor, params, retry_of)


@transaction.atomic
def start_rollback(
    *,
    release: Release,
    actor: User,
    environment: Environment | None = None,
    reason: str = "",
    retry_of: Run | None = None,
    **params: Any,
) -> Run:
    """Queue a rollback of the newest deploy; like ``start_deploy``, but the way back needs no votes."""
    place = environment or release.target_environment
    if place.pk == release.target_environment_id:
        release_deploy.authorise_rollback(release=release, actor=actor)
    else:
        _authorise_rehearsal(release, place, actor)
    if reason or "reason" in _kind(ROLLBACK).Params.model_fields:
        params["reason"] = reason
    return _start_exclusive(ROLLBACK, release, place, actor, params, retry_of)


@transaction.atomic
def start_refresh(
    *, release: Release, actor: User, environment: Environment | None = None, retry_of: Run | None = None
) -> Run:
    """Queue a refresh: the environment that the plan names gets the masked data of the one it names.

    By an engineer or a release manager. Raises NotAllowed, StateChanged, DomainError; nothing is written then.
    """
    require(actor, release.application, *STARTERS)
    _, plan = _plan(release.application, release)
    if plan.refresh is None:
        raise DomainError("The plan has no section refresh. Publish a plan that has one. Nothing was started.")
    place = environment or _environment(release.application, plan.refresh.environment)
    if place.name != plan.refresh.environment or place.pk == release.target_environment_id:
        raise DomainError(
            f"The plan refreshes {plan.refresh.environment}, not {place.name}. Nothing was started.",
            field="environment",
        )
    return _start_exclusive(REFRESH, release, place, actor, {}, retry_of)


@transaction.atomic
def cancel_run(*, run: Run, actor: User) -> Run:
    """A queued run ends at once; a running one is asked to stop, which takes at most the grace time."""
    locked = _lock(run)
    _require_for(locked, actor)
    now = timezone.now()
    if locked.state == RunState.QUEUED:
        locked.cancel_requested_at, locked.cancel_requested_by = now, actor
        locked.save(update_fields=["cancel_requested_at", "cancel_requested_by"])
        said = f"Cancelled by {actor} before it began."
        end_run(locked, Ending(RunState.CANCELLED, summary=said), actor=actor, action="run.cancelled")
        return locked
    if locked.state != RunState.RUNNING:
        raise StateChanged(f"Run #{locked.number} has already ended: {locked.get_state_display().lower()}.")
    if locked.cancel_requested_at is not None:
        return locked
    locked.cancel_requested_at, locked.cancel_requested_by = now, actor
    locked.save(update_fields=["cancel_requested_at", "cancel_requested_by"])
    ledger.append(
        action="run.cancel_requested", actor=actor, subject=locked, document={"number": locked.number, "kind": run.kind}
    )
    announce(locked)
    return locked


def retry_run(*, run: Run, actor: User) -> Run:
    """A new run of the same section with the same parameters, linked to the old one."""
    run = load(run.pk)
    if run.state in ACTIVE_STATES:
        raise StateChanged(f"Run #{run.number} is still {run.get_state_display().lower()}. Nothing was started.")
    if run.state == RunState.UNKNOWN:
        raise StateChanged(f"Run #{run.number} is unknown. Decide first what really happened. Nothing was started.")
    if run.exclusive:
        assert run.release is not None
        params = dict(run.params)
        common: dict[str, Any] = {"release": run.release, "environment": run.environment, "actor": actor}
        if run.section == REFRESH:
            return start_refresh(**common, retry_of=run)
        if run.section == ROLLBACK:
            return start_rollback(**common, **params, retry_of=run)
        if run.environment_id == run.release.target_environment_id:
            raise DomainError(
                f"A deploy into {run.environment.name} is launched on the evidence that stands when somebody launches "
                "it, so it is not repeated blindly. Nothing was started; deploy again from the page of its run."
            )
        resume = params.pop("resume_from", "")
        return start_deploy(**common, **params, resume=resume, retry_of=run)
    return start_run(
        application=run.application,
        section=run.section,
        environment=run.environment,
        release=run.release,
        actor=actor,
        params=run.params,
        retry_of=run,
    )


@transaction.atomic
def decide_unknown(*, run: Run, actor: User, outcome: str, reason: str) -> Run:
    """A person says what an interrupted deploy or rollback really came to. ``outcome``: "passed" or "failed"."""
    locked = _lock(run)
    _require_for(locked, actor)
    if outcome not in (RunState.PASSED, RunState.FAILED):
        raise DomainError("Say whether it passed or failed. Nothing was changed.", field="outcome")
    if not reason.strip():
        raise DomainError("Say what you looked at and found there. Nothing was changed.", field="reason")
    if locked.state != RunState.UNKNOWN:
        raise StateChanged(f"Run #{locked.number} is {locked.get_state_display().lower()}; there is nothing to decide.")
    said = f"{actor} decided: {outcome}. {reason.strip()}"
    state = RunState(outcome)
    ending = Ending(state, summary=said, error=locked.error, remedy="" if state == RunState.PASSED else locked.remedy)
    end_run(locked, ending, actor=actor, action="run.decided")
    return locked


def _plan(application: Application, release: Release | None) -> tuple[PlanVersion, Plan]:
    if release is not None and release.application_id != application.pk:
        raise DomainError(f"{release} is not a release of {application}.", field="release")
    try:
        version = release.plan_version if release is not None else application.current_plan
    except PlanVersion.DoesNotExist:
        raise DomainError(f"{application} has no plan yet. Publish one first.") from None
    return version, from_document(version.document)


def _kind(name: str) -> Kind:
    try:
        return get_kind(name)
    except KeyError as error:
        raise DomainError(str(error.args[0]), field="section") from None


def _environment(application: Application, name: str) -> Environment:
    try:
        return Environment.objects.get(application=application, name=name)
    except Environment.DoesNotExist:
        raise DomainError(f"{application} has no environment {name}. Publish the plan again.") from None


def _refuse(
    kind: Kind,
    plan: Plan,
    place: Environment,
    application: Application,
    release: Release | None,
    params: Mapping[str, Any],
) -> None:
    """Everything that would make the run senseless, before it is queued."""
    if place.application_id != application.pk or place.name not in plan.environments:
        raise DomainError(f"The plan has no environment {place.name}. Nothing was started.", field="environment")
    if place.tier not in {tier.value for tier in kind.tiers}:
        allowed = ", ".join(sorted(tier.label.lower() for tier in kind.tiers))
        raise DomainError(
            f"{kind.title} may not run in {place.name}, which is {place.get_tier_display().lower()}; "
            f"it may in: {allowed}. Nothing was started.",
            field="environment",
        )
    if release is None:
        if kind.needs_release or kind.judges_running_build:
            raise DomainError(f"{kind.title} is about one release; name it. Nothing was started.", field="release")
        return
    if release.state == ReleaseState.CANCELLED:
        raise DomainError(f"{release} is cancelled. Nothing was started.", field="release")
    if place.current_build_digest != release.build_digest and kind.judges_what_runs(kind.Params.model_validate(params)):
        running = place.current_version or "a build that nobody can name"
        raise DomainError(
            f"{place.name} runs {running}, not {release.version}. Deploy it there first. Nothing was started.",
            field="environment",
        )


def _params(kind: Kind, values: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return kind.Params.model_validate(dict(values)).model_dump(mode="json")
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(str(part) for part in problem["loc"])
        raise DomainError(f"{name or 'Parameters'}: {problem['msg']}. Nothing was started.", field=name) from None


def _section_digest(planned: str, kind: Kind, plans: Mapping[str, Any], merged: Mapping[str, Any]) -> str:
    """The plan's digest; another one where the run asks something else than the plan, so that it answers nothing.

    An uploaded report is the answer itself and no change of the question.
    """
    changed = {name: merged[name] for name in merged if merged[name] != plans[name]}
    for name in uploads_of(kind):
        changed.pop(name, None)
    return sha256(rfc8785.dumps({"section": planned, "changed": changed})).hexdigest() if changed else planned


def _authorise_rehearsal(release: Release, place: Environment, actor: User) -> None:
    require(actor, release.application, *STARTERS)
    if place.is_production or place.pk != release.source_environment_id:
        raise DomainError(
            f"{release} is rehearsed in {release.source_environment.name} and goes to "
            f"{release.target_environment.name}, not to {place.name}. Nothing was started.",
            field="environment",
        )


def _start_exclusive(
    section: str,
    release: Release,
    place: Environment,
    actor: User,
    params: Mapping[str, Any],
    retry_of: Run | None,
) -> Run:
    version, plan = _plan(release.application, release)
    kind = _kind(section)
    given = _params(kind, params)
    _refuse(kind, plan, place, release.application, release, given)
    return _queue(kind, section, version, place, release, actor, given, retry_of)


def _queue(
    kind: Kind,
    section: str,
    version: PlanVersion,
    place: Environment,
    release: Release | None,
    actor: User | None,
    params: dict[str, Any],
    retry_of: Run | None,
    section_digest: str = "",
) -> Run:
    now = timezone.now()
    run = Run(
        number=_next_number(),
        application=place.application,
        release=release,
        environment=place,
        plan_version=version,
        kind=kind.name,
        section=section,
        section_digest=section_digest or version.sections[section],
        build_digest=release.build_digest if release else "",
        params=params,
        exclusive=kind.exclusive,
        started_by=actor,
        retry_of=retry_of,
        created_at=now,
        queued_at=now,
    )
    run.alone_in = _alone_in(kind, params, place)
    run.waits_for = _waited_for(kind, place)
    _insert(run)
    if run.waits_for is None:
        Outbox.objects.create(run=run, queue=place.queue, created_at=now)
    ledger.append(
        action="run.started",
        actor=actor,
        subject=run,
        document={
            "number": run.number,
            "kind": run.kind,
            "section": section,
            "section_digest": run.section_digest,
            "environment": place.name,
            "build_digest": run.build_digest,
            "params": params,
            "retry_of": retry_of.number if retry_of else None,
            **({"waits_for": run.waits_for.number} if run.waits_for else {}),
        },
    )
    announce(run)
    return run


def _alone_in(kind: Kind, params: Mapping[str, Any], place: Environment) -> list[int]:
    names = kind.alone_in(kind.Params.model_validate(params), place.name)
    found = Environment.objects.filter(application=place.application_id, name__in=names)
    return sorted(found.values_list("pk", flat=True))


def _waited_for(kind: Kind, place: Environment) -> Run | None:
    """The newest run under way there of the kind that this one follows. Locked, so that it cannot end unnoticed."""
    if not kind.follows:
        return None
    under_way = Run.objects.filter(environment=place, kind=kind.follows, state__in=ACTIVE_STATES)
    return under_way.select_for_update(no_key=True).order_by("-number").first()


def _insert(run: Run) -> None:
    try:
        with transaction.atomic():
            run.save(force_insert=True)
    except IntegrityError as error:
        if "run_one_deploy_per_environment" not in str(error):
            raise
        raise StateChanged(_held_by(run)) from error


def _held_by(run: Run) -> str:
    held = [*ACTIVE_STATES, RunState.UNKNOWN]
    holder = Run.objects.filter(environment=run.environment, exclusive=True, state__in=held).first()
    if holder is None:
        return f"Another deploy of {run.environment.name} was just ending. Nothing was started; try again."
    what = "Decide there what really happened" if holder.state == RunState.UNKNOWN else "Wait for it, or cancel it"
    return (
        f"Run #{holder.number} ({holder.kind}, {holder.get_state_display().lower()}) holds {run.environment.name}, "
        f"and only one deploy or rollback may touch an environment at a time. {what}. Nothing was started."
    )


def _next_number() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('checks_run_number')")
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def _lock(run: Run) -> Run:
    Run.objects.select_for_update(no_key=True).get(pk=run.pk)
    return load(run.pk)


def _require_for(run: Run, actor: User) -> None:
    """Whoever may start it may stop and decide it: what touches the target is a release manager's."""
    to_target = run.exclusive and run.release is not None and run.environment_id == run.release.target_environment_id
    require(actor, run.application, *((Role.RELEASE_MANAGER,) if to_target else STARTERS))
