"""What a drill and a backup found, as files: for a spreadsheet, which must not run what is in them, and whole."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.template.loader import render_to_string

from checks.models import Run
from tests.kinds_data.support import Shop, log_of

#: A name that a spreadsheet would run.
FORMULA = 'CREATE SCHEMA "=evil"; CREATE TABLE "=evil".t (n int); INSERT INTO "=evil".t VALUES (1), (2)'


def kept(run: Run, name: str) -> str:
    key = next(item["key"] for item in run.result["artifacts"] if item["name"] == name)
    with default_storage.open(key) as handle:
        return str(handle.read().decode())


def table(run: Run, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(kept(run, name))))


def page(run: Run) -> str:
    return render_to_string(f"checks/kinds/{run.kind}.html", {"run": run})


def offers(run: Run, *names: str) -> bool:
    shown = page(run)
    return all(f'href="/runs/{run.number}/artifacts/{name}"' in shown for name in names)


def test_a_drill_gives_phases_with_targets_what_was_looked_at_and_every_table(plain_shop: Shop) -> None:
    plain_shop.sql(FORMULA)
    assert plain_shop.run("backup").state == "passed"
    run = plain_shop.run("drill", amcheck=False)
    assert run.state == "passed", (run.error, run.summary, log_of(run))
    *phases, whole, age, between = table(run, "recovery.csv")
    shown = [(row["name"], row["seconds"]) for row in run.result["phase_rows"]]
    assert [(row["phase"], float(row["seconds"])) for row in phases] == shown
    recovery = run.result["recovery"]
    assert (whole["phase"], float(whole["target_seconds"]), whole["within"]) == (
        "all of them (RTO)", recovery["rto_target"], "yes",
    )  # fmt: skip
    assert float(age["target_seconds"]) == recovery["rpo_target"]
    assert between["seconds"] == "", "there is one backup only"
    looked = {row["check"]: row["outcome"] for row in table(run, "checks.csv")}
    assert looked.pop("Pages and indexes are sound") == "not checked"
    assert set(looked.values()) == {"passed"}
    assert {"Every byte is authentic", "Sequences", "Schema", "It takes writes", "Recovery time (RTO)"} <= looked.keys()
    rows = {row["table"]: row for row in table(run, "tables.csv")}
    assert rows["'=evil.t"] == {"table": "'=evil.t", "dumped_rows": "2", "restored_rows": "2", "content": "same"}
    assert len(rows) == run.result["table_count"]
    document = json.loads(kept(run, "drill.json"))
    assert document["recovery"] == recovery
    assert {row["table"] for row in document["tables"]} == {row["table"] for row in run.result["tables"]}
    assert offers(run, "drill.json", "recovery.csv", "checks.csv", "tables.csv")


def test_a_drill_that_said_no_says_at_which_look(plain_shop: Shop, storage_folder: Path) -> None:
    assert plain_shop.run("backup").state == "passed"
    (path,) = storage_folder.rglob("*.database")
    path.write_bytes(path.read_bytes()[:-1])
    run = plain_shop.run("drill")
    assert run.state == "failed"
    assert [(row["check"], row["outcome"]) for row in table(run, "checks.csv")] == [
        ("It is there, and of this environment", "passed"),
        ("Every byte is authentic", "failed"),
    ]
    assert "the last 1 of" in table(run, "checks.csv")[1]["said"]
    assert [row["phase"] for row in table(run, "recovery.csv")] == ["authenticate"]
    assert json.loads(kept(run, "drill.json"))["differences"] == run.result["differences"]


def test_a_storage_that_takes_no_file_leaves_the_verdict_as_it_is(plain_shop: Shop, storage_folder: Path) -> None:
    assert plain_shop.run("backup").state == "passed"
    for path in (storage_folder / "runs").rglob("*"):
        if path.is_file():
            path.unlink()
    runs = storage_folder / "runs"
    runs.rename(storage_folder / "runs-of-before")
    runs.write_text("a file where the folder should be")
    run = plain_shop.run("drill", amcheck=False)
    assert run.state == "passed", (run.error, run.summary, log_of(run))
    assert run.result["artifacts"] == []
    assert "could not be stored" in log_of(run)
    assert "What was found stands all the same" in log_of(run)
    assert "Download" not in page(run)


def test_a_backup_gives_every_table_with_its_rows_and_no_data(plain_shop: Shop) -> None:
    plain_shop.sql(FORMULA)
    run = plain_shop.run("backup")
    assert run.state == "passed", (run.error, log_of(run))
    rows = {row["table"]: row["rows"] for row in table(run, "tables.csv")}
    assert rows["'=evil.t"] == "2"
    assert rows["public.customer"] == "500"
    document = json.loads(kept(run, "backup.json"))
    assert {row["table"]: str(row["rows"]) for row in document["every_table"]}["=evil.t"] == "2"
    assert document["manifest"] == run.result["manifest"]
    assert "@example.org" not in kept(run, "backup.json") + kept(run, "tables.csv")
    assert offers(run, "backup.json", "tables.csv")
    assert f"/runs/{run.number}/artifacts/database" not in page(run)


def test_a_backup_of_before_offers_no_file_that_it_does_not_have(plain_shop: Shop) -> None:
    run = plain_shop.run("backup")
    sealed: list[Any] = [item for item in run.result["artifacts"] if "." not in item["name"]]
    Run.objects.filter(pk=run.pk).update(result={**run.result, "artifacts": sealed})
    run.refresh_from_db()
    assert {item["name"] for item in sealed} == {"database", "manifest"}
    assert "Download" not in page(run)


@pytest.mark.parametrize("kind", ["drill", "disaster", "retention", "wal_archive", "backup", "reconcile", "transition"])
def test_a_run_that_ended_early_offers_nothing(plain_shop: Shop, kind: str) -> None:
    run = Run(kind=kind, number=7, application=plain_shop.application, environment=plain_shop.environment(), result={})
    assert "Download" not in page(run)
