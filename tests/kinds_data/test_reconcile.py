"""The kind `reconcile`: what it says of two databases of the plan, and what it leaves on the run's page."""

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.template.loader import render_to_string
from django.utils import timezone

from checks import engine, reaper
from checks.errors import PlanError
from checks.kinds import reconcile
from checks.models import Run
from checks.plan import parse
from checks.tools import storage
from checks.tools.reconciling import resuming, units
from tests.engine.support import application_with, check, log_text, run_section
from tests.factories import MINIMAL_PLAN
from tests.kinds_data.database_pair import DatabasePair, database_pair

pytestmark = pytest.mark.django_db(transaction=True)

SHOP = """
CREATE TABLE person (id integer PRIMARY KEY, email text, password text, seen timestamptz);
INSERT INTO person SELECT n, 'p' || n || '@example.org', 'x', '2026-01-01' FROM generate_series(1, 200) n;
CREATE TABLE preference (person_id integer, name text, value jsonb, PRIMARY KEY (person_id, name));
INSERT INTO preference SELECT n, 'theme', '{"dark": true}' FROM generate_series(1, 200) n;
"""
CHANGED = """
UPDATE person SET email = '=HYPERLINK("http://x")', password = 'y' WHERE id = 7;
UPDATE person SET seen = seen + interval '1 microsecond' WHERE id = 8;
DELETE FROM person WHERE id = 9;
INSERT INTO preference VALUES (1, 'language', '"de"');
ALTER TABLE person ALTER email SET NOT NULL;
"""


@contextmanager
def databases(target: str = "") -> Iterator[DatabasePair]:
    with database_pair("reconcile_kind", source=SHOP, target=f"{SHOP}; {target}") as pair:
        yield pair


def reconciled(pair: DatabasePair, folder: Path, **params: Any) -> Run:
    """Staging is the source, production is judged."""
    environments = {
        "staging": {"tier": "staging", "variables": {"DATABASE_URL": pair.source.url()}},
        "production": {"tier": "production", "variables": {
            "DATABASE_URL": pair.target.url(), "REPLICA_URL": pair.source.url()}},
    }  # fmt: skip
    section = check("reconcile", environment="production", params={"source": "staging", **params})
    application = application_with({"same": section}, folder=folder, plan={"environments": environments})
    return run_section(application, "checks.same")


def kept(run: Run, name: str) -> str:
    key = next(item["key"] for item in run.result["artifacts"] if item["name"] == name)
    with default_storage.open(key) as handle:
        return str(handle.read().decode())


def page(run: Run) -> str:
    """What a person reads: names without the places at which they may break."""
    return render_to_string("checks/kinds/reconcile.html", {"run": run}).replace("<wbr>", "")


def test_equal_databases_pass_and_the_page_says_how_much_was_read(storage_folder: Path, tmp_path: Path) -> None:
    with databases() as pair:
        run = reconciled(pair, tmp_path)
        replica = reconciled(pair, tmp_path, source="", source_database="REPLICA_URL", tables=["person"],
                             compare_sequences=False)  # fmt: skip
    assert run.state == "passed", log_text(run)
    assert run.summary.startswith("400 rows in 2 tables of staging and production are identical")
    assert [(step.key, step.state) for step in run.steps.all()] == [
        (key, "passed") for key in ("open", "read", "find", "surroundings", "report")
    ]
    assert "public.preference" in page(run)
    compared = list(csv.DictReader(io.StringIO(kept(run, "tables.csv"))))
    assert [(row["label"], row["source_rows"], row["target_rows"], row["agrees"]) for row in compared] == [
        ("public.person", "200", "200", "True"), ("public.preference", "200", "200", "True"),
    ]  # fmt: skip
    assert "<dt>Sequences</dt><dd>not asked</dd>" not in page(run)
    assert "<dt>Sequences</dt><dd>not asked</dd>" in page(replica)
    assert (replica.state, replica.result["figures"]["rows"]) == ("passed", 200)
    for told in (replica.summary, page(replica)):
        assert "Only what belongs to the selected tables was compared" in told
    assert "Only what belongs" not in run.summary + page(run)


def test_differences_fail_and_stand_side_by_side_on_the_page_and_in_the_files(
    storage_folder: Path, tmp_path: Path
) -> None:
    with databases(CHANGED) as pair:
        run = reconciled(pair, tmp_path)
    assert run.state == "failed", log_text(run)
    assert run.summary.startswith("production differs from staging: public.person: 1 missing, 2 changed of 200 rows.")
    shown = page(run)
    assert "<mark>.000001</mark>" in shown
    assert "p9@example.org" in shown
    assert "hidden" in shown
    assert "column public.person.email" in shown
    person = next(table for table in run.result["differing"] if table["label"] == "public.person")
    assert [row["sort"] for row in person["rows"]] == ["missing", "changed", "changed"]
    rows = list(csv.DictReader(io.StringIO(kept(run, "differences.csv"))))
    email = next(row for row in rows if row["column"] == "email" and row["difference"] == "changed")
    assert (email["key"], email["source"], email["target"]) == (
        '{"id": "7"}', "p7@example.org", "'=HYPERLINK(\"http://x\")",
    )  # fmt: skip
    whole = json.loads(kept(run, "differences.json"))
    person = next(table for table in whole["tables"] if table["label"] == "public.person")
    assert (person["missing"], person["extra"], person["changed"]) == (1, 0, 2)
    assert [item["sort"] for item in person["differences"]] == ["changed", "changed", "missing"]
    assert whole["schema"]["changed"] == ["column public.person.email"]


def test_a_run_whose_worker_is_lost_goes_on_where_it_was(
    storage_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "KEEP_SECONDS", 0)
    monkeypatch.setattr(resuming, "KEEP_SHARE", 1e9)
    monkeypatch.setattr(units, "PAGES_IN_A_UNIT", 1)
    keep = reconcile._Shelf.keep

    def lose(shelf: reconcile._Shelf, document: bytes) -> None:
        """Keep it; then the lease is over and somebody else takes the run."""
        keep(shelf, document)
        run = shelf.context.run
        if run.attempt == 1 and shelf.count == 4:
            Run.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(minutes=1))
            assert [each.pk for each in reaper.reap()] == [run.pk]
            # A worker may die while it keeps the next one, and leave a part of it.
            storage.write(f"{shelf.folder}/0001-000005.json", [document[: len(document) // 2]])

    monkeypatch.setattr(reconcile._Shelf, "keep", lose)
    with databases("UPDATE person SET email = 'other' WHERE id = 7") as pair:
        run = reconciled(pair, tmp_path)
        assert (run.state, run.attempt) == ("queued", 1), log_text(run)
        engine.execute(run.pk)
    run = engine.load(run.pk)
    assert (run.state, run.attempt) == ("failed", 2), log_text(run)
    assert re.match(r"An attempt before this one was lost. [4-8] of 8 units", run.result["resumed"])
    assert run.result["figures"]["changed"] == 1
    assert "An attempt before this one was lost" in page(run)
    assert storage.names(f"runs/{run.pk}/resume") == []


@pytest.mark.campaign
def test_what_is_declared_not_to_matter_does_not_fail(storage_folder: Path, tmp_path: Path) -> None:
    change = """
        UPDATE person SET seen = seen + interval '1 microsecond'; UPDATE person SET email = upper(email) WHERE id = 7;
        ALTER TABLE preference ALTER value TYPE text; CREATE INDEX more ON person (email);
    """
    normalise = {"person": {"seen": ["milliseconds"], "email": ["lower"]}, "preference": {"value": ["json"]}}
    with databases(change) as pair:
        run = reconciled(pair, tmp_path, mode="equivalent", normalise=normalise)
        pair.sql("target", "UPDATE person SET email = 'other' WHERE id = 7")
        failed = reconciled(pair, tmp_path, mode="equivalent", normalise=normalise)
    assert run.state == "passed", log_text(run)
    assert "equivalent" in run.summary
    assert failed.state == "failed"
    assert "public.person: 1 changed of 200 rows" in failed.summary


@pytest.mark.campaign
def test_what_cannot_be_compared_is_errored_and_not_failed(storage_folder: Path, tmp_path: Path) -> None:
    with databases() as pair:
        same = reconciled(pair, tmp_path, source_database="DATABASE_URL", source="production")
        idle = reconciled(pair, tmp_path, tables=["persons"])
        lacking = reconciled(pair, tmp_path, source_database="NO_SUCH_URL")
        pair.sql("source", "TRUNCATE person, preference")
        pair.sql("target", "TRUNCATE person, preference")
        empty = reconciled(pair, tmp_path)
    for run, told in (
        (same, "one and the same database"),
        (idle, "No table on either side is called persons"),
        (lacking, "has no variable NO_SUCH_URL"),
        (empty, "There is no row in any of the 2 tables"),
    ):
        assert (run.state, told in run.error) == ("errored", True), run.error
    assert "did not come to its end" in page(same)


def test_the_plan_is_refused_where_it_names_what_is_not_there(db: None) -> None:
    def problems(params: dict[str, Any]) -> list[tuple[str, str]]:
        section = check("reconcile", environment="production", params=params)
        with pytest.raises(PlanError) as refused:
            parse(json.dumps({**MINIMAL_PLAN, "checks": {"same": section}}))
        return [(path, message) for _, _, path, message in refused.value.problems]

    assert problems({"source": "nowhere"})[0][0] == "checks.same.params.source"
    assert "are one database" in problems({})[0][1]
    assert "needs mode: equivalent" in problems({"source": "staging", "normalise": {"a": {"b": ["trim"]}}})[0][1]
    unknown = {"source": "staging", "mode": "equivalent", "normalise": {"a": {"b": ["blur"]}}}
    assert "there is no normaliser 'blur'" in problems(unknown)[0][1]
