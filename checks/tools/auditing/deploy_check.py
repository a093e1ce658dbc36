"""Django's own look at its settings, ``check --deploy``, run by the plan's command and read from what it prints."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from checks.kinds.base import RunContext, StepHandle
from checks.plan import Command, Section
from checks.tools.auditing import mapping
from checks.tools.auditing.looking import NotSeen, Seen
from checks.tools.auditing.running import printed_by
from checks.tools.auditing.said import Covered, Family, Found, Severity, SystemPlace

_LEVELS: Final = {
    "CRITICALS": Severity.HIGH, "ERRORS": Severity.HIGH, "WARNINGS": Severity.MEDIUM, "INFOS": Severity.LOW,
    "DEBUGS": Severity.LOW,
}  # fmt: skip
_ISSUE: Final = re.compile(r"^(?P<what>\S.*?): \((?P<id>[a-z_][\w.]*\.[A-Z]\d+)\) (?P<text>.*)$")
_END: Final = re.compile(r"^System check identified (?P<count>no|\d+) issues? \((?P<silenced>\d+) silenced\)\.$", re.M)
#: In one command, the word by itself.
_FOR_DEPLOYMENT: Final = re.compile(r"\bcheck\b[^\n;|&]*\s--deploy(?![\w-])")
_COMMENT: Final = re.compile(r"(?:^|(?<=\s))#.*$", re.M)
#: What may be the name of a file. Commands run in the plan's folder, and know it by a name as well.
_NAMES: Final = re.compile(r"(?:\$\{?GONOGO_PLAN_DIR\}?/)?([\w./-]+)")
_MAX_SCRIPT_BYTES: Final = 1_000_000
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


class DeployCheckSection(Section):
    """``command`` prints what ``manage.py check --deploy`` says, with the settings that production has."""

    command: Command


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
        end = _END.search(printed.text)
        if end is None:
            raise NotSeen(
                f"The command ended with {printed.returncode} and did not print what Django's check ends with.",
                remedy="The log shows what it printed. It should run `manage.py check --deploy`.",
            )
        found = _issues(printed.text)
        expected = 0 if end["count"] == "no" else int(end["count"])
        if len(found) != expected:
            raise NotSeen(f"Django names {expected} issues, and {len(found)} of them could be read.", found=found)
        if printed.returncode not in (0, 1):
            raise NotSeen(f"The command ended with {printed.returncode}.", found=found)
        if not _is_for_deployment(context, command.arguments, printed.text):
            raise NotSeen(
                "Nothing shows that Django's check ran with --deploy, and without it the settings are not looked at.",
                remedy="Write `check --deploy` in the plan's command or in a file of the plan's folder that it runs"
                " ($GONOGO_PLAN_DIR/…), or let the command print what it runs (set -x).",
                found=found,
            )
        notes = [f"The settings silence {end['silenced']} checks."] if end["silenced"] != "0" else []
        covered = [Covered(Family.CONFIGURATION)]
        return Seen(found, covered, 1, "set of settings", notes=notes)


def _is_for_deployment(context: RunContext, arguments: Sequence[str], printed: str) -> bool:
    """Whether the command, a file of the plan that it runs, or what it printed names ``check --deploy``.

    Django prints the same end without it, so the end alone proves nothing.
    """
    written = _commands(" ".join(arguments))
    texts = [written, printed, *map(_commands, _files_of_the_plan(context, written))]
    return any(_FOR_DEPLOYMENT.search(text) for text in texts)


def _commands(script: str) -> str:
    """A script without comments, each command in one line."""
    return _COMMENT.sub("", re.sub(r"\\\r?\n", " ", script))


def _files_of_the_plan(context: RunContext, written: str) -> Iterator[str]:
    if not context.run.application.plan_folder:
        return
    folder = Path(context.run.application.plan_folder).resolve()
    for name in dict.fromkeys(_NAMES.findall(written)):
        path = (folder / name).resolve()
        if path.is_relative_to(folder) and path.is_file() and path.stat().st_size <= _MAX_SCRIPT_BYTES:
            yield path.read_text("utf-8", "replace")


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
