"""The demonstration notices whatever production lost or changed, and lets pass what was only added."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.demo import data

SCHEMA = """
CREATE TABLE person (id bigint PRIMARY KEY, name text, notes jsonb);
CREATE TABLE visit (person bigint, day date, PRIMARY KEY (person, day));
CREATE TABLE word (text text);
INSERT INTO person VALUES (1, 'Ada', '{"a": 1}'), (2, '', NULL);
INSERT INTO visit VALUES (1, '2026-11-30'), (2, '2026-11-30');
INSERT INTO word VALUES ('twice'), ('twice'), (NULL);
"""


@pytest.fixture
def shop(transactional_db: None, tmp_path: Path) -> Iterator[Any]:
    from tests.kinds_data.support import shop as made  # models cannot be imported before Django is set up

    with made(tmp_path, schema=SCHEMA) as one:
        yield one


def after(shop: Any, statement: str, changing: Collection[str] = ()) -> list[str]:
    before = data.read(shop.address.url())
    shop.sql(statement)
    return list(data.differences(before, data.read(shop.address.url()), changing))


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE person SET name = NULL WHERE id = 2", ["person 2 differs in name"]),
        ("""UPDATE person SET notes = '{"a": 1.0}' WHERE id = 1""", ["person 1 differs in notes"]),
        ("UPDATE visit SET day = '2026-12-01' WHERE person = 2", ["visit 2, 2026-11-30 is gone"]),
        ("DELETE FROM word WHERE ctid = '(0,1)'", ["word twice, number 2 is gone"]),
        ("ALTER TABLE person DROP COLUMN notes", ["person has no notes any more"]),
        ("DROP TABLE word", ["table word is gone"]),
    ],
)
def test_what_is_lost_or_changed_is_named(shop: Any, statement: str, told: list[str]) -> None:
    assert after(shop, statement) == told


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO person VALUES (3, 'Bo', NULL)",
        "INSERT INTO word VALUES ('twice')",
        "ALTER TABLE person ADD COLUMN born date",
        "CREATE TABLE more ()",
    ],
)
def test_what_is_added_is_no_loss(shop: Any, statement: str) -> None:
    assert after(shop, statement) == []


def test_only_what_is_named_may_change(shop: Any) -> None:
    statement = "UPDATE person SET name = 'x', notes = NULL WHERE id = 1; DELETE FROM word"
    assert after(shop, statement, {"person.notes", "word"}) == ["person 1 differs in name"]
