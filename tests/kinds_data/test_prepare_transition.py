"""What brings the clone to the release's schema is seen when it does so to the original instead."""

import sys
from pathlib import Path

import pytest

from checks.enums import RunState
from tests.kinds_data.people import people
from tests.kinds_data.support import databases, log_of

pytestmark = pytest.mark.django_db(transaction=True)

PREPARE = "import os, psycopg; psycopg.connect({}, autocommit=True).execute('CREATE TABLE prepared ()')"


def test_a_clone_is_prepared_and_the_target_stays_as_it_is(storage_folder: Path, tmp_path: Path) -> None:
    with people(tmp_path) as made:
        argv = [sys.executable, "-c", PREPARE.format("os.environ['DATABASE_URL']")]
        run = made.rehearse(prepare={"argv": argv})
        assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
        assert made.sql("SELECT to_regclass('prepared')") == [(None,)]


def test_a_command_that_prepares_the_target_itself_is_told(storage_folder: Path, tmp_path: Path) -> None:
    with people(tmp_path) as made:
        before = databases()
        argv = [sys.executable, "-c", PREPARE.format(repr(made.address.conninfo()))]
        run = made.rehearse(prepare={"argv": argv})
        assert run.state == RunState.ERRORED, run.summary
        assert run.error == f"The schema of {made.address.database} itself changed during the rehearsal."
        assert "Either the prepare command ran on it instead of the clone" in run.remedy
        assert databases() == before
