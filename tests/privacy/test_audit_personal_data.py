"""The kind `privacy`: what is not classified blocks, and a masked clone holds nothing of what was masked."""

import csv
import io
import json
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.template.loader import render_to_string

from checks.models import Run
from tests.kinds_data.support import administration, databases, log_of
from tests.privacy.support import INVENTORY, declare, entry, people, told_in, without

pytestmark = pytest.mark.django_db(transaction=True)


def kept(run: Run, name: str) -> str:
    (found,) = [each for each in run.result["artifacts"] if each["name"] == name]
    with default_storage.open(found["key"]) as file:
        return str(file.read().decode())


def test_a_column_that_looks_personal_and_is_not_classified_blocks(
    transactional_db: None, storage_folder: Path, tmp_path: Path
) -> None:
    with people(tmp_path, inventory=without("person.phone", "session.session_data")) as shop:
        run = shop.run("privacy")
        assert run.state == "failed", log_of(run)
        assert [row["column"] for row in run.result["unclassified"]] == ["person.phone", "session.session_data"]
        assert "person.phone looks like personal data" in run.summary
        assert not run.result["rehearsed"]
        told = told_in(run.result, log_of(run))
        assert "example.org" not in told
        assert "1234001" not in told
        page = render_to_string("checks/kinds/privacy.html", {"run": run})
        assert "person.phone" in page
        assert "privacy.inventory" in page
        rows = {row["column"]: row for row in csv.DictReader(io.StringIO(kept(run, "inventory.csv")))}
        assert (rows["person.phone"]["state"], rows["person.phone"]["mask"]) == ("not classified", "")
        assert "telephone" in rows["person.phone"]["reasons"]
        email = {name: rows["person.email"][name] for name in ("state", "category", "basis", "retention", "mask")}
        assert list(email.values()) == ["classified", "contact", "contract", "1 year", "email"]
        whole = json.loads(kept(run, "privacy.json"))
        assert whole["problems"] == run.result["problems"]
        assert whole["figures"] == run.result["figures"]
        assert "example.org" not in kept(run, "privacy.json") + kept(run, "inventory.csv")
        assert "inventory.csv" in page


@pytest.mark.campaign
def test_a_whole_inventory_is_rehearsed_and_proven(
    transactional_db: None, storage_folder: Path, tmp_path: Path
) -> None:
    with people(tmp_path) as shop:
        before = databases()
        run = shop.run("privacy", environment="production")
        assert run.state == "passed", (run.summary, run.error, log_of(run))
        assert (run.result["leaks"], run.result["unclassified"]) == ([], [])
        assert run.result["figures"]["compared"] > 200
        assert run.result["rehearsed"]
        assert "public.directory" in run.result["views"]
        assert databases() == before
        assert "Anna" not in told_in(run.result, log_of(run))
        assert "all classified" in run.summary
        # Production is as it was.
        assert shop.sql("SELECT count(*) FROM person WHERE email LIKE '%example.org'") == [(40,)]
        assert shop.sql("SELECT count(*) FROM old_name") == [(0,)]


@pytest.mark.campaign
def test_a_copy_that_the_inventory_calls_harmless_is_found_in_the_clone(
    transactional_db: None, storage_folder: Path, tmp_path: Path
) -> None:
    """Names in a comment, an address in capitals in a list, a telephone number in a document: each is a leak."""
    with people(tmp_path) as shop:
        shop.sql("ALTER TABLE course ADD note text, ADD marks text[], ADD extra json")
        shop.sql(
            "UPDATE course SET note = 'Held by anna.berg1@EXAMPLE.org, mostly',"
            " marks = ARRAY['x', 'PERSON7@example.ORG'],"
            """ extra = '{"by": {"call": "+49 30 1234009"}}' WHERE id = 1"""
        )
        harmless = {"category": "not_personal", "why": "course texts"}
        inventory = [*INVENTORY, {"columns": ["course.note", "course.marks", "course.extra"], **harmless}]
        declare(shop, inventory)
        run = shop.run("privacy")
        assert run.state == "failed", log_of(run)
        assert {f"{leak['found_table']}.{leak['found_column']}" for leak in run.result["leaks"]} == {
            "course.note", "course.marks", "course.extra",
        }  # fmt: skip
        assert "stand in clear in course" in run.summary
        assert "anna" not in told_in(run.result, log_of(run)).lower()
        assert "Left in clear" in render_to_string("checks/kinds/privacy.html", {"run": run})


def test_an_inventory_that_does_not_fit_the_database_says_where(
    transactional_db: None, storage_folder: Path, tmp_path: Path
) -> None:
    wrong = [
        *without("person.born", "person.last_login", "person.name"),
        entry(["person.born"], "identity", "email"),
        entry(["person.name"], "identity", "null"),
        entry(["person.gone"], "identity", "text"),
        entry(["person.coming"], "identity", "text", may_be_missing=True),
        entry(["person.last_login"], "online", "keep", why="shows nothing by itself"),
    ]
    with people(tmp_path, inventory=wrong) as shop:
        run = shop.run("privacy")
        assert run.state == "failed", log_of(run)
        assert run.result["problems"] == [
            "The inventory names person.gone, which does not exist.",
            "mask: email does not fit person.born, whose type is date.",
            "person.name may not be null, so mask: null does not fit.",
        ]


def test_a_role_that_may_not_read_a_table_gets_no_pass(
    transactional_db: None, storage_folder: Path, tmp_path: Path
) -> None:
    with people(tmp_path) as shop:
        with administration(shop.address.database) as server:
            server.execute("CREATE TABLE closed (stuff text); INSERT INTO closed VALUES ('x')")
            server.execute("ALTER TABLE closed OWNER TO CURRENT_USER")
        run = shop.run("privacy", rehearse=False)
        assert run.state == "failed", log_of(run)
        assert "closed.stuff could not be looked into (the role of the plan may not read it)" in run.summary
