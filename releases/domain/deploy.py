"""A release from the launch on: authorised, deployed, watched, live; or failed, unknown, rolled back."""

from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from releases import permissions
from releases.domain import break_glass
from releases.domain.approval import keep_manifest
from releases.domain.calendar import freezes_at
from releases.domain.defaults import read_seconds
from releases.domain.gate import Blocker, Gate, evaluate
from releases.domain.transition import lock, move, require_state
from releases.domain.wording import moment
from releases.enums import ReleaseState, Role
from releases.errors import DomainError, GateClosed, StaleManifest, StateChanged
from releases.models import BreakGlass, Release, User

_LAUNCHABLE = (ReleaseState.REHEARSING, ReleaseState.APPROVED, ReleaseState.FAILED)
_LAUNCHED = (
    ReleaseState.DEPLOYING,
    ReleaseState.WATCHING,
    ReleaseState.LIVE,
    ReleaseState.FAILED,
    ReleaseState.UNKNOWN,
)


def authorise_deploy(*, release: Release, actor: User, manifest_digest: str | None = None) -> Gate:
    """The one door to production. Computes the gate anew under a lock and moves the release to ``deploying``.

    Must be called in the transaction that also writes the run, so that both exist or neither. ``manifest_digest``:
    what the person who launches saw; another one now raises StaleManifest. Raises GateClosed with every sentence that
    stands in the way, StateChanged where somebody launched first, NotAllowed without the role release manager.
    A valid break-glass opens a closed gate, once.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("authorise_deploy is called in the transaction that also starts the run.")
    locked = lock(release)
    permissions.require(actor, locked.application, Role.RELEASE_MANAGER)
    require_state(locked, *_LAUNCHABLE)
    gate = evaluate(locked)
    if manifest_digest is not None and manifest_digest != gate.digest:
        raise StaleManifest("The evidence changed since you looked. Nothing was started; read what changed.")
    blockers = [*gate.blockers, *gate.launch_blockers]
    glass = break_glass.use(release=locked, actor=actor, gate=gate) if blockers else None
    if blockers and glass is None:
        raise GateClosed(_closed(blockers))
    document: dict[str, Any] = {
        "manifest": gate.digest,
        "votes": [station.vote.pk for station in gate.poll if station.in_favour and station.vote],
        "break_glass": glass.pk if glass else None,
        "blockers": [blocker.text for blocker in blockers],
    }
    keep_manifest(locked, gate)
    _launch(locked, actor, document, by_the_gate=glass is None)
    release.state, release.state_since = locked.state, locked.state_since
    return gate


def launch_refusal(release: Release) -> str:
    """Why a release in this state is not launched, whatever the gate says; empty where it may be."""
    try:
        require_state(release, *_LAUNCHABLE)
    except DomainError as error:
        return error.message
    return ""


def too_late(*, release: Release) -> str:
    """Why a deploy that was launched may not begin any more; empty when it may.

    The gate was open at the launch; a worker may be free only much later, after the window or in a change freeze that
    was declared meanwhile. A break-glass through which this launch went holds until it expires; one of an earlier
    launch is used up.
    """
    now = timezone.now()
    freeze = next(iter(freezes_at(release.application, now)), None)
    if freeze is None and release.window_closes is not None and release.window_closes > now:
        return ""
    # It is used in the transaction that launches, a moment before the state changes.
    launched = release.state_since - timedelta(seconds=5)
    if BreakGlass.objects.filter(release=release, used_at__gte=launched, expires_at__gt=now).exists():
        return ""
    if freeze is not None:
        return f"Before a worker was free, a change freeze began, until {moment(freeze.closes)}: {freeze.reason}"
    if release.window_closes is None:
        return "No worker was free before the break-glass expired, and there is no window."
    return f"No worker was free before the window closed, {moment(release.window_closes)}."


def _closed(blockers: list[Blocker]) -> str:
    sentences = " ".join(f"{blocker.title}: {blocker.text}" for blocker in blockers)
    return f"The gate is closed, so nothing was started. {sentences}"


def _launch(release: Release, actor: User, document: dict[str, Any], *, by_the_gate: bool) -> None:
    if by_the_gate and release.state == ReleaseState.REHEARSING:
        move(
            release,
            to=ReleaseState.APPROVED,
            expected=[ReleaseState.REHEARSING],
            action="release.approved",
            actor=None,
            document={"manifest": document["manifest"]},
        )
    try:
        with transaction.atomic():
            move(
                release,
                to=ReleaseState.DEPLOYING,
                expected=_LAUNCHABLE,
                action="release.launched",
                actor=actor,
                document=document,
            )
    except IntegrityError as error:
        if "release_one_under_way_per_environment" not in str(error):
            raise
        raise StateChanged(
            f"Another release is under way in {release.target_environment.name}. Nothing was started; "
            "wait until it is live, or roll it back."
        ) from error


@transaction.atomic
def deploy_succeeded(*, release: Release, run_number: int | None = None, actor: User | None = None) -> Release:
    """deploying -> watching, for as long as the plan says."""
    locked = lock(release)
    duration = read_seconds(locked.plan_version.document["watch"]["duration"])
    assert duration is not None
    watch_until = timezone.now() + duration
    move(
        locked,
        to=ReleaseState.WATCHING,
        expected=[ReleaseState.DEPLOYING, ReleaseState.UNKNOWN],
        action="release.deployed",
        actor=actor,
        document={"run": run_number, "watch_until": watch_until.isoformat()},
        watch_until=watch_until,
    )
    return _follow(release, locked)


@transaction.atomic
def deploy_failed(
    *, release: Release, run_number: int | None = None, reason: str, actor: User | None = None
) -> Release:
    """A deploy or rollback did not get through; a person chooses to retry, skip a step, or roll back."""
    return _fell(release, ReleaseState.FAILED, "release.deploy_failed", run_number, reason, actor)


@transaction.atomic
def deploy_unknown(
    *, release: Release, run_number: int | None = None, reason: str = "", actor: User | None = None
) -> Release:
    """The worker of a deploy or rollback died, so nobody knows what stands there; a person must look and decide."""
    return _fell(release, ReleaseState.UNKNOWN, "release.deploy_unknown", run_number, reason, actor)


def _fell(
    release: Release, to: ReleaseState, action: str, run_number: int | None, reason: str, actor: User | None
) -> Release:
    locked = lock(release)
    require_state(locked, *_LAUNCHED)
    document = {"run": run_number, "reason": reason}
    if locked.state == to:
        # A second failure is no new state, and is told all the same.
        from_here = {"before": {"state": locked.state}, "after": {"state": locked.state}}
        break_glass.tell(action, locked, actor, {**from_here, **document})
    else:
        move(locked, to=to, expected=_LAUNCHED, action=action, actor=actor, document=document)
    return _follow(release, locked)


@transaction.atomic
def went_live(*, release: Release, figures: dict[str, Any] | None = None, actor: User | None = None) -> Release:
    """watching -> live: the watch ended well. ``figures``: what was seen."""
    locked = lock(release)
    move(
        locked,
        to=ReleaseState.LIVE,
        expected=[ReleaseState.WATCHING],
        action="release.went_live",
        actor=actor,
        document={"figures": figures or {}},
        live_at=timezone.now(),
    )
    return _follow(release, locked)


def authorise_rollback(*, release: Release, actor: User) -> None:
    """Whether this person may start a rollback now. Going back needs no vote, but a release manager.

    Must be called in the transaction that also writes the run. The release changes its state when the run ends.
    Refused while a newer build runs in the environment: a rollback takes back the newest deploy only.
    """
    locked = lock(release)
    permissions.require(actor, locked.application, Role.RELEASE_MANAGER)
    require_state(locked, ReleaseState.WATCHING, ReleaseState.LIVE, ReleaseState.FAILED, ReleaseState.UNKNOWN)
    target = locked.target_environment
    runs_there = target.current_release_id
    if runs_there is not None and runs_there != locked.pk:
        newer = Release.objects.filter(pk=runs_there, created_at__gt=locked.created_at).first()
        if newer is not None or locked.state == ReleaseState.LIVE:
            raise DomainError(
                f"{target.name} runs {target.current_version} by now, so this release cannot be rolled back. "
                "Nothing was started; roll back the newer one."
            )
    break_glass.tell("release.rollback_authorised", locked, actor, {"state": locked.state})


@transaction.atomic
def rolled_back(*, release: Release, run_number: int | None = None, actor: User | None = None) -> Release:
    """The old build is back. A new poll is needed before the next launch, so votes of before no longer count."""
    locked = lock(release)
    move(
        locked,
        to=ReleaseState.ROLLED_BACK,
        expected=_LAUNCHED,
        action="release.rolled_back",
        actor=actor,
        document={"run": run_number, "next_round": locked.poll_round + 1},
        poll_round=locked.poll_round + 1,
        poll_opened_at=None,
        watch_until=None,
        live_at=None,
    )
    return _follow(release, locked)


@transaction.atomic
def reopen(*, release: Release, actor: User, reason: str) -> Release:
    """rolled_back -> rehearsing: prepare the same build for another try."""
    locked = lock(release)
    permissions.require(actor, locked.application, Role.RELEASE_MANAGER)
    if not reason.strip():
        raise DomainError("Say why it is tried again. Nothing was changed.", field="reason")
    require_state(locked, ReleaseState.ROLLED_BACK)
    move(
        locked,
        to=ReleaseState.REHEARSING,
        expected=[ReleaseState.ROLLED_BACK],
        action="release.reopened",
        actor=actor,
        document={"reason": reason.strip()},
    )
    return _follow(release, locked)


def decide_unknown(
    *, release: Release, outcome: str, actor: User, reason: str, run_number: int | None = None
) -> Release:
    """A person looked at what an interrupted deploy left. ``outcome``: "succeeded", "failed" or "rolled_back"."""
    permissions.require(actor, release.application, Role.RELEASE_MANAGER)
    if not reason.strip():
        raise DomainError("Say what you found there. Nothing was changed.", field="reason")
    with transaction.atomic():
        require_state(lock(release), ReleaseState.UNKNOWN)
        document = {"outcome": outcome, "reason": reason.strip(), "run": run_number}
        break_glass.tell("release.unknown_decided", release, actor, document)
        if outcome == "succeeded":
            return deploy_succeeded(release=release, run_number=run_number, actor=actor)
        if outcome == "failed":
            return deploy_failed(release=release, run_number=run_number, reason=reason, actor=actor)
        if outcome == "rolled_back":
            return rolled_back(release=release, run_number=run_number, actor=actor)
        raise DomainError(f"There is no outcome called {outcome!r}. Nothing was changed.", field="outcome")


def _follow(release: Release, locked: Release) -> Release:
    for name in ("state", "state_since", "watch_until", "live_at", "poll_round", "poll_opened_at"):
        setattr(release, name, getattr(locked, name))
    return release
