"""What a default of the target, or a partition by an expression, would refuse amid the move is named before it too."""

from pathlib import Path
from typing import Any

import pytest

from checks.enums import RunState
from tests.kinds_data.people import people
from tests.kinds_data.support import log_of
from tests.kinds_data.test_name_conflicts import conflicts

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")

SOURCE = """
CREATE TABLE member (id serial PRIMARY KEY, name text);
INSERT INTO member (name) VALUES ('ann'), ('bob'), ('eve'), ('eve');
CREATE TABLE visit (id serial PRIMARY KEY, kind text);
INSERT INTO visit (kind) VALUES ('Short'), ('LONG'), ('endless');
"""
TARGET = """
CREATE TABLE member (id serial PRIMARY KEY, name text, site int DEFAULT 1 CHECK (site < 10), UNIQUE (name, site));
INSERT INTO member (name, site) VALUES ('ann', 1), ('bob', 2);
CREATE TABLE visit (id int, kind text) PARTITION BY LIST (lower(kind));
CREATE TABLE visit_short PARTITION OF visit FOR VALUES IN ('short');
CREATE TABLE visit_long PARTITION OF visit FOR VALUES IN ('long');
"""
TABLES: list[dict[str, Any]] = [
    {"table": "member", "same": ["name"]},
    {"table": "visit", "keys": "keep", "same": ["kind"]},
]


def test_unique_keys_over_defaults_and_computed_partition_keys_are_asked_beforehand(tmp_path: Path) -> None:
    with people(tmp_path, source=SOURCE, target=TARGET) as moving:
        run = moving.rehearse(TABLES)
        assert run.state == RunState.FAILED, (run.error, log_of(run))
        assert conflicts(run) == {
            ("member", "unique", "name, site", 2, "3 4"),
            ("member", "unique", "name, site", 1, "1"),
            ("visit", "partition", "kind", 1, "3"),
        }
        moving.at_source("DELETE FROM member WHERE name IN ('ann', 'eve'); DELETE FROM visit WHERE id = 3")
        run = moving.rehearse(TABLES)
        assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
        moving.sql("ALTER TABLE member ALTER site SET DEFAULT 99")
        run = moving.rehearse(TABLES)
        assert conflicts(run) == {("member", "check", "member_site_check", 1, "2")}, (run.error, run.summary)
