"""Keys of documents may be people's data: the look finds them, the mask replaces them, and the proof looks at all."""

from pathlib import Path
from typing import Any

import pytest

from checks.tools import masked_copy
from checks.tools.postgres import connected
from tests.kinds_data.support import log_of, shop
from tests.privacy.support import entry

pytestmark = pytest.mark.django_db(transaction=True)

#: The lone document holds people as keys; those of the rows hold words of the application, one of which is a user name.
SCHEMA = """
CREATE TABLE person (id int PRIMARY KEY, name text, phone text, login text, data jsonb);
INSERT INTO person SELECT n, 'Zsolt Berg-' || n, '+49 30 7654' || 300 + n, 'member' || n, '{"theme": {"dark": true}}'
    FROM generate_series(1, 40) n;
UPDATE person SET name = 'Quentin Marsh', phone = '+49 30 7654321', login = 'theme' WHERE id = 1;
CREATE TABLE vote (id int PRIMARY KEY, data jsonb);
INSERT INTO vote VALUES (1, '{"+49 30 7654321": {"seen": 3}, "Quentin Marsh": 1, "Anna Nobody": 2, "Anna Somebody": 3,
    "member7": {"member8": 5}, "yes": 1}');
"""
PEOPLE = [
    entry(["person.name"], "identity", "name"),
    entry(["person.phone"], "contact", "phone"),
    entry(["person.login"], "identity", "username"),
]
KEPT = entry(["vote.data"], "not_personal", "keep", why="counts of votes")
MASKED = entry(["vote.data"], "identity", "json")


@pytest.fixture
def clones(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The vote and the first person as they stood in the clone when it was proven."""
    seen: list[Any] = []
    prove = masked_copy.MaskedCopy.prove

    def look(self: Any, clone: Any, what: str, step: Any) -> list[str]:
        with connected(clone, what="the clone") as connection:
            query = "SELECT v.data, p.name, p.phone, p.data FROM public.vote v, public.person p WHERE p.id = 1"
            seen.append(connection.execute(query).fetchone())
        return prove(self, clone, what, step)

    monkeypatch.setattr(masked_copy.MaskedCopy, "prove", look)
    return seen


def test_a_masked_value_that_stays_as_a_key_is_found(storage_folder: Path, tmp_path: Path) -> None:
    with shop(tmp_path, schema=SCHEMA, plan={"privacy": {"inventory": [*PEOPLE, KEPT]}}) as made:
        run = made.run("privacy")
    assert run.state == "failed", (run.error, run.summary, log_of(run))
    found = {(leak["column"], leak["found_column"], leak["values"]) for leak in run.result["leaks"]}
    assert found == {("name", "data", 1), ("phone", "data", 1), ("login", "data", 2)}
    told = [row for row in run.result["not_provable"] if "keys of more than 20 documents" in row["reason"]]
    assert [(row["column"], row["values"]) for row in told] == [("person.data", 1)]


def test_keys_become_the_pseudonyms_of_their_columns_and_none_is_lost(
    storage_folder: Path, tmp_path: Path, clones: list[Any]
) -> None:
    inventory = [*PEOPLE, {**MASKED, "columns": ["vote.data", "person.data"]}]
    with shop(tmp_path, schema=SCHEMA, plan={"privacy": {"inventory": inventory}}) as made:
        run = made.run("privacy")
    assert run.state == "passed", (run.error, run.summary, run.result["problems"], log_of(run))
    ((vote, name, phone, settings),) = clones
    assert vote[name] == 1
    assert vote[phone] == {"seen": 3}
    assert vote["yes"] == 1
    assert settings == {"theme": {"dark": True}}
    assert len(vote) == 6, "no two keys become one"
    assert not {"Anna Nobody", "Anna Somebody", "member7"} & vote.keys()
    assert "member8" not in str(vote)


def test_people_as_keys_make_a_column_personal(storage_folder: Path, tmp_path: Path) -> None:
    with shop(tmp_path, schema=SCHEMA, plan={"privacy": {"inventory": PEOPLE}}) as made:
        run = made.run("privacy", rehearse=False)
    assert run.state == "failed", (run.error, run.summary, log_of(run))
    assert {row["column"]: row["reasons"] for row in run.result["unclassified"]} == {
        "vote.data": ["names or telephone numbers are keys of its documents"]
    }
