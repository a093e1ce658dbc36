"""What the domain asks about runs; each function takes a fixed number of queries for any number of releases."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from checks.enums import ACTIVE_STATES, RunState
from checks.models import Run
from releases.domain.gate import Blocker, Statuses
from releases.domain.items import Activity
from releases.enums import GateVerdict
from releases.models import Environment, Release

_HOLDING: Final = (*ACTIVE_STATES, RunState.UNKNOWN)
#: What a blocker says of a run; a run has many columns more, and every board asks.
_TOLD: Final = ("number", "kind", "section", "state", "release", "environment")


def blockers_of(releases: Sequence[Release], _statuses: Statuses, _at: datetime) -> Mapping[UUID, list[Blocker]]:
    """Release -> the deploy or rollback that keeps its gate closed; one query.

    One that touches the target now, or of which nobody knows what it did there, blocks every release that goes there.
    """
    found: dict[UUID, list[Blocker]] = defaultdict(list)
    by_target: dict[int, list[Release]] = defaultdict(list)
    for release in releases:
        by_target[release.target_environment_id].append(release)
    holding = Run.objects.filter(environment__in=by_target, exclusive=True, state__in=_HOLDING)
    for run in holding.select_related("environment").only(*_TOLD, "environment__name").order_by("number"):
        for release in by_target[run.environment_id]:
            found[release.pk].append(_holder(run))
    return found


def activities(releases: Sequence[Release]) -> Mapping[UUID, Iterable[Activity]]:
    """Release -> its runs under way, the oldest first; one query."""
    found: dict[UUID, list[Activity]] = defaultdict(list)
    rows = Run.objects.filter(release__in=releases, state__in=ACTIVE_STATES).order_by("number")
    told = rows.values_list("release_id", "section", "environment_id", "pk", "number", "state", "exclusive")
    for release_id, section, environment_id, pk, number, state, exclusive in told:
        assert release_id is not None
        name = RunState(state).label.lower()
        found[release_id].append(Activity(section, environment_id, pk, number, name, exclusive))
    return found


def occupant(environment: Environment) -> str:
    """The deploy or rollback that changes an environment now, for people; empty where there is none."""
    run = Run.objects.filter(environment=environment, exclusive=True, state__in=ACTIVE_STATES).first()
    return f"Run #{run.number} ({run.kind}) is under way" if run is not None else ""


def _holder(run: Run) -> Blocker:
    where = run.environment.name
    if run.state == RunState.UNKNOWN:
        return Blocker(
            code="run.unknown",
            title=f"What happened in {where}?",
            text=f"Nobody knows what {run.kind} run #{run.number} did there: its worker died. A person must decide.",
            target=("run", str(run.pk)),
            severity=GateVerdict.NO_GO,
        )
    return Blocker(
        code="run.exclusive",
        title=f"{where} is being changed",
        text=f"{run.kind.capitalize()} run #{run.number} is {run.get_state_display().lower()} there.",
        target=("run", str(run.pk)),
    )
