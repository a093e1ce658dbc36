"""A run in the shape that its pages show. No decisions here, only words and figures."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.urls import reverse
from django.utils import timezone

from checks import page_queries as queries
from checks.enums import ACTIVE_STATES, RunState, StepState
from checks.kinds.base import get_kind
from checks.models import Run, RunStep


def title(run: Run) -> str:
    """'Restore drill #26'; a kind that is gone keeps its name."""
    check = (run.plan_version.document.get("checks") or {}).get(run.section.removeprefix("checks."))
    if check:
        return f"{check['title']} #{run.number}"
    try:
        return f"{get_kind(run.kind).title} #{run.number}"
    except KeyError:
        return f"{run.kind} #{run.number}"


def kind_title(kind: str) -> str:
    """'test suite' for 'suite'; a kind that is gone keeps its name."""
    try:
        return get_kind(kind).title.lower()
    except KeyError:
        return kind.replace("_", " ")


@dataclass(frozen=True)
class ShownRun:
    """One row of a list of runs, and the head of a run's page."""

    run: Run
    title: str
    kind: str
    url: str
    state: str
    progress: float | None
    left: timedelta | None
    summary: str
    took: timedelta | None
    started_at: datetime | None
    against: float | None


def shown(run: Run, *, usual: queries.Usual | None = None) -> ShownRun:
    """``usual``: how long passed runs of the same section and environment take, this one among them."""
    took = (run.ended_at - run.started_at) if run.ended_at and run.started_at else None
    left = None
    if run.state == RunState.RUNNING and usual and run.started_at:
        left = timedelta(seconds=max(1.0, usual.seconds - (timezone.now() - run.started_at).total_seconds()))
    # A run that is the only one of its section has nothing to be compared with.
    compared = usual is not None and usual.seconds > 0 and usual.runs > (run.state == RunState.PASSED)
    against = (took.total_seconds() / usual.seconds - 1) if took and usual and compared else None
    return ShownRun(
        run=run,
        title=title(run),
        kind=kind_title(run.kind),
        url=reverse("checks:run_detail", args=[run.number]),
        state=run.state,
        progress=run.progress.get("fraction"),
        left=left,
        summary=run.summary or run.error[:200],
        took=took,
        started_at=run.started_at,
        against=against,
    )


def shown_all(runs: list[Run]) -> list[ShownRun]:
    """Rows of a list, with one query for the usual durations of all of them."""
    usual = queries.usual_seconds(runs)
    return [shown(run, usual=usual.get((run.section, run.environment_id))) for run in runs]


def shown_steps(run: Run, attempt: int) -> list[dict[str, Any]]:
    """Steps for the component ``steps``; the running one with its time left from earlier runs."""
    usual = queries.usual_step_seconds(run) if run.state in ACTIVE_STATES else {}
    return [_shown_step(step, usual.get(step.key)) for step in run.steps.filter(attempt=attempt)]


def _shown_step(step: RunStep, usual: float | None) -> dict[str, Any]:
    left: timedelta | None = None
    if step.state == StepState.RUNNING and step.started_at:
        spent = (timezone.now() - step.started_at).total_seconds()
        if step.fraction and step.fraction > 0.02:
            left = timedelta(seconds=max(1.0, spent * (1 - step.fraction) / step.fraction))
        elif usual:
            left = timedelta(seconds=max(1.0, usual - spent))
    return {
        "name": step.title,
        "category": step.get_category_display(),
        "state": step.state,
        "took": (step.ended_at - step.started_at) if step.ended_at and step.started_at else None,
        "started_at": step.started_at,
        "progress": step.fraction,
        "doing": step.doing,
        "left": left,
        "reason": step.reason,
        "figures": step.figures,
    }
