"""Secrets that stand in the source, by detect-secrets. No secret is shown or kept, only where it stands.

Lines that the source marks as no secrets are told like any other: only people accept a finding.
"""

import linecache
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from checks.kinds.base import RunContext, StepHandle
from checks.plan import Duration, Section
from checks.tools import toolbox
from checks.tools.auditing import source
from checks.tools.auditing.hiding import keyed
from checks.tools.auditing.looking import NotSeen, Seen
from checks.tools.auditing.running import parsed
from checks.tools.auditing.said import Covered, Family, FilePlace, Found, Severity

#: A file with a made-up key that must be found: a search that does not see it has not searched.
CANARY: Final = "gonogo-canary.txt"
#: Words of a name beside a text, and texts that look random, are often no secret.
_VAGUE: Final = frozenset({"Secret Keyword", "Base64 High Entropy String", "Hex High Entropy String", "JSON Web Token",
                           "Public IP (ipv4)"})  # fmt: skip
#: Turned off without ``entropy``: detect-secrets' name of the search -> of what it finds.
_NOISY: Final = {
    "Base64HighEntropyString": "Base64 High Entropy String",
    "HexHighEntropyString": "Hex High Entropy String",
    "IPPublicDetector": "Public IP (ipv4)",
}
#: What would let a mark in the source hide a secret.
_BELIEVES_MARKS: Final = "detect_secrets.filters.allowlist.is_line_allowlisted"
#: In the line itself, or in the one before.
_MARK: Final = re.compile(r"pragma: ?(?:allow|white)list")
_MARKED: Final = "The source marks it as no secret (pragma: allowlist)."


class SecretsSection(Section):
    """``entropy``: also texts that only look random; in most projects many of those are no secrets."""

    entropy: bool = False
    timeout: Duration = Field(default=timedelta(minutes=10))


@dataclass
class SecretsLook:
    section: SecretsSection
    source: source.SourceSection
    tool: str = "detect-secrets"
    before: str = ""

    def look(self, context: RunContext, step: StepHandle) -> Seen:
        argv = toolbox.program(context, "detect-secrets")
        folder = source.unpacked(context, self.source)
        files = [path.relative_to(folder).as_posix() for path in source.files_in(folder)]
        step.doing(f"{len(files)} files")
        quiet = [] if self.section.entropy else [part for name in _NOISY for part in ("--disable-plugin", name)]
        canary = folder / CANARY
        letters = "ABCDEFGHJKLMNPQRSTUVWXYZ234567"
        canary.write_text(f"key = AKIA{''.join(secrets.choice(letters) for _ in range(16))}\n", encoding="ascii")
        try:
            done = context.capture(
                [*argv, "scan", "--all-files", "--no-verify", "--disable-filter", _BELIEVES_MARKS, *quiet, "."],
                timeout=self.section.timeout.total_seconds(),
                cwd=folder,
            )
        finally:
            canary.unlink()
        return self._seen(done.output, folder, files)

    def _seen(self, output: str, folder: Path, files: list[str]) -> Seen:
        try:
            tree = parsed(output, self.tool)
            rows = {name.removeprefix("./"): list(found) for name, found in tree["results"].items()}
            found = [_finding(folder, name, row) for name, each in rows.items() if name != CANARY for row in each]
            version = str(tree["version"])
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise NotSeen(f"detect-secrets' report cannot be read: {type(error).__name__} {error}.") from error
        if CANARY not in rows:
            raise NotSeen("detect-secrets did not find the key that was laid out for it, so it has not searched.")
        # The whole tree was looked at, so a file that is gone is as good as mended.
        turned_off = frozenset[str]() if self.section.entropy else frozenset(_NOISY.values())
        covered = [Covered(Family.SECRETS, left_out=tuple(self.source.exclude), turned_off=turned_off)]
        return Seen(found, covered, len(files), "files", version=version, notes=_notes(found, self.source.exclude))


def _notes(found: Sequence[Found], excluded: list[str]) -> list[str]:
    marked = sum(each.detail == _MARKED for each in found)
    told = f"{marked} findings are marked as no secrets in the source; that is no acceptance, so they are told all the"
    notes = [f"{told} same."] if marked else []
    return notes + ([f"Left out by the plan: {', '.join(excluded)}."] if excluded else [])


def _finding(folder: Path, name: str, row: dict[str, Any]) -> Found:
    kind, line = str(row["type"]), int(row["line_number"])
    near = [linecache.getline(str(folder / name), each) for each in (line - 1, line)]
    return Found(
        family=Family.SECRETS,
        rule=kind,
        title=f"Looks like a secret in the source: {kind}",
        severity=Severity.MEDIUM if kind in _VAGUE else Severity.HIGH,
        place=FilePlace(name, keyed(str(row["hashed_secret"])), line),
        detail=_MARKED if any(map(_MARK.search, near)) else "",
        remedy="Take it out of the source and its history, and make a new one. If it is none, ask to accept the finding"
        " and say why.",
        cwe=(798,),
        owasp="A07",
        asvs=("13.3.1",),
    )
