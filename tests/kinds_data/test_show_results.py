"""The pages of what backup, drill and migration found."""

import sys

import pytest
from django.template.loader import render_to_string

from checks.models import Run
from tests.kinds_data.support import Shop

MIGRATE = """
import os, psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as database:
    database.execute("ALTER TABLE purchase ALTER COLUMN id TYPE bigint")
    database.execute("SELECT pg_sleep(0.2)")
"""


def page(run: Run) -> str:
    """What a person reads: names without the places at which they may break."""
    return render_to_string(f"checks/kinds/{run.kind}.html", {"run": run}).replace("<wbr>", "")


@pytest.mark.campaign
def test_every_result_is_shown_without_a_style_or_a_script(plain_shop: Shop) -> None:
    backup = page(plain_shop.run("backup"))
    assert "2,805 rows" in backup
    drill = page(plain_shop.run("drill"))
    assert "public.customer" in drill
    assert "Recovery by phase" in drill
    argv = [sys.executable, "-c", MIGRATE]
    migration = page(plain_shop.run("migration", release=plain_shop.release(), command={"argv": argv}))
    assert "public.purchase" in migration
    assert "AccessExclusiveLock" in migration
    assert "not checked" in migration
    for text in (backup, drill, migration):
        assert "style=" not in text
        assert "<script" not in text


def test_a_run_that_ended_early_still_has_a_page(plain_shop: Shop) -> None:
    assert "Nothing was published" in page(Run(kind="backup", environment=plain_shop.environment(), result={}))
    assert "not reached" in page(Run(kind="migration", environment=plain_shop.environment(), result={}))
    assert "Restore drill" in page(Run(kind="drill", environment=plain_shop.environment(), result={}))
    assert "Disaster drill" in page(Run(kind="disaster", environment=plain_shop.environment(), result={}))
