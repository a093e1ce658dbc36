"""What the local runner does while it runs: real servers, real parts, real kills."""

import json
import os
import signal
import time
from collections.abc import Iterator

import psutil
import psycopg
import pytest
from redis import Redis, RedisError

from tests.platform.runner import Runner, eventually

pytestmark = [pytest.mark.slow, pytest.mark.campaign]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """The whole program, once: started in the background, and stopped with nobody left behind."""
    runner = Runner(tmp_path_factory.mktemp("runner") / "home", LEDGER_CHECKPOINT_SECONDS="2")
    started = runner.command("up", "--detach")
    try:
        assert started.returncode == 0, started.stderr
        assert f"http://127.0.0.1:{runner.port}" in started.stdout
        assert len(runner.living()) >= 7
        yield runner
    finally:
        begun = time.monotonic()
        stopped = runner.command("down")
    assert stopped.returncode == 0, stopped.stderr
    assert time.monotonic() - begun < 40
    assert runner.living() == []
    assert runner.command("status").returncode == 3


def test_it_answers_and_is_ready(runner: Runner) -> None:
    assert runner.get("/healthz") == 200
    assert runner.get("/healthz/ready") == 200


def test_it_runs_every_part(runner: Runner) -> None:
    parts = runner.facts()["parts"]
    assert set(parts) == {"postgres", "redis", "web", "worker", "relay", "scheduler", "prober"}
    assert {part["state"] for part in parts.values()} == {"running"}


def test_it_keeps_passwords_and_keys_to_its_owner(runner: Runner) -> None:
    files = [runner.home.passwords, runner.home.addresses, *(runner.home.root / "keys").iterdir()]
    assert len(files) > 5
    for file in files:
        assert file.stat().st_mode & 0o077 == 0, file


def test_it_makes_a_log_in_with_an_own_password_for_each_account(runner: Runner) -> None:
    passwords = json.loads(runner.home.passwords.read_text())
    assert passwords
    status = runner.command("status")
    assert status.returncode == 0
    assert "http://127.0.0.1" in status.stdout


def test_a_second_one_on_the_same_folder_is_refused(runner: Runner) -> None:
    second = runner.command("up")
    assert second.returncode != 0
    assert "already running" in second.stderr
    assert "make down" in second.stderr
    assert runner.get("/healthz") == 200


def test_a_second_one_in_the_background_is_refused_as_well(runner: Runner) -> None:
    said = (runner.home.logs / "supervisor.log").read_text()
    second = runner.command("up", "--detach")
    assert second.returncode != 0
    assert "already running" in second.stderr
    assert (runner.home.logs / "supervisor.log").read_text() == said
    assert runner.get("/healthz") == 200


def test_a_second_one_on_the_same_port_is_refused(runner: Runner, tmp_path: object) -> None:
    other = Runner(runner.home.root.with_name("other"), GONOGO_PORT=str(runner.port))
    second = other.command("up")
    assert second.returncode != 0
    assert f"Port {runner.port}" in second.stderr
    assert "GONOGO_PORT" in second.stderr


def test_a_killed_redis_comes_back_with_what_it_held(runner: Runner) -> None:
    url = json.loads(runner.home.addresses.read_text())["REDIS_URL"]
    with Redis.from_url(url) as client:
        client.set("kept", "yes")
        time.sleep(1.2)  # appendfsync everysec
    before = runner.part("redis")
    os.kill(before["pid"], signal.SIGKILL)
    eventually(lambda: runner.part("redis")["pid"] not in {None, before["pid"]})

    def value() -> object:
        try:
            with Redis.from_url(url) as client:
                return client.get("kept")
        except RedisError:  # refused, or still loading
            return None

    assert eventually(value) == b"yes"
    eventually(lambda: runner.get("/healthz/ready") == 200)


def test_a_killed_postgresql_comes_back(runner: Runner) -> None:
    url = json.loads(runner.home.addresses.read_text())["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('yes')")
    before = runner.part("postgres")
    os.kill(before["pid"], signal.SIGKILL)
    eventually(lambda: runner.part("postgres")["pid"] not in {None, before["pid"]})
    eventually(lambda: runner.get("/healthz/ready") == 200)
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT word FROM kept").fetchone()
    assert row == ("yes",)


@pytest.mark.parametrize("name", ["worker", "relay", "web"])
def test_a_killed_part_is_started_again_and_nobody_is_left_of_it(runner: Runner, name: str) -> None:
    """What is left would go on with the killed one's work: the web server's processes hold its port."""
    before = runner.part(name)
    below = psutil.Process(before["pid"]).children(recursive=True)
    os.kill(before["pid"], signal.SIGKILL)
    after = eventually(lambda: (part := runner.part(name))["pid"] not in {None, before["pid"]} and part)
    eventually(lambda: not any(process.is_running() for process in below))
    eventually(lambda: runner.get("/healthz/ready") == 200)
    if below:
        eventually(lambda: len(psutil.Process(runner.part(name)["pid"]).children()) >= 1)
    assert after["restarts"] == before["restarts"] + 1


def test_the_scheduler_reaches_the_worker(runner: Runner) -> None:
    """The first checkpoint of the ledger comes from the scheduler, through Redis, out of the worker."""
    url = json.loads(runner.home.addresses.read_text())["DATABASE_URL"]

    def checkpoints() -> int:
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT count(*) FROM releases_ledgercheckpoint").fetchone()
        assert row is not None
        return int(row[0])

    assert eventually(checkpoints, within=90) >= 1
    copies = runner.home.root / "storage" / "ledger" / "checkpoints"
    eventually(lambda: copies.is_dir() and list(copies.iterdir()))
