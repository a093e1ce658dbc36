"""Python source by bandit. Passwords that it finds are told by rule and place and never shown.

Lines that the source marks as no flaw (nosec) are told like any other: only people accept a finding.
"""

import glob
import linecache
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from checks.kinds.base import RunContext, StepHandle
from checks.plan import Duration, Section
from checks.tools import toolbox
from checks.tools.auditing import hiding, mapping, source
from checks.tools.auditing.looking import NotSeen, Seen
from checks.tools.auditing.running import read_json
from checks.tools.auditing.said import Covered, Family, FilePlace, Found, Severity

_CONFIDENCE: Final = {"LOW": 1, "MEDIUM": 2, "HIGH": 3}
#: Rules of bandit that name the password which they found: in a line, in a call, as a default of a function.
_DEFAULT: Final = "B107"
_PASSWORDS: Final = frozenset({"B105", "B106", _DEFAULT})
#: As bandit reads it. It is no part of what the line does, so with and without it the finding is the same.
_MARK: Final = re.compile(r"#\s*nosec[^#]*")
_MARKED: Final = " The source marks it with nosec."


class CodeSection(Section):
    """``confidence``: how sure bandit must be at least."""

    confidence: str = Field(default="medium", pattern="^(low|medium|high)$")
    timeout: Duration = timedelta(minutes=10)


@dataclass
class CodeLook:
    section: CodeSection
    source: source.SourceSection
    tool: str = "bandit"
    before: str = ""

    def look(self, context: RunContext, step: StepHandle) -> Seen:
        argv = toolbox.program(context, "bandit")
        folder = source.unpacked(context, self.source)
        files = {path.relative_to(folder).as_posix() for path in source.files_in(folder, ".py")}
        step.doing(f"{len(files)} files")
        report = context.scratch / "bandit.json"
        # Settings that the source holds must not choose what is looked at: where no other file of each kind is named,
        # bandit reads any .bandit that it meets, and lets it skip rules and leave out paths.
        settings, options = context.scratch / "bandit.yaml", context.scratch / "bandit.ini"
        settings.write_text("exclude_dirs: []\n", encoding="ascii")
        options.write_text("[bandit]\n", encoding="ascii")
        done = context.command(
            [*argv, "-r", ".", "-f", "json", "-o", str(report), "-c", str(settings), "--ini", str(options),
             "--ignore-nosec", "--exit-zero", "-q"],
            timeout=self.section.timeout.total_seconds(),
            cwd=folder,
            check=False,
        )  # fmt: skip
        try:
            tree = read_json(report, self.tool, done)
        finally:
            report.unlink(missing_ok=True)  # it holds the passwords that it found
        return replace(self._seen(tree, folder, files), version=toolbox.version_of(context, argv))

    def _seen(self, tree: Any, folder: Path, files: set[str]) -> Seen:
        try:
            looked = {name.removeprefix("./") for name in tree["metrics"]} - {"_totals"}
            broken = [f"{each['filename'].removeprefix('./')}: {each['reason']}" for each in tree["errors"]]
            wanted = _CONFIDENCE[self.section.confidence.upper()]
            kept = _lines_with_passwords(tree["results"])
            unsure = [each for each in tree["results"] if _CONFIDENCE.get(each["issue_confidence"], 3) < wanted]
            found = [_finding(each, folder, kept) for each in tree["results"] if each not in unsure]
            unsure_in = _files_by_rule(unsure)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise NotSeen(f"bandit's report cannot be read: {type(error).__name__} {error}.") from error
        if broken:
            raise NotSeen(f"bandit could not read {len(broken)} of {len(files)} files: {broken[0]}", found=found)
        if missed := sorted(files - looked):
            raise NotSeen(
                f"bandit did not look at {len(missed)} of {len(files)} files, such as {missed[0]}.", found=found
            )
        marked, notes = sum(_MARKED in each.detail for each in found), []
        if marked:
            notes.append(
                f"{marked} findings are marked with nosec in the source; that is no acceptance, so they are told all"
                " the same."
            )
        if self.source.exclude:
            notes.append(f"Left out by the plan: {', '.join(self.source.exclude)}.")
        if unsure:
            notes.append(
                f"{len(unsure)} findings are less sure than the plan asks for; they are not told, and not resolved."
            )
        return Seen(found, self._covered(unsure_in), len(looked), "files of Python", notes=notes)

    def _covered(self, unsure_in: Mapping[str, set[str]]) -> list[Covered]:
        """The whole tree was looked at, so a file that is gone is as good as mended.

        What is still there, but less sure than the plan asks for, is not mended: its rule was not asked in its file.
        """
        left_out = tuple(self.source.exclude)
        rest = Covered(Family.SOURCE, left_out=left_out, turned_off=frozenset(unsure_in))
        return [rest] + [
            Covered(
                Family.SOURCE, rules=frozenset({rule}), own=True, left_out=(*left_out, *map(glob.escape, sorted(files)))
            )
            for rule, files in unsure_in.items()
        ]


def _files_by_rule(rows: list[dict[str, Any]]) -> dict[str, set[str]]:
    files: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        files[row["test_id"]].add(row["filename"].removeprefix("./"))
    return files


def _lines_with_passwords(rows: list[dict[str, Any]]) -> dict[tuple[str, int], bool]:
    """(file, line) of all that holds a password -> whether the line is the first of it.

    Other rules may find something in the same line, and would show it.
    """
    lines: dict[tuple[str, int], bool] = {}
    for row in rows:
        if row["test_id"] in _PASSWORDS:
            first = int(row["line_number"])
            # The lines of a function are those of its whole body; the password is in its head.
            within = [] if row["test_id"] == _DEFAULT else row.get("line_range") or []
            for line in {first, *within}:
                place = (row["filename"], line)
                lines[place] = lines.get(place, False) or line == first
    return lines


def _finding(row: dict[str, Any], folder: Path, passwords: Mapping[tuple[str, int], bool]) -> Found:
    name, line = row["filename"].removeprefix("./"), int(row["line_number"])
    cwe = (int(row["issue_cwe"]["id"]),) if row.get("issue_cwe") else ()
    words = {"HIGH": Severity.HIGH, "MEDIUM": Severity.MEDIUM, "LOW": Severity.LOW}
    owasp, asvs = mapping.of_cwe(cwe)
    lines = [linecache.getline(str(folder / name), each) for each in (line, *(row.get("line_range") or []))]
    code, text = _MARK.sub(" ", lines[0]).strip(), str(row["issue_text"])
    marked = _MARKED if any(map(_MARK.search, lines)) else ""
    is_first = passwords.get((row["filename"], line))
    if is_first is not None:
        code = hiding.without_texts(code) if is_first else hiding.hidden(code)
    if row["test_id"] in _PASSWORDS:
        text = text.partition(":")[0]
    return Found(
        family=Family.SOURCE,
        rule=row["test_id"],
        title=text.split(". ")[0].rstrip(".")[:200],
        severity=words.get(row["issue_severity"], Severity.UNKNOWN),
        place=FilePlace(name, code, line),
        detail=f"{text} ({row['test_name']}, confidence {row['issue_confidence'].lower()}){marked}",
        remedy="See the rule's page.",
        cwe=cwe,
        owasp=owasp,
        asvs=asvs,
        link=row.get("more_info", ""),
    )
