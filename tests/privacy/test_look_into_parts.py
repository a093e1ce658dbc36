"""Types that hold texts without being texts: none of them may keep a name or an address in clear and not be told."""

from pathlib import Path

import pytest

from checks.tools import column_facts, personal
from checks.tools.column_facts import Column, Shape
from tests.kinds_data.support import log_of
from tests.privacy.support import INVENTORY, declare, entry, people, told_in

pytestmark = pytest.mark.django_db(transaction=True)

#: The search index is filled by the application, and would be kept by a trigger that is off while a clone is masked.
PARTS = """
CREATE TYPE card AS (label text, written text);
CREATE TABLE desk (id serial PRIMARY KEY, person_id bigint REFERENCES person, found_by tsvector, owner card,
    drawers jsonb[], seen_from inet[], said varchar(60), numbers bigint[], opened boolean[], moods text,
    known tsvector GENERATED ALWAYS AS (to_tsvector('simple', coalesce(moods, ''))) STORED);
INSERT INTO desk (person_id, found_by, owner, drawers, seen_from, said, numbers, opened)
    SELECT id, to_tsvector('simple', name || ' ' || email), ROW('desk', 'of ' || email)::card,
        ARRAY[jsonb_build_object('note', name)], ARRAY[last_ip], 'from ' || host(last_ip), ARRAY[mobile], '{t,f}'
    FROM person;
"""
HOLDING = {"found_by", "owner", "drawers", "seen_from", "numbers"}
COLUMNS = [f"desk.{name}" for name in sorted(HOLDING)]


@pytest.mark.campaign
def test_columns_that_hold_texts_in_parts_must_be_classified(
    transactional_db: None, storage_folder: Path, tmp_path: Path
) -> None:
    with people(tmp_path) as shop:
        shop.sql(PARTS)
        run = shop.run("privacy", rehearse=False)
    assert run.state == "failed", (run.summary, run.error, log_of(run))
    named = {row["column"] for row in run.result["unclassified"]}
    assert {"desk.found_by", "desk.owner", "desk.seen_from"} <= named
    assert not named & {"desk.opened", "desk.known"}
    assert "@example" not in told_in(run.result, log_of(run))


@pytest.mark.campaign
def test_what_is_kept_in_parts_is_looked_through_and_found(
    transactional_db: None, storage_folder: Path, tmp_path: Path
) -> None:
    kept = entry([*COLUMNS, "desk.said"], "not_personal", "keep", why="somebody thought so")
    with people(tmp_path, inventory=[*INVENTORY, kept]) as shop:
        shop.sql(PARTS)
        run = shop.run("privacy")
        assert run.state == "failed", (run.summary, run.error, log_of(run))
        found = {leak["found_column"] for leak in run.result["leaks"]}
        assert found == {*HOLDING, "said"}, run.result["leaks"]
        # What is emptied is gone, and what stood in it is looked for in the rest.
        declare(shop, [*INVENTORY, entry([*COLUMNS, "desk.said"], "content", "null")])
        masked = shop.run("privacy")
    assert masked.state == "passed", (masked.summary, masked.error, log_of(masked))
    assert [row["reason"] for row in masked.result["not_provable"] if row["column"] == "desk.found_by"] == [
        "words of a tsvector are no whole values"
    ]


@pytest.mark.parametrize(
    ("kind", "category", "element", "shape"),
    [
        ("tsvector", "U", "", "parts"), ("card", "C", "", "parts"), ("_jsonb", "A", "U", "parts"),
        ("_inet", "A", "I", "parts"), ("ltree", "U", "", "parts"), ("textrange", "R", "", "parts"),
        ("_int8", "A", "N", "parts"), ("point", "G", "", "parts"), ("_mood", "A", "E", "other"),
        ("uuid", "U", "", "other"), ("_uuid", "A", "U", "other"), ("bool", "B", "", "other"),
        ("interval", "T", "", "other"), ("int4range", "R", "", "other"), ("_text", "A", "S", "array"),
        ("bytea", "U", "", "bytes"), ("_bytea", "A", "U", "bytes"),
    ],
)  # fmt: skip
def test_only_a_type_that_can_hold_no_text_is_not_looked_into(
    kind: str, category: str, element: str, shape: Shape
) -> None:
    assert column_facts.shape_of(kind, category, element) == shape


def test_a_search_index_that_the_database_computes_itself_needs_no_entry() -> None:
    def found(computed: bool) -> personal.Finding | None:
        column = Column("public", "desk", "search", "tsvector", "parts", False, computed, None, False, 1, 8192, "r")
        return personal.look_at(column, ['["anna", "berg"]'])

    assert found(computed=False) is not None
    assert found(computed=True) is None
