"""What the pages of runs read; each function takes a fixed number of queries."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Count, Q, QuerySet, Sum
from django.http import QueryDict
from pydantic import ValidationError

from checks.enums import RunState
from checks.kinds.base import Kind, get_kind
from checks.models import LogChunk, Run
from checks.plan import CheckSection, from_document
from releases.models import Application, Evidence, Release

RELATED = ("application", "release", "environment", "plan_version", "started_by")

STATE_GROUPS: dict[str, tuple[str, ...]] = {
    "active": (RunState.QUEUED, RunState.RUNNING),
    "decide": (RunState.UNKNOWN,),
    "passed": (RunState.PASSED,),
    "not_passed": (RunState.FAILED, RunState.ERRORED, RunState.LOST, RunState.CANCELLED),
}
SORTS = {"number": "number", "took": "ended_at", "kind": "kind", "state": "state"}


@dataclass(frozen=True)
class RunFilters:
    """What the list of runs was asked for; every value is safe to put back into a link."""

    text: str = ""
    application: str = ""
    kind: str = ""
    environment: str = ""
    state: str = ""
    sort: str = "-number"

    @classmethod
    def read(cls, query: QueryDict) -> "RunFilters":
        sort = query.get("sort", "-number")
        return cls(
            text=query.get("q", "").strip()[:200],
            application=query.get("application", "")[:60],
            kind=query.get("kind", "")[:60],
            environment=query.get("environment", "")[:60],
            state=query.get("state", "")[:20],
            sort=sort if sort.lstrip("-") in SORTS else "-number",
        )


def _matching(applications: QuerySet[Application], filters: RunFilters) -> QuerySet[Run]:
    runs = Run.objects.filter(application__in=applications)
    if filters.application:
        runs = runs.filter(application__slug=filters.application)
    if filters.kind:
        runs = runs.filter(kind=filters.kind)
    if filters.environment:
        runs = runs.filter(environment__name=filters.environment)
    if filters.text:
        wanted = filters.text.lstrip("#")
        condition = (
            Q(summary__icontains=wanted)
            | Q(release__version__icontains=wanted)
            | Q(section__icontains=wanted)
            | Q(started_by__name__icontains=wanted)
        )
        runs = runs.filter(condition | Q(number=int(wanted)) if wanted.isdecimal() and len(wanted) < 18 else condition)
    return runs


def run_list(applications: QuerySet[Application], filters: RunFilters) -> QuerySet[Run]:
    """Without their results: that of one run may be as large as a page of a hundred failures."""
    runs = _matching(applications, filters)
    if filters.state:
        runs = runs.filter(state__in=STATE_GROUPS.get(filters.state, (filters.state,)))
    direction = "-" if filters.sort.startswith("-") else ""
    order = direction + SORTS[filters.sort.lstrip("-")]
    return runs.select_related(*RELATED).defer("plan_version__text", "result").order_by(order, "-number")


def state_counts(applications: QuerySet[Application], filters: RunFilters) -> dict[str, int]:
    """How many runs each group of states has under the same other filters; one query."""
    groups = {name: Count("pk", filter=Q(state__in=states)) for name, states in STATE_GROUPS.items()}
    return _matching(applications, filters).aggregate(**groups)


def kinds_in_use(applications: QuerySet[Application]) -> list[str]:
    # Without the order that runs have by themselves, which would make every run distinct.
    kinds_used = Run.objects.filter(application__in=applications).order_by().values_list("kind", flat=True)
    return sorted(kinds_used.distinct())


class Usual(NamedTuple):
    """How long a section usually takes: the median, in seconds, of so many passed runs."""

    seconds: float
    runs: int


def usual_seconds(runs: Iterable[Run]) -> dict[tuple[str, int], Usual]:
    """(section, environment id) -> the usual of its newest 20 passed runs; one query for all."""
    pairs = sorted({(run.section, run.environment_id) for run in runs})
    if not pairs:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT wanted.section, wanted.environment_id,
                   percentile_cont(0.5) WITHIN GROUP (ORDER BY recent.seconds), count(*)
            FROM unnest(%s::text[], %s::bigint[]) AS wanted(section, environment_id)
            CROSS JOIN LATERAL (
                SELECT extract(epoch FROM ended_at - started_at)::float8 AS seconds
                FROM checks_run
                WHERE environment_id = wanted.environment_id AND section = wanted.section AND state = 'passed'
                ORDER BY number DESC LIMIT 20
            ) AS recent
            GROUP BY 1, 2
            """,
            [[section for section, _ in pairs], [environment for _, environment in pairs]],
        )
        return {(section, environment): Usual(*found) for section, environment, *found in cursor.fetchall()}


def usual_step_seconds(run: Run) -> dict[str, float]:
    """Step key -> median seconds over the newest 20 passed runs of the same section and environment; one query."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT step.key, percentile_cont(0.5) WITHIN GROUP (
                       ORDER BY extract(epoch FROM step.ended_at - step.started_at)::float8)
            FROM (SELECT id, attempt FROM checks_run
                  WHERE environment_id = %s AND section = %s AND state = 'passed'
                  ORDER BY number DESC LIMIT 20) AS recent
            JOIN checks_runstep AS step ON step.run_id = recent.id AND step.attempt = recent.attempt
            WHERE step.state = 'passed'
            GROUP BY 1
            """,
            [run.environment_id, run.section],
        )
        return dict(cursor.fetchall())


def holder_of(run: Run) -> Run | None:
    """For which run a queued one waits: the one that it judges, or one beside which it may not run; one query."""
    if run.state != RunState.QUEUED:
        return None
    if run.waits_for is not None and run.waits_for.active:
        return run.waits_for
    if not run.alone_in:
        return None
    beside = Q(alone_in__overlap=run.alone_in) | Q(exclusive=True, environment__in=run.alone_in)
    found = Run.objects.filter(beside, state=RunState.RUNNING).select_related(*RELATED)
    return found.order_by("number").first()


def evidence_of(run: Run) -> Evidence | None:
    return Evidence.objects.filter(run_id=run.id).first()


def earlier_runs(run: Run, most: int = 5) -> list[Run]:
    """The runs before this one of the same section in the same place."""
    runs = Run.objects.filter(environment=run.environment, section=run.section, number__lt=run.number)
    return list(runs.select_related(*RELATED).defer("plan_version__text", "result").order_by("-number")[:most])


def lines_of_attempt(run: Run, attempt: int) -> int:
    return LogChunk.objects.filter(run=run, attempt=attempt).aggregate(total=Sum("lines"))["total"] or 0


def newest_runs(release: Release, most: int = 12) -> list[Run]:
    """What the board shows: the newest run of each section and place, those under way first; one query."""
    newest = (
        Run.objects.filter(release=release)
        .order_by("section", "environment_id", "-number")
        .distinct("section", "environment_id")
        .values("pk")
    )
    runs = Run.objects.filter(pk__in=newest).select_related(*RELATED).defer("plan_version__text", "result")
    return sorted(runs, key=lambda run: (not run.active, -run.number))[:most]


@dataclass(frozen=True)
class Startable:
    """A section of the plan that can be started for a release, and its newest run."""

    section: str
    check: CheckSection
    kind: Kind
    last: Run | None
    refusal: str


def _judges_running_build(kind: Kind, params: Mapping[str, Any]) -> bool:
    """What the kind says of these parameters.

    A plan of before may have some that are no longer accepted: its pages are shown all the same, and the start says
    what is wrong.
    """
    try:
        return kind.judges_what_runs(kind.Params.model_validate(params))
    except ValidationError:
        return kind.judges_running_build


def startable(release: Release) -> list[Startable]:
    """Every check of the release's plan, with the reason where it cannot start now; two queries."""
    plan = from_document(release.plan_version.document)
    newest = {run.section: run for run in newest_runs(release, most=1000)}
    places: dict[str, Any] = {place.name: place for place in release.application.environments.all()}
    found = []
    for key, check in plan.checks.items():
        kind, section = get_kind(check.kind), f"checks.{key}"
        place = places.get(check.environment)
        last = newest.get(section)
        refusal = ""
        if last is not None and last.active:
            refusal = f"Run #{last.number} of it is under way."
        elif (
            place is not None
            and place.current_build_digest != release.build_digest
            and _judges_running_build(kind, check.params)
        ):
            running = place.current_version or "a build that nobody named"
            refusal = f"{place.name} runs {running}. Deploy {release.version} there first."
        found.append(Startable(section, check, kind, last, refusal))
    return found
