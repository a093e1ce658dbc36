"""What a rehearsal says of each Django migration: one rehearsal is asked everything, since each costs seconds."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.template.loader import render_to_string

from checks.enums import RunState
from checks.models import Run
from tests.kinds_data import django_library
from tests.kinds_data.support import log_of

MIGRATIONS = {
    "0002_slow": 'migrations.AddField("book", "title", models.TextField(default="")),'
    ' migrations.RunSQL("SELECT pg_sleep(0.6)", migrations.RunSQL.noop)',
    "0003_wider": 'migrations.AlterField("book", "pages", models.BigIntegerField())',
    "0004_titles": 'migrations.RunSQL("UPDATE library_book SET title = pages::text", migrations.RunSQL.noop)',
    "0005_index": 'migrations.AddIndex("book", models.Index(fields=["pages"], name="book_pages"))',
}


def by_name(run: Run) -> dict[str, dict[str, Any]]:
    return {row["migration"].removeprefix("library."): row for row in run.result["migrations"]}


def kept(run: Run, name: str) -> str:
    (found,) = [each for each in run.result["artifacts"] if each["name"] == name]
    with default_storage.open(found["key"]) as file:
        return str(file.read().decode())


@pytest.mark.campaign
@pytest.mark.usefixtures("transactional_db", "storage_folder")
def test_each_migration_has_its_own_time_lock_stall_rewrite_wal_and_way_back(tmp_path: Path) -> None:
    with django_library.library(tmp_path, MIGRATIONS) as made:
        run = django_library.rehearse(made, reverse={"argv": [*django_library.command(made), "library", "0001"]})
        assert len(made.sql("SELECT 1 FROM django_migrations")) == 1
    assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
    rows = by_name(run)
    assert list(rows) == list(MIGRATIONS)
    assert run.result["troubles"] == []
    the_statement_that_locked_is_named(run, rows)
    rewrites_belong_to_one_migration(run, rows)
    fears_are_judged_by_the_trace(run)
    going_back_is_proved(run)
    it_can_be_read_and_downloaded(run)


def the_statement_that_locked_is_named(run: Run, rows: dict[str, dict[str, Any]]) -> None:
    slow = rows["0002_slow"]
    assert slow["seconds"] > 0.6
    assert slow["stall"] > 0.5
    assert slow["stalled"] in ("reader of public.library_book", "writer of public.library_book")
    worst = run.result["stalls"][0]
    assert (worst["migration"], worst["by"]) == ("library.0002_slow", "canary")
    assert worst["statement"].startswith('ALTER TABLE "library_book" ADD COLUMN "title"')
    assert max(row["stall"] for name, row in rows.items() if name != "0002_slow") < slow["stall"]
    modes = {lock["mode"] for lock in rows["0005_index"]["locks"] if lock["table"] == "public.library_book"}
    assert "ShareLock" in modes
    for row in rows.values():  # the wrapper's own time is taken off, and no more than that
        assert row["seconds"] >= sum(each["seconds"] for each in row["statements"]) - 0.001
    assert run.result["figures"]["seconds"] < run.result["figures"]["command_seconds"]


def rewrites_belong_to_one_migration(run: Run, rows: dict[str, dict[str, Any]]) -> None:
    assert {name: row["rewrites"] for name, row in rows.items() if row["rewrites"]} == {
        "0003_wider": ["public.library_book"]
    }
    (rewrite,) = run.result["rewrites"]
    assert (rewrite["table"], rewrite["rows"], rewrite["how"]) == ("public.library_book", 1200, "rewritten")
    assert rows["0005_index"]["size"] >= 8192
    assert rows["0002_slow"]["wal"] < rows["0003_wider"]["wal"]
    assert rows["0004_titles"]["wal"] > 1200 * 60
    assert sum(row["wal"] for row in rows.values()) <= run.result["figures"]["wal_bytes"]


def fears_are_judged_by_the_trace(run: Run) -> None:
    assert run.result["linted"] == 4
    assert run.result["not_linted"] == {}
    marks = {(row["migration"], row["rule"]): row["mark"] for row in run.result["hypotheses"]}
    assert marks["library.0003_wider", "changing-column-type"] == "confirmed"
    assert marks["library.0005_index", "require-concurrent-index-creation"] in ("refuted", "confirmed")
    reasons = {row["rule"]: row["why"] for row in run.result["hypotheses"]}
    assert "public.library_book was rewritten" in reasons["changing-column-type"]


def going_back_is_proved(run: Run) -> None:
    back = run.result["back"]
    assert back["proved"], back
    assert len(back["reversed"]) == 4
    assert back["left"] == []
    data = run.result["data"]
    assert [(row["table"], row["changed"]) for row in data["changed"]] == []
    assert data["unexplained"] == []


def it_can_be_read_and_downloaded(run: Run) -> None:
    page = render_to_string("checks/kinds/migration.html", {"run": run}).replace("<wbr>", "")
    assert "Proved: all 4 went back" in page
    assert "reader of public.library_book" in page
    assert "Confirmed" in page
    assert page.count("<rect") > 8
    for word in ("style=", "<script", "None", "{{"):
        assert word not in page
    whole = json.loads(kept(run, "rehearsal.json"))
    assert whole["figures"] == run.result["figures"]
    rows = list(csv.DictReader(io.StringIO(kept(run, "migrations.csv"))))
    assert [row["migration"] for row in rows] == [f"library.{name}" for name in MIGRATIONS]
    assert {row["table"] for row in csv.DictReader(io.StringIO(kept(run, "stalls.csv")))} == {"public.library_book"}
    assert "ShareLock" in kept(run, "locks.csv")
