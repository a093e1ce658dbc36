"""Makes the environments of foreign tools beforehand, for workers that reach no package index later."""

import subprocess
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from checks.errors import CheckError
from checks.kinds.base import Completed
from checks.tools import toolbox


class Command(BaseCommand):
    help = "Installs the checks' foreign tools, each in an environment of its own below TOOLS_ROOT, from hashed locks."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("names", nargs="*", choices=[*toolbox.TOOLBOXES, []], default=[])

    def handle(self, *args: Any, **options: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            terminal = _Terminal(self, Path(folder))
            for name in options["names"] or toolbox.TOOLBOXES:
                try:
                    print(toolbox.installed(terminal, name))
                except CheckError as error:
                    raise CommandError(str(error)) from error


class _Terminal:
    def __init__(self, command: BaseCommand, scratch: Path) -> None:
        self.scratch, self._command = scratch, command

    def note(self, text: str) -> None:
        self._command.stderr.write(text)

    def check(self) -> None:
        """Ctrl-C ends it."""

    def command(self, argv: Sequence[str], *, timeout: float, check: bool = True) -> Completed:
        began = time.monotonic()
        done = subprocess.run(argv, timeout=timeout, check=check)
        return Completed(tuple(argv), done.returncode, time.monotonic() - began)
