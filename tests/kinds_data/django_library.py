"""A small Django application with migrations of a test's own, for rehearsals that watch them one by one."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from checks.models import Run
from tests.kinds_data.support import Shop, shop

#: manage.py with settings in one: `python -c DJANGO FOLDER migrate ...`.
DJANGO = """
import os, sys, django
from django.conf import settings
from urllib.parse import urlsplit, unquote
url = urlsplit(os.environ["DATABASE_URL"])
sys.path.insert(0, sys.argv[1])
settings.configure(INSTALLED_APPS=["library"], DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:],
    "USER": unquote(url.username), "PASSWORD": unquote(url.password), "HOST": url.hostname, "PORT": url.port}})
django.setup()
from django.core.management import call_command
call_command("migrate", *sys.argv[2:])
"""
HEAD = "from django.db import migrations, models\n"
FIRST = """migrations.CreateModel("Book", [("id", models.BigAutoField(primary_key=True)),
    ("pages", models.IntegerField()), ("note", models.TextField(default=""))])"""


def migration(name: str, before: str, operations: str, *, atomic: bool = True, functions: str = "") -> str:
    """The text of one migration of the application ``library``; ``before`` is the one it follows."""
    dependencies = f'[("library", "{before}")]' if before else "[]"
    return (
        f"{HEAD}{functions}\nclass Migration(migrations.Migration):\n    atomic = {atomic}\n"
        f"    dependencies = {dependencies}\n    operations = [{operations}]\n"
    )


@contextmanager
def library(folder: Path, migrations: Mapping[str, str], *, books: int = 1200, **more: Any) -> Iterator[Shop]:
    """A shop whose database holds ``books`` rows and whose first migration alone is applied.

    ``migrations``: name -> operations, or a whole text that begins with ``from``. ``more`` goes to the plan's shop.
    """
    here = folder / "library" / "migrations"
    here.mkdir(parents=True)
    (here.parent / "__init__.py").touch()
    (here / "__init__.py").touch()
    before = ""
    for name, text in {"0001_initial": FIRST, **migrations}.items():
        whole = text if text.startswith("from") else migration(name, before, text)
        (here / f"{name}.py").write_text(whole, encoding="utf-8")
        before = name
    with shop(folder, schema="", **more) as made:
        subprocess.run(
            [*command(made), "library", "0001"], env={"DATABASE_URL": made.address.url()}, check=True,
            capture_output=True,
        )  # fmt: skip
        made.sql("INSERT INTO library_book (pages, note) SELECT n, n %% 7 FROM generate_series(1, %s) n", books)
        yield made


def command(made: Shop) -> list[str]:
    return [sys.executable, "-c", DJANGO, str(made.folder)]


def rehearse(made: Shop, **params: Any) -> Run:
    return made.run(
        "migration", release=made.release(), command={"argv": command(made)}, visitors_wait="1m", **params
    )  # fmt: skip
