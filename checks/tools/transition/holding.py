"""Whether a transition's way back may still be needed: then what it keeps in the target is not settled.

Asked of this program's own runs and releases; the target itself knows nothing of deploys.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from checks.enums import ACTIVE_STATES, RunState
from checks.models import Run
from checks.plan import DeployStep, Plan, from_document
from checks.tools import delivery
from checks.tools.transition.keeping import Standing
from releases.domain.wording import moment
from releases.enums import ReleaseState
from releases.models import Environment, Release


@dataclass(frozen=True)
class Rules:
    """``key``: the check that moves. ``give_up``: why a release that is live will never be rolled back, or "".

    ``others``: also what another installation moved.
    """

    key: str
    keep: timedelta
    give_up: str
    others: bool


@dataclass(frozen=True)
class Hold:
    """``why``: a sentence where it is not settled, "" where it may be. ``undone_by_rollback``: it still could be."""

    why: str = ""
    watched: bool = False
    undone_by_rollback: bool = False


def in_the_way(environment: Environment) -> str:
    """The deploy, rollback or refresh that works there or waits to, or left it half-way; "" where none did."""
    where = environment.name
    held = [*ACTIVE_STATES, RunState.UNKNOWN]
    run = Run.objects.filter(environment=environment, exclusive=True, state__in=held).order_by("number").first()
    if run is not None and run.state == RunState.UNKNOWN:
        return f"{_named(run)} left nobody knows what in {where}; decide first what really happened there."
    if run is not None:
        return f"{_named(run)} holds {where}; wait until it has ended."
    last = delivery.ended_last(environment.pk).first()
    runs_there = Environment.objects.values_list("current_build_digest", flat=True).get(pk=environment.pk)
    if last is not None and last.state != RunState.PASSED and not runs_there:
        return f"{_named(last)} left {where} half-way; deploy again, roll it back, or say what runs there."
    return ""


def _named(run: Run) -> str:
    return f"Run #{run.number} ({run.kind}, {run.get_state_display().lower()})"


def holds(environment: Environment, standing: list[Standing], rules: Rules, now: datetime) -> Mapping[int, Hold]:
    """Place -> why it stays, for everything that stands in the target and is not settled, in the order of places.

    What was moved before it goes before it: an undo goes from the newest back, so that nothing could be undone any more
    that came before one that is settled.
    """
    found: dict[int, Hold] = {}
    staying: Standing | None = None
    for one in standing:
        if one.section == f"checks.{rules.key}":
            hold = _hold(environment, one, rules, now)
            if not hold.why and staying is not None:
                before = (
                    f"Run {staying.told} ({staying.section}) moved data before it, is not settled, and could not be"
                )
                hold = replace(hold, why=f"{before} undone any more. It can be settled when that is.")
            found[one.place] = hold
        if found.get(one.place, Hold("of another check")).why:
            staying = staying or one
    return found


def _hold(environment: Environment, standing: Standing, rules: Rules, now: datetime) -> Hold:
    run = Run.objects.select_related("release").filter(pk=standing.run_id, environment=environment).first()
    if run is None and not rules.others:
        return Hold(
            f"Nobody here knows run {standing.told}: another installation moved these rows into {environment.name}, or"
            " this one's database was restored. Only there is known whether it can still be taken back. A release"
            " manager who has asked there settles it with “others”."
        )
    release = run.release if run is not None else None
    if release is not None and _watched_in(release, environment):
        until = f" until {moment(release.watch_until)}" if release.watch_until else ""
        return Hold(
            f"{release.version} is still watched in {environment.name}{until}. It can be settled after the watch.",
            watched=True,
            undone_by_rollback=True,
        )
    newest = _taken_back_by(environment, standing, rules.key)
    if newest is not None and not (rules.give_up.strip() and _stands_for_good(newest, environment)):
        return Hold(_still_undone(newest, environment), undone_by_rollback=True)
    due = standing.moved_at + rules.keep
    too_young = f"It is kept until {moment(due)}, {rules.keep.days} days after it was moved." if now < due else ""
    return Hold(too_young, undone_by_rollback=newest is not None)


def _watched_in(release: Release, environment: Environment) -> bool:
    return release.target_environment_id == environment.pk and release.state == ReleaseState.WATCHING


def _taken_back_by(environment: Environment, standing: Standing, key: str) -> Run | None:
    """The newest deploy (or rollback that did not get through) there, where a rollback of it would undo this one."""
    newest = delivery.ended_last(environment.pk).select_related("release__plan_version").first()
    if newest is None or newest.release is None or (newest.build_digest or None) != standing.build:
        return None
    if newest.kind not in ("deploy", "rollback") or (newest.kind == "rollback" and newest.state == RunState.PASSED):
        return None
    steps = undoing_steps(from_document(newest.release.plan_version.document), newest.result)
    return newest if any(step.transition == key for step in steps) else None


def undoing_steps(plan: Plan, result: Mapping[str, Any]) -> list[DeployStep]:
    """The steps of the plan's rollback that undo a transition from what is kept. ``result``: of the deploy.

    Once its backup of before was put back nothing of it stands any more, so a step after that undoes nothing.
    """
    restores = plan.rollback.restore_backup and bool(result.get("restore_point"))
    steps = [*plan.rollback.before, *([] if restores else plan.rollback.steps)]
    return [step for step in steps if step.transition is not None]


def _stands_for_good(newest: Run, environment: Environment) -> bool:
    """Whether what it brought runs there, so that a person may say that it will never be taken back."""
    assert newest.release is not None
    if newest.release.target_environment_id == environment.pk:
        return newest.release.state == ReleaseState.LIVE
    return newest.kind == "deploy" and newest.state == RunState.PASSED


def _still_undone(newest: Run, environment: Environment) -> str:
    assert newest.release is not None
    version = newest.release.version
    said = f"The rollback of {version} (run #{newest.number}, {newest.kind}) in {environment.name} would undo it."
    if not _stands_for_good(newest, environment):
        return f"{said} It can be settled when {version} is rolled back, or a later release was deployed there."
    return (
        f"{said} It can be settled when a later release was deployed there, or before that when a release manager says"
        f" in “give up” why {version} will never be rolled back."
    )
