"""Load: steps of users or of requests a second, judged by limits, up to the expected traffic and beyond."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path as FilePath
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from checks.errors import CheckError
from checks.kinds.base import Kind, KindParams, Outcome, RunContext, Step, register
from checks.plan import Duration, Path, Plan, Request
from checks.tools import http
from checks.tools.loading import drawing, judging, limits
from checks.tools.loading.carrying import Carried, Carrying, thinned
from checks.tools.loading.driving import Job
from checks.tools.loading.judging import Verdict
from releases.enums import Tier

UNITS: Final = {"closed": "users", "open": "requests/s"}


def _limit(text: str) -> str:
    limits.parse(text)
    return text


def _below(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError("the locustfile is named by a path below the plan's folder")
    return path


Expression = Annotated[str, Field(max_length=200), AfterValidator(_limit)]


class LoadRequest(KindParams):
    """One address of the default scenario, asked ``weight`` times as often as one of weight 1."""

    path: Path
    name: str = Field(default="", max_length=200)
    weight: float = Field(default=1, gt=0, le=1000)
    status: int = Field(default=200, ge=100, le=599)
    text: str = Field(default="", max_length=1000)

    @property
    def shown(self) -> str:
        return self.name or self.path


class LoadParams(KindParams):
    """``steps``: users, or requests a second in open mode; each is held for ``hold``, and judged after ``settle``."""

    mode: Literal["closed", "open"] = Field(
        default="closed",
        description="closed: users who wait for each answer. open: arrivals on a fixed schedule, whatever is answered.",
    )
    steps: list[Annotated[float, Field(gt=0, le=100_000)]] = Field(default=[1, 5, 10, 20], min_length=1, max_length=30)
    hold: Duration = timedelta(seconds=30)
    settle: Duration = timedelta(seconds=5)
    requests: list[LoadRequest] = Field(
        default=[], max_length=100, description="Left empty, the addresses of the plan's smoke test are asked."
    )
    locustfile: Annotated[str, AfterValidator(_below)] = Field(
        default="", max_length=500, description="A locustfile below the plan's folder, instead of requests."
    )
    think: Duration = Field(default=timedelta(seconds=1), description="Mean pause of a user between two requests.")
    limits: list[Expression] = Field(default=["errors < 1%"], min_length=1, max_length=50)
    stop: list[Expression] = Field(
        default=["errors < 50%"], max_length=20, description="Limits for each second that end the load when broken."
    )
    stop_after: Duration = Field(default=timedelta(seconds=10), description="Broken for so long in a row.")
    samples: int = Field(default=100, ge=1, description="Fewer requests in a step say nothing.")
    pool: int = Field(default=200, ge=1, le=20_000, description="Users that serve the arrivals of the open mode.")
    processes: int = Field(default=0, ge=0, le=64, description="0: by the load and the cores of the worker's machine.")
    timeout: Duration = timedelta(seconds=30)

    @model_validator(mode="after")
    def fits(self) -> Self:
        if self.requests and self.locustfile:
            raise ValueError("give either requests or a locustfile, not both")
        if sorted(set(self.steps)) != self.steps:
            raise ValueError("steps go from the least load to the most, each once")
        if self.mode == "closed" and any(step != int(step) for step in self.steps):
            raise ValueError("steps of the closed mode are whole users")
        if self.hold - self.settle < timedelta(seconds=3):
            raise ValueError("hold must be at least 3s longer than settle, so that there is something to judge")
        return self

    @property
    def total(self) -> timedelta:
        return self.hold * len(self.steps)


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
        loads = [
            Step(f"load-{number}", f"{load:g} {unit} for {seconds}") for number, load in enumerate(params.steps, 1)
        ]
        return [Step("ask", "Ask once"), *loads, Step("judge", "Judge")]

    def problems(self, plan: Plan, params: Any, environment: str) -> list[tuple[tuple[str | int, ...], str]]:
        found: list[tuple[tuple[str | int, ...], str]] = []
        if refusal := consent_refusal(plan, environment, params):
            found.append(((), refusal))
        if params.total > timedelta(hours=24):
            found.append((("hold",), "all steps together are longer than a day"))
        if not params.locustfile:
            known = {request.shown for request in requests_of(plan, params)}
            found += [
                (("limits", place), f"no request is called {limit.endpoint!r}; there are: {', '.join(sorted(known))}")
                for place, limit in enumerate(limits.parse_all(params.limits))
                if limit.endpoint and limit.endpoint not in known
            ]
        return found

    def run(self, context: RunContext) -> Outcome:
        params: LoadParams = context.params
        plan = context.plan
        if refusal := consent_refusal(plan, context.run.environment.name, params):
            raise CheckError(refusal[:1].upper() + refusal[1:] + ".", remedy="Nothing was asked. Correct the plan.")
        job, scenario = self._job(context, params)
        with context.step("ask"):
            _ask_once(context, job)
        carrying = Carrying(
            context, job, settle=params.settle.total_seconds(), stop=limits.parse_all(params.stop),
            patience=params.stop_after.total_seconds(),
        )  # fmt: skip
        carried = carrying.carry_out([f"load-{number}" for number in range(1, len(params.steps) + 1)])
        with context.step("judge") as step:
            verdict = self._judge(plan, params, carried)
            outcome = self._outcome(plan, params, carried, verdict, scenario, job)
            if verdict.passed is None:
                raise CheckError(
                    f"{verdict.reason}.", outcome=outcome,
                    remedy="Nothing was judged; what was measured is shown below. Correct that and run it again.",
                )  # fmt: skip
            if not verdict.passed:
                step.fail(verdict.reason)
        return outcome

    def _job(self, context: RunContext, params: LoadParams) -> tuple[Job, dict[str, Any]]:
        url = context.environment.url
        if not url:
            raise CheckError("The environment has no url.", remedy="Give it one in the plan.")
        requests = requests_of(context.plan, params)
        locustfile, scenario = "", dict[str, Any]({"requests": [request.model_dump() for request in requests]})
        if params.locustfile:
            folder = context.run.application.plan_folder
            path = FilePath(folder) / params.locustfile
            if not folder or not path.is_file():
                raise CheckError(
                    f"The locustfile {params.locustfile} is not in the plan's folder.", remedy="Correct the plan."
                )
            locustfile, requests = str(path), []
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            scenario = {"locustfile": params.locustfile, "sha256": digest}
        job = Job(
            url=url, mode=params.mode, steps=tuple(params.steps), hold=params.hold.total_seconds(),
            requests=tuple(request.model_dump() | {"name": request.shown} for request in requests),
            locustfile=locustfile, think=params.think.total_seconds(), timeout=params.timeout.total_seconds(),
            pool=params.pool, processes=params.processes,
        )  # fmt: skip
        return job, scenario

    def _judge(self, plan: Plan, params: LoadParams, carried: Carried) -> Verdict:
        expected = plan.load.expected
        needed = expected.requests_per_second * expected.headroom if expected else 0.0
        unit, wanted = UNITS[params.mode], limits.parse_all(params.limits)
        judged = [judging.judge_step(step, wanted, samples=params.samples, unit=unit) for step in carried.steps]
        return judging.judge(judged, needed=needed, unit=unit)

    def _outcome(
        self, plan: Plan, params: LoadParams, carried: Carried, verdict: Verdict, scenario: Mapping[str, Any], job: Job
    ) -> Outcome:
        last = carried.steps[-1].total
        steps = [
            measured.as_json() | {"broken": judged.broken, "invalid": judged.invalid, "held": judged.held}
            for measured, judged in zip(carried.steps, verdict.steps, strict=True)
        ]
        return Outcome(
            passed=bool(verdict.passed),
            summary=f"{verdict.reason}."[:500],
            figures={
                "capacity": round(verdict.capacity, 2), "needed": round(verdict.needed, 2), "steps": len(steps),
                "requests": sum(step.total.count for step in carried.steps), "p95_ms": round(last.percentile(95), 1),
            },
            result={
                "mode": params.mode, "unit": UNITS[params.mode], "url": job.url, "limits": params.limits,
                "steps": steps, "seconds": thinned(carried.rows), "reason": verdict.reason, "notes": verdict.notes,
                "scenario": scenario, "processes": job.cores, "load": plan.load.model_dump(mode="json"),
                "failures": carried.failures.most_common(10), "hold": job.hold,
                "settle": params.settle.total_seconds(),
            },
            artifacts=[carried.record] if carried.record else [],
        )  # fmt: skip


def requests_of(plan: Plan, params: LoadParams) -> list[LoadRequest]:
    """The default scenario: what the check names, or what the deploy asks in the end."""
    if params.locustfile:
        return []
    return params.requests or [
        LoadRequest(path=one.path, status=one.status, text=one.text) for one in plan.deploy.smoke
    ]


def consent_refusal(plan: Plan, environment: str, params: LoadParams) -> str:
    """Why this load may not run there, or ''. Load is aimed only where somebody who may say so consented to it."""
    consent, section = plan.load.consent.get(environment), plan.environments.get(environment)
    if consent is None:
        return f"nobody consented to load on {environment}: record load.consent.{environment} with by, on and at_most"
    if section is not None and section.tier is Tier.PRODUCTION and not consent.production:
        return f"{environment} is production: load.consent.{environment} needs production: true as well"
    today = datetime.now(UTC).date()
    if consent.until is not None and consent.until < today:
        return f"the consent of {consent.by} to load on {environment} ended on {consent.until}"
    if max(params.steps) > consent.at_most:
        return (
            f"{consent.by} consented to at most {consent.at_most:g} {UNITS[params.mode]} on {environment}, and the last"
            f" step has {max(params.steps):g}"
        )
    return ""


def _ask_once(context: RunContext, job: Job) -> None:
    """Each address once, by ourselves: a wrong answer, or one from elsewhere, must be known before load is made."""
    paths = [(one["path"], one["status"], one["text"]) for one in job.requests] or [("/", 200, "")]
    declared = [Request(path=path, status=status, text=text, within=_PATIENT) for path, status, text in paths]
    answers = http.ask_all(job.url, declared, answered=lambda answer: None, check=context.check)
    for answer in answers:
        context.note(f"{answer.path}: {answer.status or 'no answer'} in {answer.seconds * 1000:.0f} ms")
        elsewhere = any("another host" in problem for problem in answer.problems)
        if answer.problems and (job.requests or answer.status is None or elsewhere):
            raise CheckError(
                f"{answer.path}: {answer.problems[0]}, before any load.",
                remedy="No load was made. Let the environment answer as declared first.",
            )


_PATIENT: Final = timedelta(seconds=30)
