"""The pages of reports about data and their files, made by real runs on a database with people and odd names.

Set PICTURES to a folder to get a picture of each.
"""

import csv
import io
import json
import os
from pathlib import Path

import pytest
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer

from checks.models import Run
from releases import spreadsheet
from tests.factories import make_team
from tests.interface.browser import Complaints
from tests.interface.conftest import OpenPage
from tests.interface.test_compared_pages import Made, looked_at, made_aside
from tests.interface.test_pages import log_in
from tests.kinds_data.support import Shop, log_of
from tests.kinds_data.test_rehearse_migration import statements
from tests.privacy.support import people, staging_of

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.campaign, pytest.mark.django_db(transaction=True)]

#: Names and values that a spreadsheet, a page or a file must not take for something else.
ODD = """
CREATE TABLE "=cmd|' /C calc'!A0" (id int PRIMARY KEY, "@sum" text, "über <b>" text);
INSERT INTO "=cmd|' /C calc'!A0" VALUES (1, '=1+1', '<script>alert(1)</script>'), (2, '+49 30', 'Zürich „Mitte“');
"""
KINDS = {
    "backup": ("passed", {}),
    "drill": ("passed", {}),
    "retention": ("passed", {"dry": True}),
    "privacy": ("passed", {}),
    "reconcile": ("failed", {"source": "production", "target": "staging", "hide": ["email", "name"]}),
    "migration": ("passed", statements("ALTER TABLE person ADD COLUMN nick text", "UPDATE person SET nick = 'x'")),
}


def ran(made: Shop, kind: str) -> Run:
    state, params = KINDS[kind]
    run = made.run(kind, release=made.release() if kind == "migration" else None, **params)
    assert run.state == state, (kind, run.error, run.summary, log_of(run))
    return run


def every_report(folder: Path) -> dict[str, Made]:
    with people(folder) as made:
        made.sql(ODD)
        manager = make_team(made.application).manager
        return {kind: (ran(made, kind), manager) for kind in KINDS if staging_of(made)}


def test_each_report_is_whole_in_every_look_without_scripts_too_and_its_files_open(
    live_server: LiveServer, open_page: OpenPage, complaints: Complaints, storage_folder: Path, tmp_path: Path
) -> None:
    reports = made_aside(lambda: every_report(tmp_path))  # type: ignore[arg-type, return-value]
    for kind, (run, person) in reports.items():  # type: ignore[attr-defined]
        text = looked_at(open_page(f"{live_server.url}/healthz"), live_server, complaints, (run, person), kind)
        plain = open_page(f"{live_server.url}/healthz", width=390, scheme="dark", scripts=False)
        log_in(plain, live_server, person)
        plain.goto(live_server.url + reverse("checks:run_detail", args=[run.number]))
        said = run.summary[0].upper() + run.summary[1:]
        assert " ".join(said.split()) in " ".join(plain.inner_text("main").split()), kind
        assert "<b>" not in text.replace("über <b>", ""), kind
        for link in plain.locator("a[download]").all():
            name = (link.get_attribute("href") or "").rsplit("/", 1)[-1]
            with plain.expect_download() as download:
                link.click()
            data = Path(download.value.path()).read_bytes()
            if folder := os.environ.get("PICTURES"):
                (Path(folder) / f"{kind}-{name}").write_bytes(data)
            opened(kind, name, data)


def opened(kind: str, name: str, data: bytes) -> None:
    if "." not in name:  # an object of a backup, which is sealed
        assert b"example.org" not in data
        return
    text = data.decode()
    assert "pa:ss" not in text, (kind, name)
    if name.endswith(".json"):
        assert json.loads(text), (kind, name)
    if name.endswith(".csv"):
        header, *rows = csv.reader(io.StringIO(text))
        assert header, (kind, name)
        for row in rows:
            assert len(row) == len(header), (kind, name, row)
            assert [spreadsheet.cell(cell) for cell in row] == row, (kind, name, row)
