"""While migrations run, the page says which one, and how many of how many are done."""

from pathlib import Path

import pytest

from checks.enums import RunState
from checks.models import RunStep
from checks.tools import tracing
from tests.engine.workers import until
from tests.kinds_data import django_library
from tests.kinds_data.support import in_a_thread, log_of

#: It waits until the test lets it go on.
WAIT = """
def wait(apps, editor):
    import pathlib, time
    while not pathlib.Path({path!r}).exists():
        time.sleep(0.05)
"""


@pytest.mark.campaign
@pytest.mark.usefixtures("transactional_db", "storage_folder")
def test_the_migration_under_way_and_how_many_are_done_are_told(tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    waits = django_library.migration(
        "0003_wait", "0002_more", "migrations.RunPython(wait)", functions=WAIT.format(path=str(go_on))
    )
    more = 'migrations.AddField("book", "more", models.TextField(null=True))'
    last = 'migrations.AddField("book", "last", models.TextField(null=True))'
    migrations = {"0002_more": more, "0003_wait": waits, "0004_last": last}
    with django_library.library(tmp_path, migrations, books=20) as made:
        run = made.queued(
            "migration", release=made.release(), command={"argv": django_library.command(made)}, visitors_wait="1m",
            refuse_irreversible=False,
        )  # fmt: skip
        thread = in_a_thread(run)
        try:
            found = RunStep.objects.filter(run=run, doing="Applying library.0003_wait", fraction__gt=0)
            step = until(found.first, 60)
            assert (step.key, step.state, round(step.fraction, 3)) == ("migrate", "running", 0.333)
            run.refresh_from_db()
            assert (run.progress["done"], run.progress["total"], run.progress["unit"]) == (1, 3, "migrations")
        finally:
            go_on.touch()
            thread.join(60)
        run.refresh_from_db()
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    assert len(run.result["migrations"]) == 3


def test_a_line_that_is_written_just_now_is_read_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    following = tracing.Following(file)
    assert following.look() is None
    file.write_text('{"event": "planned", "pid": 1, "migrations": 2}\n{"event": "migration", "pid": 1, "mig')
    assert following.look() == tracing.Stage("", 0, 2)
    with file.open("a") as more:
        more.write('ration": "shop.0002", "forwards": true}\n{"event": "ended", "pid": 1, "failure": null}\nnot json\n')
    assert following.look() == tracing.Stage("shop.0002", 1, 2)
    assert following.look() == tracing.Stage("shop.0002", 1, 2)
