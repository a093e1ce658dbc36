"""How a run ends or goes back to the queue, whoever decides it: the engine, a cancel, the reaper, a person.

Each function works inside the caller's transaction, in which the run's row is locked and the right to end it was
checked; state, steps, ledger, evidence and the kind's own consequences commit together or not at all.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from checks.enums import ACTIVE_STATES, RunState, StepState
from checks.kinds.base import Kind, get_kind, uploads_of
from checks.models import Outbox, Run, RunStep
from checks.plan import from_document
from checks.uploading import uploader_of
from releases import doorbell
from releases.domain import evidence, ledger
from releases.enums import EvidenceSource, EvidenceVerdict
from releases.models import User

logger = logging.getLogger(__name__)

#: What an ended run says about the release. A cancelled run says nothing at all.
VERDICTS: Final[dict[str, EvidenceVerdict]] = {
    RunState.PASSED: EvidenceVerdict.PASSED,
    RunState.FAILED: EvidenceVerdict.FAILED,
    RunState.ERRORED: EvidenceVerdict.ERRORED,
    RunState.LOST: EvidenceVerdict.ERRORED,
    RunState.UNKNOWN: EvidenceVerdict.INCONCLUSIVE,
}


@dataclass(frozen=True)
class Ending:
    """What becomes of a run. ``result`` None keeps what the run has."""

    state: RunState
    summary: str = ""
    error: str = ""
    remedy: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    log_key: str | None = None

    @property
    def said(self) -> str:
        return self.summary or self.error or self.state.label


def end_run(
    run: Run,
    ending: Ending,
    *,
    actor: User | None = None,
    action: str = "run.ended",
    consequences: bool = True,
) -> None:
    """Write the end of a locked run, with everything that follows from it.

    Without ``consequences`` neither evidence is recorded nor the kind asked: the last way out of the reaper.
    """
    before = run.state
    now = timezone.now()
    run.state, run.ended_at = ending.state, now
    run.verdict = VERDICTS.get(ending.state, "")
    run.summary, run.error, run.remedy = ending.said[:500], ending.error, ending.remedy
    run.log_sealed, run.lease_until, run.owner = True, None, None
    if ending.result is not None:
        run.result = {**ending.result, "figures": dict(ending.figures), "artifacts": ending.artifacts}
    if ending.log_key is not None:
        run.log_key = ending.log_key
    if ending.state == RunState.PASSED and run.progress:
        run.progress = {**run.progress, "fraction": 1.0, "doing": ""}
    run.save(
        update_fields=[
            *("state", "ended_at", "verdict", "summary", "error", "remedy", "log_sealed", "lease_until", "owner"),
            *("result", "log_key", "progress"),
        ]
    )
    _end_steps(run, ending, now)
    ledger.append(action=action, actor=actor, subject=run, document=_document(run, before))
    if consequences:
        # What a person decided about an unknown run is no answer of a check; it was inconclusive, and stays so.
        if before != RunState.UNKNOWN:
            _record_evidence(run, ending)
        _kind_ended(run)
    _release_followers(run)
    _let_others_in(run)
    announce(run)


def _release_followers(run: Run) -> None:
    """Runs that waited for this one go to a worker now, whatever it came to: they judge what is there."""
    for follower in Run.objects.filter(waits_for=run, state=RunState.QUEUED).select_related("environment"):
        Outbox.objects.create(run=follower, queue=follower.environment.queue, created_at=timezone.now())


def _let_others_in(run: Run) -> None:
    """What had to wait until this one ran no more asks again; the first that a worker takes goes, the others wait."""
    places = {*run.alone_in, run.environment_id} if run.exclusive else set(run.alone_in)
    waiting = Run.objects.filter(alone_in__overlap=list(places), state=RunState.QUEUED).exclude(pk=run.pk)
    waiting = waiting.exclude(waits_for__state__in=ACTIVE_STATES)
    now = timezone.now()
    for other in waiting.select_related("environment").order_by("number"):
        Outbox.objects.create(run=other, queue=other.environment.queue, created_at=now)


def requeue(run: Run, *, reason: str) -> None:
    """Give a locked run back to the queue for another attempt."""
    now = timezone.now()
    _stop_steps(run, StepState.ERRORED, reason, now)
    run.state, run.queued_at = RunState.QUEUED, now
    run.token, run.owner, run.lease_until = None, None, None
    run.save(update_fields=["state", "queued_at", "token", "owner", "lease_until"])
    Outbox.objects.create(run=run, queue=run.environment.queue, created_at=now)
    _let_others_in(run)
    ledger.append(
        action="run.requeued",
        actor=None,
        subject=run,
        document={"number": run.number, "kind": run.kind, "attempt": run.attempt, "reason": reason},
    )
    announce(run)


def announce(run: Run) -> None:
    """After the commit, ring for those who watch the run and those who watch its release."""
    message: dict[str, Any] = {"state": str(run.state), "attempt": run.attempt}
    sealed = {"sealed": run.log_lines, "attempt": run.attempt} if run.log_sealed else None

    def ring() -> None:
        doorbell.publish(run.log_channel, message)
        if sealed:
            doorbell.publish(run.log_channel, sealed)

    transaction.on_commit(ring, robust=True)
    doorbell.ring_release(run.release_id, "run")


def _end_steps(run: Run, ending: Ending, now: Any) -> None:
    state = StepState.CANCELLED if ending.state == RunState.CANCELLED else StepState.ERRORED
    _stop_steps(run, state, ending.said, now)
    waiting = RunStep.objects.filter(run=run, attempt=run.attempt, state=StepState.WAITING)
    waiting.update(state=StepState.SKIPPED, reason="Not reached.")


def _stop_steps(run: Run, state: StepState, reason: str, now: Any) -> None:
    running = RunStep.objects.filter(run=run, attempt=run.attempt, state=StepState.RUNNING)
    running.update(state=state, reason=reason[:500], ended_at=now)


def _document(run: Run, before: str) -> dict[str, Any]:
    return {
        "number": run.number,
        "kind": run.kind,
        "section": run.section,
        "section_digest": run.section_digest,
        "environment": run.environment.name,
        "build_digest": run.build_digest,
        "attempt": run.attempt,
        "before": {"state": str(before)},
        "after": {"state": str(run.state), "verdict": run.verdict, "summary": run.summary, "error": run.error[:2000]},
        "log_lines": run.log_lines,
    }


def _record_evidence(run: Run, ending: Ending) -> None:
    """A check of a release answers its checklist, and so does a deploy or rollback rehearsed outside the target."""
    release, kind = run.release, _kind(run)
    if release is None or ending.state not in VERDICTS:
        return
    rehearsal = run.exclusive and run.environment_id != release.target_environment_id
    if not rehearsal and (run.exclusive or (kind is not None and not kind.is_check)):
        return
    evidence.record(
        release=release,
        source=EvidenceSource.RUN,
        kind=run.kind,
        section=run.section,
        section_digest=run.section_digest,
        environment=run.environment,
        build_digest=run.build_digest,
        verdict=VERDICTS[ending.state],
        summary=run.summary,
        figures=ending.figures,
        artifacts=ending.artifacts,
        run_id=run.pk,
        run_number=run.number,
        valid_until=timezone.now() + _valid_for(run, kind),
        author=uploader_of(run, uploads_of(kind)) if kind is not None else None,
    )


def _valid_for(run: Run, kind: Kind | None) -> timedelta:
    """How long the plan, or else the kind, lets this answer count."""
    section = from_document(run.plan_version.document).checks.get(run.section.removeprefix("checks."))
    if section is not None and section.valid_for is not None and not run.exclusive:
        return section.valid_for
    return timedelta(hours=kind.valid_hours if kind is not None else 0)


def _kind(run: Run) -> Kind | None:
    try:
        return get_kind(run.kind)
    except KeyError:
        return None


def _kind_ended(run: Run) -> None:
    kind = _kind(run)
    if kind is not None:
        kind.ended(run)
