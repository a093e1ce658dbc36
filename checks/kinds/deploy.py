"""Deploy: a fresh backup, the plan's steps in order, and a smoke test; it stops at the first step that fails."""

from typing import Any

from pydantic import Field, model_validator

from checks.enums import RunState, StepCategory
from checks.errors import CheckError
from checks.kinds.base import Artifact, Kind, KindParams, Outcome, RunContext, Step, StepHandle, get_kind, register
from checks.models import Run
from checks.plan import Plan
from checks.tools import backup, delivery, http
from checks.tools.transition import delivering
from releases.domain import deploy as release_domain
from releases.domain import environment


class DeployParams(KindParams):
    """``resume_from``: go on at this step after a failed attempt. ``skip``: steps left out, for ``reason``."""

    resume_from: str = Field(default="", max_length=60)
    skip: list[str] = Field(default=[], max_length=50)
    reason: str = Field(default="", max_length=2000)

    @model_validator(mode="after")
    def skipping_needs_a_reason(self) -> "DeployParams":
        if self.skip and not self.reason.strip():
            raise ValueError("a step may be skipped only with a reason")
        if forbidden := delivery.HARMLESS.intersection(self.skip):
            raise ValueError(f"the step {min(forbidden)} can never be skipped")
        return self


@register
class Deploy(Kind):
    name = "deploy"
    title = "Deploy"
    description = "Brings the release's build into an environment, step by step, after a backup."
    Params = DeployParams
    exclusive = True
    needs_release = True
    is_check = False

    def steps(self, plan: Plan, section: str, params: Any) -> list[Step]:
        first = [Step(delivery.BACKUP, "Back up the database and configuration", StepCategory.DATABASE)]
        return [
            *(first if plan.deploy.backup else []),
            *delivery.announced(plan.deploy.steps),
            Step(delivery.SMOKE, "Smoke test"),
        ]

    def run(self, context: RunContext) -> Outcome:
        answers: list[http.Answer] = []
        artifacts: list[Artifact] = []
        base = context.run.result
        _refuse_outside_of_the_window(context.run)
        left_out = _left_out(context, base)
        variables = delivery.previous_variables(base)
        made = delivering.Made()
        parts = [
            delivering.part(context, step, variables, made, left_out.get(step.key, ""))
            for step in context.plan.deploy.steps
        ]
        if context.plan.deploy.backup:
            parts.insert(0, _backup_part(context, artifacts, left_out.get(delivery.BACKUP, "")))
        parts.append(delivery.smoke_part(context, context.plan.deploy.smoke, answers))
        walked = delivery.walk(context, parts)
        return Outcome(
            passed=walked.passed,
            summary=_summary(context.run, walked),
            figures={"seconds": round(walked.total_seconds, 3), "steps": len(parts)},
            result={
                **base,
                "problem": walked.problem,
                "remedy": walked.remedy,
                "answers": [answer.as_json() for answer in answers],
                "transitions": made.results,
            },
            artifacts=[*artifacts, *made.artifacts],
        )

    def started(self, run: Run) -> None:
        delivery.keep(run, delivery.begin(run))
        environment.build_changing(environment=run.environment, run_number=run.number)

    def ended(self, run: Run) -> None:
        result = delivery.report(run)
        delivery.keep(run, result)
        if run.state == RunState.PASSED:
            assert run.release is not None
            environment.build_running(
                environment=run.environment,
                release=run.release,
                version=run.release.version,
                build_digest=run.build_digest,
                run_number=run.number,
            )
        elif run.state != RunState.UNKNOWN:
            delivery.stands_as_before(run, result)
        if run.release is not None and run.release.target_environment_id == run.environment_id:
            _tell_release(run)
        delivering.open_data_loss(
            run, [told for moved in run.result.get("transitions", []) for told in moved.get("differences", [])]
        )


def _refuse_outside_of_the_window(run: Run) -> None:
    """A launch may have waited in the queue until its window was over. Says no before anything is touched."""
    if run.release is None or run.release.target_environment_id != run.environment_id:
        return
    if problem := release_domain.too_late(release=run.release):
        raise CheckError(problem, remedy="Nothing was changed. Schedule a new window, and let people vote on it.")


def _tell_release(run: Run) -> None:
    """The state of the release follows its target environment, and only that one."""
    assert run.release is not None
    if run.state == RunState.PASSED:
        release_domain.deploy_succeeded(release=run.release, run_number=run.number)
    elif run.state == RunState.UNKNOWN:
        release_domain.deploy_unknown(release=run.release, run_number=run.number)
    else:
        release_domain.deploy_failed(release=run.release, run_number=run.number, reason=run.summary or run.error)


def _left_out(context: RunContext, base: dict[str, Any]) -> dict[str, str]:
    """Step key -> why it is not done this time. CheckError where that would leave a step undone by nobody."""
    params: DeployParams = context.params
    keys = [step.key for step in Deploy().steps(context.plan, "deploy", params)]
    done: dict[str, int] = base.get("done", {})
    unknown = [key for key in [*params.skip, *filter(None, [params.resume_from])] if key not in keys]
    if unknown:
        raise CheckError(f"The plan's deploy has no step called {unknown[0]!r}: {', '.join(keys)}.")
    if unstopped := [key for key in params.skip if key not in base.get("stopped", [])]:
        raise CheckError(
            f"The step {unstopped[0]!r} has not stopped a deploy of this build by this plan, so it cannot be left out.",
            remedy="Deploy with all steps; one that stops the deploy may be left out with a reason.",
        )
    if not params.resume_from:
        return dict.fromkeys(params.skip, params.reason)
    before = keys[: keys.index(params.resume_from)]
    undone = [key for key in before if key not in done and key not in params.skip]
    if undone:
        raise CheckError(
            f"The deploy cannot go on at {params.resume_from!r}: the step {undone[0]!r} has not passed before it, "
            f"for this build and this plan.",
            remedy="Go on at an earlier step, or deploy from the start.",
        )
    return {key: f"Done in run #{done[key]}." for key in before if key in done} | dict.fromkeys(
        params.skip, params.reason
    )


def _backup_part(context: RunContext, artifacts: list[Artifact], skip: str) -> delivery.Part:
    section = context.plan.checks[str(context.plan.deploy.backup)]

    def act(step: StepHandle) -> str:
        if context.plan.rollback.restore_backup:
            # Better not to begin than to find on the way back that there is none.
            backup.refuse_bound(context.database_url())
        taken = backup.take(
            context,
            environment=context.run.environment.name,
            options=get_kind("backup").Params.model_validate(section.params),  # type: ignore[arg-type]
            nothing_runs=not context.run.environment.current_version,
            progress=step.progress,
        )
        step.figure("manifest", taken.manifest_key)
        artifacts.extend(taken.artifacts)
        return ""

    return delivery.Part(delivery.BACKUP, act, skip, changes=False)


def _summary(run: Run, walked: delivery.Walk) -> str:
    where = run.environment.name
    if walked.passed:
        return f"{run.release.version if run.release else 'The build'} runs in {where}."
    state = "The environment stands half-way." if walked.changed else "Nothing was changed."
    return f"Stopped at {walked.stopped_at}: {walked.problem} {state}"[:500]
