"""People, their progress and preferences move from staging to production, rehearsed on a clone."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.template.loader import render_to_string

from checks.enums import RunState
from checks.models import Run
from tests.kinds_data.people import TABLES, People, people
from tests.kinds_data.support import databases, log_of


@pytest.fixture
def moving(transactional_db: None, storage_folder: Path, tmp_path: Path) -> Iterator[People]:
    with people(tmp_path) as made:
        yield made


def test_a_rehearsal_moves_proves_and_undoes_on_a_clone(moving: People) -> None:
    before, there = moving.everything(), databases()
    run = moving.rehearse()
    assert run.state == RunState.PASSED, (run.error, run.remedy, run.summary, log_of(run))
    assert (moving.everything(), databases()) == (before, there), "production was written to, or a clone was left"
    assert run.summary == "133 rows = 128 inserted + 2 merged + 3 skipped, proven on a clone."
    rows = {row["table"]: [row[name] for name in ("source", "inserted", "merged", "skipped", "rest_rows")]
            for row in run.result["tables"]}  # fmt: skip
    assert rows == {
        "public.team": [2, 1, 1, 0, 1],
        "public.person": [30, 28, 1, 1, 40],
        "public.progress": [87, 86, 0, 1, 41],
        "public.preferences": [14, 13, 0, 1, 1],
    }
    assert all(row["proven"] and row["rest_unchanged"] for row in run.result["tables"])
    assert [row["reason"] for row in run.result["skipped"]] == [
        "Robots have no account.",
        "What production knows of a lesson stands.",
        "already in the target, which is kept as it is",
    ]
    assert {row["sequence"]: (row["from"], row["to"]) for row in run.result["sequences"]} == {
        "public.person_id_seq": (41, 69), "public.preferences_id_seq": (1, 14), "public.team_id_seq": (2, 3),
    }  # fmt: skip
    points = next(row for row in run.result["columns"] if row["column"] == "points")
    assert (points["equal"], points["nulls"], points["shown"], points["least"]) == (True, 0, True, "2")
    email = next(row for row in run.result["columns"] if row["column"] == "email")
    assert (email["of_lengths"], email["shown"], email["least"], email["target_greatest"]) == (True, True, "14", "15")
    assert run.result["undo"]["differences"] == []
    assert len(run.result["undo"]["sequences"]) == 3
    _downloads(run)
    _page(run)


#: People with every sort of value that a least or a greatest would tell of somebody.
BORN = """
ALTER TABLE person ADD born date, ADD seen_from inet, ADD phone bigint, ADD grade integer,
    ADD number bigint, ADD size numeric, ADD old boolean, ADD score float8;
UPDATE person SET born = date '1981-02-03' + id::int, seen_from = '203.0.113.7'::inet + id, phone = 491701230000 + id,
    grade = id % 5 + 40, size = id % 7 + 30, old = id % 2 = 0, score = 0.5
"""
INVENTORY = [
    {"columns": ["person.born"], "category": "identity", "basis": "contract", "retention": "1 year", "mask": "date"},
    {"columns": ["person.points"], "category": "preference", "basis": "contract", "retention": "1 year",
     "mask": "keep", "why": "small numbers"},
    {"columns": ["person.grade"], "category": "not_personal", "why": "of the course"},
    {"columns": ["person.score"], "category": "preference", "basis": "contract", "retention": "1 year",
     "mask": "null"},
]  # fmt: skip


def test_least_and_greatest_of_people_s_values_are_shown_only_where_the_plan_keeps_them_in_clear(
    transactional_db: None, storage_folder: Path, tmp_path: Path
) -> None:
    person = {**TABLES[1], "same": [*TABLES[1]["same"], "born", "seen_from", "phone", "grade", "size", "old", "score"]}
    person["columns"] = {**TABLES[1]["columns"], "number": {"sql": "phone + 1"}}
    with people(tmp_path, plan={"privacy": {"inventory": INVENTORY}}) as moving:
        moving.at_source(BORN)
        moving.sql(BORN.partition(";")[0])
        run = moving.rehearse([TABLES[0], person, *TABLES[2:]])
    assert run.state == RunState.PASSED, (run.error, run.remedy, run.summary, log_of(run))
    rows = {row["column"]: row for row in run.result["columns"] if row["table"] == "public.person"}
    assert {name for name, row in rows.items() if not row["shown"]} == {
        "born", "seen_from", "phone", "joined", "number", "score",
    }  # fmt: skip
    assert all(row["equal"] for row in rows.values())
    assert (rows["grade"]["least"], rows["grade"]["target_greatest"], rows["points"]["least"]) == ("40", "44", "2")
    assert (rows["size"]["least"], rows["old"]["sum"]) == ("30", rows["old"]["target_sum"]), "numbers that are nobody's"
    lesson = next(row for row in run.result["columns"] if row["column"] == "lesson")
    assert (lesson["shown"], lesson["least"], lesson["target_greatest"]) == (True, "1", "3"), "it is a part of the key"
    page = render_to_string("checks/kinds/transition.html", {"run": run})
    assert page.count("compared, not shown") == 2 * sum(not row["shown"] for row in run.result["columns"])
    told = page + json.dumps(run.result) + log_of(run)
    for kept in run.result["artifacts"]:
        with default_storage.open(kept["key"]) as stored:
            told += stored.read().decode()
    for value in ("1981-02", "203.0.113", "49170123", "2026-01-0"):
        assert value not in told, value
    # A result that was kept before this does not say what may be shown, so nothing is.
    for row in run.result["columns"]:
        row |= {"least": "1981-02-04", "target_greatest": "1981-03-05"}
        del row["shown"]
    assert "1981-0" not in render_to_string("checks/kinds/transition.html", {"run": run})


def _downloads(run: Run) -> None:
    files = {}
    for kept in run.result["artifacts"]:
        with default_storage.open(kept["key"]) as stored:
            files[kept["name"]] = stored.read()
    assert set(files) == {"skipped-rows.csv", "keys.csv", "transition.json", "tables.csv", "skipped.csv", "columns.csv"}
    assert json.loads(files["transition.json"])["total"] == run.result["total"]
    keys = list(csv.DictReader(io.StringIO(files["keys.csv"].decode())))
    assert len(keys) == 128 + 2 + 2, "inserted, merged, and the two that are there already"
    assert {"table": "public.person", "source_key": "3", "target_key": "41", "action": "merged"} in keys
    skipped = list(csv.DictReader(io.StringIO(files["skipped-rows.csv"].decode())))
    assert {
        "table": "public.progress",
        "source_key": "3, 1",
        "reason": "What production knows of a lesson stands.",
    } in (skipped)


def _page(run: Run) -> None:
    page = render_to_string("checks/kinds/transition.html", {"run": run})
    assert "133 rows of the source: 128 inserted, 2 merged, 3 skipped" in page
    assert "Robots have no account." in page
    assert "style=" not in page
    moved = [row for row in run.result["tables"] if row["inserted"]]
    bars = re.findall(r'<svg class="bar".*?</svg>', page)
    assert len(bars) == len(run.result["tables"])
    assert sum('class="go"' in bar for bar in bars) == len(moved)
    early = render_to_string("checks/kinds/transition.html", {"run": Run(environment=run.environment, result={})})
    assert "The rehearsal was not reached." in early
