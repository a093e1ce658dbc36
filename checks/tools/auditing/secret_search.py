"""Secrets that stand in the source, by detect-secrets. No secret is shown or kept, only where it stands."""

import secrets
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
                [*argv, "scan", "--all-files", "--no-verify", *quiet, "."],
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
            found = [_finding(name, row) for name, each in rows.items() if name != CANARY for row in each]
            version = str(tree["version"])
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise NotSeen(f"detect-secrets' report cannot be read: {type(error).__name__} {error}.") from error
        if CANARY not in rows:
            raise NotSeen("detect-secrets did not find the key that was laid out for it, so it has not searched.")
        # The whole tree was looked at, so a file that is gone is as good as mended.
        turned_off = frozenset[str]() if self.section.entropy else frozenset(_NOISY.values())
        covered = [Covered(Family.SECRETS, left_out=tuple(self.source.exclude), turned_off=turned_off)]
        return Seen(found, covered, len(files), "files", version=version, notes=_notes(folder, self.source.exclude))


def _notes(folder: Path, excluded: list[str]) -> list[str]:
    marked = sum("pragma: allowlist" in path.read_text("utf-8", "replace") for path in source.files_in(folder))
    notes = [f"{marked} files have lines that are marked as no secrets; those were believed."] if marked else []
    return notes + ([f"Left out by the plan: {', '.join(excluded)}."] if excluded else [])


def _finding(name: str, row: dict[str, Any]) -> Found:
    kind = str(row["type"])
    return Found(
        family=Family.SECRETS,
        rule=kind,
        title=f"Looks like a secret in the source: {kind}",
        severity=Severity.MEDIUM if kind in _VAGUE else Severity.HIGH,
        place=FilePlace(name, keyed(str(row["hashed_secret"])), int(row["line_number"])),
        remedy="Take it out of the source and its history, and make a new one. If it is none, mark the line with"
        " “pragma: allowlist secret”.",
        cwe=(798,),
        owasp="A07",
        asvs=("13.3.1",),
    )
