"""The disaster drill: a new cluster, everything from the backup, and the application of the plan answering on it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checks.enums import RunState
from checks.models import StoredBackup
from tests.kinds_data.disasters import ASKED, START, left_of, restorable
from tests.kinds_data.support import Shop, log_of
from tests.kinds_data.test_download_results import offers, table


@pytest.fixture
def drilled(transactional_db: None, storage_folder: Path, tmp_path: Path) -> Iterator[Shop]:
    with restorable(tmp_path) as made:
        yield made


@pytest.mark.campaign
def test_from_nothing_to_an_application_that_answers_and_nothing_is_left(drilled: Any, settings: Any) -> None:
    run = drilled.run("disaster", start=START, requests=ASKED)
    assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
    assert run.result["roles_made"] == [drilled.role, f"{drilled.role}_keeper"]
    assert run.result["amcheck"] == "sound"
    assert [row["name"] for row in run.result["phase_rows"]] == [
        "authenticate", "cluster", "create", "restore", "analyze", "compare", "write", "files", "prepare", "start",
        "smoke",
    ]  # fmt: skip
    assert run.result["recovery"]["within_rto"]
    assert ("The application answers /", "passed") in [
        (row["check"], row["outcome"]) for row in table(run, "checks.csv")
    ]
    assert [row["phase"] for row in table(run, "recovery.csv")][-4] == "smoke"
    assert offers(run, "disaster.json", "recovery.csv", "checks.csv", "tables.csv")
    assert StoredBackup.objects.get().look == "drilled"
    assert left_of(run) == []
    assert not (Path(settings.WORK_ROOT) / str(run.pk)).exists()
    assert drilled.sql("SELECT count(*) FROM customer") == [(500,)]


@pytest.mark.campaign
def test_an_application_that_does_not_come_up_or_answers_otherwise_is_told_and_is_not_the_backup_s_fault(
    drilled: Any,
) -> None:
    ends = drilled.run("disaster", start={"argv": [sys.executable, "-c", "raise SystemExit(7)"]})
    assert ends.state == RunState.ERRORED
    assert "ended with exit status 7 before it listened" in ends.error
    assert StoredBackup.objects.get().look == "verified"
    other = [{"path": "/", "text": "501 customers", "within": "30s"}]
    wrong = drilled.run("disaster", start=START, requests=other, amcheck=False)
    assert wrong.state == RunState.FAILED
    assert "The application on the restored data: /: the text '501 customers' is not in the answer" in wrong.summary
    assert StoredBackup.objects.get().look == "drilled"
    assert [left_of(run) for run in (ends, wrong)] == [[], []]
