"""A linter that is missing, or that broke, is told; its silence is never taken for consent."""

from pathlib import Path

import pytest
from django.template.loader import render_to_string

from checks.enums import RunState
from checks.models import Run
from checks.tools import hypotheses
from tests.kinds_data import django_library
from tests.kinds_data.support import log_of

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")

MORE = {"0002_more": 'migrations.AddField("book", "more", models.TextField(null=True))'}


def rehearsed_with(program: Path | None, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(hypotheses, "find_squawk", lambda: str(program) if program else None)
    with django_library.library(folder, MORE, books=20) as made:
        return django_library.rehearse(made)


def broken(folder: Path, script: str) -> Path:
    program = folder / "squawk"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


@pytest.mark.campaign
def test_where_squawk_is_missing_the_page_the_summary_and_the_log_say_that_nobody_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = rehearsed_with(None, tmp_path, monkeypatch)
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    assert run.result["hypotheses"] is None
    said = "squawk is not installed on this worker, so nobody looked at the SQL of 1 migration(s)."
    assert run.summary.endswith(said)
    assert said in run.result["troubles"]
    assert said in log_of(run)
    step = run.steps.get(key="hypotheses")
    assert (step.state, step.reason) == ("skipped", "squawk is not installed on this worker")
    page = render_to_string("checks/kinds/migration.html", {"run": run})
    assert page.count("squawk is not installed on") == 2
    assert "warns of nothing" not in page


@pytest.mark.campaign
@pytest.mark.parametrize(
    "script", ["exit 2", "echo '['; exit 0", "kill -9 $$"], ids=["it fails", "it prints rubbish", "it is killed"]
)
def test_a_squawk_that_broke_ends_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    run = rehearsed_with(broken(tmp_path, script), tmp_path, monkeypatch)
    assert run.state == RunState.ERRORED, (run.summary, log_of(run))
    assert run.error.startswith("squawk "), run.error
    assert "update squawk" in run.remedy


@pytest.mark.campaign
def test_the_real_squawk_is_found_and_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = hypotheses.find_squawk()
    assert program, "the tests need squawk, which requirements/base.txt brings"
    run = rehearsed_with(Path(program), tmp_path, monkeypatch)
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    assert run.result["linted"] == 1
    assert run.result["hypotheses"]
    assert "squawk" not in run.summary
