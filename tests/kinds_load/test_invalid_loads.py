"""Loads of which nothing may be said, each made for real: the generator was at fault, or too little was seen."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from checks.models import Run
from releases.models import Evidence, Release
from tests.engine.support import check, log_text, run_section
from tests.factories import make_application
from tests.kinds_deploy.local_server import LocalServer, Reply, serving
from tests.kinds_load.test_compare_with_last import installed, runs_in_last
from tests.kinds_load.test_make_load import QUICK, release_of, run_load

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.campaign]

LOAD: dict[str, Any] = {
    **QUICK, "steps": [4], "hold": "6s", "requests": [{"path": "/b"}], "limits": ["errors < 10%"], "stop": [],
}  # fmt: skip
BUSY = """
import time
from locust import FastHttpUser, constant, task

class Reader(FastHttpUser):
    wait_time = constant(0.01)

    @task
    def read(self):
        self.client.get("/b", name="read")
        until = time.process_time() + 0.2
        while time.process_time() < until:
            pass
"""
#: Three of four users leave after their first request.
LEAVING = """
from locust import FastHttpUser, constant, task
from locust.exception import StopUser

class Reader(FastHttpUser):
    wait_time = constant(0.02)
    made = 0

    def on_start(self):
        Reader.made += 1
        self.stays = Reader.made == 1

    @task
    def read(self):
        self.client.get("/b", name="read")
        if not self.stays:
            raise StopUser
"""


def errored(run: Run, why: str) -> None:
    assert (run.state, run.verdict) == ("errored", "errored"), log_text(run)
    assert why in run.error
    assert Evidence.objects.get(run_id=run.pk).verdict == "errored"


def generators(run: Run) -> list[int]:
    """The processes that make this run's load; not the one that keeps watch over them."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"GONOGO_RUN={run.pk}".encode() in (entry / "environ").read_bytes():
                words = (entry / "cmdline").read_bytes().split(b"\0")
                found += [int(entry.name)] if len(words) > 2 and words[2].endswith(b"launch.py") else []
    return found


def with_locustfile(server: LocalServer, folder: Path, text: str, **more: Any) -> Release:
    server.replies |= {"/": Reply(), "/b": Reply()}
    (folder / "load.py").write_text(text)
    release = release_of(server, {**LOAD, "requests": [], "locustfile": "load.py", **more})
    type(release.application).objects.filter(pk=release.application_id).update(plan_folder=str(folder))
    return Release.objects.get(pk=release.pk)


def test_a_generator_at_the_end_of_its_core_says_nothing(
    server: LocalServer, storage_folder: Path, tmp_path: Path
) -> None:
    """Its users spend all of the time themselves; the limit that breaks by it is not held against the application."""
    release = with_locustfile(server, tmp_path, BUSY, steps=[8], samples=1, limits=["requests_per_second > 1000"])
    run = run_load(release)
    errored(run, "of a core, over 80%")
    assert run.result["steps"][0]["broken"] == []


def test_users_that_leave_are_not_the_load_that_was_intended(
    server: LocalServer, storage_folder: Path, tmp_path: Path
) -> None:
    errored(run_load(with_locustfile(server, tmp_path, LEAVING)), "of the intended 4 users were achieved")


def test_arrivals_that_found_no_user_are_not_the_load_that_was_intended(
    server: LocalServer, storage_folder: Path
) -> None:
    server.replies["/b"] = Reply(delay=0.2)
    run = run_load(release_of(server, {**LOAD, "mode": "open", "steps": [20], "pool": 1}))
    errored(run, "of the intended 20 requests/s were achieved")


#: Of two processes the second is killed, as by a machine without memory.
DYING = """
import os, signal
import gevent
from locust import FastHttpUser, constant, events, task

@events.init.add_listener
def begin(environment, **_):
    if getattr(environment.runner, "worker_index", 0) == 1:
        gevent.spawn_later(3, os.kill, os.getpid(), signal.SIGKILL)

class Reader(FastHttpUser):
    wait_time = constant(0.02)

    @task
    def read(self):
        self.client.get("/b", name="read")
"""


@pytest.mark.parametrize("mode", ["closed", "open"])
def test_a_generator_that_dies_on_the_way_says_nothing(
    server: LocalServer, storage_folder: Path, tmp_path: Path, mode: str
) -> None:
    release = with_locustfile(server, tmp_path, DYING, mode=mode, steps=[20], hold="12s", processes=2, samples=1)
    run = run_load(release)
    assert (run.state, run.verdict) == ("errored", "errored"), log_text(run)
    assert "were achieved" in run.error or "of single processes of the generator are missing" in run.error


def test_a_comparison_that_was_not_made_is_no_pass(server: LocalServer, storage_folder: Path) -> None:
    """The first step holds and carries what is expected; the second ends the load early."""
    server.replies |= {"/b": Reply()}
    server.before = lambda path: time.sleep(0.3) if len(server.seen) > 220 else None
    plan = {
        **LOAD, "steps": [1, 2], "hold": "8s", "think": "50ms", "stop": ["p50 < 100ms"], "stop_after": "2s",
        "compare": {"load": 1, "runs": 4, "each": "3s", "settle": "0s"},
    }  # fmt: skip
    run = run_load(release_of(server, plan, load={"expected": {"requests_per_second": 1, "headroom": 1}}))
    errored(run, "the comparison that the plan asks for was not made")


def test_too_few_requests_say_nothing(server: LocalServer, storage_folder: Path) -> None:
    server.replies["/b"] = Reply()
    run = run_load(release_of(server, {**LOAD, "steps": [1], "think": "400ms", "limits": ["p99.9 < 5s"]}))
    errored(run, "requests are too few")


def test_a_generator_that_stood_still_says_nothing(server: LocalServer, storage_folder: Path) -> None:
    """Stopped for half of the time it asked half as much, and what it asked was answered quickly."""
    server.replies["/b"] = Reply()
    release = release_of(server, {**LOAD, "hold": "8s"})

    def stop() -> None:
        while len(server.seen) < 20:
            time.sleep(0.05)
        time.sleep(1.5)
        pids = generators(Run.objects.get())
        connections.close_all()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(3.5)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=stop)
    thread.start()
    run = run_load(release)
    thread.join(20)
    errored(run, "the generator stood still for")


#: Logs in when it begins, and asks four times for an arrival.
GREEDY = """
from locust import FastHttpUser, task

class Reader(FastHttpUser):
    def on_start(self):
        self.client.get("/", name="log in")

    @task
    def read(self):
        for _ in range(4):
            self.client.get("/b", name="read")
"""


def test_a_locustfile_is_held_to_what_was_consented_to(
    server: LocalServer, storage_folder: Path, tmp_path: Path
) -> None:
    """At most 50 a second: 20 arrivals make 80, and a pool of 200 users would log in within a second."""
    moments: list[float] = []
    server.answered = lambda _: moments.append(time.monotonic())
    run = run_load(with_locustfile(server, tmp_path, GREEDY, mode="open", steps=[20], settle="1s"))
    errored(run, "the locustfile asked for more than was consented to")
    made = [moment - moments[1] for moment in moments[1:]]
    busiest = max(sum(start <= moment < start + 1 for moment in made) for start in made)
    assert busiest <= 110, "a second that was saved up, and the one under way"
    assert len(made) / made[-1] < 65


def test_a_locustfile_that_keeps_to_it_is_not_held_back(
    server: LocalServer, storage_folder: Path, tmp_path: Path
) -> None:
    run = run_load(with_locustfile(server, tmp_path, GREEDY, mode="open", steps=[5], settle="2s", samples=20))
    assert run.state == "passed", log_text(run) + run.error


def test_a_comparison_is_held_to_what_was_consented_to_where_the_last_release_runs(
    server: LocalServer, storage_folder: Path, tmp_path: Path
) -> None:
    """50 a second may be made here and 10 there: four requests of five arrivals are too many there alone."""
    (tmp_path / "load.py").write_text(GREEDY)
    server.replies |= {"/": Reply(), "/b": Reply()}
    compare = {"load": 5, "runs": 4, "each": "6s", "settle": "2s", "environment": "last", "addresses": ["read"]}
    consent = {"by": "Operations", "on": "2026-01-01"}
    params = {**LOAD, "requests": [], "locustfile": "load.py", "mode": "open", "steps": [5], "settle": "2s"}
    with serving(server.replies) as last:
        application = make_application(plan={
            "environments": {
                "staging": {"tier": "staging", "url": server.url}, "last": {"tier": "staging", "url": last.url},
                "production": {"tier": "production", "url": last.url.replace("127.0.0.1", "localhost")},
            },
            "checks": {"load": check("load", params={**params, "samples": 20, "compare": compare})},
            "load": {"consent": {"staging": {**consent, "at_most": 50}, "last": {**consent, "at_most": 10}}},
        })  # fmt: skip
        application.plan_folder = str(tmp_path)
        application.save(update_fields=["plan_folder"])
        runs_in_last(application, "0.9", "9" * 64)
        run = run_section(application, "checks.load", release=installed("1", application))
    errored(run, "the locustfile asked for more than was consented to")
    assert f"A short run on {last.url} cannot be compared" in run.error
    assert run.steps.get(key="load-1").state == "passed"
