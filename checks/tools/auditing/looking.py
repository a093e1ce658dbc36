"""What all looks share: how one is carried out, how it says that it saw too little, and its own rules."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from checks.errors import CheckError
from checks.kinds.base import RunContext, StepHandle
from checks.tools.auditing import mapping
from checks.tools.auditing.said import Covered, Family, Found, Place, Severity, ToolReport, ToolStatus

#: From the lightest to the gravest; what nobody could rate counts as high.
_WEIGHTS: Final = {Severity.LOW: 1, Severity.MEDIUM: 2, Severity.HIGH: 3, Severity.UNKNOWN: 3, Severity.CRITICAL: 4}


class NotSeen(Exception):
    """The look could not be completed. ``found``: what it saw until then, which is shown but proves nothing."""

    def __init__(self, why: str, *, remedy: str = "", found: Sequence[Found] = ()) -> None:
        self.why, self.remedy, self.found = why, remedy, tuple(found)
        super().__init__(why)


@dataclass(frozen=True)
class Seen:
    """What a completed look came to. ``looked_at``: how many ``unit`` it saw; none at all is no look.

    ``not_applicable``: why the plan says that there is nothing to look at here.
    """

    found: Sequence[Found]
    covered: Sequence[Covered]
    looked_at: int
    unit: str
    version: str = ""
    notes: Sequence[str] = ()
    not_applicable: str = ""


class Look(Protocol):
    """One tool behind one adapter. ``before``: what people should know before it begins, such as data it leaves."""

    tool: str
    before: str

    def look(self, context: RunContext, step: StepHandle) -> Seen:
        """Look. NotSeen or CheckError when that was not possible or not complete."""
        ...


def carry_out(look: Look, context: RunContext, step: StepHandle) -> ToolReport:
    """One tool's run, whatever it comes to. Cancelled and Fenced go through, and so does an error in an adapter."""
    began = time.monotonic()
    try:
        seen = look.look(context, step)
    except NotSeen as error:
        return _incomplete(look, began, error.why, error.remedy, error.found)
    except CheckError as error:
        return _incomplete(look, began, error.message, error.remedy, ())
    if not seen.looked_at and not seen.not_applicable:
        why = f"{look.tool} says that it is done, but it looked at no {seen.unit.rstrip('s') or 'thing'} at all."
        return _incomplete(look, began, why, "See the log for what it was given.", seen.found)
    found = tuple(dict.fromkeys(seen.found))
    return ToolReport(
        tool=look.tool,
        version=seen.version,
        status=ToolStatus.FINDINGS if found else ToolStatus.OK,
        seconds=time.monotonic() - began,
        found=found,
        covered=tuple(seen.covered),
        looked_at=seen.looked_at,
        unit=seen.unit,
        notes=tuple(seen.notes),
        not_applicable=seen.not_applicable,
    )


def _incomplete(look: Look, began: float, why: str, remedy: str, found: Sequence[Found]) -> ToolReport:
    return ToolReport(
        tool=look.tool,
        version="",
        status=ToolStatus.INCOMPLETE,
        seconds=time.monotonic() - began,
        found=tuple(found),
        why=why or f"{look.tool} could not say anything.",
        remedy=remedy,
    )


def at_least(severity: Severity, limit: Severity) -> bool:
    """Whether a severity is as grave as the limit or graver."""
    return _WEIGHTS[severity] >= _WEIGHTS[limit]


def weight(severity: Severity) -> int:
    """For sorting: the graver, the larger."""
    return _WEIGHTS[severity]


@dataclass(frozen=True)
class Rule:
    """A rule of our own. ``cwe``, ``asvs`` (5.0): see ``said.Found``.

    ``owasp``: a category of the Top 10:2025 of our own reading, for weaknesses that OWASP's lists do not name.
    """

    family: Family
    title: str
    severity: Severity
    remedy: str
    cwe: tuple[int, ...]
    asvs: tuple[str, ...] = ()
    link: str = ""
    owasp: str = ""

    def found(self, name: str, place: Place, *, detail: str = "", severity: Severity | None = None) -> Found:
        """What this rule, known as ``name``, says of a place; ``severity`` where this case is lighter or graver."""
        owasp = mapping.of_cwe(self.cwe)[0] or self.owasp
        plain = Found(self.family, name, self.title, self.severity, place, cwe=self.cwe, owasp=owasp)
        return replace(
            plain, severity=severity or self.severity, detail=detail, remedy=self.remedy, asvs=self.asvs, link=self.link
        )


def step_by_step(step: StepHandle, check: Callable[[], None], total: int, unit: str) -> Callable[[str], None]:
    """A function that is told what comes next, shows it, and stops the look when the run must stop."""
    done = 0

    def following(text: str) -> None:
        nonlocal done
        check()
        step.doing(text)
        step.progress(min(done, total), total, unit)
        done += 1

    return following
