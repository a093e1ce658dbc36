"""Security audit: the looks that the plan names, each by one tool, together in one list of findings."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from django.utils import timezone
from pydantic import Field, model_validator

from checks import findings
from checks.errors import CheckError
from checks.findings import fingerprints
from checks.kinds.base import Artifact, Inconclusive, Kind, KindParams, Outcome, RunContext, Step, register
from checks.models import Finding
from checks.plan import Plan
from checks.tools import package_lists, sbom
from checks.tools.auditing import audit_report
from checks.tools.auditing.authentication import AuthenticationLook, AuthenticationSection
from checks.tools.auditing.code import CodeLook, CodeSection
from checks.tools.auditing.deploy_check import DeployCheckLook, DeployCheckSection
from checks.tools.auditing.headers import HeadersLook, HeadersSection, has_port_80_beside
from checks.tools.auditing.looking import Look, at_least, carry_out
from checks.tools.auditing.packages import PackagesLook, PackagesSection, advisories_to_ask
from checks.tools.auditing.said import Family, Found, PackagePlace, Severity, ToolReport, ToolStatus
from checks.tools.auditing.secret_search import SecretsLook, SecretsSection
from checks.tools.auditing.source import SourceSection
from checks.tools.auditing.tls import TlsLook, TlsSection
from checks.tools.auditing.uploaded import SarifLook, SarifSection
from checks.tools.auditing.web import WebLook, WebSection
from checks.tools.configuration import filled
from releases.enums import Tier

#: Every look in the order in which they run: what only reads comes first, what may lock accounts last.
LOOKS: dict[str, str] = {
    "packages": "Known vulnerabilities of packages",
    "code": "Source code",
    "secrets": "Secrets in the source",
    "deploy_check": "Django's look at its settings",
    "tls": "TLS",
    "headers": "Headers and cookies",
    "sarif": "An uploaded SARIF file",
    "web": "Attacks on pages and forms",
    "authentication": "Log-in and sessions",
}
#: Looks that send wrong passwords or attacks, and leave data behind.
ACTIVE = ("web", "authentication")


class AuditParams(KindParams):
    """What is looked at. Whatever is not named is not looked at, and nothing is said of it."""

    fail_at: Literal["critical", "high", "medium", "low"] = Field(
        default="high", description="The least severity that says no. A severity that nobody knows counts as high."
    )
    authority: str = Field(
        default="",
        max_length=500,
        description="A PEM file: an authority of your own. Below the plan's folder, or begun with {GONOGO_HOME} or /.",
    )
    source: SourceSection = Field(default=SourceSection(), description="Where the source comes from that is read.")
    packages: PackagesSection | None = None
    code: CodeSection | None = None
    secrets: SecretsSection | None = None
    tls: TlsSection | None = None
    headers: HeadersSection | None = None
    deploy_check: DeployCheckSection | None = None
    web: WebSection | None = None
    authentication: AuthenticationSection | None = None
    sarif: SarifSection | None = None
    uploaded: str = Field(
        default="",
        max_length=500,
        title="Uploaded SARIF file",
        json_schema_extra={"upload": True},
        description="The name in storage of a SARIF 2.1.0 file that another scanner wrote about this build.",
    )

    @model_validator(mode="after")
    def looks_at_something(self) -> Self:
        if not self.named:
            raise ValueError(f"an audit looks at something; name at least one of {', '.join(LOOKS)}")
        if self.named == ["tls"] and self.tls and self.tls.not_applicable:
            raise ValueError("an audit looks at something; its only look is said to be not applicable")
        return self

    @property
    def named(self) -> list[str]:
        return [key for key in LOOKS if getattr(self, key) is not None or (key == "sarif" and self.uploaded)]


@register
class Audit(Kind):
    """Passed means: every look that the plan names was completed, and found nothing as grave as ``fail_at``."""

    name: ClassVar[str] = "audit"
    title: ClassVar[str] = "Security audit"
    description: ClassVar[str] = (
        "Looks for known vulnerabilities, weak settings, TLS, headers, cookies, log-in and code, and scans pages and"
        " forms, by several tools, and says no when something grave is found or a tool could not look."
    )
    Params: ClassVar[type[AuditParams]] = AuditParams
    judges_running_build: ClassVar[bool] = True
    needs_release: ClassVar[bool] = True
    valid_hours: ClassVar[int] = 72

    def steps(self, plan: Plan, section: str, params: Any) -> list[Step]:
        return [Step(key, LOOKS[key]) for key in params.named]

    def problems(self, plan: Plan, params: Any, environment: str) -> list[tuple[tuple[str | int, ...], str]]:
        place = plan.environments.get(environment)
        if place and params.headers and params.headers.port_80_closed and not has_port_80_beside(place.url):
            why = "port 80 is looked at only beside an https url at port 443, and this environment has another"
            return [(("headers", "port_80_closed"), why)]
        reaches = _production_at(plan, environment)
        if not reaches:
            return []
        also = "" if reaches == environment else f", and {environment} has the address of {reaches}"
        return [
            ((key,), f"an active look never runs in production; it locks accounts and leaves data behind{also}")
            for key in params.named
            if key in ACTIVE
        ]

    def left_behind(self, params: Any) -> list[str]:
        looks = [
            params.web and WebLook(params.web),
            params.authentication and AuthenticationLook(params.authentication),
        ]
        return [look.before for look in looks if look and look.before]

    def alone_in(self, params: Any, environment: str) -> list[str]:
        return [environment] if any(key in ACTIVE for key in params.named) else []

    def run(self, context: RunContext) -> Outcome:
        return _judged(context, *self._looked(context))

    def rehearse(self, context: RunContext) -> Outcome:
        return _weighed(context, *self._looked(context))

    def _looked(self, context: RunContext) -> tuple[dict[str, Look], list[ToolReport]]:
        params: AuditParams = context.params
        if _production_at(context.plan, context.run.environment.name) and any(key in ACTIVE for key in params.named):
            raise CheckError("An active look never runs in production. Nothing was asked.", remedy="Correct the plan.")
        looks = dict(_looks(context, params))
        for look in looks.values():
            if look.before:
                context.warn(f"Before {look.tool} begins: {look.before}")
        return looks, [_carried_out(context, key, look) for key, look in looks.items()]


def _production_at(plan: Plan, environment: str) -> str:
    """The environment itself where it is production, or the one whose address it has; '' where it is neither."""
    place = plan.environments.get(environment)
    if place is None:
        return ""
    return environment if place.tier is Tier.PRODUCTION else plan.production_at(place.url)


def _looks(context: RunContext, params: AuditParams) -> Iterator[tuple[str, Look]]:
    authority = _authority(context, params.authority)
    if params.packages:
        yield "packages", PackagesLook(params.packages, advisories_to_ask, params.source)
    if params.code:
        yield "code", CodeLook(params.code, params.source)
    if params.secrets:
        yield "secrets", SecretsLook(params.secrets, params.source)
    if params.deploy_check:
        yield "deploy_check", DeployCheckLook(params.deploy_check)
    if params.tls:
        yield "tls", TlsLook(params.tls, authority)
    if params.headers:
        yield "headers", HeadersLook(params.headers, authority)
    if params.sarif or params.uploaded:
        yield "sarif", SarifLook(params.sarif or SarifSection(), params.uploaded)
    if params.web:
        yield "web", WebLook(params.web, authority)
    if params.authentication:
        yield "authentication", AuthenticationLook(params.authentication, authority)


def _authority(context: RunContext, written: str) -> str | None:
    if not written:
        return None
    folder = Path(context.run.application.plan_folder or context.scratch).resolve()
    path = Path(filled(context, written))
    if not path.is_absolute():
        path = (folder / path).resolve()
        if not path.is_relative_to(folder):
            raise CheckError(f"{written} is not below the plan's folder.", remedy="Correct authority in the plan.")
    if not path.is_file():
        raise CheckError(f"There is no file {written} on this worker.", remedy="Correct authority in the plan.")
    return str(path)


def standings(recorded: findings.Recorded) -> Callable[[Found], audit_report.Standing]:
    """What the record of findings says of each thing that a tool found in this run."""
    changes = dict.fromkeys(recorded.new, "new") | dict.fromkeys(recorded.still_there, "still")
    changes |= dict.fromkeys(recorded.reopened, "reopened")
    kept = {finding.fingerprint: finding for finding in Finding.objects.filter(pk__in=changes)}

    def standing_of(found: Found) -> audit_report.Standing:
        finding = kept.get(fingerprints.fingerprint(found)) or _by_other_name(kept.values(), found)
        if finding is None:
            return audit_report.Standing(blocks=True)
        return audit_report.Standing(
            changes[finding.pk], finding.pk in recorded.accepted, finding.pk in recorded.over_limit
        )

    return standing_of


def _by_other_name(kept: Collection[Finding], found: Found) -> Finding | None:
    """A vulnerability of a package is kept under one of its names, and each tool may call it by another."""
    if not isinstance(found.place, PackagePlace):
        return None
    names, place = fingerprints.identifiers(found), fingerprints.place_document(found.place)
    return next((each for each in kept if each.place == place and names & {each.rule, *each.aliases}), None)


class _Incomplete(CheckError):
    """Marks the step of a look that was not completed; the others go on."""


def _carried_out(context: RunContext, key: str, look: Look) -> ToolReport:
    fail_at = Severity(context.params.fail_at)
    report: ToolReport | None = None
    try:
        with context.step(key) as step:
            report = carry_out(look, context, step)
            grave = [found for found in report.found if at_least(found.severity, fail_at)]
            for found in report.found:
                tell = context.warn if found in grave else context.note
                tell(f"{found.severity}: {found.title} ({audit_report.words_of(found.place)}) {found.detail}".strip())
            if report.status is ToolStatus.INCOMPLETE:
                raise _Incomplete(report.why, remedy=report.remedy)
            if report.not_applicable:
                step.skip(f"Not applicable, says the plan: {report.not_applicable}")
                return report
            context.note(f"{look.tool}: {report.looked_at:,} {report.unit} looked at, {len(report.found)} findings.")
            if grave:
                step.fail(f"{len(grave)} findings as grave as {fail_at} or graver: {grave[0].title}")
    except _Incomplete as error:
        context.warn(f"{look.tool}: {error.message} {error.remedy}".strip())
    assert report is not None, "a look ends with a report or goes through with the run"
    return report


def _judged(context: RunContext, looks: dict[str, Look], reports: list[ToolReport]) -> Outcome:
    params: AuditParams = context.params
    recorded = findings.record(run=context.run, reports=reports, limit=Severity(params.fail_at))
    rows = audit_report.findings_of(reports, standings(recorded))
    figures = {**audit_report.figures_of(reports, rows), **recorded.figures, "blocking": len(recorded.over_limit)}
    headers = looks.get("headers")
    result: dict[str, Any] = {
        "tools": audit_report.tools_of(reports),
        "findings": rows[: audit_report.MAX_SHOWN],
        "findings_left_out": max(0, len(rows) - audit_report.MAX_SHOWN),
        "fail_at": params.fail_at,
        "left_behind": [look.before for look in looks.values() if look.before],
    }
    said = [f"{row['severity']}: {row['title']} ({row['place']})" for row in rows if row["blocks"]]
    if recorded.over_limit and not said:
        said = [f"{len(recorded.over_limit)} findings as grave as {params.fail_at} or graver"]
    uploaded = looks.get("sarif")
    if isinstance(uploaded, SarifLook):
        result["names_build"] = uploaded.names_build
    if isinstance(headers, HeadersLook):
        figures["score"] = headers.worst
        result["headers"] = headers.result()
        if _too_few_points(headers):
            said.append(f"{headers.worst} points for headers, and the plan asks for {headers.section.least_score}")
    result["left_open"] = left_open = _left_open(context, recorded)
    artifacts: list[Artifact] = [context.store("audit.json", audit_report.whole(reports)), *_components(context)]
    outcome = Outcome(not said, _summary(figures, said), figures=figures, result=result, artifacts=artifacts)
    outcome = _if_complete(reports, outcome)
    if left_open and outcome.passed:
        raise _not_looked_at(left_open, recorded, outcome)
    return outcome


def _left_open(context: RunContext, recorded: findings.Recorded) -> list[dict[str, Any]]:
    """What is open here as gravely as the limit, accepted by nobody, and not looked at by this run; worst first."""
    shown = recorded.left_open[: audit_report.MAX_SHOWN]
    known = Finding.objects.in_bulk(shown)
    rows = [
        {"finding": pk, "severity": known[pk].severity, "title": known[pk].title, "place": known[pk].place_text}
        for pk in shown
    ]
    for row in rows:
        context.warn(f"Open, and not looked at by this run: {_named(row)}")
    return rows


def _named(row: dict[str, Any]) -> str:
    return f"{row['severity']}: {row['title']} ({row['place']})"


def _not_looked_at(left_open: list[dict[str, Any]], recorded: findings.Recorded, outcome: Outcome) -> Inconclusive:
    many = len(recorded.left_open)
    more = f" (and {many - 1} more)" if many > 1 else ""
    return Inconclusive(
        f"Still open, and no look of this run went there: {_named(left_open[0])}{more}. That nothing was said of it"
        " does not mean that it is mended."[:900],
        remedy="Have it looked at again: name its page where the look begins (web: start), take it out of what is"
        " left out, or start a run once with the look that saw it. Where its place is gone for good or it can be"
        " lived with, let two people accept it.",
        outcome=outcome,
    )


def _too_few_points(headers: HeadersLook) -> bool:
    return headers.worst is not None and headers.worst < headers.section.least_score


def _weighed(context: RunContext, looks: dict[str, Look], reports: list[ToolReport]) -> Outcome:
    """The verdict by the severities alone: no finding is recorded, no list of components kept."""
    limit = Severity(context.params.fail_at)
    headers = looks.get("headers")
    # What costs so many points that the score is too low says no as well, however light each is.
    short = isinstance(headers, HeadersLook) and _too_few_points(headers)

    def standing_of(found: Found) -> audit_report.Standing:
        costs = short and found.family is Family.HEADERS
        return audit_report.Standing(blocks=costs or at_least(found.severity, limit))

    rows = audit_report.findings_of(reports, standing_of)
    said = [f"{row['severity']}: {row['title']} ({row['place']})" for row in rows if row["blocks"]]
    figures = audit_report.figures_of(reports, rows)
    result = {"tools": audit_report.tools_of(reports), "findings": rows[: audit_report.MAX_SHOWN]}
    return _if_complete(reports, Outcome(not said, _summary(figures, said), figures=figures, result=result))


def _if_complete(reports: list[ToolReport], outcome: Outcome) -> Outcome:
    broken = [report for report in reports if report.status is ToolStatus.INCOMPLETE]
    if broken:
        # What says no comes first: a waiver of what is not complete is not to be signed without reading it.
        found = "" if outcome.passed else f"{outcome.summary}. Besides, "
        why = f"{len(broken)} of {len(reports)} looks could not be completed. {broken[0].tool}: {broken[0].why}"
        raise Inconclusive(
            f"{found}{why}"[:900],
            remedy=broken[0].remedy or "Nothing was judged. See the log, then run this again.",
            outcome=outcome,
        )
    return outcome


def _components(context: RunContext) -> list[Artifact]:
    """What the build is made of, kept with the evidence; a build that holds no list of it is told in the log."""
    release = context.run.release
    if context.build_file is None or release is None:
        return []
    try:
        contents = package_lists.contents_of(
            context.build_file, release.build_name, exclude=context.params.source.exclude
        )
    except CheckError as error:
        context.note(f"No list of components is kept. {error.message} {error.remedy}".strip())
        return []
    for each in contents.unknown:
        context.note(f"Without an exact version, so no component of the list that is kept: {each}")
    document = sbom.cyclonedx(
        contents, application=context.run.application.slug, version=release.version, build_name=release.build_name,
        build_digest=release.build_digest, at=timezone.now(),
    )  # fmt: skip
    return [context.store(sbom.NAME, document)]


def _summary(figures: dict[str, Any], said: list[str]) -> str:
    if not said:
        light = f"; {figures['findings']} lighter findings" if figures["findings"] else ""
        return f"{figures['looks']} looks were completed and found nothing that says no{light}."
    more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
    return f"{said[0]}{more}"[:500]
