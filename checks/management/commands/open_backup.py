"""Open a backup by hand, where no worker can restore it any more."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from checks.errors import CheckError
from checks.tools import dumping, manifest, restoring
from checks.tools.crypto import KeyRing


class Command(BaseCommand):
    help = (
        "Without a key: list the published backups of an application's environment. With a key: authenticate that "
        "backup whole, then write its dump to standard output (for pg_restore), or its files below a folder."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("application", help="slug of the application")
        parser.add_argument("environment", help="name of the environment")
        parser.add_argument("--key", help="key of a manifest, as the list prints it; 'newest' for the newest one")
        parser.add_argument("--configuration", type=Path, metavar="FOLDER", help="put the configuration files there")
        parser.add_argument("--media", type=Path, metavar="FOLDER", help="put the media files there")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._open(options["application"], options["environment"], options["key"], options)
        except CheckError as error:
            raise CommandError(f"{error.message} {error.remedy}".strip()) from error

    def _open(self, application: str, environment: str, key: str | None, options: dict[str, Any]) -> None:
        folders: list[Path | None] = [options["configuration"], options["media"]]
        if key is None:
            for found in manifest.published(application, environment):
                self.stdout.write(found)
            return
        if not any(folders) and sys.stdout.isatty():
            raise CommandError("A dump is no text: send standard output to pg_restore or to a file.")
        key = manifest.newest_key(application, environment) if key == "newest" else key
        document = restoring.authenticate(key)
        for folder, put in zip(folders, (restoring.configuration_of, restoring.media_of), strict=True):
            if folder is not None:
                put(document, folder)
                self.stderr.write(f"The files are put below {folder}.")
        if any(folders):
            return
        with manifest.plain(document, "database", KeyRing.from_settings()) as pieces:
            for piece in dumping.decompressed(pieces):
                sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
