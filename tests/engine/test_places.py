"""A run's log and page never show where on a worker its folders are."""

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from checks.places import Places
from tests.engine.support import application_with, check, log_lines, run_section

PLACES = Places(
    [("/srv/app", ""), ("/srv/app/plans/shop/", ""), ("/srv/app/.home", "{GONOGO_HOME}"),
     ("/srv/app/.home/jobs/1", "$GONOGO_WORK"), ("", "")]
)  # fmt: skip


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("sh /srv/app/plans/shop/ops/migrate.sh", "sh ops/migrate.sh"),
        ('File "/srv/app/checks/engine.py", line 3', 'File "checks/engine.py", line 3'),
        (
            "read /srv/app/.home/jobs/1/a b, wrote /srv/app/.home/keys",
            "read $GONOGO_WORK/a b, wrote {GONOGO_HOME}/keys",
        ),
        ("file:///srv/app/.home/storage", "file://{GONOGO_HOME}/storage"),
        ("A=/srv/app/.home:/srv/app/plans/shop", "A={GONOGO_HOME}:."),
        ("It is in /srv/app.", "It is in .."),
        # Other places that only look alike.
        (
            "/srv/apple/x /srv/app.old/x /mnt/srv/app/x /srv/app-2",
            "/srv/apple/x /srv/app.old/x /mnt/srv/app/x /srv/app-2",
        ),
    ],
)
def test_folders_are_named_and_nothing_else_is_touched(written: str, shown: str) -> None:
    assert PLACES.shown(written) == shown
    assert Places().shown(written) == written


@pytest.mark.django_db(transaction=True)
def test_commands_output_and_errors_of_a_run_name_no_folder_of_the_worker(tmp_path: Path, storage_folder: Any) -> None:
    script = 'echo "plan $GONOGO_PLAN_DIR/x"; echo "work $GONOGO_WORK/y"; exit 3'
    params = {"command": {"argv": ["/bin/sh", "-c", script, f"{tmp_path}/ops.sh"]}, "reports": ["reports/*.xml"]}
    run = run_section(application_with({"unit": check("suite", params=params)}, folder=tmp_path), "checks.unit")
    lines = log_lines(run)
    assert "plan x" in lines
    assert "work $GONOGO_WORK/y" in lines
    everything = "\n".join([*lines, run.error, run.summary, run.remedy, str(run.result)])
    assert str(tmp_path) not in everything
    assert str(settings.GONOGO_HOME) not in everything
