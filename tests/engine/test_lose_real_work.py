"""A backup, a migration's rehearsal and a deploy in one real Celery worker: it is killed, or loses what it needs."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from checks import services
from checks.engine import load
from checks.models import Run, StoredBackup
from releases.models import LedgerEntry, Release
from tests.engine.outages import Outage, OwnRedis
from tests.engine.support import check, log_lines, start
from tests.engine.workers import kill_tree, processes_with, relay, until, worker
from tests.kinds_data import support as data
from tests.kinds_deploy import support as deploys
from tests.kinds_deploy.local_server import serving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.campaign]

LINES = 400
#: The work of migration and deploy: each line says its number, and the file says once more that it was done.
COUNT = f"""
import os, pathlib, sys, time
if "DATABASE_URL" in os.environ:
    import psycopg
    with psycopg.connect(os.environ["DATABASE_URL"]) as database:
        database.execute("CREATE TABLE made ()")
for number in range(1, {LINES} + 1):
    print("line", number, flush=True)
    time.sleep(0.05)
with pathlib.Path(sys.argv[1]).open("a") as done:
    done.write("done\\n")
"""
#: Long enough to be met in the middle: a dump of about 130 MB.
BULK = """
CREATE TABLE bulk AS
SELECT n, md5(n::text) || md5((-n)::text) AS noise FROM generate_series(1, 1500000) n
"""
REAL_LEASE = {"RUN_LEASE_SECONDS": 30, "RUN_HEARTBEAT_SECONDS": 5}


@dataclass
class Work:
    """The runs by their kind, and what they change."""

    runs: dict[str, Run]
    release: Release
    team: Any
    folder: Path
    storage: Path
    data: data.Shop

    def get_to_the_middle(self) -> None:
        """Of all three: the backup would be the first to end, so it begins last."""
        until(lambda: all("line 20" in log_lines(load(run.pk)) for run in self.runs.values()), 120)
        self.runs["backup"] = start(self.data.application, "checks.backup")
        until(lambda: any(path.stat().st_size > 1_000_000 for path in self.objects()), 60, every=0.005)

    def states(self) -> dict[str, str]:
        return {kind: load(run.pk).state for kind, run in self.runs.items()}

    def attempts(self) -> dict[str, int]:
        return {kind: load(run.pk).attempt for kind, run in self.runs.items()}

    def objects(self) -> list[Path]:
        """What the store holds of backups."""
        return sorted(path for path in (self.storage / "backups").rglob("*") if path.is_file())

    def done(self, what: str) -> int:
        path = self.folder / f"{what}.done"
        return len(path.read_text().splitlines()) if path.exists() else 0


def counting(folder: Path, what: str) -> list[str]:
    return [sys.executable, "-c", COUNT, str(folder / f"{what}.done")]


@pytest.fixture
def work(tmp_path: Path, storage_folder: Path) -> Iterator[Work]:
    with three_runs(tmp_path, storage_folder) as made:
        yield made


@contextmanager
def three_runs(folder: Path, storage: Path) -> Iterator[Work]:
    migrate = {"argv": counting(folder, "migration")}
    checks = {
        "backup": check("backup", "production"),
        "migration": check(
            "migration",
            "production",
            params={"command": migrate, "visitors_wait": "1m", "irreversible": {"command": "The backup is put back."}},
        ),
    }
    steps = [
        deploys.step("count", " ".join(f"'{word}'" for word in counting(folder, "deploy")), timeout="2m"),
        *deploys.STEPS,
    ]
    with serving() as server, data.shop(folder, plan={"checks": checks}, schema=BULK) as shop:
        deployed = deploys.make_shop(folder, server, deploy={"steps": steps})
        deploy = services.start_deploy(release=deployed.fresh(), actor=deployed.team.manager)
        migration = start(shop.application, "checks.migration", release=shop.release())
        runs = {"deploy": deploy, "migration": migration}
        yield Work(runs, deployed.release, deployed.team, folder, storage, shop)


@contextmanager
def working(work: Work, redis: OwnRedis, **lease: int) -> Iterator[Any]:
    with worker(slots=3, REDIS_URL=redis.url, STORAGE_URL=work.storage.as_uri(), **lease) as celery:
        yield celery


def test_a_kill_in_a_backup_a_migration_and_a_deploy_is_noticed_within_35_seconds_and_nothing_runs_twice(
    work: Work, own_redis: OwnRedis
) -> None:
    with relay(REDIS_URL=own_redis.url):
        with working(work, own_redis, **REAL_LEASE) as celery:
            work.get_to_the_middle()
            kill_tree(celery)
        killed = time.monotonic()
        assert not processes_with(str(work.folder / "migration.done"))
        assert not processes_with(str(work.folder / "deploy.done"))
        assert {path.suffix for path in work.objects()} == {".partial"}, "nothing is published"
        first = {kind: log_lines(load(run.pk), attempt=1) for kind, run in work.runs.items()}
        until(lambda: work.states() == {"backup": "queued", "migration": "queued", "deploy": "unknown"}, 60)
        assert time.monotonic() - killed < 35
        with working(work, own_redis, **REAL_LEASE):
            until(lambda: work.states() == {"backup": "passed", "migration": "passed", "deploy": "unknown"}, 180)
    assert work.attempts() == {"backup": 2, "migration": 2, "deploy": 1}
    _what_was_said_is_kept(work, first)
    _backup_and_migration_were_done_once(work)
    _a_person_decides_about_the_deploy(work)


def _what_was_said_is_kept(work: Work, first: dict[str, list[str]]) -> None:
    numbered = [f"line {number}" for number in range(1, LINES + 1)]
    for kind, run in work.runs.items():
        kept = log_lines(load(run.pk), attempt=1)
        assert kept[: len(first[kind])] == first[kind]
        counted = [line for line in kept if line.startswith("line ")]
        assert counted == numbered[: len(counted)]
        assert len(counted) < LINES
    second = [line for line in log_lines(load(work.runs["migration"].pk), attempt=2) if line.startswith("line ")]
    assert second == numbered


def _backup_and_migration_were_done_once(work: Work) -> None:
    assert work.done("migration") == 1
    assert StoredBackup.objects.filter(environment=work.data.environment()).count() == 1
    assert sorted(path.name.split(".", 1)[1] for path in work.objects()) == ["database", "manifest.json"]
    assert work.data.run("drill").state == "passed"
    assert not [name for name in data.databases() if name.startswith(("gonogo_clone", "gonogo_drill"))]


def _a_person_decides_about_the_deploy(work: Work) -> None:
    assert work.done("deploy") == 0
    assert not (work.folder / "production").exists(), "no later step was begun"
    assert Release.objects.get(pk=work.release.pk).state == "unknown"
    unknown = load(work.runs["deploy"].pk)
    services.decide_unknown(run=unknown, actor=work.team.manager, outcome="failed", reason="It stopped half-way.")
    assert Release.objects.get(pk=work.release.pk).state == "failed"
    assert LedgerEntry.objects.filter(action="run.decided", subject_id=str(unknown.pk)).exists()


def test_redis_is_killed_and_postgresql_is_away_during_a_backup_a_migration_and_a_deploy(
    work: Work, own_redis: OwnRedis
) -> None:
    """The database of the program is away, not that of the application, which stands elsewhere."""
    with relay(REDIS_URL=own_redis.url), working(work, own_redis, **REAL_LEASE):
        work.get_to_the_middle()
        own_redis.kill()
        with Outage():
            time.sleep(3)
        passed = {"backup": "passed", "migration": "passed", "deploy": "passed"}
        until(lambda: work.states() == passed, 180)
        own_redis.start()
    numbered = [f"line {number}" for number in range(1, LINES + 1)]
    for kind in ("migration", "deploy"):
        assert [line for line in log_lines(load(work.runs[kind].pk)) if line.startswith("line ")] == numbered
    assert set(work.attempts().values()) == {1}
    assert (work.done("migration"), work.done("deploy")) == (1, 1)
    assert (work.folder / "production").read_text().splitlines() == ["static 2.0", "migrate 2.0", "switch 2.0"]
    assert Release.objects.get(pk=work.release.pk).state == "watching"
    assert work.data.run("drill").state == "passed"
