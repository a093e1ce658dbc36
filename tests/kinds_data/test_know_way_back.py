"""What was done beside the migrations is not called reversible by what Django says of them."""

import shlex
import sys
from pathlib import Path

import pytest

from checks.enums import RunState
from tests.kinds_data import django_library
from tests.kinds_data.support import log_of
from tests.kinds_data.test_rehearse_migration import PSQL, UNKNOWN

TITLE = {"0002_title": 'migrations.AddField("book", "title", models.TextField(default=""))'}
#: Stands for the first migration, which is applied, so that Django only writes it down.
SQUASHED = f"""from django.db import migrations, models
class Migration(migrations.Migration):
    replaces = [("library", "0001_initial")]
    operations = [{django_library.FIRST}]
"""


@pytest.mark.usefixtures("transactional_db", "storage_folder")
def test_a_schema_changed_beside_the_migrations_says_no(tmp_path: Path) -> None:
    with django_library.library(tmp_path, TITLE, books=20) as made:
        other = shlex.join([sys.executable, "-c", PSQL, "ALTER TABLE library_book ADD extra text"])
        script = f"{other} && {shlex.join(django_library.command(made))}"
        run = made.run("migration", release=made.release(), command={"script": script}, visitors_wait="1m")
        assert run.state == RunState.FAILED, (run.error, run.summary, log_of(run))
        assert run.summary.startswith(UNKNOWN)
        run = django_library.rehearse(made)
        assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
        made.sql("DROP TABLE django_migrations, library_book")  # Django makes its own list beside the migrations
        run = django_library.rehearse(made)
        assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))


@pytest.mark.usefixtures("transactional_db", "storage_folder")
def test_a_squash_that_is_only_written_down_needs_no_way_back(tmp_path: Path) -> None:
    with django_library.library(tmp_path, {}, books=20) as made:
        file = tmp_path / "library" / "migrations" / "0002_squashed.py"
        file.write_text(SQUASHED, encoding="utf-8")
        title = django_library.migration("0003_title", "0002_squashed", TITLE["0002_title"])
        file.with_name("0003_title.py").write_text(title, encoding="utf-8")
        back = {"argv": [*django_library.command(made), "library", "0002"]}
        run = django_library.rehearse(made, reverse=back)
    assert run.state == RunState.PASSED, (run.error, run.summary, run.result["problems"], log_of(run))
    assert run.result["way_back"]["unknown"] is False
    assert run.result["back"]["reversed"] == ["library.0003_title"]
