"""Keys are shown so that people find the row; where a key is somebody's e-mail address, its fingerprint is."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from django.template.loader import render_to_string

from checks.enums import RunState
from checks.models import Run
from tests.kinds_data.people import people
from tests.kinds_data.support import log_of
from tests.kinds_data.test_download_results import kept
from tests.kinds_data.test_move_any_value import passed, thing

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")

SCHEMA = "CREATE TABLE account (email text, shop int, a int, PRIMARY KEY (email, shop));"
SOURCE = SCHEMA + "INSERT INTO account VALUES ('ann@example.org', 1, 1), ('bob@example.org', 2, 2)"
TARGET = SCHEMA + "INSERT INTO account VALUES ('ann@example.org', 1, 1)"
ACCOUNT: dict[str, Any] = thing("account", "a", key=["email", "shop"])
ANN, BOB = (
    f"sha256:{hashlib.sha256(name.encode()).hexdigest()[:16]}" for name in ("ann@example.org", "bob@example.org")
)
IN_CLEAR = [
    {"columns": ["account.email"], "category": "contact", "basis": "contract", "retention": "1 year", "mask": "keep",
     "why": "They are those of shops."},
]  # fmt: skip


def everything(run: Run) -> str:
    files = [kept(run, item["name"]) for item in run.result["artifacts"]]
    page = render_to_string("checks/kinds/transition.html", {"run": run})
    return "".join([json.dumps(run.result), run.summary, run.error, log_of(run), page, *files])


def test_an_address_that_is_a_key_is_nowhere_shown_and_its_row_is_found_by_a_fingerprint(tmp_path: Path) -> None:
    with people(tmp_path, source=SOURCE, target=TARGET) as made:
        run = made.rehearse([ACCOUNT])
        assert run.state == RunState.FAILED, (run.error, log_of(run))
        assert [row["keys"] for row in run.result["conflicts"]] == [[f"{ANN}, 1"]]
        assert "@example" not in everything(run)
        (told,) = [note for note in run.result["notes"] if note.startswith("Keys of public.account are")]
        condition = told.partition("finds a row by ")[2].removesuffix(".")
        assert made.at_source(f"SELECT email FROM account WHERE {condition} = '{ANN}'") == [("ann@example.org",)]

        run = made.rehearse([{**ACCOUNT, "existing": "skip"}])
        passed(run)
        assert "@example" not in everything(run)
        assert f'public.account,"{BOB}, 2","{BOB}, 2",inserted' in kept(run, "keys.csv")
        assert f'public.account,"{ANN}, 1","already in' in kept(run, "skipped-rows.csv")


def test_a_key_that_the_inventory_keeps_in_clear_is_shown(tmp_path: Path) -> None:
    with people(tmp_path, source=SOURCE, target=TARGET, plan={"privacy": {"inventory": IN_CLEAR}}) as made:
        run = made.rehearse([ACCOUNT])
        assert [row["keys"] for row in run.result["conflicts"]] == [["ann@example.org, 1"]]


NUMBERED = "CREATE TABLE account (id serial PRIMARY KEY, a int)"
BY_NUMBER = [
    {"columns": ["account.id"], "category": "online", "basis": "contract", "retention": "1 year", "mask": "keep",
     "why": "A number tells of nobody."},
]  # fmt: skip


@pytest.mark.parametrize("inventory", [BY_NUMBER, []])
def test_an_address_that_is_the_sources_key_alone_is_hidden_and_the_targets_number_shown(
    tmp_path: Path, inventory: list[dict[str, Any]]
) -> None:
    account = {"table": "account", "key": ["email"], "target_key": ["id"], "same": ["a"]}
    source = SOURCE.replace("PRIMARY KEY (email, shop)", "PRIMARY KEY (email)")
    with people(tmp_path, source=source, target=NUMBERED, plan={"privacy": {"inventory": inventory}}) as made:
        run = made.rehearse([account])
        passed(run)
        assert "@example" not in everything(run)
        assert f"public.account,{ANN},1,inserted" in kept(run, "keys.csv")
        (told,) = [note for note in run.result["notes"] if note.startswith("Keys of public.account are")]
        assert "own values (email)" in told


def test_an_address_that_is_the_key_beside_a_number_of_the_source_is_hidden(tmp_path: Path) -> None:
    account = thing("account", "a", key=["email"], target_key=["id"], columns={"id": {"column": "shop"}})
    source = SOURCE.replace("PRIMARY KEY (email, shop)", "PRIMARY KEY (email)")
    with people(tmp_path, source=source, target=NUMBERED, plan={"privacy": {"inventory": BY_NUMBER}}) as made:
        run = made.rehearse([account])
        passed(run)
        assert "@example" not in everything(run)
        assert f"public.account,{BOB},2,inserted" in kept(run, "keys.csv")
