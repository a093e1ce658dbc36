"""The prober as a process of its own, against a real server that flaps, and a database that goes away."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection

from monitoring.models import AlertDelivery, Incident, Probe, ProbeResult
from releases.models import Release
from tests.factories import publish
from tests.kinds_deploy.local_server import LocalServer, Reply
from tests.monitoring.support import Watched, make_watched, probe_section

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


class Process:
    def __init__(self, folder: Path) -> None:
        database = connection.settings_dict
        self.log = folder / "prober.log"
        address = (
            f"postgresql://{quote(database['USER'])}:{quote(database['PASSWORD'])}"
            f"@{database['HOST']}:{database['PORT']}/{database['NAME']}"
        )
        self.mail = folder / "mail"
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(
                [sys.executable, "manage.py", "prober"],
                cwd=settings.BASE_DIR,
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "DATABASE_URL": address,
                    "REDIS_URL": settings.REDIS_URL,
                    "EMAIL_URL": self.mail.as_uri(),
                    "LOG_LEVEL": "INFO",
                },
            )

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.child.send_signal(how)
        return self.child.wait(30)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Process]]:
    started: list[Process] = []

    def begin() -> Process:
        started.append(Process(tmp_path))
        return started[-1]

    yield begin
    for process in started:
        if process.child.poll() is None:
            process.child.kill()
            process.child.wait()


def wait_for(question: Callable[[], bool], process: Process, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not question():
        assert process.child.poll() is None, process.log.read_text()[-3000:]
        assert time.monotonic() < end, process.log.read_text()[-3000:]
        time.sleep(0.1)


@pytest.mark.campaign
def test_it_asks_records_opens_and_closes_and_ends_cleanly(
    watched: Watched, server: LocalServer, start: Callable[[], Process]
) -> None:
    prober, probe = start(), watched.probe
    wait_for(lambda: probe.results.filter(up=True).count() >= 3, prober)
    server.replies["/"] = Reply(503)
    wait_for(lambda: Incident.objects.filter(probe=probe, closed_at__isnull=True).exists(), prober)
    server.replies["/"] = Reply(body=b"welcome")
    wait_for(lambda: Incident.objects.filter(probe=probe, closed_at__isnull=False).exists(), prober)
    incident = Incident.objects.get()
    assert incident.reason == "answered 503, expected 200"
    wait_for(lambda: AlertDelivery.objects.filter(delivered_at__isnull=False).count() == 2, prober)
    assert len(list(prober.mail.iterdir())) >= 1
    assert prober.stop() == 0
    asked = [path for path in server.seen if path == "/"]
    assert ProbeResult.objects.count() in (len(asked), len(asked) - 1), "what was answered was written"


@pytest.mark.campaign
def test_it_keeps_its_beat(server: LocalServer, storage_folder: Path, start: Callable[[], Process]) -> None:
    watched = make_watched(server, probes=[probe_section()])
    server.replies["/"].delay = 0.3
    prober, probe = start(), watched.probe
    wait_for(lambda: probe.results.count() >= 8, prober)
    assert prober.stop() == 0
    times = list(probe.results.order_by("at").values_list("at", flat=True))
    spread = (times[-1] - times[0]).total_seconds() / (len(times) - 1)
    # Asked every 1.0 s although each answer takes 0.3 s; a busy machine may miss a beat, and never drifts.
    offsets = [((moment - times[0]).total_seconds() + 0.5) % 1.0 - 0.5 for moment in times]
    assert 0.98 < spread < 1.6
    assert sorted(abs(offset) for offset in offsets)[len(offsets) // 2] < 0.25


@pytest.mark.campaign
def test_a_new_probe_is_followed_within_seconds_and_a_stopped_one_no_longer(
    watched: Watched, server: LocalServer, start: Callable[[], Process]
) -> None:
    prober = start()
    wait_for(watched.probe.results.exists, prober)
    environments = {
        "staging": {"tier": "staging", "url": server.url},
        "production": {"tier": "production", "url": server.url},
    }
    server.replies["/new"] = Reply()
    publish(
        watched.application,
        {"environments": environments, "probes": [probe_section("New", path="/new", text="hello")]},
    )
    wait_for(lambda: ProbeResult.objects.filter(probe__name="New", up=True).exists(), prober, 20)
    time.sleep(1)
    old = ProbeResult.objects.filter(probe__name="Front page").count()
    time.sleep(3)
    assert ProbeResult.objects.filter(probe__name="Front page").count() == old


@pytest.mark.campaign
def test_it_survives_the_loss_of_its_database_connections(watched: Watched, start: Callable[[], Process]) -> None:
    prober, probe = start(), watched.probe
    wait_for(lambda: probe.results.count() >= 2, prober)
    for _ in range(3):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        time.sleep(0.5)
    before = probe.results.count()
    wait_for(lambda: probe.results.count() >= before + 3, prober)
    times = list(probe.results.order_by("at").values_list("at", flat=True))
    gaps = [(after - first).total_seconds() for first, after in itertools.pairwise(times)]
    assert max(gaps) < 5, "answers given while the database was away were kept and written"
    assert prober.stop() == 0


@pytest.mark.campaign
def test_a_watched_release_becomes_live_by_itself(
    server: LocalServer, storage_folder: Path, start: Callable[[], Process]
) -> None:
    limits = {"duration": "6s", "max_error_rate": 0.1, "max_response": "5s", "min_answers": 3}
    watched = make_watched(server, watch=limits)
    prober = start()
    wait_for(watched.probe.results.exists, prober)
    release = watched.deployed()
    wait_for(lambda: Release.objects.get(pk=release.pk).state == "live", prober)
    assert release.watches.get().state == "passed"


@pytest.mark.campaign
def test_two_probers_do_no_harm(watched: Watched, server: LocalServer, start: Callable[[], Process]) -> None:
    first, second, probe = start(), start(), watched.probe
    wait_for(lambda: probe.results.count() >= 6, first)
    assert (first.stop(), second.stop()) == (0, 0)
    times = list(probe.results.order_by("at").values_list("at", flat=True))
    gaps = [(after - before).total_seconds() for before, after in itertools.pairwise(times)]
    assert min(gaps) > 0.4
    assert Probe.objects.get(pk=probe.pk).state == "up"
