"""The same transition for real, as a step of a deploy; and the way back, as a step of a rollback.

Rehearsed or not, the code that moves, proves and undoes is one; here stands only what a deploy adds: it happens once,
into the environment that the check names, and its result is kept with the run.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from checks.errors import CheckError
from checks.kinds.base import Artifact, RunContext, StepHandle, get_kind
from checks.models import Run
from checks.plan import DeployStep
from checks.tools import delivery
from checks.tools.delivery import Part
from checks.tools.postgres import Address, connected
from checks.tools.transition import (
    declaration,
    discretion,
    holding,
    keeping,
    locking,
    report,
    rights,
    undo_rehearsal,
)
from checks.tools.transition.moving import Mover
from releases.domain import risk

DATA_LOSS = "data-loss"
_LOCK_WAIT = timedelta(seconds=30)


def part(context: RunContext, step: DeployStep, variables: dict[str, str], made: "Made", skip: str = "") -> Part:
    """A step of the plan: its command, or people's data into the target (in a rollback, out of it again)."""
    if step.transition is None:
        return delivery.command_part(context, step, variables, skip)
    act = _undo if context.run.kind == "rollback" else _move
    return Part(step.key, lambda handle: act(context, str(step.transition), handle, made), skip)


class Made:
    """What steps found, for the result of the run: one result for each that moved or undid, in their order."""

    def __init__(self) -> None:
        self.results: list[dict[str, Any]] = []
        self.artifacts: list[Artifact] = []


def _move(context: RunContext, key: str, handle: StepHandle, made: Made) -> str:
    check = context.plan.checks[key]
    params: Any = get_kind("transition").Params.model_validate(check.params)
    elsewhere = _elsewhere(context, check.environment)
    target = Address.parse(context.database_url(), what="The database address of the target")
    standing = None if elsewhere else _standing(context, target, key)
    if standing is not None and standing.settled and _other_mapping(standing, params):
        return (
            f"{standing.told_settled} for this build, by another mapping than the plan has now; that stands and"
            " cannot be undone any more. Take the step out of the plan, or make a new build. Nothing was moved."
        )
    if standing is not None and _other_mapping(standing, params):
        return (
            f"Run {standing.told} moved them for this build by another mapping than the plan has now, and that stands."
            " Undo it by a rollback first. Nothing was moved."
        )
    if elsewhere or standing is not None:
        handle.skip(elsewhere or f"Run {standing.told} moved them for this build, and that stands.")  # type: ignore[union-attr]
        return ""
    source = Address.parse(context.database_url(params.source), what=f"The database address of {params.source}")
    rights.refuse_same(source, target, params.tables)
    rights.refuse_missing(target, params.tables, triggers_off=params.triggers == "off", wait=params.lock_timeout)
    began, prefix = time.monotonic(), f"{key}-"
    mover = Mover(context, source, target, params.rules(), facts_of(context, f"checks.{key}"), enter=_within(handle))
    moved = mover.run(
        lambda connection, moved: made.artifacts.extend(report.keep_rows(context, connection, moved, prefix))
    )
    result = report.result_of(moved)
    result |= {
        "check": key,
        "title": check.title,
        "columns": discretion.columns(result["columns"], moved.works, context.plan.privacy),
        "source": params.source,
        "rehearsed": False,
        "seconds": round(time.monotonic() - began, 3),
    }
    made.results.append(result)
    made.artifacts += report.keep_report(context, result, prefix)
    summary = report.summary_of(moved, rehearsed=False)
    context.note(summary)
    return "" if moved.committed else summary


def _undo(context: RunContext, key: str, handle: StepHandle, made: Made) -> str:
    check = context.plan.checks[key]
    params: Any = get_kind("transition").Params.model_validate(check.params)
    target = Address.parse(context.database_url(), what="The database address of the target")
    elsewhere = _elsewhere(context, check.environment)
    standing = None if elsewhere else _standing(context, target, key)
    if standing is None:
        handle.skip(elsewhere or "No transition of this build stands there.")
        return ""
    if standing.settled and not _undoing(context, key):
        handle.skip(f"{standing.told_settled}, before this deploy, and the backup that was put back has it so.")
        return ""
    run, undone = undo_rehearsal.undo(
        context, target, f"checks.{key}", context.run.build_digest or None, params.triggers,
        may_change=params.rules().may_change, what="the target", lock_wait=params.lock_timeout,
    )  # fmt: skip
    made.results.append(
        {"check": key, "title": check.title, "undone": run, "tables": undone.tables, "refusals": undone.refusals,
         "sequences": undone.sequences, "kept_sequences": undone.kept_sequences, "may_change": params.may_change}
    )  # fmt: skip
    if undone.refusals:
        return f"{undone.refusals[0]} Nothing was undone."
    rows = sum(table["deleted"] + table["restored"] for table in undone.tables)
    context.note(f"Run #{run} is undone: {rows:,} rows are as they were before it.")
    return ""


def _other_mapping(standing: keeping.Standing, params: Any) -> bool:
    return standing.document.get("mapping", "") not in ("", declaration.digest(params.tables))


def _undoing(context: RunContext, key: str = "") -> list[DeployStep]:
    """The steps of the plan's rollback that undo what is kept; of one check, where it is named."""
    steps = holding.undoing_steps(context.plan, context.run.result)
    return [step for step in steps if key in ("", step.transition)]


def refuse_settled(context: RunContext) -> None:
    """CheckError, before a rollback's first step, where a step of it would undo what was settled.

    Whoever settles just now is waited for: afterwards this run is seen, and nothing more is settled.
    """
    for step in _undoing(context):
        key = str(step.transition)
        if _elsewhere(context, context.plan.checks[key].environment):
            continue
        target = Address.parse(context.database_url(), what="The database address of the target")
        with connected(target, what="the target", lock_timeout=_LOCK_WAIT) as connection:
            locking.take_turn(context, connection, alone=False, seconds=_LOCK_WAIT.total_seconds(), what="the target")
            standing = keeping.newest(connection, f"checks.{key}", context.run.build_digest or None)
        if standing is not None and standing.settled:
            raise CheckError(
                f"{standing.told_settled}, and the step {step.title!r} of the rollback would take it back, which can no"
                " longer be done. Nothing was touched.",
                remedy="Mend what is wrong and deploy again, or let the owner of the database look at what stands there"
                " and put a backup of before the deploy back by hand.",
            )


def _elsewhere(context: RunContext, environment: str) -> str:
    here = context.run.environment.name
    return "" if here == environment else f"People's data moves into {environment}, not into {here}."


def _standing(context: RunContext, target: Address, key: str) -> keeping.Standing | None:
    """The newest transition of this check in the target, where it was made for this build."""
    with connected(target, what="the target", lock_timeout=_LOCK_WAIT) as connection:
        return keeping.newest(connection, f"checks.{key}", context.run.build_digest or None)


def _within(handle: StepHandle) -> Callable[[str], Any]:
    """The mover's own steps are shown as what the deploy's one step is doing."""

    @contextmanager
    def enter(_key: str) -> Iterator[StepHandle]:
        yield handle

    return enter


def facts_of(context: RunContext, section: str) -> dict[str, Any]:
    """What the journal in the target says about a transition."""
    release = context.run.release
    return {
        "run": context.run.number,
        "run_id": str(context.run.pk),
        "section": section,
        "release": release.version if release else None,
        "build": context.run.build_digest or None,
    }


def open_data_loss(run: Run, differences: list[str]) -> None:
    """An unexplained difference opens the release's risk of data loss, which two people must then sign."""
    if differences and run.release is not None:
        more = f" And {len(differences) - 1} more." if len(differences) > 1 else ""
        risk.open_risk(
            release=run.release,
            key=DATA_LOSS,
            reason=f"Run #{run.number} found a difference that nothing explains. {differences[0]}{more}",
            run_number=run.number,
        )
