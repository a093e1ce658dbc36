"""Taking a backup for real: what is published, what never is, and what each failure says."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.utils import timezone

from checks import reaper
from checks.engine import execute
from checks.enums import RunState
from checks.errors import CheckError
from checks.models import Run, StoredBackup
from checks.tools import backup, configuration, dumping, manifest, restoring
from checks.tools.postgres import Address
from releases.models import PlanVersion
from tests.engine.workers import execute_elsewhere, kill_tree, until
from tests.factories import publish
from tests.kinds_data.support import Shop, log_of, shop


def objects(storage: Path) -> list[Path]:
    return sorted(path for path in storage.rglob("backups/**/*") if path.is_file())


def published(application: Shop) -> list[str]:
    return manifest.published(application.application.slug, "production")


def with_database(application: Shop, url: str) -> None:
    """Publish a plan whose production has another database address."""
    document = PlanVersion.objects.filter(application=application.application).latest("number").document
    environments = document["environments"]
    environments["production"]["variables"] = {"DATABASE_URL": url}
    publish(application.application, {"environments": environments})


def test_a_backup_is_published_with_counts_of_everything(plain_shop: Shop, storage_folder: Path) -> None:
    run = plain_shop.run("backup")
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    taken = backup.newest(plain_shop.application.slug, "production")
    tables = {name: table["rows"] for name, table in taken.manifest["tables"].items()}
    assert tables == {
        "public.customer": 500, "public.purchase": 2000, "public.event_2025": 213, "public.event_2026": 87,
        "public.nothing": 2, "public.Odd name; DROP": 3,
    }  # fmt: skip
    assert taken.manifest["large_objects"]["rows"] == 1
    assert taken.manifest["sequences"]["public.purchase_id_seq"] == {
        "before": 2000, "after": 2000, "next_before": 2001, "next_after": 2001,
    }  # fmt: skip
    assert taken.manifest["roles"] == [plain_shop.role]
    names = [path.name.split(".", 1)[1] for path in objects(storage_folder)]
    assert names == ["database", "manifest.json"]
    assert backup.authenticate(taken.manifest_key) == taken.manifest


def test_a_server_whose_clock_is_ahead_makes_no_backup_of_tomorrow(
    plain_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be the newest one until then, and a late one would not be told."""
    monkeypatch.setattr(backup, "_MOMENT", "SELECT now() + interval '2 days'")
    run = plain_shop.run("backup")
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    stored = StoredBackup.objects.get(environment=plain_shop.environment())
    assert stored.snapshot_at <= stored.finished_at <= timezone.now()
    assert "The server's clock is 172,800 s ahead of this worker's" in log_of(run)


def test_nothing_readable_of_the_data_or_the_password_is_in_storage_or_log(
    plain_shop: Shop, storage_folder: Path
) -> None:
    run = plain_shop.run("backup")
    for path in objects(storage_folder):
        assert b"person-1@example.org" not in path.read_bytes()
    assert "pa:ss/wo rd" not in log_of(run)
    assert "pa:ss/wo rd" not in str(run.result)


@pytest.mark.campaign
def test_rows_written_during_the_dump_are_neither_dumped_nor_counted(plain_shop: Shop) -> None:
    stop = threading.Event()

    def write() -> None:
        with psycopg.connect(plain_shop.address.conninfo(), autocommit=True) as database:
            while not stop.is_set():
                database.execute("INSERT INTO purchase (customer_id, amount) VALUES (1, 1)")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        taken = plain_shop.run("backup")
    finally:
        stop.set()
        writer.join()
    assert taken.state == RunState.PASSED, taken.error
    run = plain_shop.run("drill")
    assert run.state == RunState.PASSED, (run.error, run.summary, run.result["differences"])


def test_configuration_files_and_folders_are_taken_and_come_back_equal(
    transactional_db: None, storage_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "etc"
    (folder / "conf.d").mkdir(parents=True)
    (folder / "conf.d" / "a.ini").write_text("a=1\n")
    (folder / "big.bin").write_bytes(os.urandom(3_000_000))
    (tmp_path / "one.cfg").write_text("secret=xyzzy\n")
    with shop(tmp_path, configuration_files=["{PLAN_DIR}/etc", "{PLAN_DIR}/one.cfg"]) as made:
        run = made.run("backup")
        assert run.state == RunState.PASSED, (run.error, log_of(run))
        taken = backup.newest(made.application.slug, "production")
        assert sorted(Path(item["path"]).name for item in taken.manifest["configuration"]) == [
            "a.ini", "big.bin", "one.cfg",
        ]  # fmt: skip
        target = tmp_path / "put back"
        restoring.configuration_of(taken.manifest, target)
        for name in ("etc/conf.d/a.ini", "etc/big.bin", "one.cfg"):
            original = tmp_path / name
            assert (target / str(original).lstrip("/")).read_bytes() == original.read_bytes()
        assert made.run("drill").state == RunState.PASSED
        assert not any(b"xyzzy" in path.read_bytes() for path in objects(storage_folder))


@pytest.mark.campaign
def test_media_come_back_equal_and_one_removed_meanwhile_is_left_out(
    transactional_db: None, storage_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "media"
    (folder / "2026").mkdir(parents=True)
    for name in ("2026/photo.jpg", "gone.jpg", "zoo.txt"):
        (folder / name).write_bytes(os.urandom(70_000))
    declared = configuration.declared_media

    def declared_and_then_one_goes(*args: Any) -> list[Path]:
        found = declared(*args)
        (folder / "gone.jpg").unlink()
        return found

    with shop(tmp_path, media=["{PLAN_DIR}/media"]) as made:
        monkeypatch.setattr(configuration, "declared_media", declared_and_then_one_goes)
        run = made.run("backup")
        assert run.state == RunState.PASSED, (run.error, log_of(run))
        assert (run.result["media"]["files"], run.result["media"]["bytes"]) == (2, 140_000)
        assert "were removed before they were read" in log_of(run)
        taken = backup.newest(made.application.slug, "production")
        target = tmp_path / "put back"
        assert restoring.media_of(taken.manifest, target) == taken.manifest["media"]
        for name in ("2026/photo.jpg", "zoo.txt"):
            original = folder / name
            assert (target / str(original).lstrip("/")).read_bytes() == original.read_bytes()
        drill = made.run("drill")
        assert (drill.state, drill.result["media"]["files"]) == (RunState.PASSED, 2)


def test_a_missing_configuration_file_is_no_backup(
    transactional_db: None, storage_folder: Path, tmp_path: Path
) -> None:
    with shop(tmp_path, configuration_files=["{PLAN_DIR}/gone.cfg"]) as made:
        run = made.run("backup")
        assert run.state == RunState.ERRORED
        assert "The configuration file gone.cfg does not exist" in run.error
        assert objects(storage_folder) == []


def test_without_a_key_there_is_no_backup(plain_shop: Shop, storage_folder: Path, settings: Any) -> None:
    settings.BACKUP_KEYS = {}
    run = plain_shop.run("backup")
    assert run.state == RunState.ERRORED
    assert "never written unencrypted" in run.error
    assert objects(storage_folder) == []


def test_each_wrong_address_is_told_apart(plain_shop: Shop, storage_folder: Path) -> None:
    good = plain_shop.address
    wrong = {
        "is wrong": Address({**good.parts, "password": "another"}),
        "There is no database nowhere": good.named("nowhere"),
        "Nothing listens at 127.0.0.1:1": Address({**good.parts, "port": "1"}),
        "The host of no.such.host.invalid:5432 is not known": Address(
            {**good.parts, "host": "no.such.host.invalid", "port": "5432"}
        ),
    }
    for sentence, address in wrong.items():
        with_database(plain_shop, address.url())
        run = plain_shop.run("backup")
        assert run.state == RunState.ERRORED
        assert sentence in run.error
        assert run.remedy
        assert "pa:ss/wo rd" not in run.error + log_of(run)
    assert objects(storage_folder) == []


def test_a_table_locked_by_somebody_is_told_and_leaves_nothing(plain_shop: Shop, storage_folder: Path) -> None:
    with psycopg.connect(plain_shop.address.conninfo()) as other:
        other.execute("LOCK TABLE purchase IN ACCESS EXCLUSIVE MODE")
        run = plain_shop.run("backup", lock_timeout="0.5s")
    assert run.state == RunState.ERRORED
    assert "locked by another session" in run.error
    assert "pg_stat_activity" in run.remedy
    assert objects(storage_folder) == []


def test_a_missing_pg_dump_is_told(plain_shop: Shop, settings: Any, tmp_path: Path) -> None:
    settings.POSTGRES_BIN = tmp_path
    run = plain_shop.run("backup")
    assert run.state == RunState.ERRORED
    assert "The program pg_dump is not in" in run.error


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_storage_is_told_and_nothing_is_published(
    transactional_db: None, small_disk: Path, settings: Any, tmp_path: Path
) -> None:
    from config import env

    settings.STORAGES = {**settings.STORAGES, "default": env.storage(small_disk.as_uri())}
    with shop(tmp_path, schema=BULK.format(rows=60_000)) as made:
        run = made.run("backup")
        assert run.state == RunState.ERRORED
        assert "The storage is full" in run.error
        assert objects(small_disk) == []


BULK = "CREATE TABLE bulk AS SELECT n, md5(n::text) || md5((-n)::text) AS noise FROM generate_series(1, {rows}) n"


@pytest.mark.campaign
def test_a_worker_killed_in_the_middle_leaves_nothing_that_counts(
    transactional_db: None, storage_folder: Path, settings: Any, tmp_path: Path
) -> None:
    with shop(tmp_path, schema=BULK.format(rows=600_000)) as made:
        run = made.queued("backup")
        worker = execute_elsewhere(run, STORAGES=settings.STORAGES)
        until(lambda: any(path.stat().st_size > 1_000_000 for path in objects(storage_folder)), 60, every=0.002)
        kill_tree(worker)
        assert [path.suffix for path in objects(storage_folder)] == [".partial"]
        assert published(made) == []
        until(reaper.reap, 20)
        execute(run.pk)
        run.refresh_from_db()
        assert (run.state, run.attempt) == (RunState.PASSED, 2), run.error
        assert sorted(path.name.split(".", 1)[1] for path in objects(storage_folder)) == ["database", "manifest.json"]
        assert made.run("drill").state == RunState.PASSED


def test_a_cancelled_backup_leaves_nothing(
    transactional_db: None, storage_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled while it is written: the dump goes on so slowly that it cannot end before the cancel is seen."""
    stored: list[bool] = []

    compressed = dumping.compressed

    def slowly(pieces: Iterable[bytes], *, level: int) -> Iterator[bytes]:
        for number, piece in enumerate(compressed(pieces, level=level)):
            if number == 1:
                stored.append(bool(objects(storage_folder)))
                Run.objects.update(cancel_requested_at=timezone.now())
            if number:
                time.sleep(0.2)
            yield piece

    monkeypatch.setattr(dumping, "compressed", slowly)
    with shop(tmp_path, schema=BULK.format(rows=200_000)) as made:
        run = made.run("backup")
        assert stored == [True]
        assert run.state == RunState.CANCELLED, run.error
        assert objects(storage_folder) == []


def test_what_was_stored_wrongly_is_never_published(
    plain_shop: Shop, storage_folder: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that gives back other bytes than it took: one bit is flipped between writing and reading back."""
    move = backup.storage.move

    def flip(source: str, target: str) -> None:
        move(source, target)
        path = storage_folder / target
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    monkeypatch.setattr(backup.storage, "move", flip)
    run = plain_shop.run("backup")
    assert run.state == RunState.ERRORED
    assert "gives back" in run.error
    assert objects(storage_folder) == []


def test_whatever_a_backup_is_made_of_is_on_the_disk_when_it_counts(
    plain_shop: Shop, storage_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        on_disk.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    assert plain_shop.run("backup").state == RunState.PASSED
    stored = {path.name for path in objects(storage_folder)}
    assert len(stored) == 2
    assert stored | {"production"} <= set(on_disk)


def test_a_manifest_is_never_seen_before_it_is_whole(
    plain_shop: Shop, storage_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    write = backup.storage.write

    def written(key: str, source: Iterable[bytes]) -> Any:
        stored = write(key, source)
        seen.append(published(plain_shop))
        return stored

    monkeypatch.setattr(backup.storage, "write", written)
    assert plain_shop.run("backup").state == RunState.PASSED
    assert seen == [[], []]
    assert len(published(plain_shop)) == 1


def test_a_server_newer_than_pg_dump_is_refused(
    plain_shop: Shop, storage_folder: Path, settings: Any, tmp_path: Path
) -> None:
    """A script in pg_dump's place that says what pg_dump 17 says to this server, since none is at hand."""
    folder = tmp_path / "old"
    folder.mkdir()
    for program in Path(settings.POSTGRES_BIN).iterdir():
        (folder / program.name).symlink_to(program)
    (folder / "pg_dump").unlink()
    (folder / "pg_dump").write_text(OLD_PG_DUMP)
    (folder / "pg_dump").chmod(0o755)
    settings.POSTGRES_BIN = folder
    run = plain_shop.run("backup")
    assert run.state == RunState.ERRORED
    assert "is newer than the pg_dump of this worker" in run.error
    assert "server version: 18.6; pg_dump version: 17.10" in run.error
    assert "POSTGRES_BIN" in run.remedy
    assert objects(storage_folder) == []


OLD_PG_DUMP = """#!/bin/sh
echo 'pg_dump: error: aborting because of server version mismatch' >&2
echo 'pg_dump: detail: server version: 18.6; pg_dump version: 17.10' >&2
exit 1
"""


def test_a_plan_with_wrong_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="compression_level"):
        backup.BackupOptions.model_validate({"compression_level": 99})


def test_addresses_survive_being_written_and_read_again() -> None:
    for url in (
        "postgresql://u:p%40%3A%2F@h:5/db",
        "postgresql://u@/db?host=%2Ftmp%2Fsock&port=5433",
        "postgresql://[::1]:5432/db",
        "postgresql://u:p@h/db?sslmode=require",
    ):
        address = Address.parse(url)
        assert Address.parse(address.url()) == address
    with pytest.raises(CheckError, match="is not a PostgreSQL address"):
        Address.parse("mysql://h/db")
    with pytest.raises(CheckError, match="names no database"):
        Address.parse("postgresql://h")


def paths(manifest_key: str, folder: Path, target: Path) -> list[str]:
    """What a restore of the media gives back, relative to the declared folder."""
    restoring.media_of(manifest.load(manifest_key), target)
    back = target / str(folder).lstrip("/")
    return sorted(str(path.relative_to(back)) for path in back.rglob("*") if path.is_file())


def test_a_folder_behind_a_link_is_taken_and_links_with_nothing_behind_them_are_told(
    transactional_db: None, storage_folder: Path, tmp_path: Path
) -> None:
    media, disk = tmp_path / "media", tmp_path / "disk2"
    (media / "2026").mkdir(parents=True)
    (disk / "old").mkdir(parents=True)
    (media / "2026" / "a.jpg").write_bytes(b"a")
    (disk / "old" / "b.jpg").write_bytes(b"b")
    (media / "newest").symlink_to("2026")
    (media / "archive").symlink_to(disk / "old")
    (media / "file.jpg").symlink_to(disk / "old" / "b.jpg")
    (media / "broken.jpg").symlink_to(tmp_path / "nowhere")
    (media / "2026" / "round").symlink_to(media)
    (media / "self").symlink_to("self")
    os.mkfifo(media / "pipe")
    with shop(tmp_path, media=[str(media), str(disk)]) as made:
        run = made.run("backup")
        assert run.state == RunState.PASSED, (run.error, log_of(run))
        assert paths(run.result["manifest"], media, tmp_path / "back") == [
            "2026/a.jpg", "archive/b.jpg", "file.jpg", "newest/a.jpg",
        ]  # fmt: skip
        told = run.result["left_out"]["sentences"]
        for path in (media / "broken.jpg", media / "2026" / "round", media / "self", media / "pipe"):
            name = str(path.relative_to(tmp_path))
            assert any(name in sentence for sentence in told), told
            assert name in log_of(run)
        assert run.result["left_out"]["count"] == len(told) == 5, "the link back is met on two ways"
        assert "5 declared" in run.summary
        assert made.run("drill").state == RunState.PASSED


@pytest.mark.parametrize("key", ["media", "configuration_files"])
def test_a_link_to_a_folder_that_is_not_declared_is_no_backup_and_is_named(
    transactional_db: None, storage_folder: Path, tmp_path: Path, key: str
) -> None:
    declared, elsewhere = tmp_path / "declared", tmp_path / "disk2"
    declared.mkdir()
    elsewhere.mkdir()
    (elsewhere / "b.jpg").write_bytes(b"b")
    (declared / "linked").symlink_to(elsewhere)
    with shop(tmp_path, **{key: [str(declared)]}) as made:
        run = made.run("backup")
        assert run.state == RunState.ERRORED
        assert "declared/linked leads out of what is declared" in run.error
        assert f"Declare that folder in {key} too" in run.remedy
        assert objects(storage_folder) == []


def test_a_folder_that_the_worker_may_not_read_is_named_and_not_left_out() -> None:
    """As another user, since nothing is closed to root; so in a folder of its own, whose parents are open."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "shut").mkdir()
        (folder / "shut" / "b.jpg").write_bytes(b"b")
        (folder / "shut").chmod(0o700 if os.getuid() == 0 else 0)
        folder.chmod(0o755)
        looked = subprocess.run([sys.executable, "-c", LOOK, made], capture_output=True, text=True, check=True)
        (folder / "shut").chmod(0o700)
    assert f"because of {folder / 'shut'}: Permission denied." in looked.stdout


LOOK = """
import os, sys
from pathlib import Path
from checks.errors import CheckError
from checks.tools import folders

if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
folder = Path(sys.argv[1])
walk = folders.Walk([folder], what="media folder", key="media", left_out=folders.LeftOut())
try:
    print([str(path) for path in walk.files(folder)])
except CheckError as error:
    print(error.message)
"""


def test_a_database_without_a_table_is_no_backup_unless_the_plan_says_that_it_may_be_empty(
    transactional_db: None, storage_folder: Path, tmp_path: Path
) -> None:
    with shop(tmp_path, schema="") as made:
        run = made.run("backup")
        assert run.state == RunState.ERRORED, run.summary
        assert f"The database {made.address.database} holds no table" in run.error
        assert "may_be_empty" in run.remedy
        assert objects(storage_folder) == []
        allowed = made.run("backup", may_be_empty=True)
        assert allowed.state == RunState.PASSED, (allowed.error, log_of(allowed))
        drill = made.run("drill")
        assert drill.state == RunState.PASSED, (drill.error, drill.summary)


def test_a_drill_of_a_backup_that_holds_no_table_and_was_not_meant_to_says_no(
    transactional_db: None, storage_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was taken before backups of nothing were refused."""
    monkeypatch.setattr(backup, "_refuse_nothing", lambda *_, **__: None)
    with shop(tmp_path, schema="") as made:
        assert made.run("backup").state == RunState.PASSED
        drill = made.run("drill")
        assert drill.state == RunState.FAILED
        assert "holds no table" in drill.summary
