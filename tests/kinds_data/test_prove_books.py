"""Each sentence of a transition's proof is met by what it is about; a proof that cannot fail proves nothing."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.files.storage import default_storage
from psycopg import sql

from checks.enums import RunState
from checks.tools.transition import keeping, matching, staging
from tests.kinds_data.people import People, people
from tests.kinds_data.support import log_of

#: A row of a moved table that no row of the source became is changed in place: as many rows as before.
IN_PLACE = """
CREATE FUNCTION tamper() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE public.person SET name = 'Older' WHERE email = 'old1@example.org';
    RETURN NEW;
END $$;
CREATE TRIGGER tamper AFTER INSERT ON preferences FOR EACH ROW EXECUTE FUNCTION tamper();
"""
#: When it goes wrong, in which table, how, and what the proof says of it.
STAGED, PLACED, KEPT = (staging, "analyse"), (matching, "build_map"), (keeping, "keep_keys")
FIRST = "ctid = (SELECT min(ctid) FROM {})"
INSERTED = "ctid = (SELECT min(ctid) FROM {} WHERE action = 1)"
WRONG = [
    (STAGED, "progress", "DELETE FROM {} WHERE " + FIRST, "the source has 87 rows and 86 arrived."),
    (STAGED, "person", "UPDATE {} SET rule = 0",
     "as many rows arrived as the source has, but their content differs."),
    (PLACED, "progress", "DELETE FROM {} WHERE " + FIRST, "87 rows arrived and 86 were given a place."),
    (PLACED, "progress", "DELETE FROM {} WHERE " + INSERTED,
     "87 rows of the source are not 85 inserted + 0 merged + 1 skipped = 86."),
    (STAGED, "person", "UPDATE {} SET rule = 0", "the source has 1 rows for “Robots have no account.”, and 0 were"),
    (PLACED, "preferences", "UPDATE {} SET action = 3 WHERE " + FIRST,
     "1 rows were skipped as already there and are not in the target: "),
    (PLACED, "preferences", "UPDATE {} SET action = 4 WHERE action = 3",
     "1 rows were skipped as not in the target and are in it: "),
    (PLACED, "progress", "UPDATE {} SET action = 6 WHERE " + FIRST,
     "1 rows were skipped as orphans and what they refer to arrived: "),
    (PLACED, "preferences", "UPDATE {} SET action = 7 WHERE " + FIRST,
     "1 rows were skipped as the same as another row, which is not in the target: "),
    (KEPT, "progress", "DELETE FROM {} WHERE " + FIRST,
     "87 rows were given a place, and 86 were kept for the way back."),
    (KEPT, "progress", "UPDATE {} SET h = NULL WHERE " + INSERTED,
     "1 inserted or merged rows were kept without their hash, so nobody could undo them."),
]  # fmt: skip


@pytest.fixture
def moving(transactional_db: None, storage_folder: Path, tmp_path: Path) -> Iterator[People]:
    with people(tmp_path) as made:
        yield made


@pytest.mark.campaign
def test_a_row_outside_of_the_mapping_that_changes_in_place_is_told(moving: People) -> None:
    moving.sql(IN_PLACE)
    before = moving.everything()
    run = moving.rehearse()
    assert run.state == RunState.FAILED, (run.error, log_of(run))
    assert run.result["differences"] == ["public.person: rows outside of the mapping changed (40 before and 40 after)."]
    assert moving.everything() == before


@pytest.mark.campaign
def test_a_key_that_a_spreadsheet_would_run_stays_text_in_the_files_of_rows(moving: People) -> None:
    with psycopg.connect(moving.source.conninfo(), autocommit=True) as database:
        database.execute("CREATE TABLE coupon (code text PRIMARY KEY, worth integer)")
        database.execute("INSERT INTO coupon VALUES ('=HYPERLINK(1)', 1), ('@there', 2), ('-5', 3), ('+plus', 4)")
    moving.sql("CREATE TABLE coupon (code text PRIMARY KEY, worth integer)")
    mapping = {"table": "coupon", "key": ["code"], "keys": "keep", "same": ["worth"],
               "skip": [{"when": "worth = 2", "reason": "=no"}]}  # fmt: skip
    run = moving.rehearse([mapping])
    assert run.state == RunState.PASSED, (run.summary, run.error, log_of(run))
    files = {}
    for kept in run.result["artifacts"]:
        with default_storage.open(kept["key"]) as stored:
            files[kept["name"]] = list(csv.reader(io.StringIO(stored.read().decode())))
    assert sorted(row[1:3] for row in files["keys.csv"][1:]) == [
        ["'+plus", "'+plus"], ["'=HYPERLINK(1)", "'=HYPERLINK(1)"], ["-5", "-5"],
    ]  # fmt: skip
    assert files["skipped-rows.csv"][1:] == [["public.coupon", "'@there", "'=no"]]


@pytest.mark.campaign
@pytest.mark.parametrize(("moment", "table", "statement", "sentence"), WRONG, ids=[case[3][:50] for case in WRONG])
def test_what_goes_wrong_on_the_way_is_told(
    moving: People, monkeypatch: pytest.MonkeyPatch, moment: tuple[Any, str], table: str, statement: str, sentence: str
) -> None:
    module, name = moment
    original = getattr(module, name)

    def tampered(target: Any, work: Any, *more: Any) -> None:
        original(target, work, *more)
        if work.label == f"public.{table}":
            kept = keeping.keys_table(work.place, work.number) if moment == KEPT else None
            place = {STAGED: work.stage, PLACED: work.map, KEPT: kept}[moment]
            done = target.execute(sql.SQL(statement.replace("{}", "{0}")).format(place))  # type: ignore[arg-type]
            assert done.rowcount > 0

    monkeypatch.setattr(module, name, tampered)
    before = moving.everything()
    run = moving.rehearse()
    assert run.state == RunState.FAILED, (run.summary, run.error, log_of(run))
    told = "\n".join(run.result["differences"])
    assert f"public.{table}: {sentence}" in told, told
    assert moving.everything() == before
