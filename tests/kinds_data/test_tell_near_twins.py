"""Somebody whose address differs by case or composition only is not there twice, unless the plan says so."""

from pathlib import Path
from typing import Any

import pytest

from checks.enums import RunState
from tests.kinds_data.people import people
from tests.kinds_data.support import log_of
from tests.kinds_data.test_name_conflicts import conflicts

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")

#: The second é is an e with U+0301, the same letter in two characters.
SOURCE = """
CREATE TABLE person (id serial PRIMARY KEY, email text NOT NULL);
INSERT INTO person (email) VALUES ('Ann@x.org'), ('new@x.org'), (E'jose\\u0301@x.org'), ('there@x.org');
"""
TARGET = """
CREATE TABLE person (id serial PRIMARY KEY, email text NOT NULL {});
INSERT INTO person (email) VALUES ('ann@x.org'), ('josé@x.org'), ('there@x.org');
"""
PERSON: dict[str, Any] = {"table": "person", "same": ["email"], "match": ["email"], "existing": "merge"}


@pytest.mark.parametrize("key", ["UNIQUE", ""])
def test_who_is_nearly_somebody_of_the_target_is_no_new_person(tmp_path: Path, key: str) -> None:
    with people(tmp_path, source=SOURCE, target=TARGET.format(key)) as moving:
        run = moving.rehearse([PERSON])
        assert run.state == RunState.FAILED, (run.error, run.summary, log_of(run))
        assert conflicts(run) == {("person", "near", "email", 2, "1 3")}
        run = moving.rehearse([{**PERSON, "ignoring": ["case"]}])
        assert conflicts(run) == {("person", "near", "email", 1, "3")}, (run.error, run.summary)
        for known, inserted in (({"ignoring": ["case", "nfc"]}, 1), ({"near": "allow"}, 3)):
            run = moving.rehearse([{**PERSON, **known}])
            assert run.state == RunState.PASSED, (known, run.error, run.summary, log_of(run))
            assert run.result["total"]["inserted"] == inserted


@pytest.mark.campaign
def test_who_is_nearly_somebody_that_arrives_as_well_is_named_beside_them(tmp_path: Path) -> None:
    with people(tmp_path, source=SOURCE, target=TARGET.format("UNIQUE")) as moving:
        moving.sql("DELETE FROM person")
        moving.at_source("INSERT INTO person (email) VALUES ('NEW@x.org')")
        run = moving.rehearse([PERSON])
        assert conflicts(run) == {("person", "near", "email", 2, "2 5")}, (run.error, run.summary)
