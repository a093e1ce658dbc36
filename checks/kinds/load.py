"""Load: steps of users or of requests a second, judged by limits, up to the expected traffic and beyond."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Final

from checks.errors import CheckError
from checks.kinds.base import Kind, Outcome, RunContext, Step, register
from checks.plan import Plan, from_document
from checks.tools import toolbox
from checks.tools.loading import drawing, hints, judging, knee, limits, rivals
from checks.tools.loading.asking import ask_once
from checks.tools.loading.carrying import Carried, Carrying, thinned
from checks.tools.loading.comparing import RATIO
from checks.tools.loading.database import DatabaseWatch
from checks.tools.loading.driving import Job, Workers
from checks.tools.loading.judging import Verdict
from checks.tools.loading.params import UNITS, CompareParams, LoadParams, WorkersParams, consent_refusal, requests_of

Problems = list[tuple[tuple[str | int, ...], str]]


@dataclass
class Findings:
    """What one load brought, piece by piece; the outcome is made of it, also where it cannot be judged."""

    job: Job
    scenario: dict[str, Any]
    carried: Carried = field(default_factory=Carried)
    database: dict[str, Any] | None = None
    comparison: rivals.Comparison | None = None
    #: What is told of the addresses that were asked once.
    told: list[str] = field(default_factory=list)


@register
class Load(Kind):
    name = "load"
    title = "Load"
    description = "Raises the load in steps and judges each by limits, up to the expected traffic with headroom."
    Params = LoadParams
    judges_running_build = True
    valid_hours = 168
    live_template: ClassVar[str] = "checks/kinds/load_live.html"

    def pictures(self, result: Mapping[str, Any], live: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return drawing.pictures(result, live)

    def steps(self, plan: Plan, section: str, params: Any) -> list[Step]:
        unit, seconds = UNITS[params.mode], f"{params.hold.total_seconds():g} s"
        steps = [Step("ask", "Make ready and ask once")]
        steps += [
            Step(f"load-{number}", f"{load:g} {unit} for {seconds}") for number, load in enumerate(params.steps, 1)
        ]
        if params.compare:
            steps.append(Step("compare", f"{params.compare.runs} short runs at {params.compare.load:g} {unit}"))
        return [*steps, Step("judge", "Judge")]

    def problems(self, plan: Plan, params: Any, environment: str) -> Problems:
        found: Problems = []
        if refusal := consent_refusal(plan, environment, params):
            found.append(((), refusal))
        if params.total > timedelta(hours=24):
            found.append((("hold",), "all steps together are longer than a day"))
        if not params.locustfile:
            found += _request_problems(plan, params)
        if params.compare:
            found += _compare_problems(plan, params, params.compare)
        rival = params.compare.environment if params.compare else None
        if rival == environment:
            found.append((("compare", "environment"), "an environment is not compared with itself"))
        elif rival and not getattr(plan.environments.get(rival), "url", ""):
            found.append((("compare", "environment"), f"there is no environment {rival!r} with a url"))
        elif rival and (refusal := consent_refusal(plan, rival, params)):
            found.append((("compare", "environment"), refusal))
        return found

    def alone_in(self, params: Any, environment: str) -> list[str]:
        rival = params.compare.environment if params.compare else ""
        return [environment, rival] if rival else [environment]

    def run(self, context: RunContext) -> Outcome:
        params: LoadParams = context.params
        _refuse_without_consent(context, params)
        found = Findings(*_job(context, params))
        rival = _rival(context, params)
        with context.step("ask") as step:
            step.doing("making Locust ready")
            toolbox.installed(context, "load")
            found.job, found.told = ask_once(context, found.job)
            # A wall in front of the last release is quick: this one would look slow beside it.
            there = _there(context, params, found.job, rival) if rival else None
        _carry_out(context, params, found)
        if params.compare and not any(step.aborted for step in found.carried.steps):
            _compare(context, params, found, rival, there)
        with context.step("judge") as step:
            outcome, passed = _judged(context.plan, params, found)
            if passed is None:
                raise CheckError(
                    outcome.summary, outcome=outcome, remedy=_UNTOLD if _is_untold(found) else _CORRECT_THAT
                )
            if not passed:
                step.fail(outcome.summary)
        return outcome


def _request_problems(plan: Plan, params: LoadParams) -> Problems:
    known = {request.shown for request in requests_of(plan, params)}
    found: Problems = [
        ((name, place), f"no request is called {limit.endpoint!r}; there are: {', '.join(sorted(known))}")
        for name in ("limits", "stop")
        for place, limit in enumerate(limits.parse_all(getattr(params, name)))
        if limit.endpoint and limit.endpoint not in known
    ]
    return found


def _compare_problems(plan: Plan, params: LoadParams, compare: CompareParams) -> Problems:
    """What a locustfile asks is known only when it runs."""
    known = {request.shown for request in requests_of(plan, params)}
    found: Problems = [
        (("compare", "addresses", place), f"no request is called {name!r}; there are: {', '.join(sorted(known))}")
        for place, name in enumerate(compare.addresses)
        if not params.locustfile and name not in known
    ]
    if few := rivals.enough_runs(compare.runs, len(compare.addresses) or len(known)):
        found.append((("compare", "runs"), few))
    return found


def _refuse_without_consent(context: RunContext, params: LoadParams) -> None:
    """Once more when it runs: a consent may have ended or been taken back, and a run be started somewhere else.

    The release's own plan must allow it, and the newest one too: a consent that is no longer there was taken back.
    """
    newest = from_document(context.run.application.current_plan.document)
    rival = params.compare.environment if params.compare else None
    for environment in filter(None, (context.run.environment.name, rival)):
        for plan in (context.plan, newest):
            if refusal := consent_refusal(plan, environment, params):
                told = refusal[:1].upper() + refusal[1:]
                raise CheckError(f"{told}{_NEWER if plan is newest else ''}.", remedy=_NOT_ASKED)


def _job(context: RunContext, params: LoadParams) -> tuple[Job, dict[str, Any]]:
    url = context.environment.url
    if not url:
        raise CheckError("The environment has no url.", remedy="Give it one in the plan.")
    requests = requests_of(context.plan, params)
    locustfile, scenario = "", dict[str, Any]({"requests": [request.model_dump() for request in requests]})
    if params.locustfile:
        folder = context.run.application.plan_folder
        path = Path(folder) / params.locustfile
        if not folder or not path.is_file():
            raise CheckError(f"The locustfile {params.locustfile} is not in the plan's folder.", remedy=_CORRECT)
        locustfile = str(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        scenario = {"locustfile": params.locustfile, "sha256": digest}
    job = Job(
        url=url, mode=params.mode, steps=tuple(params.steps), hold=params.hold.total_seconds(),
        requests=tuple(request.model_dump() | {"name": request.shown} for request in requests),
        locustfile=locustfile, think=params.think.total_seconds(), timeout=params.timeout.total_seconds(),
        pool=params.pool, processes=params.processes, workers=_workers(params.workers),
        at_most=_held_to(context, params, context.run.environment.name),
    )  # fmt: skip
    # How it is asked counts as well: twenty users are not twenty requests a second.
    return job, scenario | {"mode": params.mode, "think": job.think}


def _held_to(context: RunContext, params: LoadParams, environment: str) -> float:
    """Requests a second to which a locustfile is held in open mode; without one, each arrival is one request.

    By what was consented to for that environment, in the release's own plan and in the newest one.
    """
    if params.mode != "open" or not params.locustfile:
        return 0.0
    plans = (context.plan, from_document(context.run.application.current_plan.document))
    return min(plan.load.consent[environment].at_most for plan in plans)


def _workers(given: WorkersParams | None) -> Workers | None:
    if given is None:
        return None
    return Workers(given.expected, str(given.listen), given.port, given.wait.total_seconds())


def _there(context: RunContext, params: LoadParams, job: Job, rival: rivals.Rival) -> Job:
    job = replace(rival.job(job), at_most=_held_to(context, params, rival.environment))
    return ask_once(context, job, rival.environment)[0]


def _carry_out(context: RunContext, params: LoadParams, found: Findings) -> None:
    watch = DatabaseWatch(context)
    carrying = Carrying(
        context, found.job, settle=params.settle.total_seconds(), stop=limits.parse_all(params.stop),
        patience=params.stop_after.total_seconds(), each_second=watch.sample,
    )  # fmt: skip
    watch.begin()
    found.carried = carrying.carried
    try:
        carrying.carry_out([f"load-{number}" for number in range(1, len(params.steps) + 1)])
    finally:
        found.database = watch.end()


def _rival(context: RunContext, params: LoadParams) -> rivals.Rival | None:
    """Asked before any load is made, so that nobody waits for a comparison that cannot be made."""
    name = params.compare.environment if params.compare else None
    return rivals.rival_in(context, name) if name else None


def _compare(
    context: RunContext, params: LoadParams, found: Findings, rival: rivals.Rival | None, there: Job | None
) -> None:
    compare = params.compare
    assert compare is not None
    errors = [limit for limit in limits.judged_by(params.limits) if limit.metric == "errors"]
    short = rivals.Plan(
        compare.load, compare.runs, compare.each.total_seconds(), compare.settle.total_seconds(), errors,
        compare.ratio, compare.addresses,
    )  # fmt: skip
    same = compare.model_dump(mode="json")
    earlier = None if rival else rivals.earlier_run(context.run, plan=same, scenario=found.scenario)
    with context.step("compare") as step:
        found.comparison = rivals.carry_out(context, step, found.job, short, rival=rival, there=there, earlier=earlier)
        for name in found.comparison.gone:
            context.note(f"{name}: asked before and not now, so nothing is said of it")
        for one in found.comparison.found:
            context.note(f"{one.endpoint}: {one.before_ms:.1f} ms before, {one.now_ms:.1f} ms now, {one.word}")
        if found.comparison.worse:
            step.fail(_slower(found.comparison.worse))


def _judged(plan: Plan, params: LoadParams, found: Findings) -> tuple[Outcome, bool | None]:
    expected, unit = plan.load.expected, UNITS[params.mode]
    needed = expected.requests_per_second * expected.headroom if expected else 0.0
    wanted = limits.judged_by(params.limits)
    judged = [judging.judge_step(step, wanted, samples=params.samples, unit=unit) for step in found.carried.steps]
    whole = [step for step, one in zip(found.carried.steps, judged, strict=True) if not one.invalid and step.seconds]
    bend = knee.find([(step.load, step.total.rate) for step in whole])
    verdict = judging.judge(judged, needed=needed, unit=unit, grows=bend.state != "reached")
    verdict.notes += [_ADDED.format(one.text) for one in wanted if one.added]
    verdict.notes += found.told
    verdict.notes += judging.told_of_locustfile(found.carried.steps)
    verdict.limits_held = verdict.passed is True
    if params.compare and found.comparison is None and verdict.passed:
        verdict.passed = None
        verdict.reason = "The load was ended early, so the comparison that the plan asks for was not made"
    _weigh_comparison(verdict, found.comparison)
    told = hints.hints(whole, bend, found.database)
    return _outcome(plan, params, found, verdict, bend, told), verdict.passed


def _weigh_comparison(verdict: Verdict, comparison: rivals.Comparison | None) -> None:
    """A slower release is a no. What cannot be told is no yes either."""
    if comparison is None:
        return
    if comparison.gone:
        verdict.notes.append(f"Asked before and not now, so nothing is said of it: {', '.join(comparison.gone)}.")
    if comparison.unmatched:
        verdict.notes.append(_UNMATCHED)
        if verdict.passed:
            verdict.passed, verdict.reason = None, "No run of an earlier build can be compared with this one"
    elif not comparison.against:
        verdict.notes.append(_FIRST)
    elif comparison.worse and verdict.passed is not False:
        verdict.passed, verdict.reason = False, _slower(comparison.worse)
    elif comparison.unclear and verdict.passed:
        names = ", ".join(one.endpoint for one in comparison.unclear[:3])
        verdict.passed = None
        verdict.reason = f"Whether {names} became slower cannot be told; more or longer short runs are needed"


def _is_untold(found: Findings) -> bool:
    """Nothing is at fault where only the difference is too small for what was measured."""
    return found.comparison is not None and bool(found.comparison.unclear)


def _slower(worse: Sequence[Any]) -> str:
    told = ", ".join(f"{one.endpoint} {one.ratio - 1:+.0%}" for one in worse[:3])
    return f"Slower than the last release: {told}"


def _outcome(
    plan: Plan, params: LoadParams, found: Findings, verdict: Verdict, bend: knee.Knee, told: Sequence[str]
) -> Outcome:
    carried = found.carried
    steps = [
        measured.as_json() | {"broken": judged.broken, "invalid": judged.invalid, "held": judged.held}
        for measured, judged in zip(carried.steps, verdict.steps, strict=True)
    ]
    return Outcome(
        passed=bool(verdict.passed),
        summary=_summary(verdict, found.comparison, params.compare.ratio if params.compare else RATIO),
        figures={
            "capacity": round(verdict.capacity, 2), "needed": round(verdict.needed, 2), "steps": len(steps),
            "requests": sum(step.total.count for step in carried.steps), "knee": bend.load or None,
        },
        result={
            "mode": params.mode, "unit": UNITS[params.mode], "url": found.job.url, "limits": params.limits,
            "steps": steps, "seconds": thinned(carried.rows), "reason": verdict.reason, "notes": verdict.notes,
            "limits_held": verdict.limits_held,
            "knee": {"state": bend.state, "reason": bend.reason, "load": bend.load, "throughput": bend.throughput},
            "hints": list(told), "database": found.database, "scenario": found.scenario,
            "compare": params.compare.model_dump(mode="json") if params.compare else None,
            "comparison": found.comparison.as_json() if found.comparison else None,
            "processes": found.job.cores, "workers": params.workers.model_dump(mode="json") if params.workers else None,
            "load": plan.load.model_dump(mode="json"), "hold": found.job.hold,
            "failures": carried.failures.most_common(10), "settle": params.settle.total_seconds(),
        },
        artifacts=[carried.record] if carried.record else [],
    )  # fmt: skip


def _summary(verdict: Verdict, comparison: rivals.Comparison | None, ratio: float) -> str:
    """Also what a pass was compared with: one that had nothing to be compared with must not look as if it had."""
    beside = ""
    if verdict.passed and comparison is not None:
        how = "Not slower than" if ratio == RATIO else f"Not over {ratio:g} times as slow as"
        beside = f" {how} {comparison.against}." if comparison.against else _NOTHING_BEFORE
    return f"{verdict.reason}.{beside}"[:500]


_NOTHING_BEFORE: Final = " No earlier build was loaded here to compare it with."
_ADDED: Final = "The plan names no limit on errors over all, so {} was added by the program."
_FIRST: Final = (
    "This is the first build that was loaded here, so there is nothing to compare it with; its short runs are kept for"
    " the next one."
)
_UNMATCHED: Final = (
    "Earlier builds were loaded here, but none made the same short runs of the same scenario: the locustfile, or what"
    " the plan compares, was changed since. The next build is compared with these short runs. To compare this one, load"
    " the last release as the plan asks now, or name an environment where it runs (compare.environment)."
)
_NEWER: Final = " (so says the newest plan)"
_NOT_ASKED: Final = "Nothing was asked. Correct the plan."
_CORRECT_THAT: Final = "Nothing was judged; what was measured is shown below. Correct that and run it again."
_UNTOLD: Final = (
    "What was measured is shown below. Run it again when the machines are quieter, make more or longer short runs,"
    " let both releases take turns (compare.environment), or say in ratio what would matter."
)
_CORRECT: Final = "Correct the plan, or put the file there."
