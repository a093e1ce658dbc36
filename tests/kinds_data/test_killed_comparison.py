"""A comparison whose worker gets a real KILL, twice, is taken up where it was and tells exactly what differs."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage

from checks import engine, reaper
from checks.models import Run
from checks.tools import storage
from checks.tools.reconciling import resuming
from tests.engine.support import application_with, check, log_text, start
from tests.engine.workers import execute_elsewhere, kill_tree, until
from tests.kinds_data.database_pair import DatabasePair, database_pair
from tests.kinds_data.support import administration

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = 40_000
#: Read one after the other: a table with a key in order, one whose rows lie in none, and one without a key.
TABLES = f"""
CREATE TABLE a_ordered (id integer PRIMARY KEY, value text);
INSERT INTO a_ordered SELECT n, repeat('x', 60) || n FROM generate_series(1, {ROWS}) n;
CREATE TABLE b_scattered (code text PRIMARY KEY, value text);
INSERT INTO b_scattered SELECT md5(n::text), repeat('y', 60) || n FROM generate_series(1, {ROWS}) n;
CREATE TABLE c_keyless (n integer, value text);
INSERT INTO c_keyless SELECT n % 9000, repeat('z', 60) || n % 9000 FROM generate_series(1, {ROWS}) n;
"""
#: In each table rows differ all over, so in what was read before each death as well as after it.
DIFFERENCES = """
UPDATE a_ordered SET value = 'other' WHERE id % 4000 = 7;
DELETE FROM a_ordered WHERE id % 8000 = 9;
UPDATE b_scattered SET value = 'other' WHERE code < '01';
INSERT INTO b_scattered VALUES ('a new one', '');
DELETE FROM c_keyless WHERE ctid IN (SELECT min(ctid) FROM c_keyless WHERE n % 1000 = 3 GROUP BY n);
"""
SOURCE = "checks.tools.reconciling"
#: Small units, each kept as soon as it is read, so that there is much to take up after a second of work.
SMALL = {f"{SOURCE}.units:PAGES_IN_A_UNIT": 4, f"{SOURCE}.units:ROWS_IN_A_BUCKET": 500}
OFTEN = {f"{SOURCE}.resuming:KEEP_SECONDS": 0, f"{SOURCE}.resuming:KEEP_SHARE": 1e9}


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last attempt, in this process, reads in the units of those that were killed."""
    for place, value in SMALL.items():
        module, _, name = place.partition(":")
        monkeypatch.setattr(f"{module}.{name}", value)


def kept(run: Run) -> resuming.Earlier | None:
    """What the newest attempt has kept so far."""
    folder = f"runs/{run.pk}/resume"
    for name in reversed(storage.names(folder)):
        try:
            with default_storage.open(f"{folder}/{name}") as file:
                return resuming.read(file.read())
        except FileNotFoundError:  # a newer one has just taken its place
            return None
    return None


def units_kept(run: Run) -> int:
    earlier = kept(run)
    return sum(table.units for table in earlier.tables.values()) if earlier is not None else 0


def killed_when(run: Run, settings: Any, reached: Callable[[], bool]) -> int:
    """Start a worker, KILL it and its children once ``reached``; how many units of work it had kept by then."""
    worker = execute_elsewhere(run, STORAGES=settings.STORAGES, CONSTANTS={**SMALL, **OFTEN})
    until(reached)
    kill_tree(worker)
    assert engine.load(run.pk).state == "running", "the worker had ended by itself"
    units = units_kept(run)
    until(lambda: any(each.pk == run.pk for each in reaper.reap()), seconds=30)
    assert engine.load(run.pk).state == "queued"
    return units


def started(pair: DatabasePair, folder: Path) -> Run:
    environments = {
        "staging": {"tier": "staging", "variables": {"DATABASE_URL": pair.source.url()}},
        "production": {"tier": "production", "variables": {"DATABASE_URL": pair.target.url()}},
    }
    section = check("reconcile", environment="production", params={"source": "staging"})
    application = application_with({"same": section}, folder=folder, plan={"environments": environments})
    return start(application, "checks.same")


def told(run: Run) -> list[tuple[Any, ...]]:
    """Everything exact of a result: each table's rows and counts, and the first rows that differ, with their values."""
    tables = [
        tuple(table[name] for name in ("label", "source_rows", "target_rows", "missing", "extra", "changed"))
        for table in run.result["tables"]
    ]
    differing = [
        (table["label"], row["sort"], str(row["key"]), str(row["cells"]))
        for table in run.result["differing"]
        for row in table["rows"]
    ]
    return [*sorted(tables), *sorted(differing)]


@pytest.mark.campaign
@pytest.mark.slow
def test_a_comparison_killed_twice_is_taken_up_and_exact(
    storage_folder: Path, tmp_path: Path, settings: Any, small_units: None
) -> None:
    with database_pair("reconcile_killed", source=TABLES, target=f"{TABLES}; {DIFFERENCES}") as pair:
        run = started(pair, tmp_path)
        first = killed_when(run, settings, lambda: units_kept(run) > 60)
        second = killed_when(run, settings, lambda: engine.load(run.pk).attempt == 2 and units_kept(run) > first + 60)
        engine.execute(run.pk)
        ended = engine.load(run.pk)
        undisturbed = started(pair, tmp_path)
        engine.execute(undisturbed.pk)
        undisturbed = engine.load(undisturbed.pk)
        with administration() as server:
            left = server.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'reconcile_killed%%'"
            ).fetchone()
    assert (ended.state, ended.attempt) == ("failed", 3), log_text(ended)
    assert [(table["label"], table["missing"], table["extra"], table["changed"]) for table in ended.result["differing"]
            ] == [("public.a_ordered", 5, 0, 10), ("public.b_scattered", 0, 1, _scattered()),
                  ("public.c_keyless", 9, 0, 0)]  # fmt: skip
    assert told(ended) == told(undisturbed)
    assert undisturbed.result["resumed"] == ""
    found = re.match(r"An attempt before this one was lost\. ([0-9,]+) of ([0-9,]+) units", ended.result["resumed"])
    assert found, ended.result["resumed"]
    taken, every = (int(number.replace(",", "")) for number in found.groups())
    assert first < second == taken < every, (first, second, taken, every)
    assert storage.names(f"runs/{run.pk}/resume") == []
    assert left == (0,)


def _scattered() -> int:
    """How many of the keys begin with 00."""
    from hashlib import md5

    return sum(md5(str(n).encode()).hexdigest() < "01" for n in range(1, ROWS + 1))  # noqa: S324 - PostgreSQL's md5()
