"""Rollback: brings back what ran before the newest deploy, and, where the plan says so, the data of before it."""

from typing import Any

from pydantic import Field

from checks.enums import RunState, StepCategory
from checks.errors import CheckError
from checks.kinds.base import Kind, KindParams, Outcome, RunContext, Step, StepHandle, register
from checks.models import Run
from checks.plan import Plan
from checks.tools import backup, delivery, http
from checks.tools.transition import delivering
from releases.domain import deploy as release_domain
from releases.domain import environment
from releases.enums import ReleaseState
from releases.models import Release


class RollbackParams(KindParams):
    """``reason`` is needed once the deploy has passed a point of no return."""

    reason: str = Field(default="", max_length=2000)


@register
class Rollback(Kind):
    name = "rollback"
    title = "Rollback"
    description = "Takes the newest deploy back, step by step, with the data of before it where the plan says so."
    Params = RollbackParams
    exclusive = True
    needs_release = True
    is_check = False

    def steps(self, plan: Plan, section: str, params: Any) -> list[Step]:
        restore = [Step(delivery.RESTORE, "Put the backup of before the deploy back", StepCategory.DATABASE)]
        return [
            *delivery.announced(plan.rollback.before),
            *(restore if plan.rollback.restore_backup else []),
            *delivery.announced(plan.rollback.steps),
            Step(delivery.SMOKE, "Smoke test"),
        ]

    def run(self, context: RunContext) -> Outcome:
        base = context.run.result
        _refuse(context, base)
        answers: list[http.Answer] = []
        restored: dict[str, Any] = {}
        plan, variables = context.plan.rollback, delivery.previous_variables(base)
        made = delivering.Made()
        parts = [delivering.part(context, step, variables, made) for step in plan.before]
        if plan.restore_backup:
            parts.append(_restore_part(context, base, restored))
        parts += [delivering.part(context, step, variables, made) for step in plan.steps]
        parts.append(delivery.smoke_part(context, plan.smoke, answers))
        walked = delivery.walk(context, parts)
        return Outcome(
            passed=walked.passed,
            summary=_summary(context.run, base, walked),
            figures={"seconds": round(walked.total_seconds, 3), "steps": len(parts)},
            result={
                **base,
                "restored": restored,
                "problem": walked.problem,
                "remedy": walked.remedy,
                "answers": [answer.as_json() for answer in answers],
                "transitions": made.results,
            },
        )

    def started(self, run: Run) -> None:
        delivery.keep(run, delivery.begin(run))
        environment.build_changing(environment=run.environment, run_number=run.number)

    def ended(self, run: Run) -> None:
        result = delivery.report(run)
        delivery.keep(run, result)
        previous = result.get("previous") or delivery.NOBODY_KNOWS
        if run.state == RunState.PASSED and previous["build_digest"]:
            environment.build_running(
                environment=run.environment,
                release=Release.objects.filter(pk=previous["release"]).first() if previous["release"] else None,
                version=previous["version"],
                build_digest=previous["build_digest"],
                run_number=run.number,
            )
        elif run.state not in (RunState.PASSED, RunState.UNKNOWN):
            delivery.stands_as_before(run, result)
        if run.release is not None and run.release.target_environment_id == run.environment_id:
            _tell_release(run, result)


def _tell_release(run: Run, result: dict[str, Any]) -> None:
    """A rollback that touched nothing leaves the release as it was: live, watched or failed."""
    assert run.release is not None
    if run.state == RunState.PASSED:
        release_domain.rolled_back(release=run.release, run_number=run.number)
    elif run.state == RunState.UNKNOWN:
        release_domain.deploy_unknown(release=run.release, run_number=run.number)
    elif result["touched"] or run.release.state == ReleaseState.UNKNOWN:
        release_domain.deploy_failed(release=run.release, run_number=run.number, reason=run.summary or run.error)


def _refuse(context: RunContext, base: dict[str, Any]) -> None:
    """Say no before anything is touched."""
    if base.get("continues") is None:
        raise CheckError(
            f"There is no deploy of this release in {context.run.environment.name} to take back.",
            remedy="A rollback undoes the newest deploy of its own release, once.",
        )
    if base.get("no_return") and not context.params.reason.strip():
        raise CheckError(
            f"The deploy has passed its point of no return (step {base['no_return']!r}).",
            remedy="Say in the reason why going back is still right, or mend what is wrong and deploy again.",
        )
    if context.plan.rollback.restore_backup and base.get("changed") and not base.get("restore_point"):
        raise CheckError(
            "The plan puts the backup of before the deploy back, and there is none.",
            remedy="Restore a backup by hand, or mend what is wrong and deploy again. Nothing was touched.",
        )
    if context.plan.rollback.restore_backup and base.get("restore_point"):
        backup.refuse_bound(context.database_url())
    delivering.refuse_settled(context)


def _restore_part(context: RunContext, base: dict[str, Any], restored: dict[str, Any]) -> delivery.Part:
    def act(step: StepHandle) -> str:
        report = backup.restore(
            context,
            manifest_key=base["restore_point"],
            database_url=context.database_url(),
            clean=True,
            progress=step.progress,
        )
        restored.update(
            manifest=report.manifest_key,
            database=report.database,
            kept_as=report.replaced,
            tables=report.tables,
            rows=report.rows,
            seconds=dict(report.seconds),
        )
        if report.replaced:
            context.note(f"The database of after the deploy is kept as {report.replaced}.")
        return ""

    skip = "" if base.get("restore_point") else "The deploy changed nothing, so the data is as it was."
    return delivery.Part(delivery.RESTORE, act, skip)


def _summary(run: Run, base: dict[str, Any], walked: delivery.Walk) -> str:
    where = run.environment.name
    version = base["previous"]["version"] or "What ran before"
    if walked.passed:
        return f"{version} runs in {where} again, after {walked.total_seconds:.0f} s."
    state = "The environment stands half-way." if walked.changed else "Nothing was changed."
    return f"Stopped at {walked.stopped_at}: {walked.problem} {state}"[:500]
