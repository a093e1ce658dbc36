"""The plan: what an application is, where it runs, and how it is checked, deployed and rolled back.

One YAML file. ``parse`` turns it into a ``Plan`` or raises PlanError with the line and column of each problem.
"""

import hashlib
import re
from datetime import timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

import rfc8785
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError, model_validator

from checks.enums import StepCategory
from checks.errors import PlanError
from checks.kinds.base import all_kinds
from checks.plan_names import cross_check
from checks.plan_text import PlanText
from checks.tools.inventory import PrivacySection
from checks.tools.loading.section import LoadSection
from checks.tools.origins import same_address
from releases.enums import Requirement, Tier

LONGEST_DURATION_DAYS = 3650
_UNITS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")


def read_duration(value: Any) -> Any:
    """'10m', '1h 30m', '250ms' or '7d' -> timedelta. Anything else is left for pydantic to refuse or take."""
    if not isinstance(value, str):
        if isinstance(value, int | float):
            raise ValueError("a duration needs a unit: 30s, 10m, 24h or 7d")
        return value
    if value.startswith("P"):
        return value
    if len(value) > 100 or not _DURATION.sub("", value).strip() == "" or not value.strip():
        raise ValueError("a duration is written like 30s, 10m, 1h 30m or 7d")
    seconds = sum(Decimal(number) * _UNITS[unit] for number, unit in _DURATION.findall(value))
    if seconds > LONGEST_DURATION_DAYS * _UNITS["d"]:
        raise ValueError(f"a duration is at most {LONGEST_DURATION_DAYS} days")
    return timedelta(seconds=float(seconds))


Duration = Annotated[
    timedelta,
    BeforeValidator(read_duration, json_schema_input_type=str),
    # Never an exponent: a stored plan is read again by the pattern above.
    PlainSerializer(lambda value: f"{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "s", return_type=str),
]
Key = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,59}$")]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
Path = Annotated[str, Field(pattern=r"^/", max_length=1000)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Command(Section):
    """Exactly one of ``argv`` (a list, no shell) and ``script`` (run with ``sh -eu``)."""

    argv: list[str] = Field(default=[], max_length=200)
    script: str = ""
    timeout: Duration = timedelta(minutes=10)
    variables: dict[VariableName, str] = {}

    @model_validator(mode="after")
    def one_of_both(self) -> Self:
        if bool(self.argv) == bool(self.script):
            raise ValueError("give either argv (a list) or script, not both and not neither")
        return self

    @property
    def arguments(self) -> list[str]:
        """What is executed: argv as it stands, or sh with the script as one argument."""
        return self.argv or ["/bin/sh", "-eu", "-c", self.script]


class BuildSection(Section):
    """``artifact``: the one file that is the build, relative to the plan's folder; ``{version}`` is filled in."""

    artifact: str = ""

    @model_validator(mode="after")
    def stays_inside(self) -> Self:
        path = PurePosixPath(self.artifact)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError("artifact must be a path below the plan's folder")
        return self


class EnvironmentSection(Section):
    """``secrets``: variable name -> name of a stored secret. Values may use {GONOGO_HOME} and {PLAN_DIR}.

    ``configuration_files`` and ``media``: files and folders on the worker that a backup takes along. Configuration
    must stand still meanwhile; of media, files may come and go.
    """

    tier: Tier
    url: str = Field(default="", pattern=r"^(https?://[^\s/]+.*)?$")
    queue: Key = "default"
    database: VariableName = "DATABASE_URL"
    variables: dict[VariableName, str] = {}
    secrets: dict[VariableName, Key] = {}
    configuration_files: list[str] = []
    media: list[str] = []


class Request(Section):
    """One address that must answer as declared."""

    path: Path
    status: int = Field(default=200, ge=100, le=599)
    text: str = Field(default="", max_length=1000)
    within: Duration = timedelta(seconds=5)


class CheckSection(Section):
    """One check of the plan: a kind with its parameters, in one environment."""

    kind: str
    title: str = Field(max_length=200)
    environment: Key
    valid_for: Duration | None = None
    params: dict[str, Any] = {}


class DeployStep(Section):
    """Exactly one of ``command`` and ``transition``: the check of kind transition that moves people's data for real.

    In a rollback ``transition`` undoes what that check's mapping moved.
    """

    key: Key
    title: str = Field(max_length=200)
    category: StepCategory
    command: Command | None = None
    transition: Key | None = None
    point_of_no_return: bool = False

    @model_validator(mode="after")
    def one_of_both(self) -> Self:
        if (self.command is None) == (self.transition is None):
            raise ValueError("give either a command or a transition, not both and not neither")
        return self


class DeploySection(Section):
    """``backup``: the check of kind backup whose parameters are used for the backup before the first step."""

    backup: Key | None = None
    steps: list[DeployStep] = Field(min_length=1, max_length=50)
    smoke: list[Request] = Field(min_length=1, max_length=100)


class RollbackSection(Section):
    """``restore_backup``: put the backup of before the deploy back before ``steps`` run."""

    before: list[DeployStep] = []
    restore_backup: bool = False
    steps: list[DeployStep] = Field(min_length=1, max_length=50)
    smoke: list[Request] = Field(min_length=1, max_length=100)


class RefreshSection(Section):
    """A rehearsal environment gets the masked data of ``source``. ``before`` and ``after`` run in that environment.

    ``before``: what keeps people out while the databases change their names; ``after``: what brings the data to the
    build that runs there, such as its migrations.
    """

    environment: Key
    source: Key
    before: list[DeployStep] = Field(default=[], max_length=20)
    after: list[DeployStep] = Field(default=[], max_length=20)
    proof_timeout: Duration = timedelta(minutes=10)
    lock_timeout: Duration = timedelta(seconds=30)


class StationSection(Section):
    key: Key
    title: str = Field(max_length=100)


class ApprovalsSection(Section):
    """Every station must vote; ``valid_for`` is how long a vote counts."""

    stations: list[StationSection] = Field(
        default=[
            StationSection(key="release-management", title="Release management"),
            StationSection(key="engineering", title="Engineering"),
            StationSection(key="security", title="Security"),
        ],
        min_length=1,
        max_length=10,
    )
    valid_for: Duration = timedelta(hours=72)


class RecoverySection(Section):
    """Targets: how much data may be lost, how long a restore may take."""

    rpo: Duration = timedelta(hours=24)
    rto: Duration = timedelta(minutes=30)


class ProbeSection(Section):
    name: str = Field(max_length=100)
    environment: Key
    path: Path
    interval: Duration = timedelta(seconds=10)
    timeout: Duration = timedelta(seconds=5)
    status: int = Field(default=200, ge=100, le=599)
    text: str = Field(default="", max_length=300)
    slow_after: Duration = timedelta(seconds=2)
    down_after: int = Field(default=3, ge=1, le=100)
    up_after: int = Field(default=3, ge=1, le=100)


class WatchSection(Section):
    """How long a new release is watched and what it must keep. Too few answers is never a pass."""

    duration: Duration = timedelta(minutes=10)
    max_error_rate: float = Field(default=0.01, ge=0, le=1)
    max_response: Duration = timedelta(seconds=2)
    min_answers: int = Field(default=10, ge=1)


class AlertsSection(Section):
    """``channels``: names of secrets that hold Apprise URLs. ``emails``: administrators' addresses."""

    channels: list[Key] = []
    emails: list[str] = []


class ChecklistOverride(Section):
    """Changes an item of the default checklist by its key, or adds one (then requirement and title are needed)."""

    key: Annotated[str, Field(pattern=r"^[a-z][a-z_]*\.[a-z0-9_-]+$")]
    requirement: Requirement | None = None
    title: str | None = Field(default=None, max_length=200)
    description: str | None = None
    section: str | None = None
    valid_for: Duration | None = None
    attested: bool | None = Field(
        default=None, description="Who signs it gives evidence, a file or a link, and says how long it holds."
    )
    blocking: bool | None = None
    owner: str | None = None


class RiskMitigation(Section):
    text: str
    items: list[str] = []


class RiskOverride(Section):
    key: Key
    title: str | None = Field(default=None, max_length=200)
    description: str | None = None
    owner: str | None = None
    inherent_likelihood: int | None = Field(default=None, ge=1, le=5)
    inherent_impact: int | None = Field(default=None, ge=1, le=5)
    residual_likelihood: int | None = Field(default=None, ge=1, le=5)
    residual_impact: int | None = Field(default=None, ge=1, le=5)
    appetite: int | None = Field(default=None, ge=1, le=25)
    mitigations: list[RiskMitigation] | None = None


class AcceptanceCase(Section):
    """One thing that a person tries: ``steps`` in order, and what is ``expected`` to happen."""

    key: Key
    title: str = Field(min_length=1, max_length=200)
    steps: list[Annotated[str, Field(min_length=1, max_length=1000)]] = Field(min_length=1, max_length=50)
    expected: str = Field(min_length=1, max_length=2000)


class AcceptanceSection(Section):
    """User acceptance as scripted cases; people walk each of them with the build and say what they found."""

    cases: list[AcceptanceCase] = Field(min_length=1, max_length=200)


class Plan(Section):
    """A whole plan, validated."""

    version: Literal[1] = 1
    application: Key
    title: str = Field(max_length=200)
    description: str = ""
    build: BuildSection = BuildSection()
    environments: dict[Key, EnvironmentSection] = Field(min_length=1)
    checks: dict[Key, CheckSection] = {}
    deploy: DeploySection
    rollback: RollbackSection
    approvals: ApprovalsSection = ApprovalsSection()
    recovery: RecoverySection = RecoverySection()
    probes: list[ProbeSection] = []
    watch: WatchSection = WatchSection()
    alerts: AlertsSection = AlertsSection()
    privacy: PrivacySection = PrivacySection()
    load: LoadSection = LoadSection()
    refresh: RefreshSection | None = None
    acceptance: AcceptanceSection | None = None
    checklist: list[ChecklistOverride] = []
    risks: list[RiskOverride] = []

    def environment(self, name: str) -> EnvironmentSection:
        return self.environments[name]

    def production_at(self, url: str) -> str:
        """The name of the production environment that answers at this address, or ''."""
        for name, section in self.environments.items():
            if section.tier is Tier.PRODUCTION and same_address(url, section.url):
                return name
        return ""

    def check(self, section: str) -> CheckSection:
        """'checks.backup' -> its section; KeyError when there is none."""
        return self.checks[section.removeprefix("checks.")]


def parse(text: str) -> Plan:
    """YAML text -> Plan. Raises PlanError with every problem that was found, each at its line and column."""
    written = PlanText(text)
    try:
        plan = Plan.model_validate(written.tree)
    except ValidationError as error:
        raise PlanError(
            [(*written.at(problem["loc"]), _path(problem["loc"]), problem["msg"]) for problem in error.errors()]
        ) from None
    problems = [(*written.at(loc), _path(loc), message) for loc, message in cross_check(plan)]
    if problems:
        raise PlanError(problems)
    return plan


def from_document(document: dict[str, Any]) -> Plan:
    """A plan version's stored document -> Plan."""
    return Plan.model_validate(document)


def to_document(plan: Plan) -> dict[str, Any]:
    """Plan -> JSON-ready dict, defaults filled in, so that a stored plan never changes its meaning later."""
    return plan.model_dump(mode="json")


def section_digests(plan: Plan) -> dict[str, str]:
    """Section name -> SHA-256 hex of the section and of everything it depends on (environments, targets)."""
    document = to_document(plan)
    shared = {"environments": document["environments"], "recovery": document["recovery"], "build": document["build"]}
    sections = {f"checks.{key}": {"check": value} for key, value in document["checks"].items()}
    for key, value in document["checks"].items():
        if value["kind"] == "smoke" and not value["params"].get("requests"):
            # Such a check asks what the deploy asks in the end, so it depends on that as well.
            sections[f"checks.{key}"]["smoke"] = document["deploy"]["smoke"]
        if value["kind"] == "privacy" or (value["kind"] == "migration" and value["params"].get("clone_on")):
            sections[f"checks.{key}"]["privacy"] = document["privacy"]
        if value["kind"] == "load":
            sections[f"checks.{key}"] |= {"load": document["load"], "smoke": document["deploy"]["smoke"]}
    if document["refresh"] is not None:
        sections["refresh"] = {"refresh": document["refresh"], "privacy": document["privacy"]}
    if document["acceptance"] is not None:
        sections["acceptance"] = {"acceptance": document["acceptance"]}
    sections["deploy"] = {"deploy": document["deploy"], "checks": document["checks"]}
    sections["rollback"] = {"rollback": document["rollback"], "deploy": document["deploy"]}
    sections["monitoring"] = {name: document[name] for name in ("probes", "watch", "alerts")}
    return {name: hashlib.sha256(rfc8785.dumps({**shared, **value})).hexdigest() for name, value in sections.items()}


def json_schema() -> dict[str, Any]:
    """The plan's JSON Schema, each kind's parameters included."""
    schema = Plan.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    branches = []
    for kind in all_kinds():
        if kind.is_check:
            params = kind.Params.model_json_schema(ref_template=f"#/$defs/{kind.name}/$defs/{{model}}")
            schema["$defs"][kind.name] = params
            branches.append(
                {
                    "if": {"properties": {"kind": {"const": kind.name}}},
                    "then": {"properties": {"params": {"$ref": f"#/$defs/{kind.name}"}}},
                }
            )
    schema["$defs"]["CheckSection"]["allOf"] = branches
    return schema


def _path(loc: tuple[str | int, ...]) -> str:
    return ".".join(str(part) for part in loc)
