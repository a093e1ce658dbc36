"""Django's own look at its settings, ``check --deploy``, run by the plan's command and read from what it prints."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints, field_validator

from checks.kinds.base import RunContext, StepHandle
from checks.plan import Command, Section
from checks.tools.auditing import django_checks, mapping, silenced
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
#: Where nobody could see what was held back, it may be grave.
_SILENCED: Final = Rule(
    Family.CONFIGURATION, "The settings silence what Django's check would say", Severity.UNKNOWN,
    "Take the ids out of SILENCED_SYSTEM_CHECKS, or let the command keep PYTHONPATH or print that setting, so that"
    " what Django holds back is seen.",
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


CheckId = Annotated[str, StringConstraints(pattern=r"^[a-z_][\w.]*\.[A-Z]\d+$", max_length=100)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=300)]


class DeployCheckSection(Section):
    """``command`` prints what ``manage.py check --deploy`` says, with the settings that production has.

    ``silenced``: each id that these settings may silence, with the reason.
    """

    command: Command
    silenced: dict[CheckId, Reason] = Field(default={}, max_length=100)

    @field_validator("silenced", mode="before")
    @classmethod
    def names_ids(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "messages" in value:
            raise ValueError(
                "name each silenced check by its id with its reason (security.W004: The proxy sends the header.);"
                " a number excuses none, for one could take another's place"
            )
        return value


@dataclass
class DeployCheckLook:
    section: DeployCheckSection
    tool: str = "check --deploy"
    before: str = ""

    def look(self, context: RunContext, step: StepHandle) -> Seen:
        command, told = self.section.command, context.scratch / "silenced.json"
        told.unlink(missing_ok=True)
        own = silenced.variables(told, {**context.variables(), **command.variables})
        printed = printed_by(
            context, command.arguments, timeout=command.timeout.total_seconds(), variables={**command.variables, **own}
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
        many = sum(int(end["silenced"]) for end in ends)
        text, seen = silenced.messages(told)
        hidden = _issues(text)
        if many == seen == len(hidden):
            return self._all_seen(found, hidden)
        return self._not_all_seen(found, max(many, seen), silenced.printed_ids(printed.text))

    def _all_seen(self, found: list[Found], hidden: list[Found]) -> Seen:
        """What the settings silence is told like anything else; what the plan gives a reason for, lightly."""
        told = [self._told(each) for each in hidden]
        covered = [
            Covered(Family.CONFIGURATION, rules=frozenset({SILENCED}), own=True), Covered(Family.CONFIGURATION)
        ]  # fmt: skip
        gone = sorted(self.section.silenced.keys() - {each.rule for each in hidden})
        notes = [f"The plan says why {name} may be silenced, and nothing of it was." for name in gone]
        return Seen([*found, *told], covered, 1, "set of settings", notes=notes)

    def _told(self, hidden: Found) -> Found:
        why = self.section.silenced.get(hidden.rule)
        detail = f"{hidden.detail} The settings silence this" + (f"; the plan says why: {why}" if why else ".")
        return replace(hidden, detail=detail, severity=Severity.LOW if why else hidden.severity)

    def _not_all_seen(self, found: list[Found], many: int, ids: list[str]) -> Seen:
        """Nobody knows what Django did not say, so no earlier finding is resolved.

        How many is part of the place where no id is known: whoever accepted one has not accepted two.
        """
        held = f"Django held {many} of its messages back."
        reasons = self.section.silenced
        told = [
            _SILENCED.found(
                SILENCED, SystemPlace(name), severity=Severity.LOW if name in reasons else None,
                detail=f"{held} The settings silence {name}"
                + (f"; the plan says why: {reasons[name]}" if name in reasons else "."),
            )
            for name in ids
        ]  # fmt: skip
        told = told or [
            _SILENCED.found(SILENCED, SystemPlace(f"{many} silenced"), detail=f"{held} Which is not known.")
        ]
        notes = [f"The settings silence {many} messages of Django's check, so no earlier finding of it is resolved."]
        covered = [Covered(Family.CONFIGURATION, rules=frozenset({SILENCED}), own=True)]
        return Seen([*found, *told], covered, 1, "set of settings", notes=notes)


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
