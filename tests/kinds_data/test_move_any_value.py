"""Rows arrive whatever their values come from: a domain, a constant, a null; and the sequences behind them follow."""

from pathlib import Path
from typing import Any

import pytest

from checks.enums import RunState
from checks.models import Run
from tests.kinds_data.people import people
from tests.kinds_data.support import log_of

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")


def thing(table: str, *same: str, **more: Any) -> dict[str, Any]:
    return {"table": table, "keys": "keep", "same": list(same), **more}


def passed(run: Run) -> None:
    assert run.state == RunState.PASSED, (run.error, run.summary, run.result.get("differences"), log_of(run)[-500:])


DOMAINS = """
CREATE DOMAIN percent AS int CHECK (VALUE < 101);
CREATE DOMAIN code AS text;
CREATE TABLE of_domain (id int PRIMARY KEY, a percent, b code);
CREATE TABLE by_domain (id percent PRIMARY KEY, up percent);
"""
PLAIN = """
CREATE TABLE constants (id int PRIMARY KEY, a text);
CREATE TABLE figures (id int PRIMARY KEY, a int);
"""
ARRIVE = """
INSERT INTO of_domain VALUES (1, 5, 'x'), (2, NULL, 'y');
INSERT INTO by_domain VALUES (1, NULL), (2, 1);
INSERT INTO constants VALUES (1, 'x'), (2, 'y');
INSERT INTO figures VALUES (1, 100);
"""


def test_domains_constants_and_nulls_have_one_checksum_on_both_sides(tmp_path: Path) -> None:
    target = (
        DOMAINS.replace("up percent", "up percent REFERENCES by_domain")
        + """
        CREATE TABLE constants (id int PRIMARY KEY, a text, b text, c text, d int, e varchar(9), f boolean, g bigint);
        CREATE TABLE figures (id int PRIMARY KEY, a percent);
    """
    )
    columns = {"b": {"sql": "NULL"}, "c": {"sql": "'const'"}, "d": {"sql": "NULL"}, "e": {"value": "word"},
               "f": {"value": True}, "g": {"value": 5}}  # fmt: skip
    tables = [
        thing("of_domain", "a", "b"),
        thing("by_domain", "up"),
        thing("constants", "a", columns=columns),
        thing("figures", "a"),
    ]
    with people(tmp_path, source=DOMAINS + PLAIN + ARRIVE, target=target) as made:
        passed(made.rehearse(tables))


CODES = """
CREATE TABLE matched (id int PRIMARY KEY, code text);
CREATE TABLE keyed (id text PRIMARY KEY, word text);
CREATE TABLE member (id int PRIMARY KEY, keyed_id text);
INSERT INTO matched VALUES (1, '5'), (2, 'no number'), (3, NULL);
INSERT INTO keyed VALUES ('1', 'x'), ('no number', 'y');
INSERT INTO member VALUES (1, '1'), (2, NULL);
"""
NUMBERS = """
CREATE TABLE matched (id int PRIMARY KEY, code int);
CREATE TABLE keyed (id int PRIMARY KEY, word text);
CREATE TABLE member (id int PRIMARY KEY, keyed_id int REFERENCES keyed);
"""


def test_a_rule_leaves_out_rows_whose_key_would_not_fit(tmp_path: Path) -> None:
    def no_number(name: str) -> list[dict[str, str]]:
        return [{"when": f"{name} !~ '^[0-9]+$'", "reason": "It is no number."}]

    tables = [
        thing("matched", "code", match=["code"], existing="skip", skip=no_number("code")),
        thing("keyed", "word", skip=no_number("id")),
        thing("member", "keyed_id"),
    ]
    with people(tmp_path, source=CODES, target=NUMBERS) as made:
        run = made.rehearse(tables)
        passed(run)
        assert [(row["table"], row["rows"]) for row in run.result["skipped"]] == [
            ("public.matched", 1), ("public.keyed", 1),
        ]  # fmt: skip


NUMBERED = """
CREATE SEQUENCE thing_numbers;
CREATE SEQUENCE words;
CREATE TABLE thing (id int PRIMARY KEY DEFAULT nextval('thing_numbers'), a text DEFAULT 'w' || nextval('words'));
CREATE TABLE other (id int PRIMARY KEY DEFAULT nextval('thing_numbers'), a text);
"""


def test_a_sequence_that_a_default_takes_numbers_from_is_pushed_on_though_no_column_owns_it(tmp_path: Path) -> None:
    source = (
        "CREATE TABLE thing (id int PRIMARY KEY, a text); INSERT INTO thing SELECT n, 'x' FROM generate_series(1, 5) n"
    )
    both = source + "; CREATE TABLE other (id int PRIMARY KEY, a text); INSERT INTO other VALUES (3, 'y'), (9, 'z')"
    with people(tmp_path, source=both, target=NUMBERED) as made:
        run = made.rehearse([thing("thing", "a"), thing("other", "a")])
        passed(run)
        assert run.result["sequences"] == [{"sequence": "public.thing_numbers", "from": 1, "to": 9}]

        numbers = [{"table": name, "same": ["a"]} for name in ("thing", "other")]
        run = made.rehearse(numbers)
        assert run.state == RunState.ERRORED
        assert "public.thing and public.other take their numbers from one sequence, public.thing_numbers" in run.error
