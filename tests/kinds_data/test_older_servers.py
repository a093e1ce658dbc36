"""What works with a PostgreSQL older than ours, and what is told where it does not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checks.enums import RunState
from checks.errors import CheckError
from checks.tools import dumping, postgres
from checks.tools.postgres import Address, connect
from tests.factories import publish
from tests.kinds_data import older_server, support
from tests.kinds_data.support import Shop, databases, log_of, shop
from tests.kinds_data.test_rehearse_migration import statements
from tests.privacy.support import INVENTORY, PEOPLE

PROGRAMS = older_server.programs()
needs_one = pytest.mark.skipif(PROGRAMS is None, reason="no older PostgreSQL is installed")


@pytest.fixture(scope="module")
def older() -> Iterator[Address]:
    assert PROGRAMS is not None
    with older_server.running(PROGRAMS) as address:
        yield address


@pytest.fixture
def old_shop(
    older: Address, transactional_db: None, storage_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    with monkeypatch.context() as patched:
        patched.setattr(support, "admin", lambda: older)
        with shop(tmp_path) as made:
            yield made


@needs_one
def test_a_backup_of_it_comes_back_by_the_client_programs_of_either_version(old_shop: Shop, settings: Any) -> None:
    ours = settings.POSTGRES_BIN
    for programs in (ours, str(PROGRAMS)):
        settings.POSTGRES_BIN = programs
        for kind in ("backup", "drill"):
            run = old_shop.run(kind)
            assert run.state == RunState.PASSED, (kind, run.error, run.summary, log_of(run))
    settings.POSTGRES_BIN = ours
    assert old_shop.run("drill").state == RunState.PASSED
    run = old_shop.run("disaster", start={"argv": ["true"]})
    assert "ended with exit status 0 before it listened" in run.error, (
        "it stands on our server, only nothing is started"
    )
    assert not [name for name in databases() if name.startswith("gonogo_")]


@needs_one
def test_a_backup_of_a_later_pg_dump_is_not_at_fault(old_shop: Shop, settings: Any) -> None:
    assert old_shop.run("backup").state == RunState.PASSED
    settings.POSTGRES_BIN = str(PROGRAMS)
    run = old_shop.run("drill")
    assert run.state == RunState.ERRORED, (run.state, run.summary)
    assert "The backup was written by a later pg_dump than the pg_restore of this worker can read" in run.error


@needs_one
def test_what_breaks_off_on_it_leaves_nothing_behind(old_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that is not whole must not count as a restore."""
    assert old_shop.run("backup").state == RunState.PASSED
    decompressed = dumping.decompressed
    monkeypatch.setattr(
        dumping, "decompressed", lambda pieces: (piece[: len(piece) // 2] for piece in decompressed(pieces))
    )
    run = old_shop.run("drill")
    assert run.state == RunState.FAILED, (run.state, run.error)
    assert "The backup cannot be restored: pg_restore ended with exit status 1" in run.summary
    assert not [name for name in databases() if name.startswith("gonogo_")]


@needs_one
@pytest.mark.parametrize("wait", ["1m", "0s"])
def test_a_migration_is_rehearsed_on_it(old_shop: Shop, settings: Any, wait: str) -> None:
    if wait == "0s":
        settings.POSTGRES_BIN = str(PROGRAMS)
    what = statements("ALTER TABLE purchase ALTER COLUMN id TYPE bigint", visitors_wait=wait)
    run = old_shop.run("migration", release=old_shop.release(), **what)
    assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
    assert run.result["clone"]["method"] == ("dump" if wait == "0s" else "file_copy")
    (rewrite,) = run.result["rewrites"]
    assert (rewrite["table"], rewrite["how"]) == ("public.purchase", "rewritten")


@needs_one
def test_personal_data_are_found_masked_and_proven_on_it(old_shop: Shop) -> None:
    with shop(old_shop.folder, schema=PEOPLE, plan={"privacy": {"inventory": INVENTORY}}) as people:
        run = people.run("privacy")
    assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
    assert run.result["rehearsed"]


@needs_one
def test_it_is_compared_with_a_newer_server(plain_shop: Shop, old_shop: Shop) -> None:
    plain_shop.sql("DELETE FROM event WHERE at IN (SELECT min(at) FROM event)")
    for made in (plain_shop, old_shop):
        made.sql("UPDATE customer SET seen = '2026-01-01'")
    there = {"tier": "staging", "variables": {"DATABASE_URL": plain_shop.address.url()}}
    here = {"tier": "production", "variables": {"DATABASE_URL": old_shop.address.url()}}
    publish(old_shop.application, {"environments": {"staging": there, "production": here}})
    run = old_shop.run("reconcile", source="production", target="staging")
    assert run.state == RunState.FAILED, (run.error, run.summary, log_of(run))
    differing = {
        row["label"]: (row["missing"], row["extra"], row["changed"])
        for row in run.result["tables"]
        if not row["agrees"]
    }
    # Each server gave the same large object a number of its own.
    assert differing == {"public.event": (1, 0, 0), "Large objects": (1, 1, 0)}


def test_one_that_is_too_old_is_named_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "OLDEST", 990000)
    with pytest.raises(CheckError, match=r"is PostgreSQL 1\d\.\d+; 99 is the oldest that this program works with"):
        connect(support.admin())
