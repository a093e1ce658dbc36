"""Short runs of this release beside those of the last: interleaved where both can run, else against its record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import F, Q, QuerySet

from checks.errors import CheckError
from checks.kinds.base import RunContext
from checks.models import Run
from checks.tools.loading.comparing import Compared, compare, fewest_runs
from checks.tools.loading.driving import Job, driving
from checks.tools.loading.judging import broken_limits, judge_step
from checks.tools.loading.limits import Limit
from checks.tools.loading.record import Measured
from releases.models import Environment

Medians = dict[str, list[float]]


@dataclass(frozen=True)
class Plan:
    """``runs`` short runs of ``each`` seconds at ``load``, the first ``settle`` seconds of each left out.

    ``errors``: limits of errors; a short run that breaks one is no observation. ``addresses``: what is compared, where
    that is not everything; ``ratio``: up to so many times as slow is not slower.
    """

    load: float
    runs: int
    each: float
    settle: float
    errors: Sequence[Limit]
    ratio: float
    addresses: Sequence[str] = ()


@dataclass(frozen=True)
class Comparison:
    """``against``: what was compared with, in words; empty where there is nothing yet.

    ``unmatched``: earlier builds were loaded here, and none of their runs can be compared with this one.
    """

    now: Medians
    before: Medians
    found: list[Compared]
    against: str = ""
    interleaved: bool = False
    unmatched: bool = False

    @property
    def gone(self) -> list[str]:
        """Endpoints of before that nobody asked now; nothing is said of these."""
        return sorted(set(self.before) - set(self.now))

    @property
    def worse(self) -> list[Compared]:
        return [one for one in self.found if one.word == "worse"]

    @property
    def unclear(self) -> list[Compared]:
        return [one for one in self.found if one.word == "inconclusive"]

    def as_json(self) -> dict[str, Any]:
        return {
            "now": self.now, "before": self.before, "found": [one.as_json() for one in self.found],
            "against": self.against, "interleaved": self.interleaved, "unmatched": self.unmatched,
            "gone": self.gone,
        }  # fmt: skip


@dataclass(frozen=True)
class Rival:
    """Where the last release runs beside this one, and which build that is."""

    environment: str
    url: str
    version: str
    build_digest: str

    def job(self, job: Job) -> Job:
        """The same load at the rival's address; where the last release's redirects lead is its own matter."""
        requests = tuple({name: value for name, value in one.items() if name != "ends"} for one in job.requests)
        return replace(job, url=self.url, requests=requests)

    @property
    def told(self) -> str:
        build = f"version {self.version}" if self.version else f"build {self.build_digest[:12]}"
        return f"{build} in {self.environment}"


def rival_in(context: RunContext, environment: str) -> Rival:
    """CheckError where nobody can say what runs there, or the same build does: that would always be equal."""
    place = Environment.objects.get(application=context.run.application, name=environment)
    if not place.current_build_digest:
        raise CheckError(
            f"Nobody can say which build runs in {environment}, so there is nothing to compare with.",
            remedy="Deploy the last release there, or say on the page of the application what runs there.",
        )
    if place.current_build_digest == context.run.build_digest:
        raise CheckError(
            f"{environment} runs the same build, which would be compared with itself.",
            remedy="Put the last release there, or leave the environment out of compare.",
        )
    url = context.plan.environments[environment].url
    return Rival(environment, url, place.current_version, place.current_build_digest)


def carry_out(
    context: RunContext,
    step: Any,
    job: Job,
    plan: Plan,
    *,
    rival: Rival | None,
    there: Job | None = None,
    earlier: Run | None,
) -> Comparison:
    """``there``: the same load at the rival's address, asked once before.

    ``earlier``: the last release's newest run that can be compared, where it does not run anywhere.
    """
    # So little load is made by this machine alone: generators of others leave after each run.
    short = replace(job, steps=(plan.load,), hold=plan.each, workers=None)
    beside = replace(there, steps=short.steps, hold=short.hold, workers=None) if there else None
    mine: Medians = {}
    theirs: Medians = {}
    for number in range(plan.runs):
        pairs = [(short, mine), (beside, theirs)] if beside else [(short, mine)]
        # Whoever goes first meets a warmer or colder machine, so they take turns.
        for one, medians in pairs if number % 2 == 0 else reversed(pairs):
            step.doing(f"short run {number + 1} of {plan.runs} on {one.url}")
            for endpoint, figure in _short_run(context, one, plan).items():
                medians.setdefault(endpoint, []).append(figure)
        step.progress(number + 1, plan.runs, "runs")
    if rival:
        if rival_in(context, rival.environment) != rival:
            raise CheckError(
                f"Another build was put into {rival.environment} meanwhile, so nothing was compared.",
                remedy="Run it again when nobody deploys there.",
            )
        return _compared(plan, mine, theirs, rival.told, interleaved=True)
    if earlier is None:
        return Comparison(mine, {}, [], unmatched=_of_other_builds(context.run).exists())
    before = earlier.result["comparison"]["now"]
    return _compared(plan, mine, before, f"run #{earlier.number} of another build", interleaved=False)


def _compared(plan: Plan, now: Medians, before: Medians, against: str, *, interleaved: bool) -> Comparison:
    """What was measured is kept whole, whatever of it is compared now."""
    chosen = set(plan.addresses) or now.keys() | before.keys()
    if unasked := set(plan.addresses) - (now.keys() & before.keys()):
        where = "here" if unasked - now.keys() else f"of {against}"
        raise CheckError(
            f"{min(unasked)} is to be compared and was not asked {where}.",
            remedy="Correct the addresses that the plan compares, or make the short runs longer.",
        )
    sides = [{name: each[name] for name in each if name in chosen} for each in (now, before)]
    found = compare(sides[0], sides[1], plan.ratio)
    if not found:
        raise CheckError(
            f"Nothing that was asked here was asked of {against}, so nothing can be compared.",
            remedy="Give the requests the names they had before.",
        )
    return Comparison(now, before, found, against, interleaved)


def _short_run(context: RunContext, job: Job, plan: Plan) -> Mapping[str, float]:
    """The median of each endpoint in ms. CheckError where the run is invalid: one bad run spoils the comparison."""
    measured = Measured(plan.load, job.mode)
    with driving(context, job) as driver:
        for second in driver.seconds():
            _, over = driver.step_of(second)
            measured.elsewhere.update(second.elsewhere)
            measured.late = driver.late
            if over >= plan.settle and over + 1 <= plan.each:
                measured.take(second)
        measured.missing = driver.whole_seconds(0, plan.settle) - measured.seconds
    judged = judge_step(measured, [], samples=1, unit="users" if job.mode == "closed" else "requests/s")
    if faults := [*judged.invalid, *judged.broken]:
        raise CheckError(
            f"A short run on {job.url} cannot be compared: {faults[0]}.", remedy="Correct that; run it again."
        )
    for broken in broken_limits(measured, plan.errors):
        raise CheckError(
            f"A short run on {job.url} cannot be compared: {broken}.",
            remedy="How quickly something fails says nothing of how quick it is. See what failed; run it again.",
        )
    return {name: figures.percentile(50) for name, figures in measured.endpoints.items()}


def earlier_run(run: Run, *, plan: Mapping[str, Any], scenario: Mapping[str, Any]) -> Run | None:
    """A good run of another build that made the same short runs of the same scenario here.

    Of the build that went live last, or else of the newest: candidates that each lose a little are not each other's.
    """
    others = _of_other_builds(run).filter(result__comparison__now__isnull=False)
    rows = others.order_by(F("release__live_at").desc(nulls_last=True), "-number")[:50]
    made = _as_made(plan)
    return next(
        (row for row in rows if _as_made(row.result["compare"]) == made and row.result["scenario"] == scenario),
        None,
    )


def _of_other_builds(run: Run) -> QuerySet[Run]:
    """Those that passed, and those that only lacked something to be compared with: the next one has these."""
    only_unmatched = Q(state="errored", result__limits_held=True, result__comparison__unmatched=True)
    return Run.objects.filter(
        Q(state="passed") | only_unmatched,
        application=run.application, environment=run.environment, section=run.section, kind=run.kind,
    ).exclude(build_digest=run.build_digest)  # fmt: skip


def _as_made(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What the short runs here are like; with whom they took turns, and how they were judged, is nothing of that."""
    return {name: value for name, value in plan.items() if name not in ("environment", "ratio", "addresses")}


def enough_runs(runs: int, endpoints: int) -> str:
    """Why so few runs could prove nothing, or ''."""
    needed = fewest_runs(endpoints)
    if runs >= needed:
        return ""
    return f"{runs} runs cannot prove a difference in any of {endpoints} endpoints; at least {needed} are needed"
