"""The parameters of a load, and what of them the rest of the plan must allow."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from checks.kinds.base import KindParams
from checks.plan import Duration, Key, Path, Plan
from checks.tools.loading import limits
from checks.tools.loading.comparing import FEWEST_RUNS, RATIO
from releases.enums import Tier

LOOPBACK: Final = IPv4Address("127.0.0.1")
UNITS: Final = {"closed": "users", "open": "requests/s"}


def _limit(text: str) -> str:
    limits.parse(text)
    return text


def _below(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError("the locustfile is named by a path below the plan's folder")
    return path


Load = Annotated[float, Field(gt=0, le=100_000)]
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


class CompareParams(KindParams):
    """Short runs at one load. ``environment``: where the last release runs, for runs that take turns with these.

    ``ratio``: a release that is up to so many times as slow as the last is not called slower.
    """

    load: float = Field(gt=0, le=100_000)
    runs: int = Field(default=6, ge=FEWEST_RUNS, le=50)
    each: Duration = timedelta(seconds=10)
    settle: Duration = timedelta(seconds=2)
    environment: Key | None = None
    ratio: float = Field(default=RATIO, ge=RATIO, le=3, description="Up to so many times as slow is not slower.")
    addresses: list[str] = Field(
        default=[], max_length=100, description="By name; left empty, everything that is asked is compared."
    )

    @model_validator(mode="after")
    def long_enough(self) -> Self:
        if self.each - self.settle < timedelta(seconds=3):
            raise ValueError("each must be at least 3s longer than settle, so that there is something to compare")
        return self


class WorkersParams(KindParams):
    """Generators on other machines, which come to ``listen``:``port`` within ``wait`` of the beginning.

    Nobody asks who they are, so by default they come through a tunnel that ends on this machine.
    """

    expected: int = Field(ge=1, le=100)
    listen: IPv4Address = Field(default=LOOPBACK, description="An address of the worker's machine, for this load.")
    port: int = Field(default=5557, ge=1024, le=65535)
    wait: Duration = timedelta(minutes=2)

    @model_validator(mode="after")
    def short_enough(self) -> Self:
        if not timedelta(seconds=1) <= self.wait <= timedelta(hours=1):
            raise ValueError("wait is between a second and an hour")
        return self


class LoadParams(KindParams):
    """``steps``: users, or requests a second in open mode; each is held for ``hold``, and judged after ``settle``."""

    mode: Literal["closed", "open"] = Field(
        default="closed",
        description="closed: users who wait for each answer. open: arrivals on a fixed schedule, whatever is answered.",
    )
    steps: list[Load] = Field(default=[10, 20, 30, 40], min_length=1, max_length=30)
    hold: Duration = timedelta(seconds=30)
    settle: Duration = timedelta(seconds=5)
    requests: list[LoadRequest] = Field(
        default=[], max_length=100, description="Left empty, the addresses of the plan's smoke test are asked."
    )
    locustfile: Annotated[str, AfterValidator(_below)] = Field(
        default="", max_length=500, description="A locustfile below the plan's folder, instead of requests."
    )
    think: Duration = Field(default=timedelta(seconds=1), description="Mean pause of a user between two requests.")
    limits: list[Expression] = Field(
        default=[limits.ERRORS], min_length=1, max_length=50,
        description=f"Of each step. {limits.ERRORS} is added where none of them is on errors over all.",
    )  # fmt: skip
    stop: list[Expression] = Field(
        default=["errors < 50%"], max_length=20, description="Limits for each second that end the load when broken."
    )
    stop_after: Duration = Field(default=timedelta(seconds=10), description="Broken for so long in a row.")
    samples: int = Field(default=100, ge=1, description="Fewer requests in a step say nothing.")
    pool: int = Field(default=200, ge=1, le=20_000, description="Users that serve the arrivals of the open mode.")
    processes: int = Field(default=0, ge=0, le=64, description="0: by the load and the cores of the worker's machine.")
    workers: WorkersParams | None = Field(default=None, description="Generators on other machines, instead of here.")
    timeout: Duration = timedelta(seconds=30)
    compare: CompareParams | None = Field(default=None, description="Short runs beside those of the last release.")

    @model_validator(mode="after")
    def fits(self) -> Self:
        if self.requests and self.locustfile:
            raise ValueError("give either requests or a locustfile, not both")
        if self.workers and self.processes:
            raise ValueError("give either processes of this machine or workers of others, not both")
        if sorted(set(self.steps)) != self.steps:
            raise ValueError("steps go from the least load to the most, each once")
        if self.mode == "closed" and any(step != int(step) for step in self.steps):
            raise ValueError("steps of the closed mode are whole users")
        if self.hold - self.settle < timedelta(seconds=3):
            raise ValueError("hold must be at least 3s longer than settle, so that there is something to judge")
        return self

    @property
    def total(self) -> timedelta:
        runs = self.compare
        sides = 2 if runs and runs.environment else 1
        return self.hold * len(self.steps) + (runs.each * runs.runs * sides if runs else timedelta(0))

    @property
    def highest(self) -> float:
        return max([*self.steps, *([self.compare.load] if self.compare else [])])


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
    if section is not None and not consent.production and (name := plan.production_at(section.url)):
        return (
            f"{environment} has the address of {name}, which is production: load.consent.{environment} needs"
            " production: true as well"
        )
    today = datetime.now(UTC).date()
    if consent.on > today:
        return f"the consent of {consent.by} to load on {environment} begins on {consent.on}"
    if consent.until is not None and consent.until < today:
        return f"the consent of {consent.by} to load on {environment} ended on {consent.until}"
    if params.highest > consent.at_most:
        return (
            f"{consent.by} consented to at most {consent.at_most:g} {UNITS[params.mode]} on {environment}, and"
            f" this load goes up to {params.highest:g}"
        )
    return ""
