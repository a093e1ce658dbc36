"""What the target would refuse in the middle of the move is named before it: exclusions, domains, numbers."""

from pathlib import Path
from typing import Any

import pytest

from checks.enums import RunState
from tests.kinds_data.people import people
from tests.kinds_data.support import log_of
from tests.kinds_data.test_move_any_value import passed, thing
from tests.kinds_data.test_name_conflicts import conflicts

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")

#: Rows 1 and 2 stand against each other, 3 against a row of the target; 4 is in another place, 5 says nothing.
STAYS = """
CREATE TABLE stay (id int PRIMARY KEY, room text, days daterange, cancelled boolean NOT NULL DEFAULT false);
INSERT INTO stay (id, room, days) VALUES (1, 'a', '[2026-01-01,2026-01-05)'), (2, 'a', '[2026-01-04,2026-01-09)'),
    (3, 'b', '[2026-01-01,2026-01-05)'), (4, 'c', '[2026-01-01,2026-01-05)'), (5, 'a', NULL);
INSERT INTO stay VALUES (6, 'a', '[2026-01-01,2026-01-09)', true);
"""
#: btree_gist is not on every server: the room is told by a range as well, which gist knows by itself.
ROOMS = """
CREATE TABLE stay (id int PRIMARY KEY, room text, days daterange, cancelled boolean NOT NULL DEFAULT false,
    CONSTRAINT one_guest EXCLUDE USING gist (int4range(ascii(room), ascii(room), '[]') WITH =, days WITH &&)
    WHERE (NOT cancelled));
INSERT INTO stay VALUES (100, 'b', '[2026-01-03,2026-01-04)'), (101, 'd', '[2026-01-01,2026-01-05)');
"""


def test_rows_that_an_exclusion_refuses_are_named(tmp_path: Path) -> None:
    with people(tmp_path, source=STAYS, target=ROOMS) as made:
        before = made.everything()
        stays = thing("stay", "room", "days", "cancelled")
        run = made.rehearse([stays])
        assert run.state == RunState.FAILED, (run.error, log_of(run))
        assert conflicts(run) == {
            ("stay", "exclusion", "one_guest", 2, "1 2"),
            ("stay", "exclusion", "one_guest", 1, "3"),
        }
        assert "stand against another row of the source by one_guest" in run.summary
        assert made.everything() == before
        run = made.rehearse([{**stays, "skip": [{"when": "id IN (2, 3)", "reason": "They came second."}]}])
        passed(run)

        # A merged row does not stand against what it was.
        made.at_source("INSERT INTO stay VALUES (101, 'd', '[2026-01-02,2026-01-06)')")
        merged = {**stays, "existing": "merge", "merge": {"days": "source"}}
        passed(made.rehearse([{**merged, "skip": [{"when": "id IN (2, 3)", "reason": "They came second."}]}]))


#: The column that names a room is narrower than the room's own number.
ROOMED = """
CREATE TABLE room (id bigserial PRIMARY KEY, name text UNIQUE);
INSERT INTO room (name) VALUES ('c'), ('b');
CREATE TABLE stay (id int PRIMARY KEY, room_id integer REFERENCES room, days daterange,
    CONSTRAINT one_guest EXCLUDE USING gist (int4range(room_id, room_id, '[]') WITH =, days WITH &&));
INSERT INTO stay VALUES (100, 2, '[2026-01-03,2026-01-04)');
"""
TO_ROOMS = (
    STAYS
    + """
CREATE TABLE room (id int PRIMARY KEY, name text);
INSERT INTO room VALUES (1, 'a'), (2, 'b'), (3, 'c');
ALTER TABLE stay ADD room_id int;
UPDATE stay SET room_id = ascii(room) - 96;
"""
)


@pytest.mark.parametrize("merge", [{}, {"room_id": "source"}])
def test_an_exclusion_over_a_narrower_reference_is_asked(tmp_path: Path, merge: dict[str, str]) -> None:
    rooms = {"table": "room", "same": ["name"], "match": ["name"], "existing": "skip", "reason": "They are there."}
    stays = thing("stay", "room_id", "days", existing="merge", merge=merge,
                  skip=[{"when": "cancelled", "reason": "Nobody came."}])  # fmt: skip
    with people(tmp_path, source=TO_ROOMS, target=ROOMED) as made:
        run = made.rehearse([rooms, stays])
        assert run.state == RunState.FAILED, (run.error, log_of(run))
        assert conflicts(run) == {
            ("stay", "exclusion", "one_guest", 2, "1 2"),
            ("stay", "exclusion", "one_guest", 1, "3"),
        }


def test_a_key_without_overlaps_is_asked_as_an_exclusion(tmp_path: Path) -> None:
    source = """
        CREATE TABLE term (id int4range, valid daterange, a text, PRIMARY KEY (id, valid));
        INSERT INTO term VALUES ('[1,2)', '[2026-01-01,2026-02-01)', 'x'), ('[1,2)', '[2026-01-15,2026-03-01)', 'y'),
            ('[2,3)', '[2026-01-15,2026-03-01)', 'z');
    """
    target = "CREATE TABLE term (id int4range, valid daterange, a text, PRIMARY KEY (id, valid WITHOUT OVERLAPS))"
    with people(tmp_path, source=source, target=target) as made:
        run = made.rehearse([thing("term", "a", key=["id", "valid"])])
        assert run.state == RunState.FAILED, (run.error, log_of(run))
        assert [(row["kind"], row["rows"]) for row in run.result["conflicts"]] == [("exclusion", 2)]


DOMAINS = """
CREATE DOMAIN given AS text NOT NULL;
CREATE DOMAIN named AS given;
CREATE DOMAIN filled AS text CHECK (VALUE IS NOT NULL AND VALUE <> '');
CREATE DOMAIN free AS text DEFAULT 'free' CHECK (length(VALUE) < 9);
CREATE DOMAIN price AS numeric(8, 3);
CREATE DOMAIN number AS int NOT NULL CHECK (VALUE < 1000);
"""
PLAIN = """
CREATE TABLE word (id int PRIMARY KEY, a text, b text, c text, d text, e numeric);
INSERT INTO word VALUES (1, 'a', 'b', 'c', 'd', 1.5), (2, NULL, 'b', 'c', 'd', 1.25), (3, 'a', NULL, 'c', 'd', NULL),
    (4, 'a', 'b', NULL, 'd', 2), (5, 'a', 'b', '', 'd', 2), (6, 'a', 'b', 'c', 'far too long', 2),
    (7, 'a', 'b', 'c', 'd', 1.2345);
CREATE TABLE keyed (id int PRIMARY KEY, a text);
INSERT INTO keyed VALUES (1, 'x'), (2, 'y'), (3000, 'z');
"""
OF_DOMAINS = (
    DOMAINS
    + """
CREATE TABLE word (id int PRIMARY KEY, a given, b named, c filled, d free, e price, f free NOT NULL);
CREATE TABLE keyed (id number PRIMARY KEY, a text);
"""
)


def test_what_a_domain_of_the_target_refuses_is_named(tmp_path: Path) -> None:
    word, keyed = thing("word", "a", "b", "c", "d", "e"), thing("keyed", "a")
    with people(tmp_path, source=PLAIN, target=OF_DOMAINS) as made:
        run = made.rehearse([word, keyed])
        assert run.state == RunState.FAILED, (run.error, log_of(run))
        assert conflicts(run) == {
            ("word", "null", "a", 1, "2"), ("word", "null", "b", 1, "3"),
            ("word", "overflow", "c", 1, "5"), ("word", "overflow", "d", 1, "6"), ("word", "altered", "e", 1, "7"),
            ("keyed", "overflow", "id", 1, "3000"),
        }  # fmt: skip
        run = made.rehearse([{**word, "skip": [{"when": "id = 5", "reason": "It is empty."}]}])
        assert ("word", "null", "c", 1, "4") in conflicts(run), "asked where nothing else is wrong with the column"
        run = made.rehearse([{**word, "same": ["b", "c", "d", "e"]}])
        assert ("word", "null", "a", 7, "1 2 3 4 5 6 7") in conflicts(run), "it would get no value"
        word["skip"] = [{"when": "id BETWEEN 2 AND 7", "reason": "They do not fit."}]
        keyed["skip"] = [{"when": "id > 2000 OR id = 2", "reason": "A number too far."}]
        passed(made.rehearse([word, keyed]))


NUMBERED = """
CREATE TABLE small (id smallserial PRIMARY KEY, a text);
SELECT setval('small_id_seq', 32765);
CREATE SEQUENCE numbers MAXVALUE 12;
CREATE TABLE few (id bigint PRIMARY KEY DEFAULT nextval('numbers'), a text);
INSERT INTO few VALUES (10, 'here');
CREATE TABLE big (id bigserial PRIMARY KEY, a text UNIQUE);
SELECT setval('big_id_seq', 9223372036854775805);
CREATE TABLE parent (id bigserial PRIMARY KEY, a text);
SELECT setval('parent_id_seq', 32766);
CREATE TABLE child (id serial PRIMARY KEY, parent_id smallint NOT NULL REFERENCES parent);
CREATE TABLE part (parent_id smallint PRIMARY KEY REFERENCES parent, a text);
"""
TO_NUMBER = """
CREATE TABLE small (id int PRIMARY KEY, a text);
INSERT INTO small SELECT n, 'x' FROM generate_series(1, 5) n;
CREATE TABLE few AS TABLE small;
CREATE TABLE big AS SELECT id, 'x' || id AS a FROM small;
CREATE TABLE parent AS TABLE small;
CREATE TABLE child AS SELECT id, id AS parent_id FROM small;
CREATE TABLE part AS SELECT id AS parent_id, a FROM small;
"""


def test_new_numbers_that_the_target_does_not_reach_are_named(tmp_path: Path) -> None:
    tables = [{"table": name, "same": ["a"]} for name in ("small", "few", "big", "parent")]
    tables += [{"table": "child", "same": ["parent_id"]},
               {"table": "part", "keys": "keep", "key": ["parent_id"], "same": ["a"]}]  # fmt: skip
    with people(tmp_path, source=TO_NUMBER, target=NUMBERED) as made:
        before = made.everything()
        run = made.rehearse(tables)
        assert run.state == RunState.FAILED, (run.error, log_of(run))
        assert conflicts(run) == {
            ("small", "number", "id", 3, "3 4 5"), ("few", "number", "id", 3, "3 4 5"),
            ("big", "number", "id", 3, "3 4 5"), ("child", "number", "parent_id", 4, "2 3 4 5"),
            ("part", "number", "parent_id", 4, "2 3 4 5"),
        }  # fmt: skip
        assert made.everything() == before


def test_a_key_that_is_kept_beyond_its_sequence_stops_nothing(tmp_path: Path) -> None:
    with people(tmp_path, source=TO_NUMBER, target=NUMBERED) as made:
        made.at_source("UPDATE few SET id = 9000 WHERE id = 5; UPDATE few SET id = 11 WHERE id = 4")
        run = made.rehearse([thing("few", "a")])
        passed(run)
        assert run.result["sequences"] == [{"sequence": "public.numbers", "from": 1, "to": 11}]
        made.at_source("UPDATE few SET id = 12 WHERE id = 3")
        run = made.rehearse([thing("few", "a")])
        assert conflicts(run) == {("few", "number", "id", 1, "12")}, "the application could add nothing any more"


CAST = """
CREATE TABLE cast_from (id int PRIMARY KEY, flag boolean, cost money, sizes numeric[], amount numeric, doc jsonb);
INSERT INTO cast_from VALUES (1, true, '12.50', '{1.50,2}', 1.50, '7'), (2, false, '-3', NULL, NULL, NULL),
    (3, NULL, NULL, '{}', 0, '8');
"""
CAST_TO = """
CREATE TABLE cast_from (id int PRIMARY KEY, flag int, cost numeric(10, 2), sizes numeric[], amount numeric(9, 4),
    doc int);
"""


def test_what_becomes_the_other_type_without_loss_is_no_conflict(tmp_path: Path) -> None:
    fitting = thing("cast_from", "flag", "cost", "sizes", "amount", "doc")
    with people(tmp_path, source=CAST, target=CAST_TO) as made:
        passed(made.rehearse([fitting]))
        made.at_source("UPDATE cast_from SET cost = '123456789.25' WHERE id = 1")
        made.sql("ALTER TABLE cast_from ALTER cost TYPE numeric(10, 1)")
        assert conflicts(made.rehearse([fitting])) == {("cast_from", "altered", "cost", 1, "1")}
        made.sql("ALTER TABLE cast_from ALTER flag TYPE bigint")
        run = made.rehearse([fitting])
        assert run.state == RunState.ERRORED
        assert run.error == (
            "public.cast_from.flag is bigint, and the mapping gives boolean: cannot cast type boolean to bigint."
        )
        assert "Say by an expression (sql:)" in run.remedy


def test_a_reference_to_a_period_is_refused(tmp_path: Path) -> None:
    schema = """
        CREATE TABLE term (id int4range, valid daterange, PRIMARY KEY (id, valid{overlaps}));
        CREATE TABLE use (id int PRIMARY KEY, term_id int4range, valid daterange{reference});
    """
    there = schema.format(overlaps="", reference="")
    here = schema.format(
        overlaps=" WITHOUT OVERLAPS",
        reference=", FOREIGN KEY (term_id, PERIOD valid) REFERENCES term (id, PERIOD valid)",
    )
    tables: list[dict[str, Any]] = [thing("term", key=["id", "valid"]), thing("use", "term_id", "valid")]
    with people(tmp_path, source=there, target=here) as made:
        run = made.rehearse(tables)
        assert run.state == RunState.ERRORED, run.summary
        assert "has the foreign key use_term_id_valid_fkey with a PERIOD, which names no single row" in run.error
