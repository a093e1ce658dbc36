"""Facts of one environment, each known by its area and name; what could not be gathered is known as that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

from checks.tools.parity.addresses import masked


class Area(StrEnum):
    """Where a fact comes from. A fact is called ``area.name`` in a plan, such as ``setting.max_connections``."""

    SERVER = "server"
    SETTING = "setting"
    EXTENSION = "extension"
    COLLATION = "collation"
    SCHEMA = "schema"
    ROWS = "rows"
    RUNTIME = "runtime"
    PROCESS = "process"
    PACKAGE = "package"
    VARIABLE = "variable"
    PLAN_VARIABLE = "plan_variable"
    SECRET = "secret"  # noqa: S105 - the name of an area
    HTTP = "http"
    TLS = "tls"
    INTEGRATION = "integration"


TITLES: Mapping[Area, str] = {
    Area.SERVER: "PostgreSQL server",
    Area.SETTING: "Settings of PostgreSQL",
    Area.EXTENSION: "Extensions",
    Area.COLLATION: "Collations",
    Area.SCHEMA: "Schema",
    Area.ROWS: "Row volume",
    Area.RUNTIME: "Interpreter and operating system",
    Area.PROCESS: "Process",
    Area.PACKAGE: "Packages",
    Area.VARIABLE: "Variables of the process",
    Area.PLAN_VARIABLE: "Variables of the plan",
    Area.SECRET: "Secrets of the plan",
    Area.HTTP: "HTTP headers and cookies",
    Area.TLS: "TLS",
    Area.INTEGRATION: "Integrations",
}
DATABASE_AREAS = (Area.SERVER, Area.SETTING, Area.EXTENSION, Area.COLLATION, Area.SCHEMA, Area.ROWS)
REPORTED_AREAS = (Area.RUNTIME, Area.PROCESS, Area.VARIABLE)
MAX_SHOWN = 400


@dataclass(frozen=True)
class Fact:
    """``value`` is compared; ``shown`` is what people see, where the value itself is not theirs to see."""

    value: str
    shown: str = ""

    @property
    def text(self) -> str:
        text = masked(self.shown or self.value)
        return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


@dataclass
class Side:
    """One environment. ``unknown``: area, or fact of it, that could not be gathered -> why not."""

    environment: str
    facts: dict[Area, dict[str, Fact]] = field(default_factory=dict)
    unknown: dict[tuple[Area, str], str] = field(default_factory=dict)

    def put(self, area: Area, name: str, value: str, shown: str = "") -> None:
        self.facts.setdefault(area, {})[name] = Fact(value, shown)

    def fill(self, area: Area, values: Mapping[str, str]) -> None:
        """All facts of an area at once; an area without any fact is known to be empty."""
        self.facts.setdefault(area, {}).update({name: Fact(value) for name, value in values.items()})

    def miss(self, area: Area, why: str, name: str = "") -> None:
        self.unknown.setdefault((area, name), masked(why))


def fits(pattern: str, area: Area, name: str) -> bool:
    """Whether a plan's pattern means this fact: ``area``, ``area.name``, with * and ? in the name."""
    return pattern == area.value or fnmatchcase(f"{area.value}.{name}", pattern)


def names_an_area(pattern: str) -> bool:
    """Whether a pattern begins with the name of an area, so that it can mean something at all."""
    return pattern.split(".", 1)[0] in set(Area)
