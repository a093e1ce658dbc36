"""What the domain asks about runs; each function takes a fixed number of queries for any number of releases."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from checks.enums import ACTIVE_STATES, RunState
from checks.models import Run
from releases.domain.items import Activity
from releases.models import Environment, Release
from releases.queries import plain_rows

_HOLDING: Final = (*ACTIVE_STATES, RunState.UNKNOWN)


def activities(releases: Sequence[Release]) -> Mapping[UUID, Iterable[Activity]]:
    """Release -> its runs under way, and the deploy or rollback that holds its target, the oldest first; one query.

    Whoever's it is, what touches the target now, or of which nobody knows what it did there, concerns every release
    that goes there.
    """
    found: dict[UUID, list[Activity]] = defaultdict(list)
    by_target: dict[int, list[Release]] = defaultdict(list)
    for release in releases:
        by_target[release.target_environment_id].append(release)
    ours = {release.pk for release in releases}
    runs = plain_rows(
        "SELECT release_id, id, number, kind, section, environment_id, state, exclusive FROM checks_run"
        " WHERE (release_id = ANY(%s) AND state = ANY(%s)) OR (environment_id = ANY(%s) AND exclusive"
        " AND state = ANY(%s)) ORDER BY number",
        list(ours),
        [state.value for state in ACTIVE_STATES],
        list(by_target),
        [state.value for state in _HOLDING],
    )
    for release_id, run_id, number, kind, section, environment_id, state, exclusive in runs:
        concerned = {release.pk for release in by_target.get(environment_id, ()) if exclusive}
        # One that holds another's target may be of a release that is asked about too, and is over for that one.
        under_way = {release_id} & ours if state in ACTIVE_STATES else set()
        for each in concerned | under_way:
            found[each].append(
                Activity(
                    run_id, number, kind, section, environment_id, RunState(state).label.lower(),
                    own=each == release_id, changing=exclusive, lost=state == RunState.UNKNOWN,
                )
            )  # fmt: skip
    return found


def occupant(environment: Environment) -> str:
    """The deploy or rollback that changes an environment now, for people; empty where there is none."""
    run = Run.objects.filter(environment=environment, exclusive=True, state__in=ACTIVE_STATES).first()
    return f"Run #{run.number} ({run.kind}) is under way" if run is not None else ""
