"""Fails when a model has changed without a migration. Needs no database.

Usage: python -m config.services.check_migrations
"""

import os
import sys
import tempfile

import django


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    with tempfile.TemporaryDirectory(prefix="gonogo-migrations-") as folder:
        os.environ["GONOGO_HOME"] = folder
        django.setup()
        from django.core.management import call_command

        call_command("makemigrations", check=True, dry_run=True, skip_checks=True, verbosity=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
