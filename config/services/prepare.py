"""Brings database, static files and the default workspace up to date, in one process because starting Django is slow.

Usage: python -m config.services.prepare
"""

import hashlib
import os
import sys
from pathlib import Path

import django
from django.db import OperationalError


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.umask(0o077)  # what this writes, the passwords above all, is for its owner only
    django.setup()
    try:
        _migrate()
    except OperationalError as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else "no reason given"
        print(f"PostgreSQL cannot be used: {reason}. Look at DATABASE_URL. Nothing was changed.", file=sys.stderr)
        return 1
    _collect_static()
    _load_workspace()
    return 0


def _migrate() -> None:
    """Apply what is pending; asking first is much quicker than running an empty `migrate`."""
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", interactive=False, verbosity=1)


def _collect_static() -> None:
    """Collect and compress only when a source file has changed, for that takes seconds."""
    from django.conf import settings
    from django.contrib.staticfiles.finders import get_finders
    from django.core.management import call_command

    facts = hashlib.sha256(sys.version.encode())
    for finder in get_finders():
        for name, storage in sorted(finder.list([]), key=lambda pair: str(pair[0])):
            status = Path(storage.path(name)).stat()
            facts.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    stamp = Path(settings.STATIC_ROOT) / ".collected"
    if stamp.exists() and stamp.read_text(encoding="ascii") == facts.hexdigest():
        return
    call_command("collectstatic", interactive=False, verbosity=1, clear=True)
    stamp.write_text(facts.hexdigest(), encoding="ascii")


def _load_workspace() -> None:
    from django.conf import settings
    from django.core.management import call_command

    call_command("load_workspace", passwords_file=str(settings.GONOGO_HOME / "passwords.json"))


if __name__ == "__main__":
    sys.exit(main())
