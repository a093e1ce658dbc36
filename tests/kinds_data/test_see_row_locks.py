"""Rows that a migration locks to look at them keep their writers waiting, although it changes none."""

from pathlib import Path

import pytest

from checks.enums import RunState
from tests.kinds_data import django_library
from tests.kinds_data.support import log_of

LOOKS = """
def look(apps, editor):
    import time
    from django.db import connection
    books = list(apps.get_model("library", "Book").objects.select_for_update())
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")  # from here on nobody sees in the session which statement locked the rows
    time.sleep(0.6)
"""


@pytest.mark.usefixtures("transactional_db", "storage_folder")
def test_rows_locked_by_select_for_update_count_until_the_transaction_ends(tmp_path: Path) -> None:
    text = django_library.migration(
        "0002_look", "0001_initial", "migrations.RunPython(look, migrations.RunPython.noop)", functions=LOOKS
    )
    with django_library.library(tmp_path, {"0002_look": text}, books=20) as made:
        run = django_library.rehearse(made, longest_stall="0.3s")
    assert run.state == RunState.FAILED, (run.error, run.summary, log_of(run))
    assert "A writer of the same rows of public.library_book would wait for" in run.summary
    (wait,) = [row for row in run.result["stalls"] if row["table"] == "public.library_book"]
    assert wait["migration"] == "library.0002_look"
    assert 0.5 < wait["seconds"] < run.result["figures"]["command_seconds"]
