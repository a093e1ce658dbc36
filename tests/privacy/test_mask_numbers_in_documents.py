"""Numbers inside of documents are masked as those of columns are, and the proof looks at them too."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from checks.models import Run
from checks.tools import masked_copy, pseudonyms
from checks.tools.postgres import connected
from tests.kinds_data.support import administration, log_of, shop
from tests.privacy.support import entry

#: The same telephone numbers in a column and in documents.
SCHEMA = """
CREATE TABLE person (id int PRIMARY KEY, data jsonb);
INSERT INTO person SELECT n, jsonb_build_object('phone', 4915110000000 + n, 'version', 3, 'born', 1970 + n % 30,
    'seen', jsonb_build_array(19700000 + n), 'share', 0.333333333, 'extra', 12) FROM generate_series(1, 50) n;
CREATE TABLE tel (id int PRIMARY KEY, telephone bigint);
INSERT INTO tel SELECT n, 4915110000000 + n FROM generate_series(1, 50) n;
"""
DOCUMENTS = entry(["person.data"], "contact", "json")
NUMBERS = entry(["tel.telephone"], "contact", "phone")


pytestmark = pytest.mark.django_db(transaction=True)


def rehearsed(folder: Path, *inventory: dict[str, Any]) -> Run:
    """A run of the kind under this inventory."""
    with shop(folder, schema=SCHEMA, plan={"privacy": {"inventory": list(inventory)}}) as made:
        return made.run("privacy")


@pytest.fixture
def clones(monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """What stood in the clone when it was proven."""
    seen: list[list[Any]] = []
    prove = masked_copy.MaskedCopy.prove

    def look(self: Any, clone: Any, what: str, step: Any) -> list[str]:
        with connected(clone, what="the clone") as connection:
            query = "SELECT data, telephone FROM public.person JOIN public.tel USING (id) ORDER BY id"
            seen.append(connection.execute(query).fetchall())
        return prove(self, clone, what, step)

    monkeypatch.setattr(masked_copy.MaskedCopy, "prove", look)
    return seen


def test_a_telephone_number_in_a_document_becomes_what_it_becomes_in_a_column(
    storage_folder: Path, tmp_path: Path, clones: list[list[Any]]
) -> None:
    run = rehearsed(tmp_path, DOCUMENTS, NUMBERS)
    assert run.state == "passed", (run.error, run.summary, log_of(run))
    (rows,) = clones
    assert len(rows) == len({data["phone"] for data, _ in rows}) == 50
    for data, telephone in rows:
        assert data["phone"] == telephone
        assert str(data["phone"]).startswith("999")
        assert len(str(data["phone"])) == 13
        assert not 19700000 < data["seen"][0] <= 19700050
        assert (data["version"], data["share"], data["extra"]) == (3, 0.333333333, 12), "no number of a person's"
    born = [data["born"] for data, _ in rows]
    assert born != [1970 + n % 30 for n in range(1, 51)]
    assert {len(str(year)) for year in born} == {4}


def test_a_number_that_stays_in_a_document_is_found(storage_folder: Path, tmp_path: Path) -> None:
    kept = entry(["person.data"], "contact", "keep", why="It only looks personal.")
    run = rehearsed(tmp_path, kept, NUMBERS)
    assert run.state == "failed", (run.error, log_of(run))
    assert run.result["problems"] == ["50 value(s) of tel.telephone stand in clear in person.data of the masked clone."]


def test_a_number_of_a_document_that_stands_in_a_column_is_found(storage_folder: Path, tmp_path: Path) -> None:
    kept = entry(["tel.telephone"], "contact", "keep", why="It only looks personal.")
    run = rehearsed(tmp_path, DOCUMENTS, kept)
    assert run.state == "failed", (run.error, log_of(run))
    assert run.result["problems"] == ["50 value(s) of person.data stand in clear in tel.telephone of the masked clone."]


def test_small_numbers_are_told_by_count_as_masked_or_as_left_in_clear_since_nobody_looks_for_them(
    storage_folder: Path, tmp_path: Path
) -> None:
    """30 years of birth under a key that says so, and 52 others under keys that say nothing."""
    rules = {"pin": "null", "kept": "keep", "code": "shape"}
    documents = entry(["person.data"], "contact", "json", json_keys=rules)
    schema = (
        SCHEMA
        + """
        UPDATE person SET data = data || jsonb_build_object('extra', id, 'kept', 80000 + id, 'code', 90000 + id,
            'pin', jsonb_build_array(jsonb_build_object('a', 70000 + id)),
            'o''brien@example.org', jsonb_build_object('x', 0.5));
    """
    )
    with shop(tmp_path, schema=schema, plan={"privacy": {"inventory": [documents, NUMBERS]}}) as made:
        run = made.run("privacy")
    assert run.state == "passed", (run.error, run.summary, log_of(run))
    told = [row for row in run.result["not_provable"] if "below 100,000" in row["reason"]]
    assert [(row["column"], row["values"]) for row in told] == [("person.data", 52), ("person.data", 130)]
    in_clear, masked = (row["reason"] for row in told)
    assert "no key of theirs names a person's number: extra, a·aaaaa@aaaaaaa.org.x, share, version; give" in in_clear
    assert "masked by their keys, but not looked for" in masked
    assert "brien" not in str(run.result)


@pytest.mark.parametrize(
    ("document", "rules", "stays"),
    [
        ({"version": 3}, {}, True),
        ({"count": 99_999}, {}, True),
        ({"ratio": 0.123456789}, {}, True),
        ({"number": 123_456}, {}, False),
        ({"number": -123_456}, {}, False),
        ({"number": 123_456.75}, {}, False),
        ({"list": [[123_456]]}, {}, False),
        ({"birthYear": 1974}, {}, False),
        ({"plz": 20095}, {}, False),
        ({"geo": {"lat": 53.551086}}, {}, False),
        ({"coordinates": [9.993682, 53.551086]}, {}, False),
        ({"has_phone": 1024}, {}, True),
        ({"order": 123_456}, {"order": "keep"}, True),
        ({"pin": 1024}, {"pin": "keep"}, True),
        ({"code": 1024}, {"code": "token"}, False),
        (123_456, {}, False),
    ],
)
def test_numbers_that_may_be_somebody_s_are_masked_and_the_others_stay(
    document: Any, rules: dict[str, str], stays: bool
) -> None:
    with administration() as session:
        pseudonyms.install(session, bytes(range(pseudonyms.KEY_BYTES)), 30)
        assert (masked(session, document, rules) == document) is stays


def test_a_masked_number_has_as_many_digits() -> None:
    with administration() as session:
        pseudonyms.install(session, bytes(range(pseudonyms.KEY_BYTES)), 30)
        for number in range(100_000, 100_100):
            assert len(str(masked(session, {"n": number}, {})["n"])) == 6


def masked(session: psycopg.Connection[Any], document: Any, rules: dict[str, str]) -> Any:
    row = session.execute("SELECT pg_temp.document(%s, '', %s)", [json.dumps(document), json.dumps(rules)]).fetchone()
    assert row is not None
    return row[0]
