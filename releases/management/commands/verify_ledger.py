"""`manage.py verify_ledger`: checks the whole ledger and names the first thing that is wrong."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from releases.domain import ledger
from releases.errors import LedgerUncheckable


class Command(BaseCommand):
    help = "Checks the whole ledger against its hashes, checkpoints and their stored copies. Exit status 1: broken."

    def handle(self, *args: Any, **options: Any) -> None:
        shows_progress = sys.stderr.isatty()

        def progress(checked: int, total: int) -> None:
            if shows_progress:
                self.stderr.write(f"\r{checked} of {total} entries", ending="")

        try:
            report = ledger.verify(progress=progress)
        except LedgerUncheckable as error:
            raise CommandError(error.message, returncode=2) from error
        if shows_progress:
            self.stderr.write("")
        if report.problem:
            raise CommandError(f"The ledger is broken ({report.problem.kind}): {report.problem.text}", returncode=1)
        self.stdout.write(
            f"The ledger holds: {report.entries} entries, {report.checkpoints} checkpoints,"
            f" {report.stored} stored copies ({report.seconds:.1f} s)."
        )
