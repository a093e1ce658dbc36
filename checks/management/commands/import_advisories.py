"""manage.py import_advisories FOLDER-OR-ARCHIVE"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from checks.advisories import import_advisories
from checks.advisories.errors import AdvisoriesRefused


class Command(BaseCommand):
    help = "Imports advisories in OSV's form (JSON or YAML) from a folder, .zip, .tar.gz or .tar."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("source", type=Path)
        parser.add_argument("--skip-unreadable", action="store_true", help="Leave out files that cannot be read.")
        parser.add_argument("--may-shrink", action="store_true", help="Accept older data, and much less of it.")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["source"]
        asked = {name: options[name] for name in ("skip_unreadable", "may_shrink")}
        try:
            if path.is_dir():
                snapshot = import_advisories(source=path, name=path.name, actor=None, **asked)
            else:
                with path.open("rb") as archive:
                    snapshot = import_advisories(source=archive, name=path.name, actor=None, **asked)
        except AdvisoriesRefused as error:
            raise CommandError(error.message) from error
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
        told = ", ".join(f"{many:,} for {ecosystem}" for ecosystem, many in sorted(snapshot.ecosystems.items()))
        self.stdout.write(
            f"Imported {snapshot.advisories:,} advisories ({told}) in {snapshot.seconds:.1f} s; the newest is of "
            f"{snapshot.newest:%Y-%m-%d}. {snapshot.withdrawn:,} withdrawn ones were left out."
        )
