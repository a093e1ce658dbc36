"""A command that says that all went well is believed only as far as the clone and the original agree."""

import shlex
import sys
from pathlib import Path

import pytest

from checks.enums import RunState
from tests.kinds_data import django_library
from tests.kinds_data.support import Shop, log_of
from tests.kinds_data.test_rehearse_migration import PSQL, statements

BREAKS = {
    "0002_title": 'migrations.AddField("book", "title", models.TextField(default=""))',
    "0003_breaks": 'migrations.RunSQL("ALTER TABLE library_book ADD CHECK (pages < 5)", migrations.RunSQL.noop)',
}


@pytest.mark.usefixtures("transactional_db", "storage_folder")
@pytest.mark.parametrize("hidden", ["{} | cat", "{} || true"], ids=["pipe", "or true"])
def test_a_migration_that_broke_off_says_no_although_the_script_ends_with_0(tmp_path: Path, hidden: str) -> None:
    with django_library.library(tmp_path, BREAKS, books=20) as made:
        script = hidden.format(shlex.join(django_library.command(made)))
        back = {"argv": [*django_library.command(made), "library", "0001"]}
        run = made.run(
            "migration", release=made.release(), command={"script": script}, visitors_wait="1m", reverse=back
        )
    assert run.state == RunState.FAILED, (run.error, run.summary, log_of(run))
    assert run.result["exit_status"] == 0
    assert "ended with exit status 0 although a migration broke off" in run.summary
    assert "in library.0003_breaks" in run.summary
    assert run.result["mishap"]["cause"] == "data"
    assert run.result["back"] is None


@pytest.mark.parametrize("word", ["reverse", "sql", "reversible_check"])
def test_a_later_command_that_changes_the_original_is_told(plain_shop: Shop, word: str) -> None:
    script = PSQL.replace('os.environ["DATABASE_URL"]', repr(plain_shop.address.conninfo()))
    argv = [sys.executable, "-c", script, "CREATE TABLE oops ()"]
    params = statements("ALTER TABLE customer ADD COLUMN nick text", **{word: {"argv": argv}})
    run = plain_shop.run("migration", release=plain_shop.release(), **params)
    assert run.state == RunState.ERRORED, (run.summary, log_of(run))
    assert "itself changed during the rehearsal" in run.error
    assert word in run.remedy
