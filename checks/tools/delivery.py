"""What a deploy and a rollback share: what stood there before, the walk over the plan's steps, and the honest report.

A run of these kinds keeps in ``Run.result``, from its first moment on (so that a dead worker loses none of it):

``before``: what the environment said to run when this attempt began. ``previous``: what ran before the first attempt,
which a rollback brings back; both {"version", "build_digest", "release"}, an empty digest meaning that nobody can say.
``restore_point``: the manifest key of the backup taken before anything was changed, "" where there is none.
``touched``: whether a step of this attempt has begun to change the environment; ``changed``: of this or of the
attempts that it continues.
``done``: steps that passed in the attempts which this one continues, each with the number of its run.
``stopped``: steps at which those attempts stopped; only these may be left out.
``no_return``: the key of a step begun that the plan calls a point of no return, else "".
``continues``: the number of the run that this one goes on from, or null.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import QuerySet

from checks.enums import ENDED_STATES, RunState, StepState
from checks.errors import Cancelled, CheckError
from checks.kinds.base import RunContext, Step, StepHandle
from checks.models import Run, RunStep
from checks.plan import DeployStep
from checks.tools import http
from releases.domain import environment as environment_domain
from releases.models import Environment, Release

BACKUP, RESTORE, SMOKE = "backup", "restore", "smoke"
#: Steps of ours, which change nothing where the application runs; "restore" does.
HARMLESS: Final = frozenset({BACKUP, SMOKE})
_BEGUN: Final = (StepState.RUNNING, StepState.PASSED, StepState.FAILED, StepState.ERRORED, StepState.CANCELLED)
NOBODY_KNOWS: Final[dict[str, Any]] = {"version": "", "build_digest": "", "release": None}


@dataclass(frozen=True)
class Part:
    """One step and what it does. ``act`` returns a sentence where the step failed, "" where all went well.

    ``skip``: the reason why it is not done this time.
    """

    key: str
    act: Callable[[StepHandle], str]
    skip: str = ""
    changes: bool = True


@dataclass
class Walk:
    """How far a walk came. ``stopped_at``: key of the step that did not pass, "" when all did."""

    stopped_at: str = ""
    problem: str = ""
    remedy: str = ""
    cancelled: bool = False
    changed: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.stopped_at

    @property
    def total_seconds(self) -> float:
        return sum(self.seconds.values())


def walk(context: RunContext, parts: Sequence[Part]) -> Walk:
    """Do the parts in order and stop at the first that does not pass.

    Cancelled is let through only while nothing was changed: afterwards the environment stands half-way, which is a
    failure with a step to name, and never a harmless end.
    """
    walked = Walk()
    for part in parts:
        begin = time.monotonic()
        try:
            with context.step(part.key) as step:
                if part.skip:
                    step.skip(part.skip)
                    continue
                walked.changed = walked.changed or part.changes
                walked.problem = part.act(step)
                if walked.problem:
                    walked.stopped_at = part.key
                    step.fail(walked.problem)
        except CheckError as error:
            walked.stopped_at, walked.problem, walked.remedy = part.key, error.message, error.remedy
        except Cancelled:
            if not walked.changed:
                raise
            walked.stopped_at, walked.cancelled = part.key, True
            walked.problem = "Somebody asked the run to stop here."
        finally:
            walked.seconds[part.key] = round(time.monotonic() - begin, 3)
        if walked.stopped_at:
            break
    return walked


def command_part(context: RunContext, step: DeployStep, variables: Mapping[str, str], skip: str = "") -> Part:
    """A step of the plan: its command, with what ran before as GONOGO_PREVIOUS_VERSION and _BUILD_DIGEST."""
    command = step.command
    assert command is not None, "A step without a command is carried out by its kind."

    def act(_handle: StepHandle) -> str:
        if step.point_of_no_return:
            context.note(f"{step.title}: this is the point of no return.")
        done = context.command(
            command.arguments,
            timeout=command.timeout.total_seconds(),
            variables={**variables, **command.variables},
            check=False,
        )
        if done.timed_out:
            return f"{step.title}: not done after {done.seconds:.0f} s, and ended."
        return f"{step.title}: its command ended with {done.returncode}." if done.returncode else ""

    return Part(step.key, act, skip)


def smoke_part(context: RunContext, requests: Sequence[Any], answers: list[http.Answer]) -> Part:
    """The smoke test at the end; its answers are put into ``answers`` as they come."""

    def act(handle: StepHandle) -> str:
        bad = http.smoke_test(context, handle, context.environment.url, requests, answers)
        return f"{len(bad)} of {len(requests)} requests were not answered as declared: {bad[0]}." if bad else ""

    return Part(SMOKE, act, changes=False)


def previous_variables(result: Mapping[str, Any]) -> dict[str, str]:
    previous = result.get("previous") or NOBODY_KNOWS
    return {
        "GONOGO_PREVIOUS_VERSION": str(previous["version"]),
        "GONOGO_PREVIOUS_BUILD_DIGEST": str(previous["build_digest"]),
    }


def announced(steps: Sequence[DeployStep]) -> list[Step]:
    return [Step(step.key, step.title, step.category) for step in steps]


def standing(environment: Environment) -> dict[str, Any]:
    """What the environment says to run now."""
    return {
        "version": environment.current_version,
        "build_digest": environment.current_build_digest,
        "release": str(environment.current_release_id) if environment.current_release_id else None,
    }


def ended_last(environment_id: int) -> QuerySet[Run]:
    """Deploys and rollbacks of an environment that began and ended, the newest first.

    Without rollbacks that had nothing to take back: they neither did anything nor stand in the way of another.
    """
    ended = Run.objects.filter(
        environment_id=environment_id, exclusive=True, state__in=ENDED_STATES, started_at__isnull=False
    )
    return ended.exclude(kind="rollback", result__continues=None).order_by("-number")


def earlier_run(run: Run) -> Run | None:
    """The deploy or rollback that ended last in this environment before this run."""
    return ended_last(run.environment_id).filter(number__lt=run.number).first()


def begin(run: Run) -> dict[str, Any]:
    """What this attempt starts from, read inside the transaction that claims it."""
    environment = Environment.objects.select_for_update().get(pk=run.environment_id)
    before = standing(environment)
    base: dict[str, Any] = {
        "before": before,
        "previous": before,
        "restore_point": "",
        "restore_point_run": None,
        "changed": False,
        "done": {},
        "stopped": [],
        "no_return": "",
        "continues": None,
    }
    earlier = earlier_run(run)
    if earlier is None or not earlier.result.get("previous"):
        return base
    half_way = earlier.state != RunState.PASSED and not before["build_digest"]
    # What another release left half-way stands on top of this one's steps: it goes back first.
    goes_on = half_way if run.kind == "deploy" else run.release_id == earlier.release_id and half_way
    if goes_on or (run.kind == "rollback" and _undoes(run, earlier)):
        kept = ("previous", "restore_point", "restore_point_run", "changed", "no_return")
        base |= {name: earlier.result[name] for name in kept if name in earlier.result}
        base["continues"] = earlier.number
        if _same_work(run, earlier):
            base["done"] = dict.fromkeys(passed_in_a_row(earlier), earlier.number) | earlier.result.get("done", {})
            base["stopped"] = sorted({*earlier.result.get("stopped", []), earlier.result.get("failed_step", "")} - {""})
    return base


def _undoes(run: Run, earlier: Run) -> bool:
    """A rollback goes back to what stood before the newest deploy of its own release.

    One that was refused, or stopped before it touched anything, has taken nothing back: it can be tried again.
    """
    if earlier.release_id != run.release_id:
        return False
    had_one = earlier.result.get("continues") is not None
    refused = earlier.state != RunState.PASSED and had_one and not earlier.result.get("touched", True)
    return earlier.kind == "deploy" or (earlier.kind == "rollback" and refused)


def _same_work(run: Run, earlier: Run) -> bool:
    """Steps may be continued only for the same build by the same plan section."""
    return (earlier.kind, earlier.build_digest, earlier.section_digest, earlier.release_id) == (
        run.kind,
        run.build_digest,
        run.section_digest,
        run.release_id,
    )


def passed_in_a_row(run: Run) -> list[str]:
    keys = []
    for step in RunStep.objects.filter(run=run, attempt=run.attempt).order_by("position"):
        if not _settled(step):
            break
        keys.append(step.key)
    return keys


def _settled(step: RunStep) -> bool:
    """Passed, or left out on purpose. A step that was never reached is skipped as well, but never began."""
    return step.state == StepState.PASSED or (step.state == StepState.SKIPPED and step.started_at is not None)


def report(run: Run) -> dict[str, Any]:
    """The result of a run as its committed steps tell it, whoever ended it."""
    base = dict(run.result)
    steps = list(RunStep.objects.filter(run=run, attempt=run.attempt).order_by("position"))
    begun = [step for step in steps if step.state in _BEGUN and step.started_at is not None]
    stopped = next((step for step in steps if not _settled(step)), None)
    if run.state == RunState.PASSED:
        stopped = None
    base["touched"] = any(step.key not in HARMLESS for step in begun)
    base["changed"] = bool(base.get("changed")) or base["touched"]
    no_return = _points_of_no_return(run)
    base["no_return"] = base.get("no_return") or next((step.key for step in begun if step.key in no_return), "")
    manifest = next((step.figures.get("manifest", "") for step in steps if step.key == BACKUP), "")
    if manifest and not base.get("restore_point"):
        base["restore_point"], base["restore_point_run"] = manifest, run.number
    base["failed_step"] = stopped.key if stopped else ""
    base["failed_step_title"] = stopped.title if stopped else ""
    base["remaining"] = [step.key for step in steps if stopped and step.position > stopped.position]
    base["steps"] = [
        {
            "key": step.key,
            "title": step.title,
            "category": step.category,
            "category_label": step.get_category_display(),
            "state": step.state,
            "reason": step.reason,
            "seconds": round((step.ended_at - step.started_at).total_seconds(), 3)
            if step.started_at and step.ended_at
            else None,
        }
        for step in steps
    ]
    return base


def _points_of_no_return(run: Run) -> set[str]:
    section = run.plan_version.document.get(run.kind, {})
    steps = [*section.get("before", []), *section.get("steps", [])]
    return {step["key"] for step in steps if step.get("point_of_no_return")}


def keep(run: Run, result: dict[str, Any]) -> None:
    """Write the result and nothing else; called inside the transaction that claims or ends the run."""
    run.result = result
    Run.objects.filter(pk=run.pk).update(result=result)


def stands_as_before(run: Run, result: Mapping[str, Any]) -> None:
    """Where this attempt has touched nothing, the environment still runs what it ran; else nobody can say."""
    before = result.get("before") or NOBODY_KNOWS
    if not before["build_digest"] or result["touched"]:
        return
    environment_domain.build_running(
        environment=run.environment,
        release=Release.objects.filter(pk=before["release"]).first() if before["release"] else None,
        version=before["version"],
        build_digest=before["build_digest"],
        run_number=run.number,
    )
