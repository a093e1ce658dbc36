"""What an auditing tool says, in one shape for all tools.

A tool that failed, was skipped, ran out of time or saw too little is ``incomplete``, whatever its exit status was.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class ToolStatus(StrEnum):
    OK = "ok"
    FINDINGS = "findings"
    INCOMPLETE = "incomplete"


class Severity(StrEnum):
    """``UNKNOWN`` counts as high wherever severities are compared."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    UNKNOWN = "unknown"


class Family(StrEnum):
    """What kind of look found it. Two tools of one family that see the same thing make one finding."""

    DEPENDENCIES = "dependencies"
    WEB = "web"
    TLS = "tls"
    HEADERS = "headers"
    AUTHENTICATION = "authentication"
    CONFIGURATION = "configuration"
    SOURCE = "source"
    SECRETS = "secrets"


@dataclass(frozen=True, slots=True)
class PackagePlace:
    """``ecosystem``: as OSV names it, PyPI or npm. ``version`` is where it was seen and no part of what it is."""

    ecosystem: str
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class RoutePlace:
    """``route``: the path with ids replaced (``/talks/{id}/``); ``parameter`` empty for the whole page."""

    method: str
    route: str
    parameter: str = ""


@dataclass(frozen=True, slots=True)
class FilePlace:
    """``code``: the line that was found, without spaces at its ends; empty and replaced by a keyed hash for secrets."""

    path: str
    code: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class SystemPlace:
    """A host, a setting, a header of a whole site: anything that has a name and no finer place."""

    name: str


Place = PackagePlace | RoutePlace | FilePlace | SystemPlace


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that a tool found. ``rule``: the tool's own name of it; ``cwe``: numbers; ``cvss``: 0 to 10.

    ``aliases``: every id of a vulnerability (CVE, GHSA, PYSEC); ``fixed_in``: versions that no longer have it.
    ``owasp``: category of the Top 10:2025 such as A05; ``asvs``: requirements of ASVS 5.0 such as 3.4.1. ``pages``:
    where something of a whole site, such as a header, was seen; no part of what it is.
    """

    family: Family
    rule: str
    title: str
    severity: Severity
    place: Place
    detail: str = ""
    remedy: str = ""
    cvss: float | None = None
    aliases: tuple[str, ...] = ()
    cwe: tuple[int, ...] = ()
    owasp: str = ""
    asvs: tuple[str, ...] = ()
    fixed_in: tuple[str, ...] = ()
    link: str = ""
    pages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Covered:
    """What a completed look really looked at, so that a finding there that it no longer sees is resolved.

    ``places``: package names, routes, paths or system names; None: everything of this family in this environment. A
    route may stand after a method (``POST /search``), and then only what is wrong by that method was looked for.
    ``rules``: the rules it looked for; None: every rule of the family that its tool has. ``own``: they are rules of its
    tool alone, as they always are where none is named. ``left_out``: patterns of paths that were not looked at.
    ``turned_off``: rules that it did not look for. ``ecosystems``: those whose packages it looked up, in small letters;
    None: all. ``pages``: which were asked; what was seen at others as well is not covered. None: it does not ask pages,
    or asked all of them.
    """

    family: Family
    places: frozenset[str] | None = None
    rules: frozenset[str] | None = None
    own: bool = False
    left_out: tuple[str, ...] = ()
    turned_off: frozenset[str] = frozenset()
    ecosystems: frozenset[str] | None = None
    pages: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class ToolReport:
    """One tool's run. ``why``: what made it incomplete; ``looked_at``: how many places, ``unit``: what they are.

    ``not_applicable``: why the plan says that this tool has nothing to look at, so it did not.
    """

    tool: str
    version: str
    status: ToolStatus
    seconds: float
    found: tuple[Found, ...] = ()
    covered: tuple[Covered, ...] = ()
    looked_at: int = 0
    unit: str = ""
    why: str = ""
    remedy: str = ""
    notes: tuple[str, ...] = field(default=())
    not_applicable: str = ""

    def __post_init__(self) -> None:
        if (self.status is ToolStatus.INCOMPLETE) != bool(self.why):
            raise ValueError("An incomplete look says why, and a complete one has nothing to say.")
        if self.status is not ToolStatus.INCOMPLETE and (self.status is ToolStatus.FINDINGS) != bool(self.found):
            raise ValueError("The status does not fit what was found.")
        if self.not_applicable and (self.looked_at or self.found or self.covered or self.why):
            raise ValueError("A look that is not applicable saw nothing.")
        if self.status is not ToolStatus.INCOMPLETE and not self.looked_at and not self.not_applicable:
            raise ValueError("A look that saw nothing is incomplete.")
