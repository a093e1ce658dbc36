"""Django's own look at its settings, ``check --deploy``, run by the plan's command and read from what it prints."""

import re
from dataclasses import dataclass
from typing import Final

from pydantic import Field

from checks.kinds.base import RunContext, StepHandle
from checks.plan import Command, Section
from checks.tools.auditing import django_checks, mapping
from checks.tools.auditing.looking import NotSeen, Rule, Seen
from checks.tools.auditing.running import printed_by
from checks.tools.auditing.said import Covered, Family, Found, Severity, SystemPlace

_LEVELS: Final = {
    "CRITICALS": Severity.HIGH, "ERRORS": Severity.HIGH, "WARNINGS": Severity.MEDIUM, "INFOS": Severity.LOW,
    "DEBUGS": Severity.LOW,
}  # fmt: skip
_ISSUE: Final = re.compile(r"^(?P<what>\S.*?): \((?P<id>[a-z_][\w.]*\.[A-Z]\d+)\) (?P<text>.*)$")
_END: Final = re.compile(r"^System check identified (?P<count>no|\d+) issues? \((?P<silenced>\d+) silenced\)\.$", re.M)
SILENCED: Final = "silenced-checks"
#: Whatever was held back may be grave.
_SILENCED: Final = Rule(
    Family.CONFIGURATION, "The settings silence what Django's check would say", Severity.UNKNOWN,
    "Take the ids out of SILENCED_SYSTEM_CHECKS; what Django then says can be accepted one by one.",
    (16,), ("13.4.2",), "https://docs.djangoproject.com/en/5.2/ref/settings/#silenced-system-checks",
)  # fmt: skip
#: What a setting of Django means: (severity, CWE, ASVS 5.0). Others: configuration, by their level.
_KNOWN: Final[dict[str, tuple[Severity, int, str]]] = {
    "security.W004": (Severity.MEDIUM, 319, "3.4.1"),
    "security.W008": (Severity.MEDIUM, 319, "12.2.1"),
    "security.W009": (Severity.HIGH, 321, "13.3.1"),
    "security.W012": (Severity.MEDIUM, 614, "3.3.1"),
    "security.W016": (Severity.MEDIUM, 614, "3.3.1"),
    "security.W018": (Severity.HIGH, 489, "13.4.2"),
    "security.W020": (Severity.MEDIUM, 644, "13.4.2"),
    "security.W005": (Severity.LOW, 319, "3.4.1"),
    "security.W021": (Severity.LOW, 319, "3.4.1"),
}


class SilencedSection(Section):
    """So many messages of Django's check may be held back, and why: as many as it says, no more."""

    messages: int = Field(ge=1, le=1000)
    reason: str = Field(min_length=3, max_length=300)


class DeployCheckSection(Section):
    """``command`` prints what ``manage.py check --deploy`` says, with the settings that production has."""

    command: Command
    silenced: SilencedSection | None = None


@dataclass
class DeployCheckLook:
    section: DeployCheckSection
    tool: str = "check --deploy"
    before: str = ""

    def look(self, context: RunContext, step: StepHandle) -> Seen:
        command = self.section.command
        printed = printed_by(
            context, command.arguments, timeout=command.timeout.total_seconds(), variables=command.variables
        )
        ends = list(_END.finditer(printed.text))
        if not ends:
            raise NotSeen(
                f"The command ended with {printed.returncode} and did not print what Django's check ends with.",
                remedy="The log shows what it printed. It should run `manage.py check --deploy`.",
            )
        found = _issues(printed.text)
        expected = sum(int(end["count"]) for end in ends if end["count"] != "no")
        if len(found) != expected:
            raise NotSeen(f"Django names {expected} issues, and {len(found)} of them could be read.", found=found)
        if printed.returncode not in (0, 1):
            raise NotSeen(f"The command ended with {printed.returncode}.", found=found)
        doubt = django_checks.doubt(django_checks.seen(context, command.arguments, printed.text))
        if doubt:
            raise NotSeen(doubt.why, remedy=doubt.remedy, found=found)
        return _seen(found, sum(int(end["silenced"]) for end in ends), self.section.silenced)


def _seen(found: list[Found], silenced: int, declared: SilencedSection | None) -> Seen:
    """While anything is silenced, nobody knows what Django did not say, so no earlier finding is resolved."""
    own = Covered(Family.CONFIGURATION, rules=frozenset({SILENCED}), own=True)
    if not silenced:
        return Seen(found, [own, Covered(Family.CONFIGURATION)], 1, "set of settings")
    # How many is part of the place: whoever accepted one has not accepted two.
    known = declared is not None and silenced <= declared.messages
    why = f" The plan says why: {declared.reason}" if declared is not None and known else ""
    hidden = _SILENCED.found(
        SILENCED, SystemPlace(f"{silenced} silenced"), detail=f"Django held {silenced} of its messages back.{why}",
        severity=Severity.LOW if known else None,
    )  # fmt: skip
    notes = [f"The settings silence {silenced} messages of Django's check, so no earlier finding of it is resolved."]
    return Seen([*found, hidden], [own], 1, "set of settings", notes=notes)


def _issues(text: str) -> list[Found]:
    """Each issue that Django printed; an issue may go on over several lines."""
    found: list[Found] = []
    level = ""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.rstrip(":") in _LEVELS:
            level = line.rstrip(":")
        elif level and (match := _ISSUE.match(line)):
            following = []
            for more in lines[number + 1 :]:
                if not more.startswith((" ", "\t")):
                    break
                following.append(more.strip().removeprefix("HINT: "))
            found.append(_finding(match, level, " ".join(following)))
    return found


def _finding(match: re.Match[str], level: str, hint: str) -> Found:
    name, text = match["id"], match["text"]
    severity, cwe, asvs = _KNOWN.get(name, (_LEVELS[level], 16, "13.4.2"))
    where = "" if match["what"] == "?" else f"{match['what']}: "
    return Found(
        family=Family.CONFIGURATION,
        rule=name,
        title=_first_sentence(text),
        severity=severity,
        place=SystemPlace(name if match["what"] == "?" else match["what"]),
        detail=f"{where}{text}",
        remedy=hint,
        cwe=(cwe,),
        owasp=mapping.of_cwe((cwe,))[0],
        asvs=(asvs,),
        link="https://docs.djangoproject.com/en/5.2/ref/checks/",
    )


def _first_sentence(text: str) -> str:
    return (text.split(". ")[0].rstrip(".") or text)[:200]
