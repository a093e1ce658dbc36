"""Print each migration of a list that Django cannot take back, one a line.    python irreversible.py LIST

LIST is what `showmigrations --plan` printed before the migration. Run by the Python of the release, with its settings.
A migration that drops a column counts as reversible here: going back restores the column, and only a backup restores
what was in it.
"""

import contextlib
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import django
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation


def main(plan: Path) -> None:
    # Some applications greet on their standard output; here it holds names of migrations and nothing else.
    with contextlib.redirect_stdout(sys.stderr):
        django.setup()
        migrations = MigrationLoader(None).disk_migrations
    for label, name in re.findall(r"^\[ \]\s+(\w+)\.(\w+)", plan.read_text(encoding="utf-8"), re.MULTILINE):
        if not can_be_reversed(migrations[label, name].operations):
            print(f"{label}.{name}")


def can_be_reversed(operations: Iterable[Operation]) -> bool:
    return all(
        can_be_reversed(operation.database_operations)
        if isinstance(operation, SeparateDatabaseAndState)
        else operation.reversible
        for operation in operations
    )


if __name__ == "__main__":
    if not Path(sys.argv[1]).is_file():
        sys.exit("irreversible: the migration has to run before, in the same run; it notes what it applies.")
    main(Path(sys.argv[1]))
