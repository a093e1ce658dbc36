"""Take back the migrations of a list, all of them and no others.    python back.py LIST

LIST holds what a rehearsal applied, `application.name` a line, oldest first. Run by the Python of the release, with its
settings, on the clone that the rehearsal made.
"""

import contextlib
import sys
from pathlib import Path

import django
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.migration import Migration


def main(applied: list[tuple[str, str]]) -> None:
    # Some applications greet on their standard output.
    with contextlib.redirect_stdout(sys.stderr):
        django.setup()
    executor = MigrationExecutor(connection, tell)
    targets = []
    for label in dict.fromkeys(label for label, _ in applied):
        kept = {key for key in executor.loader.applied_migrations if key[0] == label} - set(applied)
        # The newest that stays: none of its children in the same application does.
        nodes = executor.loader.graph.node_map
        newest = [key for key in kept if key in nodes and not any(child.key in kept for child in nodes[key].children)]
        targets += newest or [(label, None)]
    executor.migrate(targets)
    print(f"{len(applied)} migrations were taken back.", flush=True)


def tell(action: str, migration: Migration | None = None, fake: bool = False) -> None:
    if action == "unapply_start":
        print(f"Taking back {migration}", flush=True)


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").split()
    main([(label, name) for label, _, name in (line.partition(".") for line in lines)])
