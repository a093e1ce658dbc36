"""Partitioned tables give and take people's data like any other; a row without a place is named beforehand."""

from pathlib import Path
from typing import Any

import pytest

from checks.enums import RunState
from tests.kinds_data.people import people
from tests.kinds_data.support import log_of

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")

PERSON = "CREATE TABLE person (id serial PRIMARY KEY, email text NOT NULL UNIQUE);"
SOURCE = (
    PERSON
    + """
CREATE TABLE visit (id bigserial, person_id int NOT NULL REFERENCES person, at timestamptz NOT NULL, place text,
    PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE visit_early PARTITION OF visit FOR VALUES FROM (MINVALUE) TO ('2026-03-01');
CREATE TABLE visit_late PARTITION OF visit DEFAULT;
INSERT INTO person (email) SELECT 'p' || n || '@example.org' FROM generate_series(1, 20) n;
INSERT INTO visit (person_id, at, place) SELECT n % 20 + 1, '2026-01-05Z'::timestamptz + n * interval '1 day', 'b' || n
    FROM generate_series(1, 100) n;
"""
)
#: Months, and in May a second level by hash; other columns of the partitions in another order.
TARGET = (
    PERSON
    + """
CREATE TABLE visit (id bigserial, person_id int NOT NULL REFERENCES person, at timestamptz NOT NULL, place text,
    PRIMARY KEY (id, at), UNIQUE (place, at)) PARTITION BY RANGE (at);
CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM ('2026-01-01Z') TO ('2026-02-01Z');
CREATE TABLE visit_2 PARTITION OF visit FOR VALUES FROM ('2026-02-01Z') TO ('2026-03-01Z');
CREATE TABLE visit_3 (place text, at timestamptz NOT NULL, gone int, person_id int NOT NULL, id bigint NOT NULL);
ALTER TABLE visit_3 DROP COLUMN gone;
ALTER TABLE visit ATTACH PARTITION visit_3 FOR VALUES FROM ('2026-03-01Z') TO ('2026-04-01Z');
CREATE TABLE visit_4 PARTITION OF visit FOR VALUES FROM ('2026-04-01Z') TO ('2026-05-01Z')
    PARTITION BY HASH (at);
CREATE TABLE visit_4_even PARTITION OF visit_4 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE visit_4_odd PARTITION OF visit_4 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO person (email) SELECT 'old' || n || '@example.org' FROM generate_series(1, 30) n;
INSERT INTO person (email) VALUES ('p7@example.org');
INSERT INTO visit (person_id, at, place) SELECT n, '2026-02-10Z'::timestamptz + n * interval '1 day', 'old' || n
    FROM generate_series(1, 31) n;
"""
)
PEOPLE: dict[str, Any] = {"table": "person", "same": ["email"], "match": ["email"], "existing": "skip"}
VISITS: dict[str, Any] = {"table": "visit", "same": ["person_id", "at", "place"], "match": ["place", "at"],
                          "existing": "merge", "merge": {"person_id": "source"}}  # fmt: skip


def counts(run: Any) -> dict[str, list[int]]:
    names = ("source", "inserted", "merged", "skipped", "rest_rows")
    return {row["table"]: [row[name] for name in names] for row in run.result["tables"]}


@pytest.mark.campaign
def test_rows_move_between_partitions_of_any_shape_are_proven_and_undone(tmp_path: Path) -> None:
    with people(tmp_path, source=SOURCE, target=TARGET) as moving:
        moving.at_source("INSERT INTO visit (person_id, at, place) VALUES (7, '2026-02-11Z', 'old1')")
        before = moving.everything()
        run = moving.rehearse([PEOPLE, VISITS])
        assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
        assert counts(run) == {"public.person": [20, 19, 0, 1, 31], "public.visit": [101, 100, 1, 0, 30]}
        assert run.result["undo"]["differences"] == []
        assert {row["sequence"]: (row["from"], row["to"]) for row in run.result["sequences"]} == {
            "public.person_id_seq": (31, 50), "public.visit_id_seq": (31, 131),
        }  # fmt: skip
        assert moving.everything() == before


@pytest.mark.campaign
def test_a_row_for_which_there_is_no_partition_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    with people(tmp_path, source=SOURCE, target=TARGET + "DROP TABLE visit_3; DROP TABLE visit_4_odd;") as moving:
        before = moving.everything()
        run = moving.rehearse([PEOPLE, {**VISITS, "existing": "stop", "merge": {}}])
        assert run.state == RunState.FAILED, (run.error, run.summary, log_of(run))
        (conflict,) = run.result["conflicts"]
        assert (conflict["table"], conflict["kind"], conflict["about"]) == (
            "public.visit",
            "partition",
            "at",
        )
        assert conflict["rows"] > 31, "all of March, and some of April"
        assert "belong to no partition that the target has" in run.summary
        assert moving.everything() == before


@pytest.mark.campaign
def test_one_partition_may_be_the_target_and_what_it_refers_to_is_followed(tmp_path: Path) -> None:
    with people(tmp_path, source=SOURCE, target=TARGET) as moving:
        mapping = {"table": "visit_2", "source_table": "visit_early", "key": ["id", "at"], "keys": "keep",
                   "same": ["person_id", "place"]}  # fmt: skip
        run = moving.rehearse([PEOPLE, mapping])
        assert run.state == RunState.FAILED, (run.error, run.summary, log_of(run))
        kinds = {(row["kind"], row["about"], row["rows"]) for row in run.result["conflicts"]}
        assert kinds == {("partition", "at", 26)}, "January has another partition"
        mapping["skip"] = [{"when": "at < '2026-02-01Z'", "reason": "January is over."}]
        run = moving.rehearse([PEOPLE, mapping])
        assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
        assert counts(run)["public.visit_2"] == [54, 28, 0, 26, 18]


@pytest.mark.campaign
def test_a_partitioned_source_must_name_each_row_by_its_key(tmp_path: Path) -> None:
    """The primary key of a partitioned table holds the partition's column too, so its number alone may come twice."""
    with people(tmp_path, source=SOURCE, target=TARGET) as moving:
        moving.at_source("INSERT INTO visit (id, person_id, at, place) VALUES (5, 2, '2026-03-01Z', 'again')")
        before = moving.everything()
        run = moving.rehearse([PEOPLE, VISITS])
        assert run.state == RunState.FAILED, (run.error, run.summary, log_of(run))
        assert run.summary == "public.visit: 2 rows have the key of another row. Nothing was written."
        assert run.result["conflicts"][0]["keys"] == ["5", "5"]
        assert moving.everything() == before
