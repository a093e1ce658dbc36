"""Foreign keys of every shape are followed: in the order in which rows are written, and to the rows that they name."""

from pathlib import Path
from typing import Any

import pytest

from checks.enums import RunState
from tests.kinds_data.people import people
from tests.kinds_data.support import log_of
from tests.kinds_data.test_name_conflicts import conflicts

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")

#: A key of two columns beside one of the first of them, a key of two columns alone, and one to a column that is no key.
TARGET = """
CREATE TABLE person (id serial PRIMARY KEY, email text NOT NULL UNIQUE);
CREATE TABLE progress (person_id int REFERENCES person, lesson int, score int, PRIMARY KEY (person_id, lesson));
CREATE TABLE note (id serial PRIMARY KEY, person_id int NOT NULL REFERENCES person, lesson int, text text,
    FOREIGN KEY (person_id, lesson) REFERENCES progress);
CREATE TABLE mark (id serial PRIMARY KEY, person_id int, lesson int,
    FOREIGN KEY (person_id, lesson) REFERENCES progress);
CREATE TABLE login (id serial PRIMARY KEY, name text REFERENCES person (email));
"""
OLD = """
INSERT INTO person (email) SELECT 'old' || n || '@x' FROM generate_series(1, 20) n;
INSERT INTO progress SELECT n, 1, 0 FROM generate_series(1, 20) n;
INSERT INTO login (name) VALUES ('old3@x');
"""
#: Its own keys are gone, so that rows can be planted which name nothing.
SOURCE = (
    TARGET
    + """
ALTER TABLE note DROP CONSTRAINT note_person_id_lesson_fkey;
ALTER TABLE login DROP CONSTRAINT login_name_fkey;
INSERT INTO person (email) SELECT 'p' || n || '@x' FROM generate_series(1, 9) n;
INSERT INTO progress SELECT p, l, p * l FROM generate_series(1, 9) p, generate_series(1, 2) l;
INSERT INTO note (person_id, lesson, text) SELECT n, n % 2 + 1, 'note of p' || n FROM generate_series(1, 9) n;
INSERT INTO note (person_id, text) VALUES (4, 'about no lesson, of p4');
INSERT INTO mark (person_id, lesson) VALUES (1, 1), (2, 2), (NULL, NULL);
INSERT INTO login (name) VALUES ('p5@x'), ('old7@x'), (NULL);
"""
)
#: Children first, to see that the order is not the plan's.
TABLES: list[dict[str, Any]] = [
    {"table": "login", "same": ["name"]},
    {"table": "mark", "same": ["person_id", "lesson"]},
    {"table": "note", "same": ["person_id", "lesson", "text"]},
    {"table": "progress", "key": ["person_id", "lesson"], "keys": "keep", "same": ["score"]},
    {"table": "person", "same": ["email"], "match": ["email"]},
]


@pytest.mark.campaign
def test_rows_are_written_after_what_they_name_and_name_the_same_afterwards(tmp_path: Path) -> None:
    # Seen in the target itself: a trigger keeps what was written before the proof's end, and the clone is gone.
    seen = """
    CREATE TABLE seen (text text);
    CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.text NOT LIKE '%of ' || split_part((SELECT email FROM public.person WHERE id = NEW.person_id), '@', 1)
        THEN RAISE EXCEPTION 'the note of somebody else'; END IF; RETURN NEW; END $$;
    CREATE TRIGGER see BEFORE INSERT ON note FOR EACH ROW EXECUTE FUNCTION see();
    """
    with people(tmp_path, source=SOURCE, target=TARGET + OLD + seen) as moving:
        run = moving.rehearse(TABLES)
        assert run.state == RunState.PASSED, (run.error, run.summary, run.result.get("conflicts"), log_of(run))
        assert run.result["total"]["inserted"] == 9 + 18 + 10 + 3 + 3


def test_what_would_name_nothing_is_an_orphan_by_whichever_key(tmp_path: Path) -> None:
    with people(tmp_path, source=SOURCE, target=TARGET + OLD) as moving:
        moving.at_source("INSERT INTO note (person_id, lesson, text) VALUES (3, 99, 'no such lesson')")
        moving.at_source("INSERT INTO login (name) VALUES ('nobody@x')")
        before = moving.everything()
        run = moving.rehearse(TABLES)
        assert run.state == RunState.FAILED, (run.error, log_of(run))
        assert conflicts(run) == {
            ("note", "orphan", "person_id, lesson", 1, "11"),
            ("login", "orphan", "name", 1, "4"),
        }
        assert moving.everything() == before


@pytest.mark.campaign
def test_half_of_a_key_names_nobody_and_is_not_dropped_in_silence(tmp_path: Path) -> None:
    with people(tmp_path, source=SOURCE, target=TARGET + OLD) as moving:
        moving.at_source("INSERT INTO mark (person_id) VALUES (6)")
        run = moving.rehearse(TABLES)
        assert run.state == RunState.FAILED, (run.error, run.summary, log_of(run))
        assert conflicts(run) == {("mark", "half", "person_id, lesson", 1, "4")}
        each = {"person_id": {"column": "person_id", "references": "person"}}
        run = moving.rehearse([{"table": "mark", "columns": each, "same": ["lesson"]}, *TABLES[3:]])
        assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
