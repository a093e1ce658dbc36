"""Drilling real backups: what comes back equal passes, everything else has its sentence and leaves nothing behind."""

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from django.template.loader import render_to_string
from django.utils import timezone
from psycopg import sql

from checks import reaper
from checks.engine import execute
from checks.enums import RunState
from checks.kinds import drill
from checks.models import Run
from checks.tools import backup, dumping, facts, manifest, schema
from checks.tools.crypto import KeyRing
from tests.engine.workers import execute_elsewhere, kill_tree, until
from tests.kinds_data.support import Shop, administration, databases, in_a_thread, log_of, shop

BULK = "CREATE TABLE bulk AS SELECT n, md5(n::text) || md5((-n)::text) AS noise FROM generate_series(1, {rows}) n"


def scratch() -> set[str]:
    return {name for name in databases() if name.startswith("gonogo_")}


@pytest.fixture
def backed_up(plain_shop: Shop) -> Shop:
    run = plain_shop.run("backup")
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    return plain_shop


def resign(application: Shop, storage: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite the newest manifest and sign it again, as only a holder of the key can."""
    key = manifest.newest_key(application.application.slug, "production")
    document = json.loads((storage / key).read_text())
    change(document)
    for name in ("key", "signature"):
        del document[name]
    (storage / key).write_bytes(manifest.sealed_text(document, KeyRing.from_settings()))


def test_a_whole_backup_comes_back_equal_and_the_scratch_is_dropped(backed_up: Shop) -> None:
    run = backed_up.run("drill")
    assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
    assert run.result["differences"] == []
    assert all(row["equal"] for row in run.result["tables"])
    assert run.result["recovery"]["within_rto"]
    assert set(run.result["phases"]) == {"authenticate", "create", "restore", "analyze", "compare", "write"}
    assert scratch() == set()


@pytest.mark.campaign
def test_a_backup_of_the_format_before_still_comes_back_equal(
    plain_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checksums of whole records, definitions without brackets, and one frame of zstd: what format 1 held."""
    content = facts.content

    def recorded(*arguments: Any, chained: bool) -> dict[str, Any]:
        return content(*arguments, chained=False, depth=schema.Depth.LOOSE)

    def one_frame(pieces: Iterable[Any], *, level: int) -> Iterator[bytes]:
        compressor = zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj()
        yield from (compressor.compress(piece) for piece in pieces)
        yield compressor.flush()

    with monkeypatch.context() as patched:
        patched.setattr(manifest, "FORMAT", 1)
        patched.setattr(facts, "content", recorded)
        patched.setattr(dumping, "compressed", one_frame)
        assert plain_shop.run("backup").state == RunState.PASSED
    run = plain_shop.run("drill")
    assert run.state == RunState.PASSED, (run.error, run.summary, run.result["differences"])
    plain_shop.sql("CREATE TABLE tried (a text DEFAULT '(none)', b bool, CHECK (a <> 'x' AND (b OR a = '(')))")
    assert plain_shop.run("backup").state == RunState.PASSED
    assert plain_shop.run("drill").state == RunState.PASSED
    assert backup.newest(plain_shop.application.slug, "production").manifest["format"] == 4


@pytest.mark.campaign
def test_a_backup_that_said_nothing_of_rules_and_policies_is_compared_without_them(
    plain_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What format 3 held."""
    plain_shop.sql("CREATE RULE quiet AS ON UPDATE TO nothing DO INSTEAD NOTHING")
    content = facts.content

    def without(*arguments: Any, chained: bool) -> dict[str, Any]:
        return content(*arguments, chained=chained, depth=schema.Depth.EXACT)

    with monkeypatch.context() as patched:
        patched.setattr(manifest, "FORMAT", 3)
        patched.setattr(facts, "content", without)
        assert plain_shop.run("backup").state == RunState.PASSED
    run = plain_shop.run("drill")
    assert run.state == RunState.PASSED, (run.error, run.summary, run.result["differences"])


@pytest.mark.campaign
def test_values_that_a_dump_writes_in_one_form_only_are_no_difference(plain_shop: Shop) -> None:
    plain_shop.sql("UPDATE customer SET weight = 'Infinity'::float8 - 'Infinity'::float8 WHERE id < 9")
    assert plain_shop.run("backup").state == RunState.PASSED
    run = plain_shop.run("drill")
    assert run.state == RunState.PASSED, (run.error, run.summary, run.result["differences"])


def test_a_flipped_bit_says_no_before_a_database_is_touched(backed_up: Shop, storage_folder: Path) -> None:
    (path,) = storage_folder.rglob("*.database")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)
    run = backed_up.run("drill")
    assert run.state == RunState.FAILED
    assert "was changed after it was written" in run.summary
    assert run.result["remedy"]
    assert "pg_restore" not in log_of(run)
    states = {step.key: step.state for step in run.steps.all()}
    assert states["authenticate"] == "failed"
    assert states["restore"] != "passed"


def test_a_truncated_backup_a_missing_object_and_a_lost_key_say_no(
    backed_up: Shop, storage_folder: Path, settings: Any
) -> None:
    (path,) = storage_folder.rglob("*.database")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert "the last 1 of" in backed_up.run("drill").summary
    path.unlink()
    assert "is missing" in backed_up.run("drill").summary
    path.write_bytes(whole)
    settings.BACKUP_KEYS = {"k9": b"9" * 32}
    run = backed_up.run("drill")
    assert run.state == RunState.FAILED
    assert "not in the key ring any more" in run.summary
    assert scratch() == set()


def test_without_a_backup_the_drill_cannot_be_made(plain_shop: Shop) -> None:
    run = plain_shop.run("drill")
    assert run.state == RunState.ERRORED
    assert "no published backup of production" in run.error


@pytest.mark.campaign
def test_each_difference_from_the_manifest_has_its_sentence(backed_up: Shop, storage_folder: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document["tables"]["public.customer"]["rows"] += 1
        document["tables"]["public.purchase"]["checksum"] = "1"
        document["tables"]["public.gone"] = {"rows": 1, "checksum": "1"}
        del document["tables"]["public.nothing"]
        document["sequences"]["public.purchase_id_seq"] = {"before": 3000, "after": 3000}
        document["large_objects"]["checksum"] = "1"
        document["schema"]["objects"]["index public.gone_index"] = "0"

    resign(backed_up, storage_folder, change)
    run = backed_up.run("drill")
    assert run.state == RunState.FAILED
    assert run.result["differences"] == [
        "Table public.customer has 500 rows after the restore and had 501.",
        "Table public.gone of the backup is missing after the restore.",
        "Table public.nothing is there after the restore, but not in the backup.",
        "Table public.purchase has as many rows as it had (2,000), but their content differs.",
        "The content of the large objects differs.",
        "Sequence public.purchase_id_seq stands at 2000 after the restore; it stood at 3000 to 3000.",
        "The index public.gone_index is missing after the restore.",
    ]
    assert run.summary == "Table public.customer has 500 rows after the restore and had 501. (and 6 more)"
    assert scratch() == set()


@pytest.mark.campaign
def test_tables_that_have_no_room_on_the_page_are_not_called_equal_where_they_differ(
    backed_up: Shop, storage_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(document: dict[str, Any]) -> None:
        for name in ("customer", "purchase", "nothing"):
            document["tables"][f"public.{name}"]["checksum"] = "1"

    monkeypatch.setattr(drill, "MAX_TABLES", 2)
    whole = backed_up.run("drill")
    assert "more tables are equal." in render_to_string("checks/kinds/drill.html", {"run": whole})
    resign(backed_up, storage_folder, change)
    run = backed_up.run("drill")
    assert (run.result["tables_left_out"], run.result["tables_left_out_differing"]) == (4, 1)
    page = render_to_string("checks/kinds/drill.html", {"run": run})
    assert "4 more tables, of which 1 is not equal." in page
    assert "are equal." not in page


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda document: document["server"].update(version=990001), "from the newer server version 99.1"),
        (lambda document: document["extensions"].update(gis="3"), "lacks extensions that the backup needs: gis"),
        (lambda document: document["roles"].append("nobody here"), "lacks roles that the backup needs: nobody here"),
    ],
)
def test_a_server_that_cannot_take_it_back_is_told(
    backed_up: Shop, storage_folder: Path, change: Callable[[dict[str, Any]], None], sentence: str
) -> None:
    resign(backed_up, storage_folder, change)
    run = backed_up.run("drill")
    assert run.state == RunState.ERRORED
    assert sentence in run.error
    assert scratch() == set()


@pytest.mark.campaign
def test_targets_that_are_missed_say_no(transactional_db: None, storage_folder: Path, tmp_path: Path) -> None:
    with shop(tmp_path, plan={"recovery": {"rto": "10ms", "rpo": "10ms"}}) as made:
        made.run("backup")
        run = made.run("drill")
        assert run.state == RunState.FAILED
        assert "the target (RTO) is 10 ms" in run.summary
        assert any("the target (RPO) is 10 ms" in sentence for sentence in run.result["differences"])
        assert run.result["recovery"]["within_rto"] is False


@pytest.mark.campaign
def test_what_dead_attempts_left_behind_is_dropped_and_nothing_else(backed_up: Shop) -> None:
    dead = backed_up.queued("drill")
    Run.objects.filter(pk=dead.pk).update(state=RunState.CANCELLED, attempt=1, ended_at=timezone.now())
    left, strange = f"gonogo_drill_{dead.pk.hex}_1", f"gonogo_drill_{uuid.uuid4().hex}_1"
    for name in (left, strange):
        backed_up.sql(f'CREATE DATABASE "{name}"')
    run = backed_up.run("drill")
    assert run.state == RunState.PASSED, run.error
    assert left not in databases()
    assert strange in databases()  # it may be another installation's, at work right now


@pytest.mark.campaign
def test_a_cancelled_drill_drops_its_scratch(transactional_db: None, storage_folder: Path, tmp_path: Path) -> None:
    with shop(tmp_path, schema=BULK.format(rows=600_000)) as made:
        made.run("backup")
        run = made.queued("drill")
        thread = in_a_thread(run)
        until(scratch, 60, every=0.005)
        Run.objects.filter(pk=run.pk).update(cancel_requested_at=timezone.now())
        thread.join(60)
        run.refresh_from_db()
        assert run.state == RunState.CANCELLED
        assert scratch() == set()


@pytest.mark.campaign
def test_a_drill_killed_in_the_middle_is_cleared_up_by_the_next_attempt(
    transactional_db: None, storage_folder: Path, settings: Any, tmp_path: Path
) -> None:
    with shop(tmp_path, schema=BULK.format(rows=300_000)) as made:
        made.run("backup")
        run = made.queued("drill")
        worker = execute_elsewhere(run, STORAGES=settings.STORAGES, BACKUP_KEYS=settings.BACKUP_KEYS)
        until(scratch, 60, every=0.005)
        kill_tree(worker)
        (left,) = scratch()
        until(reaper.reap, 20)
        execute(run.pk)
        run.refresh_from_db()
        assert (run.state, run.attempt) == (RunState.PASSED, 2), (run.error, run.summary)
        assert left.endswith("_1")
        assert scratch() == set()


@pytest.mark.campaign
def test_a_superuser_s_drill_also_checks_pages_and_indexes(backed_up: Shop) -> None:
    with administration() as server:
        server.execute(sql.SQL("ALTER ROLE {} SUPERUSER").format(sql.Identifier(backed_up.role)))
    run = backed_up.run("drill")
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    assert run.result["amcheck"] == "sound"


def test_a_backup_of_another_environment_is_refused(backed_up: Shop) -> None:
    key = manifest.newest_key(backed_up.application.slug, "production")
    run = backed_up.run("drill", environment="staging", backup=key)
    assert run.state == RunState.FAILED
    assert "not of staging" in run.summary


@pytest.fixture
def small_tablespace(tmp_path: Path) -> Iterator[str]:
    """A tablespace of two megabytes on the session's server."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    name = f"small_{uuid.uuid4().hex[:8]}"
    with administration() as server:
        data = server.execute("SHOW data_directory").fetchone()
        assert data is not None
        owner = Path(data[0]).stat()
        os.chown(folder, owner.st_uid, owner.st_gid)
        for parent in [folder, *folder.parents][:-2]:
            if parent.stat().st_mode & 0o001 == 0:
                parent.chmod(parent.stat().st_mode | 0o011)
        server.execute(sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(sql.Identifier(name), str(folder)))
        server.execute(sql.SQL("GRANT CREATE ON TABLESPACE {} TO PUBLIC").format(sql.Identifier(name)))
    yield name
    with administration() as server:
        server.execute(sql.SQL("DROP TABLESPACE {}").format(sql.Identifier(name)))
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.campaign
def test_a_full_disk_of_the_server_is_told_and_the_scratch_dropped(
    small_tablespace: str, transactional_db: None, storage_folder: Path, tmp_path: Path
) -> None:
    with shop(tmp_path, schema=BULK.format(rows=60_000)) as made:
        assert made.run("backup").state == RunState.PASSED
        with administration() as server:
            server.execute(
                sql.SQL("ALTER ROLE {} SET default_tablespace = {}").format(
                    sql.Identifier(made.role), sql.Literal(small_tablespace)
                )
            )
        run = made.run("drill")
        assert run.state == RunState.ERRORED, (run.summary, log_of(run))
        assert "The disk of 127.0.0.1" in run.error
        assert "is full" in run.error
        assert scratch() == set()


@pytest.mark.campaign
def test_the_interval_of_the_last_two_backups_is_reported(backed_up: Shop) -> None:
    backed_up.run("backup")
    keys = manifest.published(backed_up.application.slug, "production")
    assert len(keys) == 2
    run = backed_up.run("drill", backup=keys[1])
    assert run.result["backup"]["manifest"] == keys[1]
    assert run.result["recovery"]["interval_seconds"] >= 0
    assert backup.newest(backed_up.application.slug, "production").manifest_key == keys[0]
