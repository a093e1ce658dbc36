"""A run's surroundings for looks by themselves: the commands are real, the notes are kept in a list."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from checks.errors import CheckError
from checks.kinds.base import Completed
from checks.tools.auditing.looking import Look, carry_out
from checks.tools.auditing.said import ToolReport
from tests.kinds_audit.site import PASSWORD, USER


class Desk:
    """Stands in for the engine's context where a test asks one look only; whole runs are in test_audit.py."""

    def __init__(self, url: str, folder: Path, secrets: Mapping[str, str] | None = None) -> None:
        self.environment = SimpleNamespace(url=url)
        self.scratch = folder
        self.build_file: Path | None = None
        self.run = SimpleNamespace(application=SimpleNamespace(slug="shop", plan_folder=str(folder)))
        self.secrets = {"user": USER, "password": PASSWORD, **(secrets or {})}
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    warn = note

    def check(self) -> None:
        """Nobody stops this run."""

    def mask(self, value: str, name: str) -> None:
        """Nothing is shown."""

    def secret(self, name: str) -> str:
        return self.secrets[name]

    def variables(self) -> dict[str, str]:
        """The environment has none."""
        return {}

    def _run(
        self, argv: Sequence[str], timeout: float, variables: Mapping[str, str] | None, cwd: Path | None
    ) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.scratch), **(variables or {})}
        where = cwd or self.scratch
        return subprocess.run(argv, env=environment, cwd=where, timeout=timeout, capture_output=True, text=True)

    def capture(self, argv: Sequence[str], *, timeout: float, variables: Any = None, cwd: Any = None) -> Completed:
        began = time.monotonic()
        try:
            done = self._run(argv, timeout, variables, cwd)
        except subprocess.TimeoutExpired:
            raise CheckError(f"{argv[0]} took longer than {timeout:g} s and was ended.") from None
        self.notes += done.stderr.splitlines()
        return Completed(tuple(argv), done.returncode, time.monotonic() - began, done.stdout)

    def command(
        self, argv: Sequence[str], *, timeout: float, variables: Any = None, cwd: Any = None, check: bool = True
    ) -> Completed:
        began = time.monotonic()
        try:
            done = self._run(argv, timeout, variables, cwd)
        except subprocess.TimeoutExpired:
            if check:
                raise CheckError(f"{argv[0]} took longer than {timeout:g} s and was ended.") from None
            return Completed(tuple(argv), -9, timeout, timed_out=True)
        self.notes += [*done.stdout.splitlines(), *done.stderr.splitlines()]
        if check and done.returncode:
            raise CheckError(f"{argv[0]} ended with {done.returncode}.")
        return Completed(tuple(argv), done.returncode, time.monotonic() - began)


class Handle:
    """A step that nobody watches."""

    def progress(self, done: float, total: float | None = None, unit: str = "") -> None: ...
    def doing(self, text: str) -> None: ...
    def figure(self, name: str, value: Any) -> None: ...
    def skip(self, reason: str) -> None: ...
    def fail(self, reason: str) -> None: ...


def looked(look: Look, url: str, folder: Path, **more: Any) -> ToolReport:
    """What one look says of a real server or folder."""
    desk = Desk(url, folder, more.get("secrets"))
    desk.build_file = more.get("build_file")
    return carry_out(look, desk, Handle())  # type: ignore[arg-type]


def rules(report: ToolReport) -> set[str]:
    return {found.rule for found in report.found}
